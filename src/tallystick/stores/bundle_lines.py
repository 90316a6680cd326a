"""The lines of a bundle, read strictly: whatever is accepted has one spelling only, so that a file cannot be changed
in any byte and still be taken for the same.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from tallystick.errors import InputError
from tallystick.files import open_plain
from tallystick.model.jsontext import SAFE_INTEGER
from tallystick.model.spelling import is_ledger_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

LINE_LIMIT = 4 << 20
"""Bytes of one line."""


def encoded(data: bytes) -> str:
    """Bytes as a bundle has them: standard base64."""
    return b64encode(data).decode("ascii")


def spelled(fields: dict[str, Any]) -> bytes:
    """The line that holds these fields: compact JSON in UTF-8, and a newline."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a bundle's file, each at most a little over the limit, so that no line fills the memory."""
    with open(open_plain(path), "rb") as file:
        while line := file.readline(LINE_LIMIT + 2):
            yield line


class Lines:
    """Takes one line after another. What it raises names the line."""

    def __init__(self, lines: Iterable[bytes], where: str = "") -> None:
        self._lines = iter(lines)
        self._where = where
        self._number = 0
        self._line = b""
        self._decode = json.JSONDecoder(object_pairs_hook=self._object).decode

    def fields(self) -> dict[str, Any]:
        """The next line's JSON object. Raises InputError where there is none, or a key stands twice in it."""
        self._number += 1
        line = next(self._lines, b"")
        self._line = line
        if not line:
            raise self.wrong("it ends too early")
        if len(line) > LINE_LIMIT:
            raise self.wrong(f"a line is over {LINE_LIMIT} bytes")
        if line.find(b"\n") != len(line) - 1:
            raise self.wrong("the line does not end in a newline")
        try:
            fields = self._decode(line.decode())
            if b"\\u" in line:
                spelled(fields)
        except (ValueError, RecursionError):
            raise self.wrong("the line is not JSON") from None
        if not isinstance(fields, dict):
            raise self.wrong("the line is not a JSON object")
        return fields

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise self.wrong("a key stands twice")
        return found

    def take(self, *names: str) -> dict[str, Any]:
        """The next line, which has these fields in this order. Raises InputError."""
        fields = self.fields()
        if names[0] not in fields:
            raise self.wrong(f"there should be {names[0]!r}")
        return self.only(fields, names)

    def only(self, fields: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """`fields`, where they are these in this order. Raises InputError."""
        if tuple(fields) != tuple(names):
            odd = sorted(fields.keys() ^ set(names))
            raise self.wrong(
                f"the line should have {', '.join(names)}; {odd[0]!r} is odd"
                if odd
                else f"the fields should stand in the order {', '.join(names)}"
            )
        return fields

    def require_plain(self) -> None:
        """Raises InputError where the line has white space or escapes, as no line of bytes and counts has."""
        line = self._line
        if b" " in line or b"\\" in line or b"\r" in line or b"\t" in line:
            raise self.wrong("the line is not compact JSON")

    def require_spelled(self, fields: dict[str, Any]) -> None:
        """Raises InputError where the line is not the one spelling of these fields."""
        if spelled(fields) != self._line:
            raise self.wrong("the line is not spelled as compact JSON in its one order")

    def skipped(self, count: int) -> None:
        """So many lines were read in another way; those that follow are numbered accordingly."""
        self._number += count

    def end(self) -> None:
        """Raises InputError where another line follows."""
        if next(self._lines, None) is not None:
            self._number += 1
            raise self.wrong("something stands behind the end")

    def wrong(self, what: str) -> InputError:
        """The error for the line that was taken last."""
        return InputError(what, where=f"{self._where}:{self._number}" if self._where else f"line {self._number}")

    def text(self, fields: dict[str, Any], name: str) -> str:
        """The text in a field. Raises InputError."""
        value = fields[name]
        if not isinstance(value, str):
            raise self.wrong(f"{name} is no text")
        return value

    def ledger_id(self, fields: dict[str, Any]) -> str:
        """The ledger's id in `ledger`. Raises InputError."""
        value = self.text(fields, "ledger")
        if not is_ledger_id(value):
            raise self.wrong("the ledger is not 32 hex digits")
        return value

    def count(self, fields: dict[str, Any], name: str) -> int:
        """The number in a field, from 0 to 2^53. Raises InputError."""
        value = fields[name]
        if type(value) is not int or not 0 <= value <= SAFE_INTEGER:
            raise self.wrong(f"{name} is no count")
        return value

    def data(self, value: object, name: str) -> bytes:
        """The bytes that a field spells. Raises InputError for anything but the one spelling of them."""
        try:
            data = b64decode(value, validate=True)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            raise self.wrong(f"{name} is not base64") from None
        if encoded(data) != value:
            raise self.wrong(f"{name} is not canonical base64")
        return data
