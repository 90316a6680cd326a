"""CTRF, the Common Test Report Format (JSON): its tests are counted.

Its summary is only held against them: one that says that more failed than it lists does not pass. Fields that
writers leave out, or fill in their own way, are not asked for: a name, a status and the list of tests are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.errors import InputError
from tallystick.reports.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report


class _Test(msgspec.Struct):
    name: str
    status: str
    duration: Any = None
    flaky: Any = False
    retries: Any = None
    suite: Any = None


class _Results(msgspec.Struct):
    tests: list[_Test]
    tool: Any = None
    summary: Any = None


class _Document(msgspec.Struct):
    results: _Results
    reportFormat: str | None = None


def looks_like(results: bytes) -> bool:
    """Whether the `results` of a JSON object are those of CTRF: older writers leave `reportFormat` out."""
    try:
        parts = msgspec.json.decode(results, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return bytes(parts.get("tests", b"")).lstrip().startswith(b"[") and not parts.keys().isdisjoint({"tool", "summary"})


def read(data: bytes, where: str) -> Report:
    """The report in the JSON. Raises InputError naming `where` and the place in it for what is none."""
    try:
        document = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Document)
    except RecursionError:
        raise InputError("not a CTRF report: nested too deeply", where=where) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"not a CTRF report: {error}", where=where) from None
    if (document.reportFormat or "CTRF").upper() != "CTRF":
        raise InputError('not a CTRF report: its reportFormat is not "CTRF"', where=where)
    tally = Tally()
    for number, test in enumerate(document.results.tests):
        _count(tally, test, f"{where} results.tests[{number}]")
    summary = _object(document.results.summary)
    _compare(tally, summary)
    start, stop = _number(summary.get("start")), _number(summary.get("stop"))
    if start is not None and stop is not None and stop > start > 0:
        tally.milliseconds = None
        tally.add_ms(stop - start)
    name = _object(document.results.tool).get("name")
    return tally.report("ctrf", tool=name if isinstance(name, str) else "")


def _count(tally: Tally, test: _Test, where: str) -> None:
    name, status = _name(test), test.status.lower()
    if status == "passed":
        if test.flaky is True or _number(test.retries):
            tally.flaky(name)
        else:
            tally.passed()
    elif status == "failed":
        tally.failed(name)
    elif status in ("skipped", "pending"):
        tally.skipped(name)
    elif status == "other":
        tally.error(name)
    else:
        raise InputError(f"a status that CTRF does not have: {test.status[:60]!r}", where=where)
    tally.add_ms(_number(test.duration))


def _compare(tally: Tally, summary: dict[str, Any]) -> None:
    """Note if the summary counts more failures than the tests show."""
    shown = tally.counts["failed"] + tally.counts["errors"]
    stated = sum(count for kind in ("failed", "other") if isinstance(count := summary.get(kind), int) and count > 0)
    if stated > shown:
        tally.problem(f"its summary says that {stated} failed or broke, and it shows {shown}")


def _name(test: _Test) -> str:
    suite = [test.suite] if isinstance(test.suite, str) else test.suite if isinstance(test.suite, list) else []
    suite = [part for part in suite[:20] if isinstance(part, str)]
    if not suite or test.name.startswith(suite[0]):
        return test.name
    return " > ".join([*suite, test.name])


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
