"""JSON as scafld reads it, which is as Go's encoding/json does.

Names match without regard to case, unknown ones are passed over, `null` leaves a field as it was, a name that
comes twice is read into the same value again, and text that is not UTF-8 reads as U+FFFD. Malformed JSON and
values of the wrong type are refused. One limit is our own: nesting ends at 512 levels rather than 10,000.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring

from tallystick.errors import InputError
from tallystick.model.text import clean_text, decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MAX_DEPTH = 512
_INT64 = 2**63


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class WrongType(Exception):
    """A value of the wrong type, until its path is known: `path` grows from the inside out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.path = ""


def parse(data: bytes, where: str) -> Any:
    """The JSON value in `data`, not yet read into fields: text, Number, bool, None, list or tuple.

    A tuple is an object: its (name, value) pairs in order. Raises InputError naming line and column.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        raise InputError(
            "starts with a byte order mark, so it is not plain UTF-8", where=where, advice="save it as UTF-8"
        )
    return _decoded(decode_text(data), where, whole=True)


def parse_first(text: str, where: str) -> Any:
    """The JSON value that `text` begins with, as `parse` gives it; what follows it is not looked at."""
    return _decoded(text, where, whole=False)


def _decoded(text: str, where: str, *, whole: bool) -> Any:
    try:
        return _DECODER.decode(text) if whole else _DECODER.raw_decode(text.lstrip(" \t\r\n"))[0]
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}", where=where
        ) from None
    except RecursionError:
        raise InputError(f"nested deeper than {MAX_DEPTH} levels", where=where) from None
    except InputError as error:
        raise InputError(error.what, where=where) from None


def _no_constant(name: str) -> Any:
    raise InputError(f"not JSON: {name} is not a number there")


_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_no_constant)


class Text:
    """Text; empty where there is none."""

    zero = ""

    def read(self, value: Any, old: Any, _dropped: dict[str, int]) -> str:
        if type(value) is str:
            return clean_text(value)
        if value is None:
            return old if isinstance(old, str) else ""
        raise _wrong("text", value)


class Integer:
    """An integer of 64 bits; 0 where there is none."""

    zero = 0

    def read(self, value: Any, old: Any, _dropped: dict[str, int]) -> int:
        if type(value) is Number:
            digits = value.removeprefix("-")
            if not digits.isdigit():
                raise WrongType(f"{_shortened(value)} is not an integer")
            if len(digits) > 19 or not -_INT64 <= int(value) < _INT64:
                raise WrongType(f"{_shortened(value)} is outside 64 bits")
            return int(value)
        if value is None:
            return old if isinstance(old, int) else 0
        raise _wrong("an integer", value)


class Boolean:
    """True or false; false where there is none."""

    zero = False

    def read(self, value: Any, old: Any, _dropped: dict[str, int]) -> bool:
        if type(value) is bool:
            return value
        if value is None:
            return bool(old)
        raise _wrong("true or false", value)


class ListOf:
    """A list; None where there is none."""

    zero = None

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def read(self, value: Any, old: Any, dropped: dict[str, int]) -> list[Any] | None:
        if value is None:
            return None
        if type(value) is not list:
            raise _wrong("a list", value)
        # A list that comes twice is read over the first one, element by element; what lies beyond the
        # second one's end is kept aside and shows again if a third is longer.
        room = old.room if isinstance(old, _Reused) else []
        if not value:
            return _Reused((), [])
        read, kept = self.kind.read, len(room)
        for index, item in enumerate(value):
            try:
                if index < kept:
                    room[index] = read(item, room[index], dropped)
                else:
                    room.append(read(item, None, dropped))
            except WrongType as error:
                error.path = f"[{index}]{error.path}"
                raise
        return _Reused(room[: len(value)], room)


class _Reused(list):  # type: ignore[type-arg] # typing is not loaded here
    """A list as read, and the room it lies in."""

    def __init__(self, items: Iterable[Any], room: list[Any]) -> None:
        super().__init__(items)
        self.room = room


class MapOf:
    """An object whose names are free; None where there is none."""

    zero = None

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def read(self, value: Any, old: Any, dropped: dict[str, int]) -> dict[str, Any] | None:
        if value is None:
            return None
        if type(value) is not tuple:
            raise _wrong("an object", value)
        result: dict[str, Any] = old if isinstance(old, dict) else {}
        for key, item in value:
            name = clean_text(key)
            try:
                result[name] = self.kind.read(item, None, dropped)
            except WrongType as error:
                error.path = f"[{_shortened(name)!r}]{error.path}"
                raise
        return result


class Struct:
    """An object of named fields, in the order they are written in. Reads as a dict of those that were there.

    `label` says where an unknown field was found; `always` names the fields that are written though empty.
    """

    zero = None

    def __init__(self, label: str, always: Iterable[str], **fields: Kind) -> None:
        self.label = label
        self.fields: Mapping[str, Kind] = fields
        self.always = frozenset(always)
        self._names: dict[str, str] = {name: name for name in fields}

    def read(self, value: Any, old: Any, dropped: dict[str, int]) -> dict[str, Any]:
        result: dict[str, Any] = old if isinstance(old, dict) else {}
        if value is None:
            return result
        if type(value) is not tuple:
            raise _wrong("an object", value)
        names, fields = self._names, self.fields
        for key, item in value:
            name = names.get(key) or self.name_of(key)
            if item is None and (not name or name not in result):
                continue
            if not name:
                self._drop(key, item, dropped)
                continue
            try:
                result[name] = fields[name].read(item, result.get(name), dropped)
            except WrongType as error:
                error.path = f".{name}{error.path}"
                raise
        return result

    def name_of(self, key: str) -> str:
        """The field that a name in a file stands for, whatever its case; empty for none."""
        # Beside ASCII, two letters have an ASCII letter as their other case: U+212A (K) and U+017F (s).
        return self._names.get(key.lower().replace("\u017f", "s"), "")

    def _drop(self, key: str, item: Any, dropped: dict[str, int]) -> None:
        if isinstance(item, list | tuple) and too_deep(item):
            raise WrongType(f"nested deeper than {MAX_DEPTH} levels")
        path = f"{self.label}.{clean_text(key)}".lstrip(".")
        dropped[path] = dropped.get(path, 0) + 1


if TYPE_CHECKING:
    Kind = Text | Integer | Boolean | ListOf | MapOf | Struct

TEXT, INTEGER, BOOLEAN = Text(), Integer(), Boolean()


def read(kind: Struct, value: Any, where: str, dropped: dict[str, int]) -> dict[str, Any]:
    """What `parse` gave, as a dict of the fields that were there. Raises InputError naming the path.

    `dropped` counts, by path, the fields that nobody knows and that were passed over.
    """
    try:
        return kind.read(value, None, dropped)
    except WrongType as error:
        path = error.path.lstrip(".")
        raise InputError(error.what, where=f"{where}: {path}" if where and path else where or path) from None


def quoted(text: str) -> str:
    """Text as a JSON string in scafld's spelling: also `<`, `>`, `&`, U+2028 and U+2029 are escaped."""
    return escaped(encode_basestring(clean_text(text)))


def escaped(document: str) -> str:
    """A JSON document whose strings are escaped as JSON needs them, escaped as scafld does."""
    for char, escape in _ESCAPES:
        document = document.replace(char, escape)
    return document


_ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)
"""None of these characters stands outside of strings in JSON."""


def too_deep(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a parsed list or object nests deeper than 512 levels."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for item in outer
            if isinstance(inner := item[1] if isinstance(outer, tuple) else item, list | tuple)
        ]
        if not level:
            return False
    return True


def _wrong(expected: str, value: Any) -> WrongType:
    return WrongType(f"expected {expected}, found {_described(value)}")


def _described(value: Any) -> str:
    if isinstance(value, Number):
        return f"the number {_shortened(value)}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
