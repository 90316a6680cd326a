"""Runners whose output takes more than one place to read: pytest, go, cargo, ctest, prove, Playwright, Gradle, TAP.

Each takes the whole output, whose lines begin after `\\n` and hold no escape sequences, and gives its reports.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from tallystick.reports.base import Report
from tallystick.reports.go_package import Package
from tallystick.reports.replays import gradle_test_tasks
from tallystick.reports.summaries import WORDS
from tallystick.reports.tally import COUNTS, Names, Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PYTEST_WORDS = {"passed", "failed", "errors", "error", "skipped", "deselected", "xfailed", "xpassed"}
_PYTEST_EVIDENCE = re.compile(
    rb"[.FEsxXRup]*[.FEsxX][ \t]*\[ *\d+%\]|[.FEsxX]+|(?:FAILED|ERROR|SKIPPED|XFAIL|XPASS) \S.*|-- Docs: http.*"
    rb"|(?:TOTAL|Required test coverage|Coverage \S+ written to|Name +Stmts) .*|!{3,} .* !{3,}"
)


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


def pytest(text: bytes) -> Iterator[Report]:
    """pytest: of what stands between `=` signs the last line of each session, and the plain line of `-q`."""
    lines = re.compile(
        rb"\n(=+ )?(no tests ran|no tests collected[^\n]{0,60}?|(?:\d+/)?\d+ tests? collected[^\n]{0,60}?"
        rb"|\d+ [a-z]+(?: [a-z]+)?(?:, \d+ [a-z]+(?: [a-z]+)?){0,12})"
        rb" in \d+\.\d+s(?: \([\d:, a-z]+\))?( =+)?[ \t]*(?=\n)"
    )
    starts = [match.start() for match in re.compile(rb"\n=+ test session starts =+(?=\n)").finditer(text)]
    sessions: dict[int, re.Match[bytes]] = {}
    for line in lines.finditer(text):
        if not _pytest_words(line[2]):
            continue
        if line[1] and line[3]:
            sessions[bisect_left(starts, line.start())] = line
        elif not line[1] and not line[3] and _pytest_quiet(text, line):
            yield _pytest_report(line[2])
    for line in sessions.values():
        yield _pytest_report(line[2])


def _pytest_words(items: bytes) -> bool:
    words = {item.split(b" ", 1)[-1].decode("ascii") for item in items.split(b", ")}
    return b"tests" in items or b" collected" in items or bool(words & _PYTEST_WORDS)


def _pytest_quiet(text: bytes, line: re.Match[bytes]) -> bool:
    """Whether the plain line is what pytest closes with: the end, or after what pytest prints before it."""
    if not text[line.end() : line.end() + 1_000].strip():
        return True
    before = text[max(0, line.start() - 2_000) : line.start()].rstrip().rpartition(b"\n")[2]
    return _PYTEST_EVIDENCE.fullmatch(before.rstrip()) is not None


def _pytest_report(items: bytes) -> Report:
    counts = dict.fromkeys(COUNTS, 0)
    if b" collected" not in items and not items.startswith(b"no "):
        for item in items.split(b", "):
            number, _, word = item.partition(b" ")
            if kind := WORDS.get(word.decode("ascii")):
                counts[kind] += int(number)
    return console_report("pytest", counts)


def go(text: bytes) -> Iterator[Report]:
    """`go test`: tests with `-v`, else packages."""
    line = re.compile(
        rb"\n(?:(ok  |FAIL)\t(\S+)(?:\t(?:\d+\.\d+s|\(cached\))([^\n]*)| \[(?:build|setup) failed\][ \t]*)"
        rb"|=== RUN   (\S+)| *--- (PASS|FAIL|SKIP): (\S+) \(\d+\.\d\ds\))(?=\n)"
    )
    tally, package, verbose, seen = Tally(), Package(), False, False
    packages = {"ok  ": 0, "FAIL": 0}
    failed = Names()
    for match in line.finditer(text):
        if match[1]:
            verdict, name, seen = match[1].decode("ascii"), match[2].decode("utf-8", "replace"), True
            package.verdict = "pass" if verdict == "ok  " else "fail"
            package.count(tally, name)
            package = Package()
            if b"[no tests to run]" not in (match[3] or b""):
                packages[verdict] += 1
            if verdict == "FAIL":
                failed.add(name)
        elif match[4]:
            verbose = True
            package.test(match[4].decode("utf-8", "replace"), "run")
        else:
            package.test(match[6].decode("utf-8", "replace"), match[5].decode("ascii").lower())
    if not seen:
        return
    if verbose:
        yield tally.report("console", tool="go test")
    else:
        counts = {"passed": packages["ok  "], "failed": packages["FAIL"]}
        yield console_report("go test", counts, unit="packages", names={"failed": failed.listed()})


def cargo(text: bytes) -> Iterator[Report]:
    """`cargo test`: one result for each test binary; one that was killed gives none."""
    line = re.compile(
        rb"\n(?:(running) \d+ tests?|test result: (?:ok|FAILED)\. (\d{1,9}) passed; (\d{1,9}) failed; "
        rb"(\d{1,9}) ignored; (\d{1,9}) measured; \d+ filtered out(?:; finished in [^\n]+)?)[ \t]*(?=\n)"
    )
    counts = dict.fromkeys(COUNTS, 0)
    open_runs, results = 0, 0
    for match in line.finditer(text):
        if match[1]:
            counts["errors"] += open_runs
            open_runs = 1
            continue
        open_runs, results = 0, results + 1
        counts["passed"] += int(match[2]) + int(match[5])
        counts["failed"] += int(match[3])
        counts["skipped"] += int(match[4])
    counts["errors"] += open_runs
    if results or (counts["errors"] and b"\nerror: test failed, to rerun pass " in text):
        problems = ["a test binary ended without a result"] if counts["errors"] else []
        yield console_report("cargo test", counts, problems=problems)


def ctest(text: bytes) -> Iterator[Report]:
    """ctest: it counts skipped tests as passed and says so below."""
    summary = re.compile(
        rb"\n\d{1,3}% tests passed(?:, (\d{1,9}) tests? failed)? out of (\d{1,9})[ \t]*\n"
        rb"((?:(?!\d{1,3}% tests passed)[^\n]*\n){0,2000})"
    )
    for match in summary.finditer(text):
        listed = re.findall(rb"\t *\d+ - ([^\n]{1,500}?) \(([A-Za-z ]+)\)[^\n]*\n", match[3])
        skipped = [name.decode("utf-8", "replace") for name, why in listed if why in (b"Skipped", b"Disabled")]
        counted_as_passed = sum(why == b"Skipped" for _, why in listed)
        failed, total = int(match[1] or 0), int(match[2])
        if total < failed + counted_as_passed:
            continue
        counts = {"failed": failed, "passed": total - failed - counted_as_passed, "skipped": len(skipped)}
        names = Names()
        names.add(*skipped)
        yield console_report("ctest", counts, names={"skipped": names.listed()})
    if b"\nNo tests were found!!!\n" in text:
        yield console_report("ctest", {})


def prove(text: bytes) -> Iterator[Report]:
    """prove: how many failed stands in the summary of each file."""
    summary = re.compile(rb"\nFiles=\d+, Tests=(\d{1,9}), [^\n]+\nResult: (PASS|FAIL|NOTESTS)[ \t]*(?=\n)")
    for match in summary.finditer(text):
        begin = max(text.rfind(b"\nTest Summary Report\n", 0, match.start()), 0)
        block = text[begin : match.start()] if match[2] == b"FAIL" else b""
        failed = sum(map(int, re.findall(rb"\n[^\n]+ \(Wstat: [^\n]* Tests: \d+ Failed: (\d{1,9})\)", block)))
        problems = re.findall(rb"\n  ((?:Parse errors: |Non-zero )[^\n]+)", block)
        total = int(match[1])
        yield console_report(
            "prove",
            {"failed": min(failed, total), "passed": total - min(failed, total)},
            problems=[f"prove: {problem.decode('utf-8', 'replace')[:200]}" for problem in problems[:5]]
            or (["prove: Result: FAIL"] if match[2] == b"FAIL" else []),
        )


def playwright(text: bytes) -> Iterator[Report]:
    """Playwright: counts in lines of their own, names of what failed between them."""
    starts = list(re.finditer(rb"\nRunning \d+ tests? using \d+ workers?[^\n]*(?=\n)", text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    line = re.compile(
        rb"\n  (\d{1,9}) (failed|flaky|interrupted|skipped|did not run|passed)(?: \([^\n()]+\))?[ \t]*(?=\n)"
    )
    for start, end in zip(starts, ends, strict=False):
        last = {match[2].decode("ascii"): int(match[1]) for match in line.finditer(text, start.end(), end)}
        if not last:
            continue
        counts = dict.fromkeys(COUNTS, 0)
        for word, number in last.items():
            counts[WORDS[word]] += number
        counts["passed"] += counts["flaky"]
        yield console_report("playwright", counts)


def gradle(text: bytes) -> Iterator[Report]:
    """Gradle, which counts failing runs alone: a report that nothing ran, where no test task had anything to."""
    states = gradle_test_tasks(text).values()
    if states and all(state in (b"NO-SOURCE", b"SKIPPED") for state in states):
        yield console_report("gradle", {})


def tap(text: bytes) -> Iterator[Report]:
    """TAP with a version line and a plan, from a runner that says nothing more."""
    from tallystick.reports.tap import read_embedded

    begin = re.search(rb"\nTAP version 1[34][ \t]*(?=\n)", text)
    report = read_embedded(text[begin.start() :]) if begin else None
    if report is not None:
        yield report.replace(format="console", tool="tap")


RUNNERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Iterator[Report]]], ...] = (
    ((b"s\n", b"s ", b"s)"), pytest),
    ((b"\nok  \t", b"\nFAIL\t"), go),
    ((b"\ntest result: ", b"\nerror: test failed, to rerun pass "), cargo),
    ((b"% tests passed", b"\nNo tests were found!!!\n"), ctest),
    ((b"\nResult: ",), prove),
    ((b"\nRunning ",), playwright),
    ((b" NO-SOURCE", b" SKIPPED"), gradle),
)
"""Each with the texts of which one has to stand in the output for it to be asked."""
