"""The closing lines of common test runners, each as its runner writes it and in no looser way.

A `Summary` is looked for where its anchor stands, and its pattern has to match from the beginning of that line, so
prose that mentions tests is none. Group names are counts (`failed`, `skipped_2`: added up); `items` holds
counts in words (`1 failed, 2 passed`); `total` gives what passed where nothing else does; `broken` is how many files
or suites could not be run, and `error` the text of what went wrong with the run as a whole.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

END = rb"[ \t]*(?=\n|\Z)"
MAX_BLOCK = 200_000
"""How much of the output one summary may span, in bytes."""

WORDS = {
    **dict.fromkeys(("passed", "pass", "passes", "passing", "succeeded", "xpassed"), "passed"),
    **dict.fromkeys(("failed", "failing", "fail", "fails", "failures", "failure", "timed out"), "failed"),
    **dict.fromkeys(("unexpected successes", "interrupted"), "failed"),
    **dict.fromkeys(("errors", "error", "exec failed", "cancelled"), "errors"),
    **dict.fromkeys(("skipped", "skips", "skip", "pending", "pendings", "omissions", "ignored"), "skipped"),
    **dict.fromkeys(("todo", "xfailed", "expected failures", "incomplete", "did not run"), "skipped"),
    "flaky": "flaky",
}
"""What the words of the runners count."""

_ITEM = re.compile(rb"(\d{1,9}) ([A-Za-z]+(?: [A-Za-z]+)*)|([A-Za-z]+(?: [A-Za-z]+)*)[:=] ?(\d{1,9})")


class Summary:
    """One runner's closing lines."""

    __slots__ = ("anchor", "compiled", "last_only", "pattern", "tool", "unit")

    def __init__(
        self, tool: str, anchor: bytes, pattern: bytes, *, unit: str = "tests", last_only: bool = False
    ) -> None:
        self.tool = tool
        self.anchor = anchor
        self.pattern = pattern
        self.unit = unit
        self.last_only = last_only
        """Too plain to be told from what a test prints: where there are several, the last one counts."""
        self.compiled: re.Pattern[bytes] | None = None

    def matches(self, text: bytes) -> Iterator[re.Match[bytes]]:
        """Where the runner's closing lines stand in the text, in order."""
        at = text.find(self.anchor)
        while at >= 0:
            self.compiled = self.compiled or re.compile(self.pattern)
            start = text.rfind(b"\n", 0, at + 1) + 1
            match = self.compiled.match(text, start, start + MAX_BLOCK)
            if match:
                yield match
            at = text.find(self.anchor, max(at + len(self.anchor), match.end() if match else 0))


def counts(match: re.Match[bytes]) -> dict[str, int]:
    """The counts in the match by kind; empty where they contradict each other."""
    found = dict.fromkeys(("passed", "failed", "errors", "skipped", "flaky", "broken"), 0)
    total, says_passed = 0, False
    for name, value in match.groupdict().items():
        kind = name.partition("_")[0]
        if value is None or kind == "error":
            continue
        if kind == "items":
            for word, count in items(value):
                found[word] += count
                says_passed = says_passed or word == "passed"
        elif kind == "total":
            total += int(value)
        else:
            found[kind] += int(value)
            says_passed = says_passed or kind == "passed"
    if not says_passed:
        found["passed"] = total - found["failed"] - found["errors"] - found["skipped"]
    return found if found["passed"] >= 0 else {}


def items(text: bytes) -> list[tuple[str, int]]:
    """Counts in words, such as `1 failed, 2 passed` or `failures=1`, those that are known."""
    pairs = [(m[2] or m[3], m[1] or m[4]) for m in _ITEM.finditer(text)]
    known = [(WORDS.get(word.decode("ascii").lower()), int(number)) for word, number in pairs]
    return [(kind, number) for kind, number in known if kind]


_NODE = rb"(?:#|\xe2\x84\xb9) "

SUMMARIES = (
    Summary(
        "unittest",
        b"-" * 70 + b"\nRan ",
        rb"-{70}\nRan (?P<total>\d+) tests? in [\d.]+s\n\n(?:OK|FAILED|NO TESTS RAN)"
        rb"(?: \((?P<items>[a-z0-9=, ]+)\))?" + END,
    ),
    Summary(
        "jest",
        b"Test Suites: ",
        rb"Test Suites: (?:(?P<broken>\d+) failed, )?[^\n]*?\d+ total\n"
        rb"Tests: +(?P<items>[^\n]*?)(?P<total>\d+) total\nSnapshots: +\d[^\n]*\nTime: ",
    ),
    Summary("jest", b"No tests found, exiting with code ", rb"No tests found, exiting with code [01]" + END),
    Summary(
        "vitest",
        b" Test Files ",
        rb" +Test Files  (?:(?P<broken>\d+) failed(?: \| )?)?[^\n]*\(\d+\)\n +Tests  (?:no tests|"
        rb"(?P<items>\d[^\n]*) \((?P<total>\d+)\))\n(?:Type Errors [^\n]+\n)?(?: +Errors  (?P<error>\d+ errors?)\n)?"
        rb" +Start at  ",
    ),
    Summary(
        "vitest", b"No test files found, exiting with code ", rb"No test files found, exiting with code [01]" + END
    ),
    Summary(
        "mocha",
        b" passing (",
        rb"  (?P<passed>\d+) passing \(\d+(?:ms|s|m|h|d)\)\n(?:  (?P<skipped>\d+) pending\n)?"
        rb"(?:  (?P<failed>\d+) failing\n)?(?=\n|\Z)",
        last_only=True,
    ),
    Summary(
        "node",
        b" tests ",
        _NODE
        + rb"tests \d+\n"
        + _NODE
        + rb"suites \d+\n"
        + _NODE
        + rb"pass (?P<passed>\d+)\n"
        + _NODE
        + rb"fail (?P<failed>\d+)\n"
        + _NODE
        + rb"cancelled (?P<errors>\d+)\n"
        + _NODE
        + rb"skipped (?P<skipped>\d+)\n"
        + _NODE
        + rb"todo (?P<skipped_2>\d+)\n"
        + _NODE
        + rb"duration_ms ",
    ),
    Summary(
        "nextest",
        b"Summary [",
        rb" *Summary \[ *[\d.]+s\] (?:\d+/)?(?P<total>\d+) tests? run: (?P<items>\d[^\n]*)" + END,
    ),
    Summary(
        "surefire",
        b"] Tests run: ",
        rb"\[(?:INFO|WARNING|ERROR)\] Tests run: (?P<total>\d+), Failures: (?P<failed>\d+), "
        rb"Errors: (?P<errors>\d+), Skipped: (?P<skipped>\d+)(?:, Flakes: (?P<flaky>\d+))?" + END,
    ),
    Summary("surefire", b"] Tests are skipped.", rb"\[INFO\] Tests are skipped\." + END),
    Summary("surefire", b"] No tests to run.", rb"\[INFO\] No tests to run\." + END),
    Summary(
        "gradle",
        b" completed",
        rb"(?P<total>\d+) tests? completed(?:, (?P<failed>\d+) failed)?(?:, (?P<skipped>\d+) skipped)?" + END,
        last_only=True,
    ),
    Summary(
        "rspec",
        b" load)\n",
        rb"Finished in [^\n]+ \(files took [^\n]+ to load\)\n(?P<total>\d+) examples?, (?P<failed>\d+) failures?"
        rb"(?:, (?P<skipped>\d+) pending)?(?:, (?P<broken>\d+) errors? occurred outside of examples)?" + END,
    ),
    Summary(
        "minitest",
        b" runs, ",
        rb"(?P<total>\d+) runs, \d+ assertions, (?P<failed>\d+) failures, (?P<errors>\d+) errors, "
        rb"(?P<skipped>\d+) skips" + END,
    ),
    Summary(
        "test-unit",
        b" notifications",
        rb"(?P<total>\d+) tests, \d+ assertions, (?P<failed>\d+) failures, (?P<errors>\d+) errors, "
        rb"(?P<skipped>\d+) pendings, (?P<skipped_2>\d+) omissions, \d+ notifications" + END,
    ),
    Summary("phpunit", b"OK (", rb"OK \((?P<total>\d+) tests?, \d+ assertions?\)" + END),
    Summary(
        "phpunit",
        b"!\nTests: ",
        rb"(?:FAILURES|ERRORS|WARNINGS|OK, but [a-z, ]{1,80})!\nTests: (?P<total>\d+), Assertions: \d+"
        rb"(?P<items>(?:, [A-Za-z ]+: \d+)*)\." + END,
    ),
    Summary("phpunit", b"No tests executed!", rb"No tests executed!" + END),
    Summary(
        "pest",
        b"  Tests:  ",
        rb"  Tests:    (?P<items>\d[^\n(]*) \(\d+ assertions\)\n  Duration: ",
    ),
    Summary(
        "dotnet test",
        b"!  - Failed: ",
        rb"(?:Passed|Failed|Skipped)!  - Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+), "
        rb"Skipped: +(?P<skipped>\d+), Total: +\d+, Duration: ",
    ),
    Summary(
        "dotnet test",
        b"Test Run ",
        rb"Test Run (?:Successful|Failed|Aborted)\.\nTotal tests: (?P<total>\d+)\n(?: +Passed: (?P<passed>\d+)\n)?"
        rb"(?: +Failed: (?P<failed>\d+)\n)?(?: +Skipped: (?P<skipped>\d+)\n)? *Total time: ",
    ),
    Summary(
        "dotnet test",
        b"Test run summary: ",
        rb"Test run summary: [A-Z][^\n]*\n  total: (?P<total>\d+)\n(?:  error: (?P<broken>\d+)\n)?"
        rb"  failed: (?P<failed>\d+)\n  succeeded: (?P<passed>\d+)\n  skipped: (?P<skipped>\d+)\n  duration: ",
    ),
    Summary(
        "googletest",
        b" ran. (",
        rb"\[={10}\] (?P<total>\d+) tests? from \d+ test (?:suite|case)s? ran\. \(\d+ ms total\)\n"
        rb"\[  PASSED  \] (?P<passed>\d+) tests?\.(?:\n\[  SKIPPED \] (?P<skipped>\d+) tests?, listed below:)?"
        rb"(?:\n\[  SKIPPED \] [^\n]+)*(?:\n\[  FAILED  \] (?P<failed>\d+) tests?, listed below:)?",
    ),
    Summary(
        "bun",
        b" pass\n",
        rb" +(?P<items>\d+ pass\n(?: +\d+ [^\n]{1,40}\n){1,12})Ran \d+ tests? across \d+ files?\. \[",
    ),
    Summary(
        "deno",
        b" passed",
        rb"(?:ok|FAILED) \| (?P<passed>\d+) passed(?: \(\d+ steps?\))? \| (?P<failed>\d+) failed(?: \(\d+ steps?\))?"
        rb"(?: \| (?P<skipped>\d+) ignored(?: \(\d+ steps?\))?)?(?: \| [^\n|]+){0,3} \(\d+[^\n)]*\)" + END,
    ),
    Summary(
        "bazel",
        b"Executed ",
        rb"Executed \d+ out of \d+ tests?: (?:(?P<passed>\d+) tests? pass(?:es)?)?[ ,]*(?:and )?"
        rb"(?:(?P<errors>\d+) fails? to build)?[ ,]*(?:and )?(?:(?P<failed>\d+) fails? (?:locally|remotely))?"
        rb"[ ,]*(?:and )?(?:(?P<skipped>\d+) (?:was|were) skipped)?\." + END,
        unit="targets",
    ),
)
"""Runners whose closing lines stand together; `console` has those that take more looking."""
