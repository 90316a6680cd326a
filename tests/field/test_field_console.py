"""What runners print: a guess that contradicts exit code 0 is no failure, unless the command hides that code.

The recorded outputs are of small projects of their own whose tests start a test runner that fails: pytest 9.2, jest 30,
vitest 4, mocha 12, node 20, Go 1.27, cargo 1.95. Each of those runs ended with exit code 0.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from field.world import Judged, printed, ran, states

DATA = Path(__file__).parents[1] / "data" / "field" / "console"


def recorded(*names: str) -> dict[str, str]:
    return {name: (DATA / f"{name}.txt").read_text("utf-8") for name in names}


GO_WITHOUT_LINE_END = """\
=== RUN   TestA
no newline--- PASS: TestA (0.00s)
=== RUN   TestB
--- PASS: TestB (0.00s)
PASS
ok  \texample.org/nl\t0.010s
"""
GO_SUBTESTS_WITHOUT_LINE_END = """\
=== RUN   TestA
=== RUN   TestA/x
oops=== RUN   TestA/y
--- PASS: TestA (0.00s)
    --- PASS: TestA/x (0.00s)
    --- PASS: TestA/y (0.00s)
PASS
ok  \texample.org/nl\t0.010s
"""
GO_PRINTS_RESULTS = """\
=== RUN   TestParser
=== RUN   TestInner
--- FAIL: TestInner (0.00s)
--- PASS: TestParser (0.00s)
PASS
ok  \texample.org/p\t0.010s
"""
WASM = "running 1 test\ntest adds ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 filtered out\n"
OTHER_HARNESS = f"running 3 tests\nall three fine\n\n{WASM.replace('filtered', 'measured; 0 filtered')}"
QUIET_NESTED = """\
F.                                                                       [100%]
FAILED test_it.py::test_a - assert 0
1 failed, 1 passed in 0.01s
..                                                                       [100%]
2 passed in 0.05s
"""
UNITTEST_NESTED = (
    f"{'-' * 70}\nRan 1 test in 0.000s\n\nFAILED (failures=1)\n.\n{'-' * 70}\nRan 4 tests in 0.100s\n\nOK\n"
)
RSPEC_NESTED = (
    "Finished in 0.1 seconds (files took 0.1 seconds to load)\n1 example, 1 failure\n\n"
    "Finished in 0.2 seconds (files took 0.1 seconds to load)\n3 examples, 0 failures\n"
)

NESTED = {
    **recorded("pytest-nest-q", "pytest-nest-q-full", "jest-nest", "mocha-nest"),
    "quiet-pytest": QUIET_NESTED,
    "unittest": UNITTEST_NESTED,
    "rspec": RSPEC_NESTED,
}
"""A failing run, and later a passing one; nothing shows when that one began."""

ENCLOSED = recorded(
    "pytest-nest-full", "vitest-nest", "node-nest", "node-nest-tap", "go-nest-v", "go-nest-v2", "cargo-nest"
)
"""A failing run that began after the passing one, and ended before it."""

LINES = {
    "go": GO_WITHOUT_LINE_END,
    "go-subtests": GO_SUBTESTS_WITHOUT_LINE_END,
    "go-results": GO_PRINTS_RESULTS,
    "go-recorded": recorded("go-unended-lines")["go-unended-lines"],
    "wasm": WASM,
    "harness": OTHER_HARNESS,
}
"""Beginnings without an end, and results that a test or another tool printed."""

FAILING = "F.\n1 failed, 1 passed in 0.01s\n"
PASSING = "..\n2 passed in 0.01s\n"
STATED = {
    "pytest": FAILING,
    "pytest-twice": PASSING + FAILING,
    "full-pytest-then-another": "".join(
        f"===== test session starts =====\n{dots}  [100%]\n===== {said} in 0.1s =====\n"
        for dots, said in (("F", "1 failed"), (".", "1 passed"))
    ),
    "jest": "Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 total\nSnapshots:   0 total\nTime:        1 s\n",
    "go-package": "FAIL\texample.org/a\t0.1s\nok  \texample.org/b\t0.1s\n",
    "cargo": "running 1 test\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
    "surefire": "[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0\n",
}
"""Failures that the runner's own last word is about: `--ignore`, a plugin or a script let the exit code be 0."""


def test_a_run_in_a_test_is_no_failure(tmp_path: Path) -> None:
    judged = printed(tmp_path, {**NESTED, **ENCLOSED})
    assert states(judged) == dict.fromkeys([*NESTED, *ENCLOSED], "pass")
    outer = {"pytest-nest-q": 3, "jest-nest": 2, "mocha-nest": 2, "vitest-nest": 1, "go-nest-v": 2, "cargo-nest": 2}
    assert {name: judged[name].passed for name in outer} == outer


def test_a_missing_end_and_another_tool_s_line_are_no_failure(tmp_path: Path) -> None:
    judged = printed(tmp_path, LINES)
    assert states(judged) == dict.fromkeys(LINES, "pass")
    assert (judged["go"].passed, judged["go-subtests"].passed, judged["wasm"].passed) == (2, 2, 1)


@pytest.mark.parametrize(
    "command", ["cat {} | cat", "cat {}; true", "cat {} || true", 'echo "$(cat {})"', "if cat {}; then :; fi"]
)
def test_it_is_one_if_the_exit_code_is_hidden(tmp_path: Path, command: str) -> None:
    assert states(printed(tmp_path, NESTED, command)) == dict.fromkeys(NESTED, "fail")


def test_a_script_may_hide_it_and_the_reason_names_the_way_out(tmp_path: Path) -> None:
    files = {"run.sh": "cat out.txt\n", "out.txt": QUIET_NESTED}
    judged = ran(tmp_path, {"script": "sh run.sh", "runner": "cat out.txt"}, files)
    assert states(judged) == {"script": "fail", "runner": "pass"}
    assert "have the plan name the runner" in judged["script"].reason


def test_a_run_without_end_behind_a_pipe_is_a_failure(tmp_path: Path) -> None:
    outputs = {
        "pytest": "===== test session starts =====\ncollected 9 items\n\ntest_a.py ..",
        "cargo": "running 3 tests\ntest a ... ok\n",
        "go": "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n",
        "googletest": "[==========] Running 3 tests from 1 test suite.\n[ RUN      ] A.a\n",
        "vitest": " RUN  v4.1.0 /project\n\n ✓ a.test.js (1 test) 2ms\n",
    }
    assert states(printed(tmp_path / "piped", outputs, "cat {} | tee log")) == dict.fromkeys(outputs, "fail")
    assert states(printed(tmp_path / "plain", outputs)) == dict.fromkeys(outputs, "pass")
    hard = "set -o pipefail; cat {} | cat"
    if subprocess.run(["sh", "-c", "set -o pipefail"], capture_output=True, check=False).returncode == 0:
        assert states(printed(tmp_path / "hard", outputs, hard)) == dict.fromkeys(outputs, "pass")


def test_what_the_runner_itself_says_last_is_no_guess(tmp_path: Path) -> None:
    judged = printed(tmp_path, STATED)
    assert states(judged) == dict.fromkeys(STATED, "fail")
    assert all(one.reason.endswith("although the exit code was 0") for one in judged.values())


def test_failures_are_wanted_behind_an_exclamation_mark(tmp_path: Path) -> None:
    files = {"bad.sh": "cat bad.txt; exit 1\n", "bad.txt": FAILING, "good.txt": PASSING}
    commands = {
        "alone": "! sh bad.sh",
        "in-brackets": "(! sh bad.sh)",
        "first": "! sh bad.sh && cat good.txt",
        "in-a-shell": "sh -c '! sh bad.sh'",
        "in-a-folder": "cd . && ! sh bad.sh",
        "succeeds": "! cat bad.txt",
        "hidden": "! sh bad.sh; cat good.txt",
    }
    judged = states(ran(tmp_path, commands, files))
    assert judged == {**dict.fromkeys(commands, "pass"), "succeeds": "fail", "hidden": "fail"}


def test_the_first_of_two_runs_counts(tmp_path: Path) -> None:
    files = {
        "pass.txt": recorded("mocha-twice")["mocha-twice"].split("\n\n\n  b")[0] + "\n",
        **{f"{name}.txt": text for name, text in recorded("mocha-fail-pass", "jest-fail-pass").items()},
        "bad.txt": "\n\n  c\n    1) bad\n\n\n  0 passing (2ms)\n  1 failing\n\n",
        "bad.sh": "cat bad.txt; exit 1\n",
    }
    commands = {
        "mocha-then-mocha": "sh bad.sh; cat pass.txt",
        "mocha-in-a-script": "sh both.sh",
        "jest-then-jest": "cat jest-fail-pass.txt; true",
        "both-pass": "cat pass.txt; cat pass.txt",
    }
    judged = ran(tmp_path, commands, {**files, "both.sh": commands["mocha-then-mocha"] + "\n"})
    assert states(judged) == {**dict.fromkeys(commands, "fail"), "both-pass": "pass"}


CYPRESS = """\
  Running:  a.cy.js                                                                         (1 of 2)


  a
    ✓ opens (20ms)
    ✓ closes (11ms)


  2 passing (31ms)


  (Results)

  ┌────────────────┐
  │ Tests:        2 │
  │ Passing:      2 │
  └────────────────┘

────────────────────────────────────────────────────────────────────────────────────────────────────
  Running:  b.cy.js                                                                         (2 of 2)


  b
    ✓ shows (9ms)
    - later


  1 passing (9ms)
  1 pending


  (Results)
"""
JEST = "Test Suites: 1 passed, 1 total\nTests:       {} passed, {} total\nSnapshots:   0 total\nTime:        1 s\n"
SUMMED = {
    "mocha": (recorded("mocha-twice")["mocha-twice"], 3),
    "cypress": (CYPRESS, 3),
    "jest": (JEST.format(2, 2) + JEST.format(5, 5), 7),
    "vitest": (
        "".join(f" Test Files  1 passed (1)\n      Tests  {n} passed ({n})\n   Start at  10:00:00\n" for n in (2, 3)),
        5,
    ),
    "quiet-pytest": (PASSING + PASSING, 4),
    "gradle": ("3 tests completed, 1 skipped\n> Task :b:test\n4 tests completed\n", 6),
    "unittest": ("".join(f"{'-' * 70}\nRan {n} tests in 0.1s\n\nOK\n" for n in (2, 3)), 5),
    "cargo": ("".join(WASM for _ in range(3)), 3),
    "ctest": ("100% tests passed out of 5\n\nTotal Test time (real) =   0.05 sec\n" * 2, 10),
    "go": ("ok  \texample.org/a\t0.1s\nok  \texample.org/a\t0.1s\n", 2),
}


def test_runs_in_one_output_are_added_up(tmp_path: Path) -> None:
    judged = printed(tmp_path, {name: text for name, (text, _) in SUMMED.items()})
    assert {name: one.passed for name, one in judged.items()} == {name: count for name, (_, count) in SUMMED.items()}
    assert states(judged) == dict.fromkeys(SUMMED, "pass")


PLUGIN_TESTS = """\
import pathlib, subprocess, sys

def test_that_the_subject_fails(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_bad(): assert 0\\ndef test_good(): pass\\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    assert subprocess.run(command).returncode == 1

def test_more():
    print("no line end", end="")
"""


def judged_pytest(tmp_path: Path, *, options: str, after: str = "", before: str = "") -> Judged:
    """A real pytest whose tests run pytest."""
    command = f"{before}{sys.executable} -m pytest -p no:cacheprovider {options} tests{after}"
    return ran(tmp_path, {"tests": command}, {"tests/test_plugin.py": PLUGIN_TESTS})["tests"]


@pytest.mark.parametrize("options", ["-q -s", "-s"])
def test_pytest_that_runs_pytest_now(tmp_path: Path, options: str) -> None:
    judged = judged_pytest(tmp_path / "plain", options=options)
    assert (judged.state, judged.passed) == ("pass", 2), judged
    piped = judged_pytest(tmp_path / "piped", options=options, after=" | cat")
    assert (piped.state == "fail") == (options == "-q -s"), piped


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_node_that_runs_node_now(tmp_path: Path) -> None:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip("this node has no spec reporter")
    files = {
        "inner.mjs": "import test from 'node:test'; test('bad', () => { throw new Error('x') });\n",
        "outer.test.mjs": (
            "import test from 'node:test'; import { spawnSync } from 'node:child_process';\n"
            "const env = { ...process.env }; delete env.NODE_TEST_CONTEXT;\n"
            "test('fails', () => { const done = spawnSync('node', ['inner.mjs'], { stdio: 'inherit', env });"
            " if (done.status === 0) throw new Error('it passed') });\n"
            "test('more', () => {});\n"
        ),
    }
    judged = ran(tmp_path, {"tests": "node --test outer.test.mjs"}, files)["tests"]
    assert (judged.state, judged.passed) == ("pass", 2), judged
