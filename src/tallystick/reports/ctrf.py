"""CTRF, the Common Test Report Format (JSON): its tests are counted, its summary is not believed."""

from __future__ import annotations

import msgspec

from tallystick.errors import InputError
from tallystick.reports.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report


class _Test(msgspec.Struct):
    name: str
    status: str
    duration: float = 0
    flaky: bool = False
    suite: str | list[str] | None = None


class _Tool(msgspec.Struct):
    name: str


class _Summary(msgspec.Struct):
    start: float = 0
    stop: float = 0


class _Results(msgspec.Struct):
    tool: _Tool
    tests: list[_Test]
    summary: _Summary | None = None


class _Document(msgspec.Struct):
    reportFormat: str
    results: _Results


def read(data: bytes, where: str) -> Report:
    """The report in the JSON. Raises InputError naming `where` and the place in it for what is none."""
    try:
        document = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Document)
    except RecursionError:
        raise InputError("not a CTRF report: nested too deeply", where=where) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError(f"not a CTRF report: {error}", where=where) from None
    if document.reportFormat != "CTRF":
        raise InputError('not a CTRF report: its reportFormat is not "CTRF"', where=where)
    tally = Tally()
    for number, test in enumerate(document.results.tests):
        _count(tally, test, f"{where} results.tests[{number}]")
    summary = document.results.summary
    if summary is not None and summary.stop > summary.start > 0:
        tally.milliseconds = None
        tally.add_ms(summary.stop - summary.start)
    return tally.report("ctrf", tool=document.results.tool.name)


def _count(tally: Tally, test: _Test, where: str) -> None:
    name = _name(test)
    if test.status == "passed":
        if test.flaky:
            tally.flaky(name)
        else:
            tally.passed()
    elif test.status == "failed":
        tally.failed(name)
    elif test.status in ("skipped", "pending"):
        tally.skipped(name)
    elif test.status == "other":
        tally.error(name)
    else:
        raise InputError(f"a status that CTRF does not have: {test.status[:60]!r}", where=where)
    tally.add_ms(test.duration)


def _name(test: _Test) -> str:
    suite = [test.suite] if isinstance(test.suite, str) else test.suite or []
    if not suite or test.name.startswith(suite[0]):
        return test.name
    return " > ".join([*suite[:20], test.name])
