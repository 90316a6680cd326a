"""Decoding many records at once.

Apart from `record.py` because msgspec is ten times faster than the standard library and three times dearer to
import: what reads a handful of records never needs it.
"""

from __future__ import annotations

import msgspec

from tallystick.errors import InputError


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


_decode = msgspec.json.Decoder(BulkRecord).decode
_decode_list = msgspec.json.Decoder(list[BulkRecord]).decode


def decode_bulk(data: bytes) -> BulkRecord:
    """What a record's bytes say. Raises InputError where they cannot be read."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the record cannot be read: {error}") from None


def decode_many(records: list[bytes]) -> list[BulkRecord]:
    """What each record's bytes say. Raises InputError where any of them cannot be read as one record."""
    joined = b",".join(records)
    if joined.count(b"{") != len(records) or [record[:1] for record in records].count(b"{") != len(records):
        # Something is nested, or quoted: only one by one is it certain that a record does not reach into the next.
        return [decode_bulk(record) for record in records]
    try:
        decoded = _decode_list(b"[" + joined + b"]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"a record cannot be read: {error}") from None
    if len(decoded) != len(records):
        raise InputError("a record cannot be read as one JSON object")
    return decoded
