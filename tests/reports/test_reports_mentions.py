"""What is no test run, and output made to be hard to read."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.reports.base import Report
from tallystick.reports.console import read_console

DATA = Path(__file__).parents[1] / "data" / "reports" / "console"

MENTIONS = [
    "All 5 tests passed!",
    "4966/4966 ALL PASSED",
    "5 passed, 0 failed",
    "I ran the tests: 5 passed in 0.03s",
    "- 5 passed in 0.03s",
    "  5 passed in 0.03s",
    "> 5 passed in 0.03s",
    "`5 passed in 0.03s`",
    "5 passed in 0.03s\nand that was all I saw of it",
    "# 5 passed in 0.03s\n",
    "5 warnings in 0.03s",
    "5 files in 0.03s",
    "==== summary ====",
    "=== 5 files checked in 0.03s ===",
    "Ran 5 tests in 0.001s",
    "Ran 5 tests in 0.001s\n\nOK",
    "OK",
    "OK (5 tests)",
    "FAILED (failures=1)",
    "Tests: 5, Assertions: 7, Skipped: 1.",
    "Tests:       1 failed, 4 passed, 5 total",
    "Tests  5 passed (5)",
    " Test Files  1 passed (1)",
    "5 passing",
    "  5 passing",
    "5 passing (3ms)",
    "# tests 5\n# pass 5",
    "test result: ok",
    "test result: ok. 5 passed; 0 failed",
    "running 5 tests",
    "ok  \tnot a package",
    "--- PASS: TestA (0.00s)",
    "=== RUN   TestA\n--- PASS: TestA (0.00s)",
    "PASS",
    "Tests run: 5, Failures: 0, Errors: 0, Skipped: 0",
    "[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s - in shop.GoodTest",
    "5 tests completed with great success",
    "5 examples, 0 failures",
    "100% of tests passed",
    "100% tests passed",
    "TAP version 13",
    "TAP version 13\nok 1",
    "1..5\nok 1\nok 2",
    "1..2\nok 1\nok 3",
    "1..2\nok 2\nok 1",
    "1..2\nok 1\nok 2\n1..1",
    "ok 1 - a\nok 2 - b",
    "Result: PASS",
    "Executed 5 tests, with 0 failures",
    "Running 5 tests",
    "  5 passed (3s)",
    "Passed! 5",
    "The summary of pytest is `=== 5 passed in 0.03s ===`, and cargo says `test result: ok. 1 passed`.",
    "| suite | tests |\n|---|---|\n| unit | 5 passed |",
    "diff --git a/x b/x\n+5 passed in 0.03s\n-4 passed in 0.03s",
    "commit 0123\n\n    Make it work\n\n    5 passed in 0.03s",
]


@pytest.mark.parametrize("text", MENTIONS)
def test_text_that_mentions_tests_is_no_run(text: str) -> None:
    assert read_console(text.encode()) is None
    assert read_console(f"some output\n{text}\nmore output\n".encode()) is None


@given(st.lists(st.sampled_from([*MENTIONS, "", "...", "\x1b[1m", "\r", "=" * 30]), max_size=8))
def test_any_mixture_of_output_is_read_without_fault(lines: list[str]) -> None:
    report = read_console("\n".join(lines).encode())
    assert report is None or min(report.counts.values()) >= 0


@given(st.sampled_from(sorted(DATA.iterdir())), st.integers(0, 3_000), st.binary(max_size=6), st.integers(0, 40))
def test_damaged_output_is_read_without_fault(path: Path, at: int, piece: bytes, cut: int) -> None:
    output = path.read_bytes()
    at = max(0, len(output) - at)
    report = read_console(output[:at] + piece + output[at + cut :])
    assert report is None or Report.from_details(report.to_details()) == report


def test_no_source_of_the_standard_library_is_a_run(storm: bool) -> None:
    library = Path(subprocess.__file__).parent
    files = sorted(path for path in library.glob("**/*.py") if "site-packages" not in path.parts)
    assert len(files) > 200
    files = files if storm else files[::5]
    taken_for_runs = [str(path) for path in files if read_console(path.read_bytes()) is not None]
    assert taken_for_runs == []


HOSTILE = [
    b"\x1b[",
    b"\x1b]",
    b"= 1 passed in 0.1s\n",
    b"1 passed, ",
    b"1" * 100,
    b"Test Suites: ",
    b"Test Suites: 1 total\nTests: " + b"1" * 500,
    b" Test Files  1 (1)\n",
    b" passing (",
    b"-" * 70 + b"\nRan ",
    b"!\nTests: ",
    b"] Tests run: ",
    b"\nTest Summary Report\n",
    b"Files=1, Tests=1, x\nResult: FAIL\n",
    b"100% tests passed, 0 tests failed out of 5\n\t 1 - a (Skipped)\n",
    b"  1 failed\nRunning 3 tests using 1 worker\n",
    b"=== RUN   TestA\nok  \tp\t0.1s\n",
    b"TAP version 13\n1..1\nok 1\n",
    b"[==========] 1 test from 1 test suite ran. (0 ms total)\n[  PASSED  ] 1 test.\n[  SKIPPED ] a\n",
    b"a:test: cache hit, replaying logs\n",
    b"=== test session starts ===\n=== 1 passed in 0.01s ===\n",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: repr(piece[:24]))
def test_time_is_in_proportion_to_the_output(piece: bytes) -> None:
    output = piece * (300_000 // len(piece))
    began = time.process_time()
    read_console(output)
    assert time.process_time() - began < 3  # a sixth of a second; a quadratic reader takes a minute
