"""What runners print that ran nothing and end with exit code 0 all the same.

A statement counts if it closes the output: not much may follow it, so that another tool that runs later is not taken
for having run nothing. What is not in the list is known by its wording.
"""

from __future__ import annotations

import re

from tallystick.reports.runners import Part, console_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINES_AFTER = 8
"""How many lines with text may follow such a statement."""

_SENTENCES: tuple[tuple[str, str, bytes, bytes], ...] = (
    ("jest", "tests", b"\nNo tests found related to", rb"\nNo tests found related to files changed since [^\n]{1,300}"),
    ("turbo", "tasks", b"No tasks were executed", rb"\n *WARNING +No tasks were executed as part of this run\."),
    ("turbo", "tasks", b" 0 successful, 0 total", rb"\n *Tasks: +0 successful, 0 total"),
    ("nx", "tasks", b"NX ", rb"\n\W{0,12}NX\W{1,12}No (?:tasks|projects)[^\n]{0,120} (?:were|was) run"),
    (
        "lerna",
        "tasks",
        b"\nlerna ",
        rb"\nlerna [\w ]{1,20} No packages (?:found )?with the lifecycle script [^\n]{1,120}",
    ),
    ("lerna", "tasks", b"\nlerna ", rb"\nlerna [\w ]{1,20} No packages remain after filtering[^\n]{0,200}"),
    (
        "pnpm",
        "tasks",
        b"None of the selected packages",
        rb"\n *None of the selected packages has an? [^\n]{1,120} script",
    ),
    ("pnpm", "tasks", b"No projects ", rb"\nNo projects (?:matched the filters|found) in [^\n]{1,300}"),
    ("yarn", "tasks", b"No workspaces ", rb"\n[^\n]{0,40}No workspaces (?:match|found|matched)[^\n]{0,120}"),
    ("nox", "tasks", b"No sessions selected", rb"\n(?:nox > )?No sessions selected[^\n]{0,120}"),
    ("gotestsum", "tests", b"\nDONE 0 tests", rb"\nDONE 0 tests in [\d.]+s"),
    ("go test", "packages", b"no packages to test", rb"\nno packages to test"),
    ("ctest", "tests", b"No tests were found!!!", rb"\nNo tests were found!!!"),
    (
        "dotnet test",
        "tests",
        b"No test ",
        rb"\nNo test (?:is available in|matches the given testcase filter) [^\n]{1,600}",
    ),
    ("mix", "tests", b"There are no tests to run", rb"\nThere are no tests to run"),
    ("mix", "tests", b"No stale tests", rb"\nNo stale tests"),
    ("sbt", "tests", b"No tests were executed", rb"\n\[info\] No tests were executed\.?"),
    ("meson", "tests", b"tests defined", rb"\nNo (?:suitable )?tests defined\.?"),
    ("ginkgo", "tests", b"\nRan 0 of ", rb"\nRan 0 of \d+ Specs in [^\n]{1,60}"),
    ("cucumber", "tests", b"\n0 scenarios\n", rb"\n0 scenarios\n0 steps"),
    ("playwright", "tests", b"\nRunning 0 tests", rb"\nRunning 0 tests using [^\n]{1,60}"),
    ("junit", "tests", b" 0 tests found ", rb"\n\[ +0 tests found +\]"),
    ("scalatest", "tests", b"of tests run: 0", rb"\n(?:\[info\] )?Total number of tests run: 0"),
    ("testng", "tests", b"\nTotal tests run: 0", rb"\nTotal tests run: 0, [^\n]{1,120}"),
    ("doctest", "tests", b"[doctest] test cases: ", rb"\n\[doctest\] test cases: +0 \|[^\n]{1,120}"),
    ("cabal", "tests", b"0 of 0 test suites", rb"\n0 of 0 test suites \(0 of 0 test cases\) passed\."),
    ("automake", "tests", b"\n# TOTAL: ", rb"\n# TOTAL: +0"),
    ("testthat", "tests", b"| PASS 0 ]", rb"\n\[ FAIL 0 \| WARN \d+ \| SKIP \d+ \| PASS 0 \]"),
    ("busted", "tests", b"\n0 successes / ", rb"\n0 successes / 0 failures / 0 errors / [^\n]{1,60}"),
    ("zig", "tests", b"\nAll 0 tests passed", rb"\nAll 0 tests passed\."),
    ("stestr", "tests", b"\nRan: 0 tests", rb"\nRan: 0 tests in [^\n]{1,40}"),
    ("swift test", "tests", b"Executed 0 tests", rb"\n[ \t]*Executed 0 tests, with 0 failures [^\n]{1,120}"),
    ("karma", "tests", b"Executed 0 of 0", rb"\n[^\n]{0,80}Executed 0 of 0 [^\n]{1,80}"),
    ("lein", "tests", b"\nRan 0 tests", rb"\nRan 0 tests containing 0 assertions\."),
    ("bats", "tests", b"\n1..0", rb"\n1\.\.0(?: # [^\n]{1,200})?"),
)
"""The runner, what it would have counted, a text in its statement, the statement from the line break before it on."""

_THINGS = (
    rb"(?:unit |integration |e2e |matching |selected |new )?(?:tests?|specs?|test (?:files?|cases?|suites?|targets?)"
    rb"|examples?|scenarios?|features?|sessions?|tasks?)"
)
_DONE = (
    rb"(?:found|run|ran|executed|matched|selected|collected|defined|available|discovered|to (?:run|execute|test)"
    rb"|specified|scheduled|remaining)"
)
_WORDING = re.compile(
    rb"[^\w\n]{0,12}(?:(?:warning|info|error|notice)\W{1,4})?(?:there (?:are|were) |found |ran |executed |collected )?"
    rb"(?:no|0|zero) " + _THINGS + rb"(?: (?:was|were|have been|that were))?(?: " + _DONE + rb")?"
    rb"(?:[.,;:!(\xe2]| (?:for|in|with|matching|related|exiting|on|by|after|since|from) )?[^\n]{0,300}",
    re.IGNORECASE,
)
_VERB = re.compile(
    rb"\b(?:found|ran|run|executed|collected|discovered|scheduled|matched|selected|defined|execute)\b", re.I
)


def nothing_run(text: bytes) -> Iterator[Part]:
    """A part with no test in it for each runner that says that it ran nothing."""
    for tool, unit, anchor, pattern in _SENTENCES:
        if anchor in text:
            for statement in re.finditer(pattern + rb"[ \t]*(?=\n)", text):
                if _closes(text, statement.end()):
                    yield _nothing(tool, statement.end(), unit)
    for anchor, reader in _READERS:
        if anchor in text:
            yield from reader(text)


def worded_so(text: bytes) -> Iterator[Part]:
    """The same for a runner that nobody knows: one of the last lines says that no test was run, and nothing else."""
    lines = [line.strip() for line in text[-4_000:].split(b"\n") if line.strip()]
    for line in lines[-3:]:
        if _WORDING.fullmatch(line) and _VERB.search(line):
            yield _nothing("", len(text), "tests")


def _nothing(tool: str, ends: int, unit: str) -> Part:
    return Part(console_report(tool, {}, unit=unit), ends)


def _closes(text: bytes, at: int) -> bool:
    """Whether not much follows."""
    return sum(1 for line in text[at : at + 4_000].split(b"\n") if line.strip()) <= LINES_AFTER


def _go(text: bytes) -> Iterator[Part]:
    """`go test`, if no package had a file with tests; with `-cover` it shows their coverage instead."""
    without = rb"\n(?:\?   \t\S+\t\[no test files\]|\t\S+\t+coverage: 0\.0% of statements)[ \t]*(?=\n)"
    lines = [match.end() for match in re.finditer(without, text)]
    ran = re.search(rb"\n(?:ok  |FAIL)\t|--- (?:PASS|FAIL|SKIP): ", text)
    if lines and not ran and _closes(text, lines[-1]):
        yield _nothing("go test", lines[-1], "packages")


def _pre_commit(text: bytes) -> Iterator[Part]:
    """pre-commit, if it skipped every hook."""
    hooks = re.findall(rb"\n[^\n]{1,200}?\.{3,}(?:\([^()\n]{1,60}\))?(Passed|Failed|Skipped)[ \t]*(?=\n)", text)
    if hooks and set(hooks) == {b"Skipped"}:
        yield _nothing("pre-commit", len(text), "hooks")


def _tox(text: bytes) -> Iterator[Part]:
    """tox, if it skipped every environment."""
    states = re.findall(rb"\n  [\w.,-]{1,60}: (OK|FAIL|SKIP)\b[^\n]*(?=\n)", text)
    if states and set(states) == {b"SKIP"}:
        yield _nothing("tox", len(text), "tasks")


def _nox(text: bytes) -> Iterator[Part]:
    """nox, if it skipped every session."""
    began = len(re.findall(rb"\nnox > Running session [^\n]+", text))
    skipped = len(re.findall(rb"\nnox > Session [^\n]{1,120} (?:was )?skipped[.:][^\n]*", text))
    if skipped and skipped >= began and not re.search(rb"\nnox > Session [^\n]{1,120} (?:was successful|failed)", text):
        yield _nothing("nox", len(text), "tasks")


def _ctest(text: bytes) -> Iterator[Part]:
    """ctest, if it names the project and then no test."""
    if b"% tests passed" not in text and re.fullmatch(rb"\s*(?:[^\n]*\n){0,3}Test project [^\n]+\s*", text):
        yield _nothing("ctest", len(text), "tests")


def _pnpm(text: bytes) -> Iterator[Part]:
    """pnpm, if it names the packages that it looked at and then runs no script."""
    if re.fullmatch(rb"\s*Scope: [^\n]{1,60} workspace projects\s*", text):
        yield _nothing("pnpm", len(text), "tasks")


_READERS: tuple[tuple[bytes, Callable[[bytes], Iterator[Part]]], ...] = (
    (b"[no test files]", _go),
    (b"coverage: 0.0% of statements", _go),
    (b"Skipped", _pre_commit),
    (b"nox > Session ", _nox),
    (b": SKIP", _tox),
    (b"\nTest project ", _ctest),
    (b"\nScope: ", _pnpm),
)
