"""How test reports come in: JUnit XML, TAP, CTRF, `go test -json`, SARIF 2.1.0, and plain console output.

One file each; `read_report` picks by content. All give a `Report`; `reports.console` reads captured output.
"""

from __future__ import annotations

from tallystick.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

__all__ = ["FORMATS", "detect", "read_report"]

FORMATS = ("junit", "tap", "ctrf", "go", "sarif")
"""The formats of reports, as `read_report` takes them."""

MAX_REPORT_BYTES = 128 * 1024 * 1024
"""The largest report that is read."""

UNREADABLE = "not a report that can be read: "
"""How the errors of `detect` begin, before what is wrong."""

_HEAD = 64 * 1024
_BLANK = b"\xef\xbb\xbf \t\r\n"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")


def detect(data: bytes, filename: str = "") -> str:
    """Which of `FORMATS` the data is in, by what it holds. Raises InputError where it is none of them."""
    head = data[:_HEAD].lstrip(_BLANK)
    if head.startswith((b"<", *_UTF_16)):
        return "junit"
    if _has_go_event(head):
        return "go"
    if head.startswith(b"{"):
        return _json_format(data, filename)
    if _has_tap_line(head):
        return "tap"
    raise _unknown("an empty file" if not head else "it begins like none of the known formats", filename)


def read_report(data: bytes, format: str | None = None, filename: str = "") -> Report:
    """The report in the data: one of `FORMATS`, found by its content where `format` is None.

    Raises InputError, naming `filename` and the place in it, where the data is too large (128 MiB), is not in
    that format, or holds what a report has no business to hold (a DTD, deep nesting).
    """
    if len(data) > MAX_REPORT_BYTES:
        raise InputError(
            f"the report has {len(data) >> 20} MiB; at most {MAX_REPORT_BYTES >> 20} MiB are read",
            where=filename,
            advice="leave captured output out of it, or split it",
        )
    format = detect(data, filename) if format is None else format
    if format == "junit":
        from tallystick.reports.junit import read
    elif format == "tap":
        from tallystick.reports.tap import read
    elif format == "ctrf":
        from tallystick.reports.ctrf import read
    elif format == "go":
        from tallystick.reports.go import read
    elif format == "sarif":
        from tallystick.reports.sarif import read
    else:
        raise InputError(f"no such report format: {format}", advice=f"give one of {', '.join(FORMATS)}")
    return read(data, filename or f"the {format} report")


def _has_go_event(head: bytes) -> bool:
    import re

    return re.search(rb'^\{(?="(?:Time|Action|ImportPath)":).{0,400}"Action":"', head, re.MULTILINE) is not None


def _has_tap_line(head: bytes) -> bool:
    import re

    return re.search(rb"^(?:TAP version 1\d|1\.\.\d+|(?:not )?ok\b)", head, re.MULTILINE) is not None


def _json_format(data: bytes, filename: str) -> str:
    import msgspec

    try:
        keys = msgspec.json.decode(data.lstrip(_BLANK), type=dict[str, msgspec.Raw])
    except RecursionError:
        raise _unknown("JSON that is nested too deeply", filename) from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise _unknown(f"not valid JSON ({error})", filename) from None
    if "reportFormat" in keys:
        return "ctrf"
    if "runs" in keys:
        return "sarif"
    raise _unknown("a JSON object that is no report (neither reportFormat nor runs)", filename)


def _unknown(what: str, filename: str) -> InputError:
    return InputError(
        f"{UNREADABLE}{what}",
        where=filename,
        advice=f"the formats are {', '.join(FORMATS)}",
    )
