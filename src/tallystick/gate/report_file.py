"""What a report file says, as an entry's details keep it; and one that a run is to write, which an old one never is."""

from __future__ import annotations

import os

from tallystick.errors import InputError, TallystickError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from tallystick.gate.expectation import Expectation
    from tallystick.reports.base import Report
    from tallystick.workspace import Workspace

NAMES_ROOM = 40_000
"""Bytes that the names of one kind may take in an entry: it holds the names of changed files besides."""
FILES_NAMED = 100
"""How many of the files that one report lies in are named."""
TOLD_NAMES = 3
_ONE = {
    "tests": "test",
    "packages": "package",
    "targets": "target",
    "tasks": "task",
    "hooks": "hook",
    "analyses": "analysis",
}


class ReportFile:
    """The report that a command is about to write. Made before the content is looked at.

    An old report that git does not know is removed, so that what lies there afterwards is the run's; one that git
    does know has to be written anew to count. Raises InputError where what lies there is no report.
    """

    def __init__(self, path: str, workspace: Workspace) -> None:
        self.path = os.path.abspath(path)
        self.shown = path
        self._before = _stamp(self.path)
        if self._before is None:
            return
        if not os.path.isfile(self.path):
            raise InputError("this is no file that a report could be written to", where=path)
        if not _is_tracked(self.path, workspace):
            _require_old_report(self.path, path)
            os.unlink(self.path)
            self._before = None

    def details(self) -> dict[str, Any]:
        """What the run's report says, for `details.run.tests`; that there is none is a problem that it says."""
        stamp = _stamp(self.path)
        if stamp is None:
            return _absent(self.shown, "the command wrote no report")
        if stamp == self._before:
            return _absent(self.shown, "the report was there before and was not written anew")
        try:
            with open(self.path, "rb") as file:
                data = file.read()
            from tallystick.reports import read_report

            return report_details(read_report(data, filename=self.shown), [(self.shown, data)])
        except OSError as error:
            return _absent(self.shown, f"the report cannot be read: {error.strerror}")
        except TallystickError as error:
            return _absent(error.where or self.shown, f"the report cannot be read: {error.what}")


def report_details(report: Report, files: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    """A report as an entry's details keep it: `Report.to_details`, and which files it lay in (`path`, `sha256`)."""
    from hashlib import sha256

    details = report.to_details()
    for kind, names in details.get("names", {}).items():
        if unlisted := len(names) - len(kept := _fitting(names)):
            details["names"][kind] = kept
            details["left_out"] = {**details.get("left_out", {})}
            details["left_out"][kind] = details["left_out"].get(kind, 0) + unlisted
    details["files"] = [{"path": path, "sha256": sha256(data).hexdigest()} for path, data in files[:FILES_NAMED]]
    if len(files) > FILES_NAMED:
        details["files_left_out"] = len(files) - FILES_NAMED
    return details


def failures_told(report: Mapping[str, Any]) -> str:
    """Why a report does not pass, in a line; empty where nothing in it failed."""
    if report.get("status") != "fail":
        return ""
    counts, names = report.get("counts") or {}, report.get("names") or {}
    problems = [str(problem) for problem in (report.get("problems") or ())[:TOLD_NAMES]]
    bad = counts.get("failed", 0) + counts.get("errors", 0)
    if bad:
        listed = list(names.get("failed", ()))[:TOLD_NAMES]
        more = ", …" if bad > len(listed) and listed else ""
        told = f": {', '.join(map(str, listed))}{more}" if listed else ""
        problems.insert(
            0, f"{bad} of {_counted(counts.get('executed', bad), report.get('unit', 'tests'))} failed{told}"
        )
    return "; ".join(problems) or "the report says that it failed"


def notes_told(report: Mapping[str, Any]) -> str:
    """What a reader should know of a report although it decides nothing, to stand after the counts; mostly empty."""
    notes = [str(note) for note in (report.get("notes") or ())[:TOLD_NAMES]]
    return f" ({'; '.join(notes)})" if notes else ""


def judge_report(expect: Expectation, report: Mapping[str, Any]) -> tuple[str, str]:
    """The status (`pass`, `fail`) and the reason of a report that stands alone, as somebody brings it."""
    from tallystick.gate.expectation import Expectation
    from tallystick.gate.judgement import shortcomings

    counted = Expectation(tests=expect.tests, skipped=expect.skipped)
    reasons = shortcomings(counted, 0, report, str)
    if reasons:
        return "fail", "; ".join(reasons)
    counts = report["counts"]
    skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
    flaky = f", {counts['flaky']} flaky" if counts.get("flaky") else ""
    return "pass", f"{_counted(counts['executed'], report['unit'])} passed{skipped}{flaky}{notes_told(report)}"


def _counted(number: int, unit: str) -> str:
    """The number with its unit: `1 test`, `2 tests`."""
    return f"{number} {_ONE.get(unit, unit) if number == 1 else unit}"


def _fitting(names: Sequence[str]) -> list[str]:
    """As many of the names as there is room for."""
    room, kept = NAMES_ROOM, []
    for name in names:
        room -= len(name.encode("utf-8", "surrogatepass")) + 3
        if room < 0:
            break
        kept.append(name)
    return kept


def _absent(path: str, why: str) -> dict[str, Any]:
    return {"status": "fail", "problems": [f"{path}: {why}"], "files": [{"path": path}]}


def _stamp(path: str) -> tuple[int, int, int, int] | None:
    """What changes whenever a file is written; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _is_tracked(path: str, workspace: Workspace) -> bool:
    from tallystick.workspace.git import GitError

    if not workspace.is_git:
        return False
    folder = os.path.realpath(os.path.dirname(path))
    if os.path.commonpath([folder, workspace.root]) != workspace.root:
        return False
    inside = os.path.relpath(os.path.join(folder, os.path.basename(path)), workspace.root)
    try:
        return bool(workspace.git.run("ls-files", "-z", "--", f":(literal){inside}"))
    except GitError:
        return True


def _require_old_report(path: str, shown: str) -> None:
    """Raises InputError where the file is not empty and no report: nobody's file is removed for a slip of the hand."""
    from tallystick.reports import detect

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=shown) from None
    if not data.strip():
        return
    try:
        detect(data, shown)
    except InputError:
        raise InputError(
            "the file is there and is no report, so it is not removed",
            where=shown,
            advice="remove it, or name another file",
        ) from None
