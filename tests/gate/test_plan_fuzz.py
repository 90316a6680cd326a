"""Whatever the bytes, reading a plan gives a plan or one printable line."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.plans import as_toml, plans
from tallystick.errors import PlanError
from tallystick.gate import toml_text
from tallystick.gate.plan import Plan, read_plan
from tallystick.gate.plan_reader import LINE_LIMIT, SIZE_LIMIT


def read_or_refuse(data: bytes) -> Plan | None:
    try:
        plan = read_plan(data)
    except PlanError as error:
        message = str(error)
        assert message.isprintable(), repr(message)
        assert len(message) < 1_000
        place = re.match(r"tallystick\.toml(?::(\d+))?: ", message)
        assert place, message
        if place[1]:
            assert 1 <= int(place[1]) <= data.count(b"\n") + 1
        return None
    assert read_plan(as_toml(plan)) == plan
    return plan


CRITERION_KEYS = ("shows", "run", "manual", "expect", "inputs", "environment", "grade", "phase")
INNER_KEYS = ("exit", "tests", "skipped", "output", "variables", "versions", "platform")
TOP_KEYS = ("criteria", "tasks", "gate", "keys")
OTHER_KEYS = ("title", "phases", "base", "protect", "flaky_passes", "public", "roles", "ac1")
NAMES = (*TOP_KEYS, *CRITERION_KEYS, *INNER_KEYS, *OTHER_KEYS)
WORDS = (
    "pytest -q",
    "src/**",
    ">= 4",
    "observed",
    "TZ",
    "build",
    "(a+)+$",
    "[[",
    "a{9999999999}",
    "(?P<a>)" * 2,
)

keys = st.sampled_from(NAMES) | st.text(max_size=3)
leaves = (
    st.sampled_from(WORDS)
    | st.text(max_size=5)
    | st.integers()
    | st.booleans()
    | st.integers(0, 3)
    | st.floats()
    | st.datetimes()
    | st.times()
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=25,
)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_text.key(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) else repr(value).replace("e", ".0e").replace(".0.0", ".0")
    return toml_text.value(value) if isinstance(value, (str, int)) else value.isoformat()


@given(st.dictionaries(keys, trees, max_size=4))
def test_any_toml(document: dict[str, Any]) -> None:
    read_or_refuse("\n".join(f"{toml_text.key(key)} = {written(item)}" for key, item in document.items()).encode())


@given(st.dictionaries(st.sampled_from(["ac1", "x y"]), st.dictionaries(keys, trees, max_size=6), max_size=2))
def test_any_criteria(criteria: dict[str, Any]) -> None:
    read_or_refuse(f"criteria = {written(criteria)}\ntasks.t.criteria = {written(criteria)}".encode())


@given(st.binary(max_size=200) | st.text(alphabet="[]{}='\"#.,\\ \n\r\t01ae-", max_size=80).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    read_or_refuse(data)


BYTES = (b"", b"\n", b'"', b"[", b"]", b"=", b"{", b".", b"\xff", b"9")


@settings(max_examples=100)
@given(plans(), st.data())
def test_a_plan_with_a_few_bytes_changed(plan: Plan, data: st.DataObject) -> None:
    source = bytearray(as_toml(plan))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        end = min(len(source), start + data.draw(st.integers(0, 5)))
        source[start:end] = data.draw(st.sampled_from([b"", b"\n", b'"', b"[", b"]", b"=", b"{", b".", b"\xff", b"9"]))
    read_or_refuse(bytes(source))


@given(st.text(max_size=30))
@example("(" * 990)
@example("(?:" * 300 + ")" * 300)
@example("a" + "{0,65535}" * 100)
@example("(?i)" + "[\u0100-\U0010ffff]" * 3)
@example("\\")
@example("(?z)")
@example("a**")
@example("[a-]--b]")
def test_any_expression(expression: str) -> None:
    text = expression.encode("utf-8", "replace").decode()
    read_or_refuse(f"[criteria.a]\nrun = 'x'\nexpect.output = {toml_text.string(text)}".encode())


@pytest.mark.parametrize(
    "source",
    [
        "a." * (SIZE_LIMIT // 2 - 4) + "a = 1",
        "".join(f"{'a.' * (LINE_LIMIT // 2 - 8)}a{number} = 1\n" for number in range(15)),
        "".join(f"[{'a.' * (LINE_LIMIT // 2 - 8)}a{number}]\n" for number in range(15)),
        "a = " + "[\n" * 20_000 + "]" * 4_000,
        "a = " + "{a=" * 1_000 + "1" + "}" * 1_000,
        "a = '''" + "''\\\n" * 60_000 + "'''",
        'a = """' + '""\\"\n' * 50_000 + '"""',
        "".join(f"[criteria.c{number}]\nrun = 'x'\n" for number in range(8_000)) + "x = 1",
        "#\n" * (SIZE_LIMIT // 2 - 8) + "a = 1",
        "a = [" + "1,\n" * 80_000 + "]",
    ],
    ids=["one line", "dotted", "headers", "arrays", "inline", "long literal", "long basic", "many", "comment", "items"],
)
def test_a_large_source_is_refused_in_time(source: str) -> None:
    assert len(source) <= SIZE_LIMIT
    started = time.process_time()
    assert read_or_refuse(source.encode()) is None
    assert time.process_time() - started < 8
