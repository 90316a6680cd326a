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
SPAN = 4_000
"""How much of the output one summary may span, in bytes, where nothing more is said."""

MAX_BEFORE = 200
"""How far into a line an anchor may stand."""

WORDS = {
    **dict.fromkeys(("passed", "pass", "passes", "passing", "succeeded", "xpassed"), "passed"),
    **dict.fromkeys(("failed", "failing", "fail", "fails", "failures", "failure", "timed out"), "failed"),
    **dict.fromkeys(("unexpected successes", "interrupted"), "failed"),
    **dict.fromkeys(("errors", "error", "exec failed", "cancelled"), "errors"),
    **dict.fromkeys(("skipped", "skips", "skip", "pending", "pendings", "omissions", "ignored"), "skipped"),
    **dict.fromkeys(("todo", "incomplete", "did not run"), "skipped"),
    **dict.fromkeys(("xfailed", "expected failures", "expected fail"), "xfailed"),
    "flaky": "flaky",
}
"""What the words of the runners count."""

_ITEM = rb"(\d{1,9}) ([A-Za-z]+(?: [A-Za-z]+)*)|([A-Za-z]+(?: [A-Za-z]+)*)[:=] ?(\d{1,9})"


class Summary:
    """One runner's closing lines."""

    __slots__ = ("anchor", "compiled", "marks", "pattern", "span", "start", "tool", "unit")

    def __init__(
        self,
        tool: str,
        anchor: bytes,
        pattern: bytes,
        *,
        unit: str = "tests",
        start: bytes = b"",
        marks: bytes = b"",
        span: int = SPAN,
    ) -> None:
        self.tool = tool
        self.anchor = anchor
        self.pattern = pattern
        self.unit = unit
        self.span = span
        self.start = start
        """What the runner prints first, as a pattern; empty if that cannot be told from what a test prints."""
        self.marks = marks
        """What the runner prints for each test, as a pattern, if a test could print the closing lines just so."""
        self.compiled: re.Pattern[bytes] | None = None

    def matches(self, text: bytes) -> Iterator[re.Match[bytes]]:
        """Where the runner's closing lines stand in the text, in order."""
        at = text.find(self.anchor)
        while at >= 0:
            self.compiled = self.compiled or re.compile(self.pattern)
            start = text.rfind(b"\n", 0, at + 1) + 1
            near = at - start <= MAX_BEFORE
            match = self.compiled.match(text, start, start + self.span) if near else None
            if match:
                yield match
            line_end = text.find(b"\n", at + len(self.anchor) - 1)
            at = text.find(self.anchor, max(match.end() if match else 0, line_end, at + 1))


def counts(match: re.Match[bytes]) -> dict[str, int]:
    """The counts in the match by kind; empty where they contradict each other."""
    found = dict.fromkeys(("passed", "failed", "errors", "skipped", "flaky", "xfailed", "broken"), 0)
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
        found["passed"] = total - found["failed"] - found["errors"] - found["skipped"] - found["xfailed"]
    return found if found["passed"] >= 0 else {}


def items(text: bytes) -> list[tuple[str, int]]:
    """Counts in words, such as `1 failed, 2 passed` or `failures=1`, those that are known."""
    pairs = [(m[2] or m[3], m[1] or m[4]) for m in re.finditer(_ITEM, text)]
    known = [(WORDS.get(word.decode("ascii").lower()), int(number)) for word, number in pairs]
    return [(kind, number) for kind, number in known if kind]


_PHPUNIT = rb"\nPHPUnit \S{1,20} by Sebastian Bergmann"
_NODE = rb"(?:#|\xe2\x84\xb9) "

SUMMARIES = (
    Summary(
        "unittest",
        b"-" * 70 + b"\nRan ",
        rb"-{70}\nRan (?P<total>\d{1,9}) tests? in [\d.]{1,20}s\n\n(?:OK|FAILED|NO TESTS RAN)"
        rb"(?: \((?P<items>[a-z0-9=, ]+)\))?" + END,
    ),
    Summary(
        "jest",
        b"Test Suites: ",
        rb"Test Suites: (?:(?P<broken>\d{1,9}) failed, )?[^\n]*?\d{1,9} total\n"
        rb"Tests: +(?P<items>[^\n]*?)(?P<total>\d{1,9}) total\nSnapshots: +\d[^\n]*\nTime: ",
    ),
    Summary("jest", b"No tests found, exiting with code ", rb"No tests found, exiting with code [01]" + END),
    Summary(
        "vitest",
        b" Test Files ",
        rb" +Test Files  (?:(?P<broken>\d{1,9}) failed(?: \| )?)?[^\n]*\(\d{1,9}\)\n +Tests  (?:no tests|"
        rb"(?P<items>\d[^\n]*) \((?P<total>\d{1,9})\))\n(?:Type Errors [^\n]+\n)?"
        rb"(?: +Errors  (?P<error>\d{1,9} errors?)\n)? +Start at  ",
        start=rb"\n *(?:RUN|DEV)  v\d",
    ),
    Summary(
        "vitest", b"No test files found, exiting with code ", rb"No test files found, exiting with code [01]" + END
    ),
    Summary(
        "mocha",
        b" passing (",
        rb"  (?P<passed>\d{1,9}) passing \(\d{1,9}(?:ms|s|m|h|d)\)\n(?:  (?P<skipped>\d{1,9}) pending\n)?"
        rb"(?:  (?P<failed>\d{1,9}) failing\n)?(?=\n|\Z)",
        marks=rb"\n +(?:\xe2\x9c[\x93\x94]|\d{1,9}\)|ok \d{1,9}) |[.!](?=[.!,]{0,200}\n)",
    ),
    Summary(
        "node",
        b" tests ",
        _NODE
        + rb"tests \d{1,9}\n"
        + _NODE
        + rb"suites \d{1,9}\n"
        + _NODE
        + rb"pass (?P<passed>\d{1,9})\n"
        + _NODE
        + rb"fail (?P<failed>\d{1,9})\n"
        + _NODE
        + rb"cancelled (?P<errors>\d{1,9})\n"
        + _NODE
        + rb"skipped (?P<skipped>\d{1,9})\n"
        + _NODE
        + rb"todo (?P<skipped_2>\d{1,9})\n"
        + _NODE
        + rb"duration_ms ",
    ),
    Summary(
        "nextest",
        b"Summary [",
        rb" *Summary \[ *[\d.]{1,20}s\] (?:\d{1,9}/)?(?P<total>\d{1,9}) tests? run: (?P<items>\d[^\n]*)" + END,
        start=rb"\n *Starting \d{1,9} tests? across ",
    ),
    Summary(
        "surefire",
        b"] Tests run: ",
        rb"\[(?:INFO|WARNING|ERROR)\] Tests run: (?P<total>\d{1,9}), Failures: (?P<failed>\d{1,9}), "
        rb"Errors: (?P<errors>\d{1,9}), Skipped: (?P<skipped>\d{1,9})(?:, Flakes: (?P<flaky>\d{1,9}))?" + END,
        start=rb"\n\[INFO\]  T E S T S(?=\n)",
    ),
    Summary("surefire", b"] Tests are skipped.", rb"\[INFO\] Tests are skipped\." + END),
    Summary("surefire", b"] No tests to run.", rb"\[INFO\] No tests to run\." + END),
    Summary(
        "gradle",
        b" completed",
        rb"(?P<total>\d{1,9}) tests? completed(?:, (?P<failed>\d{1,9}) failed)?(?:, (?P<skipped>\d{1,9}) skipped)?"
        + END,
    ),
    Summary(
        "rspec",
        b" load)\n",
        rb"Finished in [^\n]{1,60} \(files took [^\n]{1,60} to load\)\n(?P<total>\d{1,9}) examples?, "
        rb"(?P<failed>\d{1,9}) failures?(?:, (?P<skipped>\d{1,9}) pending)?"
        rb"(?:, (?P<broken>\d{1,9}) errors? occurred outside of examples)?" + END,
    ),
    Summary(
        "minitest",
        b" runs, ",
        rb"(?P<total>\d{1,9}) runs, \d{1,9} assertions, (?P<failed>\d{1,9}) failures, (?P<errors>\d{1,9}) errors, "
        rb"(?P<skipped>\d{1,9}) skips" + END,
        start=rb"\n# Running:(?=\n)",
    ),
    Summary(
        "test-unit",
        b" notifications",
        rb"(?P<total>\d{1,9}) tests, \d{1,9} assertions, (?P<failed>\d{1,9}) failures, (?P<errors>\d{1,9}) errors, "
        rb"(?P<skipped>\d{1,9}) pendings, (?P<skipped_2>\d{1,9}) omissions, \d{1,9} notifications" + END,
    ),
    Summary("phpunit", b"OK (", rb"OK \((?P<total>\d{1,9}) tests?, \d{1,9} assertions?\)" + END, start=_PHPUNIT),
    Summary(
        "phpunit",
        b"!\nTests: ",
        rb"(?:FAILURES|ERRORS|WARNINGS|OK, but [a-z, ]{1,80})!\nTests: (?P<total>\d{1,9}), Assertions: \d{1,9}"
        rb"(?P<items>(?:, [A-Za-z ]+: \d{1,9})*)\." + END,
    ),
    Summary("phpunit", b"No tests executed!", rb"No tests executed!" + END),
    Summary(
        "pest",
        b"  Tests:  ",
        rb"  Tests:    (?P<items>\d[^\n(]*) \(\d{1,9} assertions\)\n  Duration: ",
    ),
    Summary(
        "dotnet test",
        b"!  - Failed: ",
        rb"(?:Passed|Failed|Skipped)!  - Failed: +(?P<failed>\d{1,9}), Passed: +(?P<passed>\d{1,9}), "
        rb"Skipped: +(?P<skipped>\d{1,9}), Total: +\d{1,9}, Duration: ",
    ),
    Summary(
        "dotnet test",
        b"Test Run ",
        rb"Test Run (?:Successful|Failed|Aborted)\.\nTotal tests: (?P<total>\d{1,9})\n"
        rb"(?: +Passed: (?P<passed>\d{1,9})\n)?(?: +Failed: (?P<failed>\d{1,9})\n)?"
        rb"(?: +Skipped: (?P<skipped>\d{1,9})\n)? *Total time: ",
    ),
    Summary(
        "dotnet test",
        b"Test run summary: ",
        rb"Test run summary: [A-Z][^\n]*\n  total: (?P<total>\d{1,9})\n(?:  error: (?P<broken>\d{1,9})\n)?"
        rb"  failed: (?P<failed>\d{1,9})\n  succeeded: (?P<passed>\d{1,9})\n"
        rb"  skipped: (?P<skipped>\d{1,9})\n  duration: ",
    ),
    Summary(
        "googletest",
        b" ran. (",
        rb"\[={10}\] (?P<total>\d{1,9}) tests? from \d{1,9} test (?:suite|case)s? ran\. \(\d{1,9} ms total\)\n"
        rb"\[  PASSED  \] (?P<passed>\d{1,9}) tests?\.(?:\n\[  SKIPPED \] (?P<skipped>\d{1,9}) tests?, listed below:)?"
        rb"(?:\n\[  SKIPPED \] [^\n]+)*(?:\n\[  FAILED  \] (?P<failed>\d{1,9}) tests?, listed below:)?",
        span=1_000_000,
        start=rb"\n\[={10}\] Running \d{1,9} tests? from ",
    ),
    Summary(
        "bun",
        b" pass\n",
        rb" +(?P<items>\d{1,9} pass\n(?: +\d{1,9} [^\n]{1,40}\n){1,12})Ran \d{1,9} tests? across \d{1,9} files?\. \[",
        start=rb"\nbun test v\d",
    ),
    Summary(
        "behave",
        b" skipped\n",
        rb"\d{1,9} features? passed, [^\n]{1,120}\n(?P<passed>\d{1,9}) scenarios? passed, (?P<failed>\d{1,9}) failed, "
        rb"(?:(?P<errors>\d{1,9}) error, )?(?P<skipped>\d{1,9}) skipped(?:, \d{1,9} untested)?" + END,
    ),
    Summary(
        "robot",
        b" failed",
        rb"\d{1,9} tests?, (?P<passed>\d{1,9}) passed, (?P<failed>\d{1,9}) failed(?:, (?P<skipped>\d{1,9}) skipped)?\n"
        rb"={78}\nOutput:  ",
    ),
    Summary(
        "deno",
        b" passed",
        rb"(?:ok|FAILED) \| (?P<passed>\d{1,9}) passed(?: \(\d{1,9} steps?\))? \| (?P<failed>\d{1,9}) failed"
        rb"(?: \(\d{1,9} steps?\))?(?: \| (?P<skipped>\d{1,9}) ignored(?: \(\d{1,9} steps?\))?)?"
        rb"(?: \| [^\n|]{1,60}){0,3} \(\d{1,9}[^\n)]{0,20}\)" + END,
    ),
    Summary(
        "bazel",
        b"Executed ",
        rb"Executed \d{1,9} out of \d{1,9} tests?: (?:(?P<passed>\d{1,9}) tests? pass(?:es)?)?[ ,]*(?:and )?"
        rb"(?:(?P<errors>\d{1,9}) fails? to build)?[ ,]*(?:and )?(?:(?P<failed>\d{1,9}) fails? (?:locally|remotely))?"
        rb"[ ,]*(?:and )?(?:(?P<skipped>\d{1,9}) (?:was|were) skipped)?\." + END,
        unit="targets",
    ),
)
"""Runners whose closing lines stand together; `console` has those that take more looking."""
