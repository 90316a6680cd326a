"""What one result shows: whether a run's end, its counts and its output meet what the plan expects."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.gate.expectation import EXIT_ZERO, SHELLS_WORD, Expectation
from tallystick.model.text import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from tallystick.capture.result import Finished
    from tallystick.capture.run import Judgement
    from tallystick.gate.attempts import Attempt
    from tallystick.reports.base import Report

TIMED_OUT = "timed out"
NAMED_MISSING = (b"not found", b"o such file", b"ermission denied", b"annot execute", b"Failed to", b"o module named")
"""Without any of these no line of an output says that a command could not be started."""


def judge_run(
    expect: Expectation | None, report: Callable[[], Mapping[str, Any]] | None = None
) -> Callable[[Finished], Judgement]:
    """How the end of a run is judged when it is recorded: by the plan's expectation where there is one.

    `report` reads the counts that the run left in a file, as `Report.to_details` has them; else they are read
    from what it printed.
    """

    from tallystick.capture.run import Judgement, by_exit_code, cut_short_by

    def judge(finished: Finished) -> Judgement:
        counted = dict(report()) if report else counts_in(finished.output.kept())
        details = {"tests": counted} if counted else {}
        plain = by_exit_code(finished)
        if finished.timed_out or cut_short_by(finished):
            return Judgement("fail", plain.reason, details)
        if missing := _not_run(expect or Expectation(), finished, counted):
            return Judgement("fail", f"it could not be run: {missing}", {**details, "not_run": missing})
        reasons = shortcomings(
            expect or Expectation(),
            finished.exit_code,
            counted,
            lambda: decode_text(finished.output.kept()),
            command=finished.command,
        )
        if reasons:
            return Judgement("fail", "; ".join(reasons), details)
        return Judgement("pass", _told(plain.reason, counted), details)

    return judge


def _not_run(expect: Expectation, finished: Finished, counted: Mapping[str, Any]) -> str:
    """What could not be started, so that the run shows nothing; empty if it is a result."""
    if expect.exit != EXIT_ZERO and expect.exit.allows(finished.exit_code):
        return ""
    expected, output = expect.exit.allows(finished.exit_code), finished.output.kept()
    if expected and not any(word in output for word in NAMED_MISSING):
        return ""
    counts = as_object(counted.get("counts"))
    if counts.get("failed") or counts.get("errors") or (expected and "files" in counted):
        return ""
    from tallystick.gate.not_run import why_not_run

    return why_not_run(finished.command, finished.exit_code, output, expected=expected, started=finished.spawned)


def counts_in(output: bytes) -> dict[str, Any]:
    """What a known test runner says at the end of its output, as details; empty if there is no such word.

    `unended` lists runs that it shows to have begun and not to have ended.
    """
    if not output:
        return {}
    from tallystick.reports.console import read_console, replay_marker, unended_runs

    report = read_console(output)
    details: dict[str, Any] = report.to_details() if report else {}
    if report is not None and report.status == "fail" and (report.unit == "packages" or not report.names["failed"]):
        details |= _failing(output, report)
    if marker := replay_marker(output):
        details["replay_marker"] = str(marker)
        details.setdefault("replayed", marker.extent)
    if cut_short := unended_runs(output):
        details["unended"] = cut_short
    return details


def _failing(output: bytes, report: Report) -> dict[str, Any]:
    """The names of what failed, if the runner printed them."""
    from tallystick.reports.failing import failing_names

    names = failing_names(output, report.tool)
    if not names.count:
        return {}
    listed = names.listed()
    left_out = {**report.left_out, "failed": max(0, report.failed + report.errors - len(listed))}
    named = {kind: list(told) for kind, told in report.names.items() if told}
    return {
        "names": {**named, "failed": list(listed)},
        "left_out": {kind: count for kind, count in left_out.items() if count},
    }


def _told(reason: str, counted: Mapping[str, Any]) -> str:
    counts = counted.get("counts", {})
    if not counts:
        return reason
    from tallystick.gate.report_file import notes_told

    skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
    executed = counts.get("executed", 0)
    return f"{reason}; {executed} {'test' if executed == 1 else 'tests'}{skipped}{notes_told(counted)}"


def shortcomings(
    expect: Expectation, exit_code: int, tests: Mapping[str, Any], output: Callable[[], str], *, command: str = ""
) -> list[str]:
    """Why a run does not show what is expected, a reason each; empty if it does.

    `command` is the text that was run: it tells whether the exit code is that of the test runner.
    """
    counts = as_object(tests.get("counts"))
    executed, skipped = _integer(counts.get("executed")), _integer(counts.get("skipped"))
    reasons = expect.unmet(exit_code, tests=executed, skipped=skipped, output=output() if expect.output else "")
    if executed == 0 and expect.tests is None:
        what = {"tasks": "task", "hooks": "hook"}.get(str(tests.get("unit")), "test")
        reasons.append(f"no {what} was executed" + (f" ({skipped} skipped)" if skipped else ""))
    if tests.get("replayed") == "all":
        reasons.append("the runner replayed an old result and ran nothing")
    if told := _failures(expect, exit_code, tests, command):
        reasons.append(told)
    return reasons


def _failures(expect: Expectation, exit_code: int, tests: Mapping[str, Any], command: str) -> str:
    """Failures that a report file tells of, and those that were printed although the exit code was 0.

    What was printed may be a test's subject, or cut into by it: the exit code outweighs a guess unless it was hidden.
    """
    failed, inside, cut_short = tests.get("status") == "fail", _texts(tests, "inside"), _texts(tests, "unended")
    if not (failed or inside or cut_short):
        return ""
    from tallystick.gate.report_file import failures_told

    told = [failures_told(tests)] if failed else []
    if "files" in tests:
        return "; ".join(told) if expect.exit.allows(0) else ""
    if exit_code != 0 or expect.exit != EXIT_ZERO:
        return ""
    from tallystick.gate.shown_exit import HIDDEN, INVERTED, SHOWN, shown_exit

    shown = shown_exit(command)
    if shown == INVERTED:
        return ""
    told += inside if shown != SHOWN else []
    told += cut_short if shown == HIDDEN else []
    if not told:
        return ""
    only_perhaps = inside and not failed and shown != HIDDEN
    way_out = (
        "; if a later run's test started that run, have the plan name the runner, no script" if only_perhaps else ""
    )
    return f"{'; '.join(told)}, although the exit code was 0{way_out}"


def says_not_run(expect: Expectation, exit_code: int, executed: int | None) -> bool:
    """Whether the shell, or what starts the command, said that it cannot be run: then its end shows nothing.

    126 and 127 say so, unless the plan expects them or a test was executed.
    """
    return exit_code in SHELLS_WORD and not expect.exit.allows(exit_code) and not executed


def failure_of(attempt: Attempt, expect: Expectation, output: Callable[[], str]) -> str:
    """Why a recorded result does not pass; empty where it does.

    Of a run the exit code, the counts and the output decide, whatever status was written down.
    """
    if attempt.watched:
        if attempt.run.get("timed_out"):
            return TIMED_OUT
        if expect.output and not attempt.output_known:
            return "its output was erased, so it cannot be seen to match"
        reasons = shortcomings(expect, attempt.exit_code, attempt.tests, output, command=attempt.command)
        return "; ".join(reasons)
    if attempt.status != "pass":
        return attempt.reason or f"recorded as {attempt.status}"
    wanted = Expectation(tests=expect.tests, skipped=expect.skipped)
    return "; ".join(wanted.unmet(0, tests=attempt.executed, skipped=attempt.skipped))


def _texts(tests: Mapping[str, Any], name: str) -> list[str]:
    listed = tests.get(name)
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, (list, tuple)) else []


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
