"""Counts of tests out of what a command printed.

Only what a runner closes with counts, read as that runner writes it; text that mentions tests is no summary, and
where there is none the answer is that nothing is known. A command that runs several suites has them added up.
The exit code stays the judge of a run: this says how much it ran.
"""

from __future__ import annotations

import re

from tallystick.reports.base import combined
from tallystick.reports.replays import replays
from tallystick.reports.runners import RUNNERS, console_report, tap
from tallystick.reports.summaries import SUMMARIES, counts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.reports.base import Report
    from tallystick.reports.replays import Replay
    from tallystick.reports.summaries import Summary

__all__ = ["read_console", "replay_marker"]

_ESCAPES = rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[@-Z\\^_=>])"
_TASK = rb"\n([^\s:]+:[^\s]+): cache (?:hit|miss|bypass)\b"
_SHOWING = ("nx", "turbo")
"""Task runners that show what a task printed once as if it had run now."""

_WORKSPACE = rb"\n([^\s$]+ [\w:.-]+)\$ "


def read_console(output: bytes) -> Report | None:
    """Counts of the tests that the output, all of it, shows to have run; None where it shows no runner's summary.

    Takes time in proportion to the output. The report's `unit` is `packages` for `go test` without `-v`, `targets` for
    Bazel, else `tests`; `replayed` tells whether these are old results that a runner only showed.
    """
    text = _plain(output)
    marks = {replay.tool: replay for replay in replays(text)}
    parts = _streams(text)
    reports = []
    for part in parts:
        hit = part.startswith(b"\ncache hit, ")
        for report in _reports(part):
            by = [marks[tool] for tool in (report.tool, *_SHOWING) if tool in marks and len(parts) == 1]
            replayed = "all" if hit else by[0].extent if by else ""
            reports.append(report.replace(replayed=replayed))
    if not reports:
        return None
    whole = combined(reports)
    if marks and (not whole.replayed or not all(replay.complete for replay in marks.values())):
        return whole.replace(replayed="partly")
    return whole


def replay_marker(output: bytes) -> Replay | None:
    """The mark in the output that a runner showed old results from its cache in place of a run, or None.

    `complete` tells whether nothing at all was run. Of several runners, one that ran nothing comes first.
    """
    found = replays(_plain(output))
    return max(found, key=lambda replay: replay.complete, default=None)


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


def _reports(text: bytes) -> Iterator[Report]:
    found = False
    for anchors, runner in RUNNERS:
        if any(anchor in text for anchor in anchors):
            for report in runner(text):
                found = True
                yield report
    for summary in SUMMARIES:
        if summary.anchor in text:
            for report in _summarised(text, summary):
                found = True
                yield report
    if not found and (b"\nTAP version 1" in text or b"\n1.." in text):
        yield from tap(text)


def _summarised(text: bytes, summary: Summary) -> Iterator[Report]:
    matches = list(summary.matches(text))
    if summary.last_only:
        matches = [
            match
            for match, following in zip(matches, [*matches[1:], None], strict=False)
            if following is None or _new_command(text[match.end() : following.start()])
        ]
    for match in matches:
        counted = counts(match)
        if not counted:
            continue
        problems = []
        if counted["broken"] and not counted["failed"] + counted["errors"]:
            problems.append(f"{summary.tool}: {counted['broken']} test files or suites could not be run")
        if (error := match.groupdict().get("error")) is not None:
            problems.append(f"{summary.tool}: {error.decode('utf-8', 'replace')} outside tests")
        yield console_report(summary.tool, counted, unit=summary.unit, problems=problems)


def _new_command(between: bytes) -> bool:
    """Whether npm or yarn began another script in between."""
    return re.search(rb"\n(?:> \S+@\S+ \S+|\$ \S[^\n]*)(?=\n)", between) is not None
