"""Reading `tallystick.toml`: what it means, and what is said of what it cannot mean."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given

from support.plans import Refused, as_toml, plans, refused_plans
from tallystick.errors import PlanError
from tallystick.gate.expectation import Comparison, Expectation
from tallystick.gate.grades import Grade
from tallystick.gate.plan import WHOLE_TREE, Criterion, Environment, GatePolicy, Plan, read_plan
from tallystick.gate.plan_reader import SIZE_LIMIT
from tallystick.gate.trusted import TrustedKey

VKEY = "ci+548c5e59+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

FULL = f"""\
[criteria.tests]
shows = "the unit tests pass"
run = "pytest -q"
expect = {{ exit = 0, tests = ">= 40", skipped = "<= 2", output = 'passed\\b' }}
inputs = ["src/**", "tests/**"]
environment = {{ variables = ["TZ"], versions = ["python3 --version"], platform = true }}
grade = "attested"
phase = "build"

[criteria.lint]
run = ["ruff", "check", "a b"]

[tasks.add-cache]
title = "Cache lookups"
phases = ["review", "build"]
[tasks.add-cache.criteria.ac1]
run = "pytest -q tests/test_cache.py"
[tasks.add-cache.criteria.ac2]
shows = "somebody looked"
manual = true
phase = "review"

[tasks."fix/login".criteria.ac1]
run = "true"

[gate]
base = "origin/main"
protect = ["tests/**", ".github/**"]
flaky_passes = 5

[keys.ci]
public = "{VKEY}"
roles = ["attest", "checkpoint"]
"""


def read(text: str) -> Plan:
    return read_plan(textwrap.dedent(text).encode())


def refused(text: str) -> str:
    with pytest.raises(PlanError) as caught:
        read(text)
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_a_whole_plan() -> None:
    plan = read(FULL)
    assert plan.criteria["tests"] == Criterion(
        "tests",
        shows="the unit tests pass",
        run="pytest -q",
        expect=Expectation(Comparison("==", 0), Comparison(">=", 40), Comparison("<=", 2), "passed\\b"),
        inputs=("src/**", "tests/**"),
        environment=Environment(("TZ",), ("python3 --version",), True),
        grade=Grade.ATTESTED,
        phase="build",
    )
    assert plan.criteria["lint"].run == ("ruff", "check", "a b")
    assert list(plan.tasks) == ["add-cache", "fix/login"]
    assert plan.tasks["add-cache"].title == "Cache lookups"
    assert plan.gate == GatePolicy(("origin/main",), ("tests/**", ".github/**"), 5)
    assert plan.keys == {"ci": TrustedKey("ci", VKEY, ("attest", "checkpoint"))}
    assert not plan.advisory


def test_what_is_left_out() -> None:
    criterion = read('[criteria.a]\nrun = "make"').criteria["a"]
    assert criterion.inputs == WHOLE_TREE
    assert criterion.grade is Grade.OBSERVED
    assert criterion.expect == Expectation(Comparison("==", 0))
    assert criterion.environment == Environment()
    assert (criterion.shows, criterion.phase, criterion.manual) == ("", "", False)
    manual = read("[criteria.a]\nmanual = true").criteria["a"]
    assert manual.grade is Grade.CLAIMED
    assert manual.command == ""
    assert manual.argv == ()


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\ufeff[criteria]\r\n", "[tasks]\n[gate]\n[keys]\n"])
def test_a_plan_may_be_empty(text: str) -> None:
    assert read_plan(text.encode()) == Plan()


def test_how_a_command_is_recorded_and_run() -> None:
    plan = read(FULL)
    tests, lint = plan.criteria["tests"], plan.criteria["lint"]
    assert tests.command == "pytest -q"
    assert tests.argv == ("/bin/sh", "-c", "pytest -q")
    assert lint.command == "ruff check 'a b'"
    assert lint.argv == ("ruff", "check", "a b")


def test_a_task_has_its_own_criteria_and_the_standing_ones_in_phase_order() -> None:
    task = read(FULL).for_task("add-cache")
    assert task.title == "Cache lookups"
    assert task.phases == ("review", "build")
    assert [criterion.id for criterion in task.criteria] == ["ac2", "tests", "lint", "ac1"]
    assert task.criterion("lint") == read(FULL).criteria["lint"]
    assert task.criterion("ac9") is None


def test_a_task_that_the_plan_does_not_name_has_the_standing_criteria() -> None:
    task = read(FULL).for_task("other")
    assert [criterion.id for criterion in task.criteria] == ["tests", "lint"]
    assert task.phases == ("build",)


def test_comparisons_may_be_exit_codes() -> None:
    plan = read('[criteria.a]\nrun = "x"\nexpect.exit = 3\n[criteria.b]\nrun = "x"\nexpect = {exit = "!= 0"}')
    assert plan.criteria["a"].expect.exit == Comparison("==", 3)
    assert plan.criteria["b"].expect.exit == Comparison("!=", 0)


@given(plans())
def test_what_is_written_reads_back(plan: Plan) -> None:
    assert read_plan(as_toml(plan)) == plan


CRITERION = '[criteria.tests]\nrun = "pytest -q"\n'


@pytest.mark.parametrize("case", refused_plans(), ids=lambda case: case.message[:60])
def test_what_cannot_be_read_is_told_with_line_and_key(case: Refused) -> None:
    assert refused(case.text) == f"tallystick.toml:{case.message}"


def test_the_file_is_called_as_the_caller_knows_it() -> None:
    with pytest.raises(PlanError, match=r"^origin/main:tallystick\.toml:2: a: unknown key"):
        read_plan(b"\na = 1", where="origin/main:tallystick.toml")


def test_a_file_that_is_not_text() -> None:
    with pytest.raises(PlanError, match=r"^tallystick\.toml:2: not UTF-8; save the file as UTF-8$"):
        read_plan(b"[gate]\nbase = '\xff'\n")


def test_a_file_that_is_too_large_or_too_deep() -> None:
    with pytest.raises(PlanError, match="a plan has at most"):
        read_plan(b"#\n" * SIZE_LIMIT)
    with pytest.raises(PlanError, match=r":2: a line has at most 4096 characters, this one 4097; break it up$"):
        read_plan(b"\n#" + b"\xc3\xa4" * 4096)
    with pytest.raises(PlanError, match="nested too deeply"):
        read_plan(b"a = " + b"[\n" * 50_000)


def test_long_values_are_cut_in_messages() -> None:
    message = refused(f"[criteria.a]\nrun = 'x'\n{'k' * 3000} = 1")
    assert len(message) < 500
    assert len(refused(f"[criteria.a]\nrun = 'x'\ngrade = '{'g' * 3000}'")) < 500


def test_a_refusal_is_an_input_error_with_its_parts() -> None:
    with pytest.raises(PlanError) as caught:
        read(CRITERION + "expect = { tests = 40 }")
    assert caught.value.where == "tallystick.toml:3"
    assert caught.value.what == "criteria.tests.expect.tests: must be a comparison, not 40"
    assert caught.value.advice == 'write ">= 40"'
    assert caught.value.exit_code == 2


SECRETS = "API_TOKEN AWS_SECRET_ACCESS_KEY PGPASSWORD MYSQL_PWD apiKey NPM_TOKEN2 DATABASE_URL GPG_KEY password"
OPEN = "TZ LANG PATH HOME PWD OLDPWD CI PYTHONHASHSEED TOKENIZERS_PARALLELISM KEYBOARD MONKEY AUTHOR CFLAGS"


def test_names_of_secrets_are_told_from_others() -> None:
    for name in OPEN.split():
        read(f"{CRITERION}environment.variables = ['{name}']")
    for name in SECRETS.split():
        assert "looks like a secret" in refused(f"{CRITERION}environment.variables = ['{name}']")
