"""The JSON schema for editors says what the reader says."""

from __future__ import annotations

import copy
import importlib.resources
import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.plans import Refused, as_toml, plans, refused_plans
from tallystick.errors import PlanError
from tallystick.gate import expectation, plan, plan_reader, trusted
from tallystick.gate.grades import Grade
from tallystick.gate.plan import Plan, read_plan
from tallystick.model.ids import ID_LIMIT

SCHEMA = json.loads(importlib.resources.files("tallystick.gate").joinpath("tallystick.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

MEMBER = "[keys.ci]\npublic = 'ci+548c5e59+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f'\nroles = ['member']\n"
QUORUMS = """
[keys.two]
members = ["ci"]
threshold = "all"
roles = ["approve", "member"]
[keys.three]
members = ["two"]
threshold = 1
roles = ["checkpoint"]
"""
READER_ALONE = re.compile(
    r"too large|no exit code|regular expression|looks like a secret|the task has no phase"
    r"|of a standing criterion|the key id of|the same key|bytes, over|cut short|verifier key|anybody can sign"
    r"|a decimal number|signature type|the public key of|no key or quorum above|already a member|members can never sign"
)
"""What a schema cannot say, or could say only at a length that nobody would read."""


def agree(document: dict[str, Any], source: bytes) -> bool:
    """Whether both take it; they may differ in what only the reader can know."""
    complaints = [error.message for error in VALIDATOR.iter_errors(document)]
    refusal = _refusal(source)
    if refusal:
        assert complaints or READER_ALONE.search(refusal), refusal
    else:
        assert not complaints
    return not refusal


def _refusal(source: bytes) -> str:
    try:
        read_plan(source)
    except PlanError as error:
        return str(error)
    return ""


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "[criteria.a]\nmanual = true\ngrade = 'attested'\ninputs = ['docs/**']",
        "[criteria.a]\nrun = ['make', '']\nexpect = { exit = '!= 0', tests = ' >=4 ', skipped = '<\t1' }",
        '[criteria.\'größe/1\']\nrun = """\na\nb"""\nenvironment = { variables = [], platform = false }',
        "[tasks.t]\nphases = []\n[tasks.u]\ntitle = ''",
        "[gate]\nbase = ['main', 'release/**']\nprotect = []",
        f"{MEMBER}until = 0",
        f"{MEMBER}{QUORUMS}",
    ],
)
def test_both_take_what_is_right(source: str) -> None:
    assert agree(tomllib.loads(source), source.encode())


@pytest.mark.parametrize(
    "case",
    [case for case in refused_plans() if not case.message.split(": ")[1].startswith("not valid TOML")],
    ids=lambda case: case.message[:60],
)
def test_both_refuse_what_is_wrong(case: Refused) -> None:
    assert VALIDATOR.is_valid(tomllib.loads(case.text)) is not case.by_schema
    if not case.by_schema:
        assert READER_ALONE.search(case.message), "the schema could know this"


@given(plans())
def test_the_schema_takes_every_plan(plan: Plan) -> None:
    assert agree(plan.as_dict(), as_toml(plan))


ODD_WORDS = ("", " ", "x", "/x", "../x", "a//b", "!x", "-x", "a\n", ">= 1", "< 0", "7", "TZ\n", "claimed")
ODD_THINGS: tuple[Any, ...] = (
    True,
    False,
    [],
    ["x"],
    ["x", "x"],
    [""],
    [1],
    {},
    {"x": 1},
    {"exit": 1},
    {"a": {"run": "x"}},
)
ODD = st.sampled_from(ODD_WORDS) | st.sampled_from((0, 1, -1, 256, 1001)) | st.sampled_from(ODD_THINGS)


@given(plans(), ODD, st.data())
def test_both_judge_alike_when_one_value_is_replaced(plan: Plan, odd: Any, data: st.DataObject) -> None:
    document = copy.deepcopy(plan.as_dict())
    places = list(_places(document))
    if places:
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = odd
    else:
        document["criteria"] = odd
    agree(document, _inline(document))


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _inline(document: dict[str, Any]) -> bytes:
    from tallystick.gate.toml_text import pair

    return "\n".join(pair(key, value) for key, value in document.items()).encode()


def test_both_name_the_same_limits_and_words() -> None:
    definitions = SCHEMA["definitions"]
    criterion = definitions["criterion"]["properties"]
    assert criterion["grade"]["enum"] == [str(grade) for grade in Grade]
    assert definitions["key"]["properties"]["roles"]["items"]["enum"] == list(trusted.ROLES)
    assert definitions["expect"]["properties"]["output"]["maxLength"] == expectation.PATTERN_LIMIT
    assert f"{expectation.OUTPUT_WINDOW:,}" in definitions["expect"]["properties"]["output"]["description"]
    assert definitions["gate"]["properties"]["flaky_passes"]["maximum"] == plan_reader.FLAKY_LIMIT
    assert definitions["id"]["maxLength"] == ID_LIMIT
    assert set(criterion) == set(plan.Criterion.FIELDS) - {"id"}
    assert set(definitions["expect"]["properties"]) == set(expectation.Expectation.FIELDS)
    assert set(definitions["environment"]["properties"]) == set(plan.Environment.FIELDS)
    assert set(definitions["gate"]["properties"]) == set(plan.GatePolicy.FIELDS)
    assert set(definitions["task"]["properties"]) == set(plan.Task.FIELDS) - {"id"}
    assert set(definitions["key"]["properties"]) == set(trusted.TrustedKey.FIELDS) - {"name"}
    assert set(definitions["quorum"]["properties"]) == set(trusted.Quorum.FIELDS) - {"name"}
    assert definitions["key"]["properties"]["until"]["maximum"] == plan_reader.COUNT_LIMIT
