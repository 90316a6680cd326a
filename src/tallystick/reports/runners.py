"""Runners whose output takes more than one place to read: pytest, go, cargo, ctest, prove, Playwright, Gradle, TAP.

Each takes the whole output, whose lines begin after `\\n` and hold no escape sequences, and gives its parts.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from tallystick.reports.base import Report
from tallystick.reports.go_package import Package, PackageRun
from tallystick.reports.replays import gradle_test_tasks
from tallystick.reports.summaries import WORDS
from tallystick.reports.tally import COUNTS, Names, Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

UNKNOWN = -1
"""Where a run began, if its output does not show that."""


class Part:
    """What one run printed: its `report`, where it `begins` (`UNKNOWN` if that does not show) and where it `ends`."""

    __slots__ = ("begins", "ends", "report")

    def __init__(self, report: Report, ends: int, begins: int = UNKNOWN) -> None:
        self.report = report
        self.ends = ends
        self.begins = begins


def beginnings(starts: Iterable[int], ends: Iterable[int]) -> dict[int, int]:
    """Where each run that ends began, by its end: as brackets match, the last one that is still open."""
    begun: dict[int, int] = {}
    still_open: list[int] = []
    for at, closes in sorted([*((start, False) for start in starts), *((end, True) for end in ends)]):
        if not closes:
            still_open.append(at)
        else:
            begun[at] = still_open.pop() if still_open else UNKNOWN
    return begun


_PYTEST_WORDS = frozenset({"passed", "failed", "errors", "error", "skipped", "deselected", "xfailed", "xpassed"})
_PYTEST_BEFORE = (
    rb"[.FEsxX]+|(?:FAILED|ERROR|SKIPPED|XFAIL|XPASS) \S.*|-- Docs: http.*|!{3,} .* !{3,}|-{3,} .* -{3,}"
    rb"|\(\d+ durations < .*|\d+\.\d+s (?:call|setup|teardown) .*"
)
"""Lines that `pytest -q` prints right before it closes."""
_PYTEST_RESULTS = rb"[.FEsxX]+(?: +\[ *\d+%\])?|(?:FAILED|ERROR|SKIPPED|XFAIL|XPASS) \S.*"
"""Those of them that are results, which a test seldom prints."""


def console_report(
    tool: str,
    counts: dict[str, int],
    *,
    unit: str = "tests",
    names: dict[str, tuple[str, ...]] | None = None,
    problems: list[str] | None = None,
) -> Report:
    """A report of counts read from output; names that it does not show are left out."""
    names = names or {}
    unlisted = {
        "failed": counts.get("failed", 0) + counts.get("errors", 0) - len(names.get("failed", ())),
        "skipped": counts.get("skipped", 0) - len(names.get("skipped", ())),
        "flaky": counts.get("flaky", 0) - len(names.get("flaky", ())),
    }
    return Report(
        "console",
        tool=tool,
        unit=unit,
        counts={kind: counts.get(kind, 0) for kind in COUNTS},
        names=names,
        left_out={kind: max(count, 0) for kind, count in unlisted.items()},
        problems=problems or [],
    )


def pytest(text: bytes) -> Iterator[Part]:
    """pytest: of each session the last line between `=` signs, with `-q` the last plain one and those after results."""
    lines = re.compile(
        rb"\n(=+ )?(no tests ran|(?:no tests|(?:\d{1,9}/)?\d{1,9} tests?) collected(?: \([a-z0-9 ]{1,40}\))?"
        rb"|\d{1,9} [a-z]+(?: [a-z]+)?(?:, \d{1,9} [a-z]+(?: [a-z]+)?){0,12})"
        rb" in \d+\.\d+s(?: \([\d:, a-z]+\))?( =+)?[ \t]*(?=\n)"
    )
    starts = [match.start() for match in re.finditer(rb"\n=+ test session starts =+(?=\n)", text)]
    progress = [match.start() for match in re.finditer(rb"\[100%\][ \t]*(?=\n)", text)]
    closing: dict[tuple[bool, int], re.Match[bytes]] = {}
    ends, earlier = [], []
    for line in lines.finditer(text):
        plain, at = not line[1], line.start()
        if not _pytest_words(line[2]) or bool(line[1]) != bool(line[3]):
            continue
        session = plain, bisect_left(progress if plain else starts, at)
        if not plain:
            ends.append(at)
        elif not session[1] and not _pytest_closes(text, line):
            continue
        elif (last := closing.get(session)) and re.fullmatch(_PYTEST_RESULTS, _line_before(text, last.start())):
            earlier.append(last)
        closing[session] = line
    yield from (Part(_pytest_report(line[2]), line.end()) for line in earlier)
    begun = beginnings(starts, ends)
    for (plain, number), line in closing.items():
        begins = UNKNOWN if plain else begun[line.start()]
        if begins == UNKNOWN and not plain and number:
            begins = starts[number - 1]
        yield Part(_pytest_report(line[2]), line.end(), begins)


def _pytest_words(items: bytes) -> bool:
    words = {item.split(b" ", 1)[-1].decode("ascii") for item in items.split(b", ")}
    return items.startswith(b"no ") or b" collected" in items or bool(words & _PYTEST_WORDS)


def _pytest_closes(text: bytes, line: re.Match[bytes]) -> bool:
    """Whether the plain line stands where pytest closes: at the end, or after what it prints right before."""
    if not text[line.end() : line.end() + 1_000].strip():
        return True
    return re.fullmatch(_PYTEST_BEFORE, _line_before(text, line.start())) is not None


def _line_before(text: bytes, at: int) -> bytes:
    """The last line with text in it before this place."""
    return text[max(0, at - 2_000) : at].rstrip().rpartition(b"\n")[2].rstrip()


def _pytest_report(items: bytes) -> Report:
    counts = dict.fromkeys(COUNTS, 0)
    if b" collected" not in items and not items.startswith(b"no "):
        for item in items.split(b", "):
            number, _, word = item.partition(b" ")
            if kind := WORDS.get(word.decode("ascii")):
                counts[kind] += int(number)
    return console_report("pytest", counts)


def sugar(text: bytes) -> Iterator[Part]:
    """pytest-sugar on a terminal: a count in each line, names of what failed between them."""
    block = re.compile(rb"\nResults \(\d+(?:\.\d+)?s\):\n((?: {3,12}\d{1,9} [a-z]+[ \t]*\n|  +- [^\n]+\n|[ \t]*\n)+)")
    for match in block.finditer(text):
        counts = dict.fromkeys(COUNTS, 0)
        for number, word in re.findall(rb"(?:^|\n) {3,12}(\d{1,9}) ([a-z]+)", match[1]):
            if kind := WORDS.get(word.decode("ascii")):
                counts[kind] += int(number)
        yield Part(console_report("pytest", counts), match.end())


def go(text: bytes) -> Iterator[Part]:
    """`go test`: tests with `-v`, else packages."""
    line = re.compile(
        rb"\n(ok  |FAIL)\t(\S+)(?:\t(?:\d+\.\d+s|\(cached\))([^\n]*)| \[(?:build|setup) failed\][ \t]*)(?=\n)"
        rb"|=== RUN   (\S+)(?=\n)|--- (PASS|FAIL|SKIP): (\S+) \(\d+\.\d\ds\)(?=\n)"
    )
    matches = list(line.finditer(text))
    verbose = any(match[4] for match in matches)
    ended = {match[6]: match.start() for match in matches if match[6]}
    run = PackageRun()
    begun: dict[str, int] = {}
    for match in matches:
        if match[4]:
            name = match[4].decode("utf-8", "replace")
            begun.setdefault(name, match.start())
            run.test(name, "run")
        elif match[6]:
            run.test(match[6].decode("utf-8", "replace"), match[5].decode("ascii").lower())
        elif verbose:
            run, outer = _go_apart(run, ended, match.start())
            begins = min((begun.pop(name) for name in run.tests if name in begun), default=match.start())
            yield Part(_go_tests(run, match), match.end(), begins)
            run = outer
        else:
            yield Part(_go_package(match), match.end(), match.start())


def _go_apart(run: PackageRun, ended: dict[bytes, int], at: int) -> tuple[PackageRun, PackageRun]:
    """The tests of the package that ends here, and those that end after it: they ran `go test` themselves."""
    inner, outer = PackageRun(), PackageRun()
    for name, outcomes in run.tests.items():
        goes_on = not outcomes[-1] and ended.get(name.encode("utf-8", "surrogateescape"), 0) > at
        (outer if goes_on else inner).tests[name] = outcomes
    return inner, outer


def _go_tests(run: PackageRun, line: re.Match[bytes]) -> Report:
    """The tests of a package; one that is `ok` has none that failed, so what looks so was printed by a test."""
    tally, package = Tally(), Package()
    run.verdict = "pass" if line[1] == b"ok  " else "fail"
    if run.verdict == "pass":
        run.tests = {name: outcomes for name, outcomes in run.tests.items() if "fail" not in outcomes}
    package.runs = [run]
    package.count(tally, line[2].decode("utf-8", "replace"))
    return tally.report("console", tool="go test")


def _go_package(line: re.Match[bytes]) -> Report:
    if line[1] == b"FAIL":
        failed = Names()
        failed.add(line[2].decode("utf-8", "replace"))
        return console_report("go test", {"failed": 1}, unit="packages", names={"failed": failed.listed()})
    passed = b"[no tests to run]" not in (line[3] or b"")
    return console_report("go test", {"passed": int(passed)}, unit="packages")


def cargo(text: bytes) -> Iterator[Part]:
    """`cargo test`: one result for each test binary; one that was killed gives none, and cargo says so."""
    line = re.compile(
        rb"\n(?:running \d+ tests?[ \t]*(?=\n)|test result: (?:(?:ok|FAILED)\. (\d{1,9}) passed; (\d{1,9}) failed; "
        rb"(\d{1,9}) ignored;(?: (\d{1,9}) measured;)? \d+ filtered out(?:; finished in [^\n]+)?[ \t]*(?=\n))?)"
    )
    matches = list(line.finditer(text))
    starts = [match.start() for match in matches if match[0].startswith(b"\nrunning")]
    results = [match for match in matches if not match[0].startswith(b"\nrunning")]
    begun = beginnings(starts, [match.start() for match in results])
    for match in results:
        if match[1]:
            counts = {"passed": int(match[1]) + int(match[4] or 0), "failed": int(match[2]), "skipped": int(match[3])}
            yield Part(console_report("cargo test", counts), match.end(), begun[match.start()])
    failed = text.rfind(b"\nerror: test failed, to rerun pass ")
    unended = len(starts) - sum(begin != UNKNOWN for begin in begun.values())
    if failed >= 0 and unended:
        problems = ["a test binary ended without a result"]
        yield Part(console_report("cargo test", {"errors": unended}, problems=problems), failed, failed)


def ctest(text: bytes) -> Iterator[Part]:
    """ctest: it counts skipped tests as passed and says so below."""
    line = re.compile(rb"\n\d{1,3}% tests passed(?:, (\d{1,9}) tests? failed)? out of (\d{1,9})[ \t]*(?=\n)")
    for match, block in _blocks(text, line):
        listed = re.findall(rb"\t *\d{1,9} - ([^\n]{1,500}?) \(([A-Za-z ]{1,40})\)[^\n]*\n", block)
        skipped = [name.decode("utf-8", "replace") for name, why in listed if why in (b"Skipped", b"Disabled")]
        counted_as_passed = sum(why == b"Skipped" for _, why in listed)
        failed, total = int(match[1] or 0), int(match[2])
        if total < failed + counted_as_passed:
            continue
        counts = {"failed": failed, "passed": total - failed - counted_as_passed, "skipped": len(skipped)}
        names = Names()
        names.add(*skipped)
        report = console_report("ctest", counts, names={"skipped": names.listed()})
        yield Part(report, match.end(), text.rfind(b"\nTest project ", 0, match.start()))


def _blocks(text: bytes, line: re.Pattern[bytes]) -> Iterator[tuple[re.Match[bytes], bytes]]:
    """Each line that matches, with what follows until the next."""
    matches = list(line.finditer(text))
    ends = [*(match.start() for match in matches[1:]), len(text)]
    for match, end in zip(matches, ends, strict=False):
        yield match, text[match.end() : end]


def prove(text: bytes) -> Iterator[Part]:
    """prove: how many failed stands in the summary of each file."""
    summary = re.compile(rb"\nFiles=\d{1,9}, Tests=(\d{1,9}), [^\n]+\nResult: (PASS|FAIL|NOTESTS)[ \t]*(?=\n)")
    begin = 0
    for match in summary.finditer(text):
        _, _, block = text[begin : match.start()].rpartition(b"\nTest Summary Report\n")
        begin, failed, problems = match.end(), 0, []
        if match[2] == b"FAIL":
            file = rb"\n[^\n]{1,300} \(Wstat: [^\n]{1,60} Tests: \d{1,9} Failed: (\d{1,9})\)"
            failed = min(sum(map(int, re.findall(file, block))), int(match[1]))
            found = re.findall(rb"\n  ((?:Parse errors: |Non-zero )[^\n]{1,200})", block)[:5]
            problems = [f"prove: {problem.decode('utf-8', 'replace')}" for problem in found or [b"Result: FAIL"]]
        counts = {"failed": failed, "passed": int(match[1]) - failed}
        yield Part(console_report("prove", counts, problems=problems), match.end())


def playwright(text: bytes) -> Iterator[Part]:
    """Playwright: counts in lines of their own, names of what failed between them."""
    start = re.compile(rb"\nRunning \d{1,9} tests? using \d{1,9} workers?[^\n]*(?=\n)")
    line = re.compile(
        rb"\n  (\d{1,9}) (failed|flaky|interrupted|skipped|did not run|passed)(?: \([^\n()]{1,40}\))?[ \t]*(?=\n)"
    )
    for begin, block in _blocks(text, start):
        found = list(line.finditer(block))
        if not found:
            continue
        last = {match[2].decode("ascii"): int(match[1]) for match in found}
        counts = dict.fromkeys(COUNTS, 0)
        for word, number in last.items():
            counts[WORDS[word]] += number
        counts["passed"] += counts["flaky"]
        yield Part(console_report("playwright", counts), begin.end() + found[-1].end(), begin.start())


def gradle(text: bytes) -> Iterator[Part]:
    """Gradle, which counts failing runs alone: a report that nothing ran if no test task had anything to run."""
    states = [state for _, state in gradle_test_tasks(text)]
    if states and all(state in (b"NO-SOURCE", b"SKIPPED") for state in states):
        yield Part(console_report("gradle", {}), len(text))


def tap(text: bytes) -> Iterator[Part]:
    """TAP, from a runner that says nothing more: with a version line, or every test from first to last."""
    from tallystick.reports.tap import read_embedded

    begin = re.search(rb"\n(?:TAP version 1[34]|KTAP version \d)[ \t]*(?=\n)", text)
    if begin is None:
        plans = re.findall(rb"\n1\.\.([1-9]\d{0,6})[ \t]*(?=\n)", text)
        numbers = [int(number) for number in re.findall(rb"\n(?:not )?ok (\d{1,7})\b", text)]
        if len(plans) != 1 or numbers != list(range(1, int(plans[0]) + 1)):
            return
    report = read_embedded(text[begin.start() if begin else 0 :])
    if report is not None:
        yield Part(report.replace(format="console", tool="tap"), len(text))


RUNNERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Iterator[Part]]], ...] = (
    ((*(b" " + word.encode() for word in _PYTEST_WORDS), b"no tests ", b" collected"), pytest),
    ((b"\nResults (",), sugar),
    ((b"\nok  \t", b"\nFAIL\t"), go),
    ((b"\ntest result: ", b"\nerror: test failed, to rerun pass "), cargo),
    ((b"% tests passed",), ctest),
    ((b"\nResult: ",), prove),
    ((b"\nRunning ",), playwright),
    ((b" NO-SOURCE", b" SKIPPED"), gradle),
)
"""Each with the texts of which one has to stand in the output for it to be asked."""
