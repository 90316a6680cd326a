"""Counts of a failing run and of a passing one are not the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from field.world import NOTCH, World

FAILS_THEN_PASSES = {
    "counts only where it fails": ("3 tests completed, 1 failed", ""),
    "a group counted beside its tests": ("= 3 failed, 2 passed in 0.01s =", "= 2 passed, 5 subtests passed in 0.01s ="),
    "ended at the first failure": ("= 1 failed, 1 passed in 0.01s =", "= 4 passed in 0.01s ="),
    "an error in a teardown": ("= 2 passed, 1 failed, 1 error in 0.01s =", "= 3 passed in 0.01s ="),
    "a collection that broke": ("= 1 error in 0.01s =", "= 7 passed in 0.01s ="),
    "skips only in the pass": ("= 1 failed, 1 passed in 0.01s =", "= 2 passed, 3 skipped in 0.01s ="),
    "cargo with two binaries": (
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    ),
}
"""What a runner prints at a red run and at the green one that follows."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.begin('[criteria.tests]\nrun = "sh run.sh"\ninputs = ["src/**"]\n', {"src/a": "1\n", "run.sh": "exit 9\n"})
    return made


def runs(world: World, said: str, code: int) -> list[dict[str, str]]:
    """What is weakened at the gate, once the runner printed that and ended so, on other content than before."""
    (world.root / "src" / "a").write_text((world.root / "src" / "a").read_text() + "x\n")
    (world.root / "run.sh").write_text(f"cat <<'.'\n{said}\n.\nexit {code}\n")
    world.command(NOTCH, "run", "-c", "tests", code=code)
    found: list[dict[str, str]] = json.loads(world.command(NOTCH, "gate", "--json"))["weakened"]
    return found


@pytest.mark.parametrize("how", sorted(FAILS_THEN_PASSES))
def test_a_red_and_green_cycle_weakens_nothing(world: World, how: str) -> None:
    red, green = FAILS_THEN_PASSES[how]
    assert runs(world, red, 1) == []
    assert runs(world, green, 0) == []
    assert world.judged()["tests"].state == "pass"


def test_what_passed_in_a_failed_run_is_missed(world: World) -> None:
    runs(world, "= 1 failed, 5 passed in 0.01s =", 1)
    (found,) = runs(world, "= 4 passed in 0.01s =", 0)
    assert (found["what"], found["was"], found["now"]) == ("fewer tests were executed", "5", "4")


def test_an_older_pass_is_a_floor_behind_any_number_of_failures(world: World) -> None:
    runs(world, "= 8 passed in 0.01s =", 0)
    for failed in range(12):
        runs(world, f"= {failed + 1} failed, 1 passed in 0.01s =", 1)
    (found,) = runs(world, "= 7 passed in 0.01s =", 0)
    assert (found["what"], found["was"]) == ("fewer tests were executed", "8")


def test_tests_that_are_expected_to_fail_are_not_skipped_and_new_ones_are_told(world: World) -> None:
    assert runs(world, "= 2 passed, 1 xfailed in 0.01s =", 0) == []
    assert world.judged()["tests"].counts["executed"] == 3
    assert world.judged()["tests"].counts["skipped"] == 0
    (found,) = runs(world, "= 1 passed, 2 xfailed in 0.01s =", 0)
    assert (found["what"], found["was"], found["now"]) == ("more tests are expected to fail", "1", "2")


def test_counts_that_went_away_can_be_had_from_a_report(world: World) -> None:
    runs(world, "= 2 passed in 0.01s =", 0)
    (found,) = runs(world, "all fine", 0)
    assert found["what"] == "tests are no longer counted"
    assert "--report FILE" in world.command(NOTCH, "gate", code=1)
    (world.root / "run.sh").write_text(
        'echo \'<testsuite><testcase name="a"/><testcase name="b"/></testsuite>\' > r.xml\n'
    )
    world.command(NOTCH, "run", "-c", "tests", "--report", "r.xml", code=0)
    assert json.loads(world.command(NOTCH, "gate", "--json", code=0))["weakened"] == []


FAILING = {
    "pytest": (
        "= short test summary info =\nFAILED a.py::test_b[x y] - assert 0\n= 1 failed, 1 passed in 0.01s =",
        ["a.py::test_b[x y]"],
    ),
    "go": (
        "--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\nFAIL\nFAIL\texample.org/p\t0.1s",
        ["TestA", "TestA/sub"],
    ),
    "cargo": (
        f"running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\n{FAILS_THEN_PASSES['cargo with two binaries'][0]}",
        ["a::c"],
    ),
    "unittest": (
        f"FAIL: test_x (m.T.test_x)\n{'-' * 70}\nRan 2 tests in 0.000s\n\nFAILED (failures=1)",
        ["test_x (m.T.test_x)"],
    ),
    "TAP": ("TAP version 14\n1..2\nok 1 - fine\nnot ok 2 - the second\n", ["the second"]),
}


@pytest.mark.parametrize("runner", sorted(FAILING))
def test_failing_tests_are_told_by_name(world: World, runner: str) -> None:
    said, names = FAILING[runner]
    runs(world, said, 1)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["criteria"]
    assert it["failing"] == names
    assert names[0] in world.command(NOTCH, "gate", code=1)
    assert names[-1] in world.command(NOTCH, "why", "tests", code=1)
