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
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_16 = (*_MARKS, b"<\0", b"\0<")


def detect(data: bytes, filename: str = "") -> str:
    """Which of `FORMATS` the data is in, by what it holds. Raises InputError where it is none of them."""
    data = _as_utf_8(data)
    head = data[:_HEAD].lstrip(_BLANK)
    if _is_kernel_log(head):
        return "tap"
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
    data = _as_utf_8(data)
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


def _as_utf_8(data: bytes) -> bytes:
    """The data as UTF-8 if it is UTF-16 and no XML, which tells its encoding itself: PowerShell writes so."""
    if data[:2] not in _MARKS or not data[2:16].replace(b"\0", b"").strip(_BLANK) or b"<" in data[2:6]:
        return data
    return data.decode("utf-16", "replace").encode("utf-8")


def _has_go_event(head: bytes) -> bool:
    import re

    first = rb"(?=\"(?:Time|Action|Package|ImportPath|Test|Elapsed|Output)\"\s*:)"
    return re.search(rb"^\{\s*" + first + rb".{0,400}?\"Action\"\s*:\s*\"", head, re.MULTILINE) is not None


def _has_tap_line(head: bytes) -> bool:
    import re

    return re.search(rb"^(?:[ \t]*K?TAP version \d|1\.\.\d+|(?:not )?ok\b)", head, re.MULTILINE) is not None


def _is_kernel_log(head: bytes) -> bool:
    """Whether it is a kernel's log with TAP in it; its lines may begin with a level in angle brackets."""
    if not head.startswith((b"[", b"<")):
        return False
    import re

    line = rb"^(?:<\d{1,3}>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? *(?:K?TAP version \d|1\.\.\d|(?:not )?ok \d)"
    return re.search(line, head, re.MULTILINE) is not None


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
    if "results" in keys:
        from tallystick.reports.ctrf import looks_like

        if looks_like(bytes(keys["results"])):
            return "ctrf"
    raise _unknown("a JSON object that is no report (neither reportFormat nor runs, nor results with tests)", filename)


def _unknown(what: str, filename: str) -> InputError:
    return InputError(
        f"{UNREADABLE}{what}",
        where=filename,
        advice=f"the formats are {', '.join(FORMATS)}",
    )
