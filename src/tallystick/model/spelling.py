"""The one spelling of what is hashed: whatever can be read can be written in one way only, and says what it can.

So no byte of a record can be changed and still be taken for the same, and no two programs read it differently.
"""

from __future__ import annotations

import json
from functools import lru_cache

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.model.jsontext import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tallystick.model.bulk import BulkRecord
    from tallystick.model.record import Record

ENTRY, SESSION = "entry", "session"
"""The kinds of records."""
VERSION = 1
PARTS = ("text", "details", "output")
RECORD_LIMIT = 65_535
"""Bytes: what a C2SP tile entry can hold."""
ENTRY_PREFIX = b'{"v":1,"kind":"entry","at":"'
"""How every entry's record of this version begins."""
REDACTION = "redaction"
"""The type of the entries that say which parts were erased."""
WIDE = 1 << 63
"""One more than the largest number of 64 bits with a sign."""
FIELD_TYPES: dict[str, type] = {
    "v": int,
    "kind": str,
    "at": str,
    "id": str,
    "type": str,
    "recorded_at": str,
    "criterion_id": str,
    "phase_id": str,
    "status": str,
    "provider": str,
    "exit_code": int,
    "erases": list,
    "text": str,
    "details": str,
    "output": str,
    "output_size": int,
}
"""The fields of an entry's record in their order."""

_SHAPE = b"0000-00-00T00:00:00.000000Z"
_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MINUTE, _SECOND, _HOUR_END = 14, 17, 13
"""Where in a time the minute and the second begin, and where the hour ends."""
_LAST_DAYS = {
    "01": "31", "02": "29", "03": "31", "04": "30", "05": "31", "06": "30",
    "07": "31", "08": "31", "09": "30", "10": "31", "11": "30", "12": "31",
}  # fmt: skip
_HEX = "0123456789abcdef"
_DIGEST_LENGTH, _LEDGER_ID_LENGTH = 64, 32
_LONGEST_VERSION, _LONGEST_KIND = 9, 64
_BEFORE_VERSION, _BEFORE_KIND = b'{"v":', b',"kind":"'
_spell = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NOT_IN_KINDS = frozenset(b'"\\').union(range(0x20), range(0x7F, 0x100))


def is_time(text: str) -> bool:
    """Whether this is a time as records have it: `YYYY-MM-DDTHH:MM:SS.ffffffZ`, a moment that exists (UTC)."""
    data = text.encode("utf-8", "replace")
    if data.translate(_TO_ZERO) != _SHAPE or text[_MINUTE] > "5" or text[_SECOND] > "5":
        return False
    return _is_hour(text[:_HOUR_END])


def are_times(texts: Sequence[str]) -> bool:
    """Whether each of these, at least one, is a time as `is_time` has it; quicker than one by one."""
    joined = "\n".join(texts).encode("utf-8", "replace")
    if joined.translate(_TO_ZERO) != _shapes(len(texts)):
        return False
    step = len(_SHAPE) + 1
    if joined[_MINUTE::step].strip(b"012345") or joined[_SECOND::step].strip(b"012345"):
        return False
    if joined.count(joined[:_HOUR_END]) == len(texts):
        return _is_hour(texts[0][:_HOUR_END])
    return all(map(_is_hour, {text[:_HOUR_END] for text in texts}))


@lru_cache(maxsize=8)
def _shapes(count: int) -> bytes:
    return b"\n".join([_SHAPE] * count)


@lru_cache(maxsize=256)
def _is_hour(text: str) -> bool:
    """Whether there is such an hour: `YYYY-MM-DDTHH`, all of them digits."""
    year, month, day, hour = text[:4], text[5:7], text[8:10], text[11:]
    last = _LAST_DAYS.get(month, "")
    if month == "02" and (int(year) % 4 or (not int(year) % 100 and int(year) % 400)):
        last = "28"
    return year != "0000" and "01" <= day <= last and hour < "24"


def is_digest(text: str) -> bool:
    """Whether this is a SHA-256 digest as records have it: 64 hex digits, lower case."""
    return len(text) == _DIGEST_LENGTH and not text.strip(_HEX)


def is_ledger_id(text: str) -> bool:
    """Whether this can be a ledger's id: 32 hex digits, lower case."""
    return len(text) == _LEDGER_ID_LENGTH and not text.strip(_HEX)


def is_later(data: bytes, kind: str) -> bool:
    """Whether a later version wrote this record of that kind.

    Every version begins a record with `{"v":N,"kind":"K"`. If N is above 1, or K is another kind, this version
    cannot tell what else the record says.
    """
    version, found, rest = data[len(_BEFORE_VERSION) : 128].partition(_BEFORE_KIND)
    name, ended, _ = rest.partition(b'"')
    if not data.startswith(_BEFORE_VERSION) or not found or not ended:
        return False
    if not version.isdigit() or version.startswith(b"0") or len(version) > _LONGEST_VERSION:
        return False
    if not 0 < len(name) <= _LONGEST_KIND or not _NOT_IN_KINDS.isdisjoint(name):
        return False
    return (int(version), name) != (VERSION, kind.encode())


def closed(task_id: str) -> StoreUnavailableError:
    """The error for a session that a later version wrote to: nobody can say here whether it holds."""
    return StoreUnavailableError(
        "a later version wrote to this session, so this one gives no verdict",
        where=task_id,
        advice="upgrade tallystick",
    )


def is_spelled(fields: dict[str, Any], data: bytes) -> bool:
    """Whether these bytes are the one spelling of an entry's record with these fields, which were read from them.

    That is compact JSON of known fields in their order, each of its type and none of them empty.
    """
    template, types = _shape(tuple(fields))
    values = tuple(fields.values())
    if [*map(type, values)] != types or not all(values):
        return False
    if b"\\" in data or "erases" in fields:
        values = tuple(quote(one)[1:-1] if isinstance(one, str) else _spell(one) for one in values)
    try:
        spelled = (template % values).encode()
    except UnicodeEncodeError:
        return False
    return spelled == data and data.startswith(ENTRY_PREFIX) and len(data) <= RECORD_LIMIT


@lru_cache(maxsize=256)
def _shape(names: tuple[str, ...]) -> tuple[str, list[type]]:
    """How a record with these fields is spelled, and their types; nothing if no record has them in this order."""
    if names != tuple(name for name in FIELD_TYPES if name in names):
        return "", []
    types = [FIELD_TYPES[name] for name in names]
    spelled = (f'"{name}":"%s"' if kind is str else f'"{name}":%s' for name, kind in zip(names, types, strict=True))
    return "{" + ",".join(spelled) + "}", types


def misspelled() -> InputError:
    """The error for bytes that are no record."""
    return InputError("the record is not spelled as records are")


def require_sound(record: Record | BulkRecord) -> None:
    """Raises InputError if a record of this version says what no record can, however well it is spelled."""
    if not is_time(record.at):
        raise InputError("its time does not exist")
    if not -WIDE <= record.exit_code < WIDE or not 0 <= record.output_size < WIDE:
        raise InputError("a number in the record is outside 64 bits")
    if bool(record.output) != bool(record.output_size):
        raise InputError("its output_size is not that of an output")
    if record.erases is not None and not _is_erasure(record.erases):
        raise InputError("it erases what it cannot")


def _is_erasure(value: Sequence[Any]) -> bool:
    """Whether this is a position above 0 and the parts that are erased there: at least one, each once."""
    if len(value) != 2 or type(value[0]) is not int or not isinstance(value[1], list):
        return False
    position, parts = value
    named = [part for part in parts if isinstance(part, str) and part in PARTS]
    return position > 0 and bool(parts) and len(named) == len(parts) == len({*named})
