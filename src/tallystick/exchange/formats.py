"""Which format a file to import is in, told by what it holds."""

from __future__ import annotations

import re

from tallystick.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SESSION_NAMES = (re.compile(rb'"task_id"\s*:', re.I), re.compile(rb'"(schema_version|entries)"\s*:', re.I))


def _is_scafld(data: bytes, filename: str) -> bool:
    if not data.lstrip(b" \t\r\n").startswith(b"{"):
        return False
    return filename.endswith("session.json") or all(name.search(data) for name in _SESSION_NAMES)


_DETECTORS: tuple[tuple[str, Callable[[bytes, str], bool]], ...] = (("scafld", _is_scafld),)
"""The first that says yes names the format."""

REPORTS = ("junit", "tap", "ctrf", "go", "sarif")
"""Formats of test reports, which become one entry; the others hold whole sessions."""

FORMATS = (*(name for name, _ in _DETECTORS), *REPORTS)


def detect_format(data: bytes, filename: str = "") -> str:
    """The name of the format that `data` is in, as `import --format` takes it.

    Raises InputError where it is none that can be imported.
    """
    for name, detects in _DETECTORS:
        if detects(data, filename):
            return name
    from tallystick.reports import UNREADABLE, detect

    try:
        return detect(data, filename)
    except InputError as error:
        raise InputError(
            f"cannot be imported: {error.what.removeprefix(UNREADABLE)}",
            where=filename,
            advice=f"name its format with --format ({', '.join(FORMATS)})",
        ) from None
