"""SARIF 2.1.0: what an analyser found.

Its results are findings, not tests: the counts count analyses (runs of a tool). One with unsuppressed
findings of level `error` failed, or with findings whose rule, and so whose level, cannot be found; one that did not
end as it should is an error. Suppressed findings stand under `skipped`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.errors import InputError
from tallystick.reports.base import FINDINGS
from tallystick.reports.sarif_rules import DEFAULT, Component, Descriptors, Override, Reference, Struct
from tallystick.reports.tally import Tally, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

KINDS = ("pass", "open", "informational", "notApplicable", "review", "fail")
_UNDECIDED = {"open": "could not be decided", "review": "have to be reviewed by a person"}


class _Tool(Struct):
    driver: Component
    extensions: list[Component] | None = None


class _Suppression(Struct):
    status: str | None = "accepted"


class _Provenance(Struct):
    invocation_index: int = -1


class _Result(Struct):
    rule_id: str | None = None
    rule_index: int = -1
    rule: Reference | None = None
    kind: str | None = None
    level: str | None = None
    baseline_state: str | None = None
    locations: Any = None
    suppressions: list[_Suppression] | None = None
    provenance: _Provenance | None = None


class _Notification(Struct):
    level: str | None = None
    descriptor: Reference | None = None
    message: Any = None


class _Invocation(Struct):
    execution_successful: bool
    exit_code_description: str | None = None
    rule_configuration_overrides: list[Override] | None = None
    notification_configuration_overrides: list[Override] | None = None
    tool_execution_notifications: list[_Notification] | None = None
    tool_configuration_notifications: list[_Notification] | None = None


class _Elsewhere(Struct):
    results: Any = None


class _Run(Struct):
    tool: _Tool
    results: list[_Result] | None = None
    invocations: list[_Invocation] | None = None
    policies: list[Component] | None = None
    external_property_file_references: _Elsewhere | None = None


class _Log(Struct):
    version: str
    runs: list[_Run] | None = None
    inline_external_properties: list[_Elsewhere] | None = None


def read(data: bytes, where: str) -> Report:
    """The report in the JSON. Raises InputError naming `where` and the place in it for what is none."""
    try:
        log = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Log)
    except RecursionError:
        raise InputError("not a SARIF log: nested too deeply", where=where) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"not a SARIF log: {error}", where=where) from None
    if log.version != "2.1.0":
        raise InputError(f"SARIF version {log.version[:40]!r} is not read, 2.1.0 is", where=where)
    tally = _Findings()
    for number, run in enumerate(log.runs or ()):
        tally.run(run, f"{where} runs[{number}]")
    if any(part.results for part in log.inline_external_properties or ()):
        tally.tally.problem("results outside the runs, in inlineExternalProperties, are not read")
    tools = dict.fromkeys(shortened(run.tool.driver.name, 60) for run in log.runs or ())
    return tally.report(", ".join(tools))


class _Findings:
    """Adds up runs and their results."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.runs = {"passed": 0, "failed": 0, "errors": 0}
        self.levels = dict.fromkeys(FINDINGS, 0)
        self.undecided: dict[str, int] = {}
        self.bad = 0

    def run(self, run: _Run, where: str) -> None:
        """Take one run of a tool (SARIF 3.14)."""
        bad, rules = self.bad, _rules(run)
        for number, result in enumerate(run.results or ()):
            self._result(rules, result, f"{where}.results[{number}]")
        if not self._completed(run):
            self.runs["errors"] += 1
        elif self.bad > bad:
            self.runs["failed"] += 1
        else:
            self.runs["passed"] += 1

    def report(self, tool: str) -> Report:
        """What was added up."""
        for kind, count in sorted(self.undecided.items()):
            self.tally.note(f"{count} results {_UNDECIDED[kind]} (kind {kind})")
        report = self.tally.report("sarif", tool=tool, unit="analyses", findings=self.levels)
        return report.replace(counts={**report.counts, **self.runs})

    def _completed(self, run: _Run) -> bool:
        name, invocations = run.tool.driver.name, run.invocations or []
        elsewhere = run.external_property_file_references
        failed = [call for call in invocations if not call.execution_successful]
        serious = _serious(run)
        if failed:
            reason = failed[0].exit_code_description
            self.tally.problem(f"{name} did not complete{f': {reason}' if reason else ''}")
        elif elsewhere is not None and elsewhere.results:
            self.tally.problem(f"{name} has results in another file, which is not read")
            return False
        elif run.results is None:
            self.tally.problem(f"{name} gave no list of results, not even an empty one")
        for notification in serious:
            self.tally.problem(f"{name} tells of an error, so its results may be incomplete{_said(notification)}")
        return not failed and not serious and run.results is not None

    def _result(self, rules: Descriptors, result: _Result, where: str) -> None:
        if result.baseline_state == "absent":
            return
        kind, reference = result.kind or "fail", _reference(result)
        if kind not in KINDS:
            raise InputError(f"a kind of result that SARIF does not have: {kind[:40]!r}", where=where)
        invocation = result.provenance.invocation_index if result.provenance else -1
        level: str | None = "none" if kind != "fail" else result.level
        if not level:
            level = rules.level(reference, invocation) if reference else DEFAULT
        if level is not None and level not in self.levels:
            raise InputError(f"a level that SARIF does not have: {level[:40]!r}", where=where)
        if _suppressed(result):
            self.tally.skipped(_name(result, reference))
            return
        if kind in _UNDECIDED:
            self.undecided[kind] = self.undecided.get(kind, 0) + 1
        self.levels[level or DEFAULT] += 1
        if level is None:
            self.tally.problem(f"the rule {reference} is not in the report, so the level of what it found is not known")
        if level in (None, "error"):
            self.bad += 1
            self.tally.failed(_name(result, reference))


def _rules(run: _Run) -> Descriptors:
    """The rules of the run, and how they were configured."""
    driver, extensions = run.tool.driver, run.tool.extensions or []
    return Descriptors(
        driver.rules or [],
        [(component, component.rules or []) for component in extensions],
        driver_guid=driver.guid,
        policies=[rule for policy in run.policies or () for rule in policy.rules or ()],
        overrides=[call.rule_configuration_overrides or [] for call in run.invocations or ()],
    )


def _serious(run: _Run) -> list[_Notification]:
    """What the tool says of itself with level `error`: its results may be incomplete then (SARIF 3.58.6)."""
    driver, extensions, calls = run.tool.driver, run.tool.extensions or [], run.invocations or []
    descriptors = Descriptors(
        driver.notifications or [],
        [(component, component.notifications or []) for component in extensions],
        driver_guid=driver.guid,
        overrides=[call.notification_configuration_overrides or [] for call in calls],
    )
    return [
        one
        for number, call in enumerate(calls)
        for one in (*(call.tool_execution_notifications or ()), *(call.tool_configuration_notifications or ()))
        if (one.level or (descriptors.level(one.descriptor, number) if one.descriptor else None)) == "error"
    ]


def _said(notification: _Notification) -> str:
    message = notification.message.get("text") if isinstance(notification.message, dict) else None
    return f": {message}" if isinstance(message, str) and message else ""


def _suppressed(result: _Result) -> bool:
    """Whether all suppressions of the result are accepted (SARIF 3.27.23)."""
    return bool(result.suppressions) and all(one.status in ("accepted", None) for one in result.suppressions or ())


def _reference(result: _Result) -> Reference:
    """How the result names its rule: in parts of its own, in `rule`, or in both (SARIF 3.27.5 to 3.27.7)."""
    rule = result.rule or Reference()
    return Reference(
        id=result.rule_id or rule.id,
        index=rule.index if rule.index >= 0 else result.rule_index,
        guid=rule.guid,
        tool_component=rule.tool_component,
    )


def _name(result: _Result, rule: Reference) -> str:
    name = rule.id or rule.guid
    try:
        where = result.locations[0]["physicalLocation"]
        uri = where["artifactLocation"]["uri"]
    except (KeyError, TypeError, IndexError):
        return name
    region = where.get("region")
    line = region.get("startLine") if isinstance(region, dict) else None
    return f"{name} {uri}{f':{line}' if isinstance(line, int) and line else ''}"
