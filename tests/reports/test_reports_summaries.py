from __future__ import annotations

import pytest

from tallystick.reports.console import read_console

# Written after the tools' documentation, hand-made.
NEXTEST = """\
    Starting 5 tests across 2 binaries (2 tests skipped)
        PASS [   0.004s] shop tests::adds
  TRY 1 FAIL [   0.004s] shop tests::flaky
────────────
     Summary [   0.012s] 5 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 2 skipped
        FAIL [   0.003s] shop tests::breaks
error: test run failed
"""
NEXTEST_CANCELLED = "     Summary [   1.5s] 3/9 tests run: 2 passed, 1 exec failed, 0 skipped\n"
VSTEST = """\
Passed!  - Failed:     0, Passed:     5, Skipped:     1, Total:     6, Duration: 12 ms - A.Tests.dll (net8.0)
Failed!  - Failed:     2, Passed:     3, Skipped:     0, Total:     5, Duration: 1 s - B.Tests.dll (net8.0)
"""
VSTEST_DETAILED = """\
Test Run Failed.
Total tests: 4
     Passed: 2
     Failed: 1
    Skipped: 1
 Total time: 1.2345 Seconds
"""
TESTING_PLATFORM = """\
Test run summary: Passed! - bin/Debug/net8.0/A.Tests.dll (net8.0|x64)
  total: 12
  failed: 0
  succeeded: 11
  skipped: 1
  duration: 8s 095ms
"""
PEST = "\n  Tests:    1 failed, 2 skipped, 5 passed (9 assertions)\n  Duration: 0.21s\n"
BAZEL = """\
//shop:adds_test                                                         PASSED in 0.4s
//shop:breaks_test                                                       FAILED in 0.2s

Executed 2 out of 3 tests: 1 test passes, 1 fails to build and 1 fails locally.
"""
PNPM = """\
Scope: 2 of 3 workspace projects
packages/api test$ vitest run
packages/web test$ vitest run
packages/api test:  Test Files  1 passed (1)
packages/web test:  Test Files  1 passed (1)
packages/api test:       Tests  2 passed (2)
packages/web test:       Tests  3 passed | 1 skipped (4)
packages/api test:    Start at  22:26:08
packages/web test:    Start at  22:26:08
packages/api test:    Duration  280ms
packages/api test: Done
"""
JEST_TWICE = "Test Suites: 1 passed, 1 total\nTests:       2 passed, 2 total\nSnapshots:   0 total\nTime:        1 s\n"
CTEST_4 = "100% tests passed out of 5\n\nTotal Test time (real) =   0.05 sec\n"
GRADLE_NOTHING = "> Task :compileTestJava NO-SOURCE\n> Task :test NO-SOURCE\n\nBUILD SUCCESSFUL in 1s\n"


@pytest.mark.parametrize(
    ("output", "tool", "unit", "passed", "failed", "errors", "skipped", "flaky"),
    [
        (NEXTEST, "nextest", "tests", 3, 2, 0, 2, 1),
        (NEXTEST_CANCELLED, "nextest", "tests", 2, 0, 1, 0, 0),
        (VSTEST, "dotnet test", "tests", 8, 2, 0, 1, 0),
        (VSTEST_DETAILED, "dotnet test", "tests", 2, 1, 0, 1, 0),
        (TESTING_PLATFORM, "dotnet test", "tests", 11, 0, 0, 1, 0),
        (PEST, "pest", "tests", 5, 1, 0, 2, 0),
        (BAZEL, "bazel", "targets", 1, 1, 1, 0, 0),
        (PNPM, "vitest", "tests", 5, 0, 0, 1, 0),
        (JEST_TWICE * 3, "jest", "tests", 6, 0, 0, 0, 0),
        (CTEST_4 + CTEST_4, "ctest", "tests", 10, 0, 0, 0, 0),
        (GRADLE_NOTHING, "gradle", "tests", 0, 0, 0, 0, 0),
        ("[INFO] No tests to run.\n", "surefire", "tests", 0, 0, 0, 0, 0),
        ("TAP version 14\n1..3\nok 1\nnot ok 2\nok 3 # SKIP\n", "tap", "tests", 1, 1, 0, 1, 0),
        ("= 3 passed, 1 snapshot failed in 61.01s (0:01:01) =\n", "pytest", "tests", 3, 0, 0, 0, 0),
        ("...\r\n3 passed in 0.10s\r\n", "pytest", "tests", 3, 0, 0, 0, 0),
        ("1 passed in 90061.00s (1 day, 1:01:01)\n", "pytest", "tests", 1, 0, 0, 0, 0),
        ("no tests ran in 0.01s\n", "pytest", "tests", 0, 0, 0, 0, 0),
        ("2/5 tests collected (3 deselected) in 0.01s\n", "pytest", "tests", 0, 0, 0, 0, 0),
    ],
)
def test_counts_of_hand_made_output(
    output: str, tool: str, unit: str, passed: int, failed: int, errors: int, skipped: int, flaky: int
) -> None:
    report = read_console(output.encode())
    assert report is not None
    assert (report.tool, report.unit) == (tool, unit)
    assert report.counts == {
        "passed": passed,
        "failed": failed,
        "errors": errors,
        "skipped": skipped,
        "flaky": flaky,
    }
