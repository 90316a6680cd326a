"""Counts of tests out of what a command printed.

Only what a runner closes with counts, read as that runner writes it; text that mentions tests is no summary, and
if there is none the answer is that nothing is known. A command that runs several suites has them added up, but a run
that a test of another run started is not counted.
The exit code stays the judge of a run: this says how much it ran.
"""

from __future__ import annotations

import re

from tallystick.reports.base import combined
from tallystick.reports.nothing import nothing_run, worded_so
from tallystick.reports.replays import replays
from tallystick.reports.runners import RUNNERS, UNKNOWN, Part, beginnings, console_report, tap
from tallystick.reports.summaries import SUMMARIES, counts
from tallystick.reports.tally import MAX_PROBLEMS, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.reports.base import Report
    from tallystick.reports.replays import Replay
    from tallystick.reports.summaries import Summary

__all__ = ["read_console", "replay_marker", "unended_runs"]

_ESCAPES = rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[@-Z\\^_=>])"
_TASK = rb"\n([^\s:]+:[^\s]+): cache (?:hit|miss|bypass)\b"
_SHOWING = ("nx", "turbo")
"""Task runners that show what a task printed once as if it had run now."""

_WORKSPACE = rb"\n([^\s$]+ [\w:.-]+)\$ "


def read_console(output: bytes) -> Report | None:
    """Counts of the tests that the output, all of it, shows to have run; None if it shows no runner's summary.

    Takes time in proportion to the output. The report's `unit` is `packages` for `go test` without `-v`, `targets` for
    Bazel, else `tests`; `replayed` tells whether these are old results that a runner only showed, `inside` which
    failing runs a test of a later run may have started.
    """
    text = _plain(output)
    marks = {replay.tool: replay for replay in replays(text)}
    parts = _streams(text)
    reports, inside = [], []
    for part in parts:
        hit = part.startswith(b"\ncache hit, ")
        standing, doubtful = _standing(list(_parts(part)))
        inside += doubtful
        for report in standing:
            by = [marks[tool] for tool in (report.tool, *_SHOWING) if tool in marks and len(parts) == 1]
            replayed = "all" if hit else by[0].extent if by else ""
            reports.append(report.replace(replayed=replayed))
    if not reports:
        return None
    whole = combined(reports).replace(inside=tuple(map(_failure, inside[:MAX_PROBLEMS])))
    if marks and (not whole.replayed or not all(replay.complete for replay in marks.values())):
        return whole.replace(replayed="partly")
    return whole


def replay_marker(output: bytes) -> Replay | None:
    """The mark in the output that a runner showed old results from its cache in place of a run, or None.

    `complete` tells whether nothing at all was run. Of several runners, one that ran nothing comes first.
    """
    found = replays(_plain(output))
    return max(found, key=lambda replay: replay.complete, default=None)


def unended_runs(output: bytes) -> list[str]:
    """What the output shows to have begun and not to have ended, a line each. It may be wrong: see `unended`."""
    from tallystick.reports.unended import unended

    return unended(_plain(output))


def _standing(parts: list[Part]) -> tuple[list[Report], list[Report]]:
    """The reports of the runs that nothing else encloses, and failing ones that a later, passing run may enclose.

    A run that began before another one ended, and ended after it, encloses it: one of its tests started the other.
    """
    standing, doubtful = [], []
    begun_before, unknown = None, False
    for part in sorted(parts, key=lambda part: part.ends, reverse=True):
        if begun_before is not None and begun_before < part.ends and part.begins != begun_before:
            continue
        if unknown and part.report.status == "fail":
            doubtful.append(part.report)
            continue
        standing.append(part.report)
        if part.report.status == "pass":
            if part.begins == UNKNOWN:
                unknown = True
            else:
                begun_before = part.begins if begun_before is None else min(begun_before, part.begins)
    return standing[::-1], doubtful[::-1]


def _failure(report: Report) -> str:
    bad = report.failed + report.errors
    told = [f"{bad} of {report.executed} {report.unit} failed"] if bad else []
    return shortened(f"{report.tool}: {'; '.join([*told, *report.problems])}")


def _plain(output: bytes) -> bytes:
    """The output without escape sequences, a line break before the first and after the last line."""
    if b"\x1b" in output:
        output = re.sub(_ESCAPES, b"", output)
    if b"\r" in output:
        output = output.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"\n" + output + b"\n"


def _streams(text: bytes) -> list[bytes]:
    """What each task printed, where a task runner mixed them line by line behind prefixes."""
    if b": cache " in text:
        tasks = {match[1] for match in re.finditer(_TASK, text)}
    elif b"\nScope: " in text:
        tasks = {match[1] for match in re.finditer(_WORKSPACE, text)}
    else:
        tasks = set()
    if not tasks:
        return [text]
    lines: dict[bytes, list[bytes]] = {task: [] for task in (b"", *tasks)}
    for line in text.split(b"\n"):
        task, separator, printed = line.partition(b": ")
        if separator and task in tasks:
            lines[task].append(printed)
        else:
            lines[b""].append(line)
    return [b"\n" + b"\n".join(part) + b"\n" for part in lines.values()]


def _parts(text: bytes) -> Iterator[Part]:
    """What each run in the text printed."""
    found = False
    for anchors, runner in RUNNERS:
        if any(anchor in text for anchor in anchors):
            for part in runner(text):
                found = True
                yield part
    for summary in SUMMARIES:
        if summary.anchor in text:
            for part in _summarised(text, summary):
                found = True
                yield part
    if not found and any(anchor in text for anchor in (b"\nTAP version 1", b"\nKTAP version ", b"\n1..")):
        for part in tap(text):
            found = True
            yield part
    for part in nothing_run(text):
        found = True
        yield part
    if not found:
        yield from worded_so(text)


def _summarised(text: bytes, summary: Summary) -> Iterator[Part]:
    matches = _borne_out(text, summary, list(summary.matches(text)))
    begun = _begun(text, summary, [match.start() for match in matches])
    for match in matches:
        counted = counts(match)
        if not counted:
            continue
        problems = []
        if counted["broken"] and not counted["failed"] + counted["errors"]:
            problems.append(f"{summary.tool}: {counted['broken']} test files or suites could not be run")
        if (error := match.groupdict().get("error")) is not None:
            problems.append(f"{summary.tool}: {error.decode('utf-8', 'replace')} outside tests")
        report = console_report(summary.tool, counted, unit=summary.unit, problems=problems)
        yield Part(report, match.end(), begun.get(match.start(), UNKNOWN))


def _borne_out(text: bytes, summary: Summary, matches: list[re.Match[bytes]]) -> list[re.Match[bytes]]:
    """The closing lines that a runner printed: the last, those with failures, and each that results stand before.

    Half of the tests it counts are enough: what a test prints breaks the line that its mark stands in.
    """
    if not summary.marks:
        return matches
    kept, begin = [], 0
    for match, following in zip(matches, [*matches[1:], None], strict=False):
        counted = counts(match)
        shown = len(re.findall(summary.marks, text[begin : match.start()]))
        borne_out = counted.get("failed") or (shown and 2 * shown >= counted.get("passed", 0))
        if following is None or borne_out or _new_command(text[match.end() : following.start()]):
            kept.append(match)
            begin = match.end()
    return kept


def _new_command(between: bytes) -> bool:
    """Whether npm or yarn began another script in between."""
    return re.search(rb"\n(?:> \S+@\S+ \S+|\$ \S[^\n]*)(?=\n)", between) is not None


def _begun(text: bytes, summary: Summary, ends: Sequence[int]) -> dict[int, int]:
    """Where each run that the summary closes began, by the summary's place."""
    if not (summary.start and ends):
        return {}
    return beginnings([match.start() for match in re.finditer(summary.start, text)], ends)
