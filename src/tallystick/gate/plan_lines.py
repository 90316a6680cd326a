"""Where in a TOML source each key stands: `tomllib` keeps no positions, and messages need a line.

It reads only what `tomllib` has already accepted, so it knows where things begin and end, and checks nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LITERAL = re.compile(r"'[^']*'")
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'(?!''))*'{3,5}")
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+")

_DEPTH = 16
"""How deep keys are remembered: no plan goes half as deep."""


class _LostError(Exception):
    """The source is not what tomllib would accept."""


def line_of(source: str, path: Sequence[str | int]) -> int | None:
    """The line, from 1, on which the key at `path` stands first; else that of its nearest parent; else None.

    Integers in the path are positions in arrays, of values or of tables.
    """
    lines = key_lines(source)
    for length in range(len(path), 0, -1):
        if (found := lines.get(tuple(path[:length]))) is not None:
            return found
    return None


def key_lines(source: str) -> dict[Path, int]:
    """The line of every key path, of the tables that it opens on its way, and of every item of an array."""
    scanner = _Scanner(source)
    with suppress(_LostError, RecursionError):  # what was found until then still helps
        scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.newest: dict[Path, int] = {}  # of each array of tables, its newest item
        self.breaks = [place for place, char in enumerate(text) if char == "\n"]

    def document(self) -> None:
        table: Path = ()
        while self.skip_blank():
            if self.text.startswith("[[", self.at):
                table = self.header(2)
            elif self.text[self.at] == "[":
                table = self.header(1)
            else:
                self.pair(table)

    def header(self, brackets: int) -> Path:
        start = self.at
        self.at += brackets
        parts = self.key()
        self.at += brackets
        if brackets == 1:
            return self.enter((), parts, start)
        array = (*self.enter((), parts[:-1], start), parts[-1])
        self.mark(array, start)
        self.newest[array] = self.newest.get(array, -1) + 1
        table = (*array, self.newest[array])
        self.mark(table, start)
        return table

    def enter(self, table: Path, parts: list[str], start: int) -> Path:
        for part in parts:
            table = (*table, part)
            self.mark(table, start)
            if table in self.newest:
                table = (*table, self.newest[table])
        return table

    def pair(self, table: Path) -> None:
        start = self.at
        path = self.enter(table, self.key(), start)
        self.step("=")
        self.value(path)

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip_blank()
            parts.append(self.key_part())
            self.skip_blank()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def key_part(self) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote == "'":
            return self.take(_LITERAL)[1:-1]
        if quote == '"':
            quoted = self.take(_BASIC)
            return quoted[1:-1] if "\\" not in quoted else _unescaped(quoted)
        return self.take(_BARE_KEY)

    def value(self, path: Path) -> None:
        self.skip_blank()
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        elif first == '"':
            self.take(_LONG_BASIC if self.text.startswith('"""', self.at) else _BASIC)
        elif first == "'":
            self.take(_LONG_LITERAL if self.text.startswith("'''", self.at) else _LITERAL)
        else:
            self.take(_SCALAR)

    def array(self, path: Path) -> None:
        self.at += 1
        position = 0
        while self.skip_blank() and self.text[self.at] != "]":
            self.mark((*path, position), self.at)
            self.value((*path, position))
            position += 1
            self.skip_comma()
        self.step("]")

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while self.skip_blank() and self.text[self.at] != "}":
            self.pair(path)
            self.skip_comma()
        self.step("}")

    def mark(self, path: Path, place: int) -> None:
        if len(path) <= _DEPTH:
            self.lines.setdefault(path, bisect_right(self.breaks, place - 1) + 1)

    def skip_blank(self) -> bool:
        """Past white space, line breaks and comments; whether anything is left."""
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.at < len(self.text)

    def skip_comma(self) -> None:
        if self.skip_blank() and self.text[self.at] == ",":
            self.at += 1

    def step(self, char: str) -> None:
        if not self.skip_blank() or self.text[self.at] != char:
            raise _LostError
        self.at += 1

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            raise _LostError
        self.at = found.end()
        return found[0]


def _unescaped(quoted: str) -> str:
    import tomllib

    try:
        return str(tomllib.loads(f"key = {quoted}")["key"])
    except ValueError:
        raise _LostError from None
