"""What a command printed, or somebody wrote, as text that can be quoted: plain, bounded, without control characters."""

from __future__ import annotations

import re

from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import decode_text, printable

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[@-Z\\^_=>])")
"""What a terminal would act on: colours, movements, titles (ECMA-48 sections 5.3, 5.4 and 5.6)."""
_READ_BYTES = 1 << 20
"""Of a long output no more than this is looked at: its end."""


class Quote(Frozen):
    """The end of some text, ready to be fenced."""

    __slots__ = FIELDS = ("text", "lines", "of")

    text: str
    """Lines joined by newlines; every other control character is escaped."""
    lines: int
    """How many lines that are."""
    of: int
    """How many lines there were, as far as anybody looked."""

    def __init__(self, text: str = "", lines: int = 0, of: int = 0) -> None:
        set_once(self, "text", text)
        set_once(self, "lines", lines)
        set_once(self, "of", of)


def last_lines(data: bytes, *, lines: int, size: int) -> Quote:
    """The last lines of what was printed: at most so many, and at most `size` bytes as they will be shown.

    Of a line that is too long alone, the end is shown after `…`.
    """
    text = _ESCAPES.sub("", decode_text(data[-_READ_BYTES:])).rstrip()
    every = [line.rstrip() for line in text.splitlines()]
    kept: list[str] = []
    room = size
    for line in reversed(every[-lines:] if lines else ()):
        shown = printable(line.expandtabs())
        room -= size_of(shown) + 1
        if room < 0:
            if not kept and (cut := _end_of(shown, size - 1)):
                kept.append(cut)
            break
        kept.append(shown)
    kept.reverse()
    return Quote("\n".join(kept), len(kept), len(every))


def _end_of(line: str, size: int) -> str:
    room = size - size_of("…")
    if room <= 0:
        return ""
    return "…" + line.encode()[-room:].decode("utf-8", "ignore")


def size_of(text: str) -> int:
    """How many bytes it takes as UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def clipped(words: str, size: int) -> str:
    """Words on one line, control characters escaped, in at most `size` bytes; `…` stands for what was cut off."""
    shown = printable(" ".join(words.split()) if len(words) < _READ_BYTES else words[:size])
    if size_of(shown) <= size:
        return shown
    return shown.encode()[: max(size - size_of("…"), 0)].decode("utf-8", "ignore") + "…"
