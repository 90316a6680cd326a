"""Decoding many records at once.

Apart from `record.py` because msgspec is ten times faster than the standard library and three times dearer to
import: what reads a handful of records never needs it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec

from tallystick.errors import InputError
from tallystick.model.spelling import (
    ENTRY,
    ENTRY_PREFIX,
    RECORD_LIMIT,
    WIDE,
    are_times,
    is_later,
    is_time,
    misspelled,
    require_sound,
)

_GROUP = 128
"""Records decoded together: their bytes fit into memory that is given back and used again."""


class BulkRecord(msgspec.Struct, gc=False):
    """The same fields as `model.record.Record`."""

    v: int = 0
    kind: str = ""
    at: str = ""
    id: str = ""
    type: str = ""
    recorded_at: str = ""
    criterion_id: str = ""
    phase_id: str = ""
    status: str = ""
    provider: str = ""
    exit_code: int = 0
    erases: tuple[int, list[str]] | None = None
    text: str = ""
    details: str = ""
    output: str = ""
    output_size: int = 0


_NARROWER: dict[str, Any] = {
    "v": Literal[1],
    "kind": Literal["entry"],
    "exit_code": Annotated[int, msgspec.Meta(ge=-WIDE, le=WIDE - 1)],
    "output_size": Annotated[int, msgspec.Meta(ge=0, le=WIDE - 1)],
}
_ALWAYS = ("v", "kind", "at")
"""What every record says, and nothing else stands for."""
_FIELDS = [(one.name, _NARROWER.get(one.name, one.type), one.default) for one in msgspec.structs.fields(BulkRecord)]
_Current = cast(
    "type[BulkRecord]",
    msgspec.defstruct(
        "_Current",
        [(name, kind) if name in _ALWAYS else (name, kind, default) for name, kind, default in _FIELDS],
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    ),
)
_decode_later = msgspec.json.Decoder(BulkRecord).decode
_decode = msgspec.json.Decoder(_Current).decode
_decode_lines = msgspec.json.Decoder(_Current).decode_lines
_encoder = msgspec.json.Encoder()
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode_bulk(data: bytes) -> BulkRecord:
    """What a record's bytes say. Raises InputError if they are not spelled as the one spelling of a record.

    Of a record that a later version wrote it reads the fields that it knows.
    """
    try:
        if not data.startswith(ENTRY_PREFIX) and is_later(data, ENTRY):
            return _decode_later(data)
        record = _decode(data)
    except _UNREADABLE:
        raise misspelled() from None
    if _encoder.encode(record) != data or len(data) > RECORD_LIMIT:
        raise misspelled()
    if not is_time(record.at) or _is_rare(record):
        require_sound(record)
    return record


def _is_rare(record: BulkRecord) -> bool:
    return (not record.output) != (not record.output_size) or record.erases is not None


def decode_many(records: list[bytes]) -> list[BulkRecord]:
    """What each record's bytes say. Raises InputError if `decode_bulk` would for any of them."""
    found: list[BulkRecord] = []
    for start in range(0, len(records), _GROUP):
        group = records[start : start + _GROUP]
        found += _decode_group(group) or map(decode_bulk, group)
    return found


def are_current(records: list[BulkRecord]) -> bool:
    """Whether each of these, as they were decoded here, is a record of this version."""
    return {*map(type, records)} <= {_Current}


def _decode_group(records: list[bytes]) -> list[BulkRecord]:
    """What the records say; nothing unless each is the one spelling of a record of this version."""
    joined = b"\n".join((*records, b""))
    try:
        decoded = _decode_lines(joined)
    except _UNREADABLE:
        return []
    # What is written here has no newline but the one behind each record, so equal bytes are equal record by record.
    if len(decoded) != len(records) or _encoder.encode_lines(decoded) != joined:
        return []
    return decoded if max(map(len, records)) <= RECORD_LIMIT and _are_sound(decoded) else []


def _are_sound(records: list[BulkRecord]) -> bool:
    """Whether `require_sound` would let each of them pass."""
    if not are_times([record.at for record in records]):
        return False
    rare = [one for one in records if (not one.output) != (not one.output_size) or one.erases is not None]
    try:
        for one in rare:
            require_sound(one)
    except InputError:
        return False
    return True
