"""Printing for people: colour only on a terminal, control characters escaped, progress on what takes long."""

from __future__ import annotations

import os
import sys
import time

from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from re import Match
    from typing import TextIO

_COLOURS = {
    "pass": "32",
    "fail": "31",
    "running": "33",
    "interrupted": "33",
    "stale": "33",
    "flaky": "33",
    "missing": "33",
    "reused": "32",
    "open": "32",
    "shut": "31",
}


def coloured(stream: TextIO | None = None) -> bool:
    """Whether to colour: on a terminal that is not dumb, unless `NO_COLOR` is set."""
    stream = stream or sys.stdout
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, kind: str, stream: TextIO | None = None) -> str:
    """The text in the colour that a status or verdict has; as it is where there is none, or `stream` is no terminal."""
    code = _COLOURS.get(kind)
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured(stream) else text


def bold(text: str) -> str:
    """The text in bold on a terminal."""
    return f"\x1b[1m{text}\x1b[0m" if coloured() else text


def width() -> int:
    """Columns to print in: the terminal's, else 100."""
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 100


def shorten(text: str, limit: int) -> str:
    """One line of at most `limit` characters, safe to show."""
    line = printable(" ".join(text.split()) if "\n" in text or "\t" in text else text)
    return line if len(line) <= limit else line[: max(limit - 1, 0)] + "…"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, kind: int | None = None) -> None:
    """Print rows under a header; the last column takes what width is left. Column `kind` is coloured."""
    if not rows:
        return
    cells = [[shorten(cell, 60) for cell in row[:-1]] + [row[-1]] for row in rows]
    widths = [max(len(header[n]), *(len(row[n]) for row in cells)) for n in range(len(header) - 1)]
    left = max(width() - sum(widths) - 2 * len(widths), 20)
    print(bold("  ".join([*(f"{name:<{size}}" for name, size in zip(header, widths, strict=False)), header[-1]])))
    for row in cells:
        parts = []
        for n, size in enumerate(widths):
            padded = f"{row[n]:<{size}}"
            parts.append(paint(padded, row[n]) if n == kind else padded)
        print("  ".join([*parts, shorten(row[-1], left)]).rstrip())


def ago(then: str) -> str:
    """How long ago a recorded time is, in a word or two; the text itself where it is no time."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(then)
    except ValueError:
        return then
    if moment.tzinfo is None:
        return then
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)} s ago"


def print_json(value: object) -> None:
    """One JSON document on standard output, indented on a terminal."""
    sys.stdout.write(json_text(value, indent=2 if sys.stdout.isatty() else None) + "\n")


def json_text(value: object, *, indent: int | None = None, stream: TextIO | None = None) -> str:
    """A JSON document to be printed to `stream` (default: standard output), which every reader of JSON takes.

    It has no lone surrogate, by which Python stands for a byte that is not UTF-8: such a byte is spelled as git spells
    it, `\\377`. If the stream's encoding is not UTF-8, all that is not ASCII is escaped.
    """
    import json

    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isascii():
        return text
    import re

    text = re.sub("[\ud800-\udfff]", _spelled_byte, text)
    encoding = (stream or sys.stdout).encoding or ""
    if encoding.lower().replace("-", "") != "utf8":
        return text.encode("ascii", "tallystick.escape").decode("ascii")
    return text


def _spelled_byte(found: Match[str]) -> str:
    code = ord(found[0])
    return f"\\\\{code - 0xDC00:03o}" if 0xDC80 <= code <= 0xDCFF else "\ufffd"


class Progress:
    """A bar on standard error for what takes over a second; silent where that is no terminal."""

    def __init__(self, label: str, total: int = 0) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._began = self._drawn = time.monotonic()
        self._shown = False
        self._live = sys.stderr is not None and sys.stderr.isatty()

    def advance(self, count: int) -> None:
        """So many more are done."""
        self.at(self._done + count, self._total)

    def at(self, done: int, total: int) -> None:
        """So many of so many are done; a total of 0 is unknown."""
        self._done, self._total = done, total
        now = time.monotonic()
        if not self._live or now - self._began < 1 or now - self._drawn < 0.1:
            return
        self._drawn, self._shown = now, True
        if total:
            filled = min(24, 24 * done // total)
            bar = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * done // total} %"
        else:
            bar = f"{done:,}"
        sys.stderr.write(f"\r\x1b[K{self._label} {bar}")
        sys.stderr.flush()

    def end(self) -> None:
        """Take the bar away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
