"""What a test report comes down to, whatever its format."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.reports.tally import COUNTS, MAX_COUNT, MAX_NAMES, MAX_PROBLEMS, NAMED, Names, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

FINDINGS = ("error", "warning", "note", "none")
REPLAYED = ("", "partly", "all")
UNITS = ("tests", "packages", "targets", "tasks", "hooks", "analyses")
"""What a report counts. Of several reports those in the first of these units are counted."""


class Report(Frozen):
    """Counts and names out of one report or one captured output."""

    __slots__ = FIELDS = (
        "format",
        "tool",
        "unit",
        "counts",
        "names",
        "left_out",
        "duration_ms",
        "findings",
        "problems",
        "replayed",
        "notes",
        "inside",
    )

    format: str
    """`junit`, `tap`, `ctrf`, `go`, `sarif` or `console`; `mixed` where several were combined."""
    tool: str
    """What made it, such as `pytest`; empty where that cannot be told."""
    unit: str
    """What the counts count, one of `UNITS`. Compare only equal units."""
    counts: Mapping[str, int]
    """How many `passed`, `failed`, `errors`, `skipped`, `flaky`, and `xfailed` if any; each is a property too."""
    names: Mapping[str, tuple[str, ...]]
    """Names of what `failed` or broke, was `skipped`, was `flaky`: sorted, at most `MAX_NAMES` of each."""
    left_out: Mapping[str, int]
    """How many names of `failed`, `skipped` and `flaky` are not listed, where any are not."""
    duration_ms: int | None
    """As the report has it, in milliseconds; None where it does not say."""
    findings: Mapping[str, int] | None
    """An analyser's findings by level, suppressed ones apart; None for tests."""
    problems: tuple[str, ...]
    """Why the run as a whole does not hold, tests apart: a build that failed, a plan not met, a bail-out."""
    replayed: str
    """`all` where a runner only showed old results, `partly` where it did so for some; else empty."""
    notes: tuple[str, ...]
    """What the reader should know although it decides nothing: text that was dropped, findings to be reviewed."""
    inside: tuple[str, ...]
    """Failing runs in a captured output that a test of a later, passing run may have started. They are not counted."""

    def __init__(
        self,
        format: str,
        *,
        tool: str = "",
        unit: str = "tests",
        counts: Mapping[str, int] | None = None,
        names: Mapping[str, Iterable[str]] | None = None,
        left_out: Mapping[str, int] | None = None,
        duration_ms: int | None = None,
        findings: Mapping[str, int] | None = None,
        problems: Iterable[str] = (),
        replayed: str = "",
        notes: Iterable[str] = (),
        inside: Iterable[str] = (),
    ) -> None:
        counts, names, left_out = counts or {}, names or {}, left_out or {}
        set_once(self, "format", format)
        set_once(self, "tool", tool)
        set_once(self, "unit", unit)
        kinds = (kind for kind in COUNTS if kind != "xfailed" or counts.get(kind))
        set_once(self, "counts", {kind: min(counts.get(kind, 0), MAX_COUNT) for kind in kinds})
        set_once(self, "names", {kind: tuple(names.get(kind, ())) for kind in NAMED})
        set_once(self, "left_out", {kind: left_out[kind] for kind in NAMED if left_out.get(kind)})
        set_once(self, "duration_ms", duration_ms)
        set_once(self, "findings", findings)
        set_once(self, "problems", tuple(problems))
        set_once(self, "replayed", replayed)
        set_once(self, "notes", tuple(notes))
        set_once(self, "inside", tuple(inside))

    @property
    def executed(self) -> int:
        """How many ran to a result or broke: passed, failed, errors and xfailed together."""
        return self.passed + self.failed + self.errors + self.xfailed

    @property
    def passed(self) -> int:
        """How many passed in the end; a flaky test that passed on a later attempt is among them."""
        return self.counts["passed"]

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.counts["failed"]

    @property
    def errors(self) -> int:
        """How many broke outside what they test, or ended without a verdict."""
        return self.counts["errors"]

    @property
    def skipped(self) -> int:
        """How many do not count: skipped, ignored, disabled, to do; findings suppressed."""
        return self.counts["skipped"]

    @property
    def flaky(self) -> int:
        """How many passed after an attempt that failed."""
        return self.counts["flaky"]

    @property
    def xfailed(self) -> int:
        """How many failed as their authors said they would: they ran, and fail nothing."""
        return self.counts.get("xfailed", 0)

    @property
    def status(self) -> str:
        """`fail`, `replayed` (nothing ran, all results are old), `none` (nothing was executed) or `pass`."""
        if self.failed or self.errors or self.problems:
            return "fail"
        if self.replayed == "all":
            return "replayed"
        return "pass" if self.executed else "none"

    def to_details(self) -> dict[str, Any]:
        """The report as a JSON object of text and integers, for an entry's details; empty parts left out."""
        details: dict[str, Any] = {
            "format": self.format,
            "tool": self.tool,
            "unit": self.unit,
            "status": self.status,
            "counts": {**self.counts, "executed": self.executed},
            "names": {kind: list(names) for kind, names in self.names.items() if names},
            "left_out": dict(self.left_out),
            "problems": list(self.problems),
            "replayed": self.replayed,
            "notes": list(self.notes),
            "inside": list(self.inside),
        }
        details = {key: value for key, value in details.items() if value}
        if self.duration_ms is not None:
            details["duration_ms"] = self.duration_ms
        if self.findings is not None:
            details["findings"] = dict(self.findings)
        return details

    @classmethod
    def from_details(cls, details: Any, *, where: str = "details.report") -> Report:
        """The report that `to_details` made these of. Raises InputError naming `where` for anything else."""
        try:
            return _from_details(details)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a report's details: {error}", where=where) from None


def _from_details(details: Any) -> Report:
    details = _object(details, "the whole")
    counts = _integers(details["counts"], (*COUNTS, "executed"), "counts")
    names = _object(details.get("names", {}), "names")
    duration, findings = details.get("duration_ms"), details.get("findings")
    report = Report(
        _text(details["format"], "format"),
        tool=_text(details.get("tool", ""), "tool"),
        unit=_text(details.get("unit", "tests"), "unit"),
        counts=counts,
        names={kind: _texts(names.get(kind, ()), kind) for kind in NAMED},
        left_out=_integers(details.get("left_out", {}), NAMED, "left_out"),
        duration_ms=None if duration is None else _integer(duration, "duration_ms"),
        findings=None if findings is None else _integers(findings, FINDINGS, "findings"),
        problems=_texts(details.get("problems", ()), "problems"),
        replayed=_text(details.get("replayed", ""), "replayed"),
        notes=_texts(details.get("notes", ()), "notes"),
        inside=_texts(details.get("inside", ()), "inside"),
    )
    if report.executed != counts.get("executed", report.executed):
        raise ValueError("executed is not the sum of passed, failed, errors and xfailed")
    if report.replayed not in REPLAYED:
        raise ValueError("replayed is neither all nor partly")
    return report


def _object(value: Any, name: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is no object")
    return value


def _integer(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"{name} is no count")
    return value


def _integers(value: Any, kinds: tuple[str, ...], name: str) -> dict[str, int]:
    if unknown := [key for key in _object(value, name) if key not in kinds]:
        raise ValueError(f"{name} has no {unknown[0]!r}")
    return {kind: _integer(count, kind) for kind, count in value.items()}


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_NAMES:
        raise TypeError(f"{name} is no list of at most {MAX_NAMES}")
    return tuple(_text(item, name) for item in value)


def combined(reports: Iterable[Report]) -> Report:
    """One report for several of one command: counts added up, names merged.

    If their units differ, only those in the first of `UNITS` count, of those that executed anything, and a failure of
    the others becomes a problem. The counts do not depend on the order of the reports. Raises ValueError if there is
    no report.
    """
    parts = list(reports)
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise ValueError("no report to combine")
    unit = min((part.unit for part in [part for part in parts if part.executed] or parts), key=_rank)
    counted = [part for part in parts if part.unit == unit]
    names = {kind: Names() for kind in NAMED}
    for kind, collected in names.items():
        for part in counted:
            collected.add(*part.names[kind], unlisted=part.left_out.get(kind, 0))
    return Report(
        parts[0].format if len({part.format for part in parts}) == 1 else "mixed",
        tool=shortened(", ".join(dict.fromkeys(part.tool for part in parts if part.tool)), 100),
        unit=unit,
        counts={kind: sum(part.counts.get(kind, 0) for part in counted) for kind in COUNTS},
        names={kind: collected.listed() for kind, collected in names.items()},
        left_out={kind: collected.left_out() for kind, collected in names.items()},
        duration_ms=_total([part.duration_ms for part in parts]),
        findings=_findings(counted),
        problems=_problems(parts, unit)[:MAX_PROBLEMS],
        replayed=_replayed(parts),
        notes=[note for part in parts for note in part.notes][:MAX_PROBLEMS],
        inside=[run for part in parts for run in part.inside][:MAX_PROBLEMS],
    )


def _rank(unit: str) -> tuple[int, str]:
    """Where the unit stands in `UNITS`; units that an older ledger holds come last."""
    return UNITS.index(unit) if unit in UNITS else len(UNITS), unit


def _total(durations: list[int | None]) -> int | None:
    known = [duration for duration in durations if duration is not None]
    return min(sum(known), MAX_COUNT) if known else None


def _findings(parts: list[Report]) -> dict[str, int] | None:
    found = [part.findings for part in parts if part.findings is not None]
    return {level: sum(some.get(level, 0) for some in found) for level in FINDINGS} if found else None


def _problems(parts: list[Report], unit: str) -> list[str]:
    problems = [problem for part in parts for problem in part.problems]
    for part in parts:
        bad = part.failed + part.errors
        if part.unit != unit and bad:
            problems.append(f"{part.tool or part.format}: {bad} of {part.executed} {part.unit} failed")
    return problems


def _replayed(parts: list[Report]) -> str:
    extents = {part.replayed for part in parts}
    return extents.pop() if len(extents) == 1 else "partly"
