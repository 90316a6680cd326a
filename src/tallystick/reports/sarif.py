"""SARIF 2.1.0: what an analyser found.

Its results are findings, not tests: the counts count analyses (runs of a tool). One with unsuppressed
findings of level `error` failed, one that did not end as it should is an error. Suppressed findings stand
under `skipped`.
"""

from __future__ import annotations

import msgspec

from tallystick.errors import InputError
from tallystick.reports.base import FINDINGS
from tallystick.reports.tally import Tally, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report


class _Struct(msgspec.Struct, rename="camel"):
    pass


class _Configuration(_Struct):
    level: str = "warning"


class _Rule(_Struct):
    id: str
    default_configuration: _Configuration | None = None


class _Component(_Struct):
    name: str
    rules: list[_Rule] | None = None


class _Tool(_Struct):
    driver: _Component


class _Artifact(_Struct):
    uri: str = ""


class _Region(_Struct):
    start_line: int = 0


class _Physical(_Struct):
    artifact_location: _Artifact | None = None
    region: _Region | None = None


class _Location(_Struct):
    physical_location: _Physical | None = None


class _Suppression(_Struct):
    status: str = "accepted"


class _Reference(_Struct):
    id: str = ""
    index: int = -1


class _Result(_Struct):
    rule_id: str = ""
    rule_index: int = -1
    rule: _Reference | None = None
    kind: str = "fail"
    level: str = ""
    baseline_state: str = ""
    locations: list[_Location] | None = None
    suppressions: list[_Suppression] | None = None


class _Invocation(_Struct):
    execution_successful: bool
    exit_code_description: str = ""


class _Run(_Struct):
    tool: _Tool
    results: list[_Result] | None = None
    invocations: list[_Invocation] | None = None


class _Log(_Struct):
    version: str
    runs: list[_Run] | None = None


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
    tools = dict.fromkeys(shortened(run.tool.driver.name, 60) for run in log.runs or ())
    return tally.report(", ".join(tools))


class _Findings:
    """Adds up runs and their results."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.runs = {"passed": 0, "failed": 0, "errors": 0}
        self.levels = dict.fromkeys(FINDINGS, 0)

    def run(self, run: _Run, where: str) -> None:
        """Take one run of a tool (SARIF 3.14)."""
        errors = self.levels["error"]
        rules = _Rules(run.tool.driver.rules or [])
        for number, result in enumerate(run.results or ()):
            self._result(rules, result, f"{where}.results[{number}]")
        if not self._completed(run):
            self.runs["errors"] += 1
        elif self.levels["error"] > errors:
            self.runs["failed"] += 1
        else:
            self.runs["passed"] += 1

    def report(self, tool: str) -> Report:
        """What was added up."""
        report = self.tally.report("sarif", tool=tool, unit="analyses", findings=self.levels)
        return report.replace(counts={**report.counts, **self.runs})

    def _completed(self, run: _Run) -> bool:
        name = run.tool.driver.name
        failed = [call for call in run.invocations or () if not call.execution_successful]
        if failed:
            reason = failed[0].exit_code_description
            self.tally.problem(f"{name} did not complete{f': {reason}' if reason else ''}")
        elif run.results is None:
            self.tally.problem(f"{name} gave no list of results, not even an empty one")
        return not failed and run.results is not None

    def _result(self, rules: _Rules, result: _Result, where: str) -> None:
        if result.baseline_state == "absent":
            return
        level = rules.level(result)
        if level not in self.levels:
            raise InputError(f"a level that SARIF does not have: {level[:40]!r}", where=where)
        name = _name(result)
        if _suppressed(result):
            self.tally.skipped(name)
        else:
            self.levels[level] += 1
            self.tally.failed(name)


def _suppressed(result: _Result) -> bool:
    """Whether all suppressions of the result are accepted (SARIF 3.27.23)."""
    return bool(result.suppressions) and all(one.status == "accepted" for one in result.suppressions or ())


class _Rules:
    """The rules of a run, and the levels that they give."""

    def __init__(self, rules: list[_Rule]) -> None:
        levels = [rule.default_configuration.level if rule.default_configuration else "" for rule in rules]
        self.by_index = dict(enumerate(levels))
        self.by_name = {rule.id: level for rule, level in zip(rules, levels, strict=True)}

    def level(self, result: _Result) -> str:
        """The level of the result, where it has none of its own that of its rule (SARIF 3.27.10)."""
        if result.kind != "fail":
            return "none"
        rule = result.rule or _Reference()
        by_index = self.by_index.get(max(result.rule_index, rule.index), "")
        return result.level or by_index or self.by_name.get(result.rule_id or rule.id, "") or "warning"


def _name(result: _Result) -> str:
    name = result.rule_id or (result.rule.id if result.rule else "")
    where = result.locations[0].physical_location if result.locations else None
    if where is None or where.artifact_location is None:
        return name
    line = f":{where.region.start_line}" if where.region and where.region.start_line else ""
    return f"{name} {where.artifact_location.uri}{line}"
