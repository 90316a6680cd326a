"""A session's entries as plain JSON, for any program: `export --format json` and `jsonl`.

A record is an object: `position` and `at` (when the store recorded it), then the entry's fields by their
names in the session format, empty ones left out; `output_base64` where the output is not UTF-8, so that
`output` is not all of it; `erased`, the parts that were erased, where there are any. `jsonl` has one record a
line; `json` is the array of them. UTF-8, a newline at the end.
"""

from __future__ import annotations

import json
from base64 import b64encode

from tallystick.model.text import clean_text

TYPE_CHECKING = False
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Protocol

    from tallystick.model import Entry

    class Exportable(Protocol):
        """An entry as a ledger holds it."""

        @property
        def position(self) -> int: ...
        @property
        def at(self) -> str: ...
        @property
        def entry(self) -> Entry: ...
        @property
        def erased(self) -> Sequence[str]: ...


def record_fields(recorded: Exportable) -> dict[str, Any]:
    """The fields of one record, in order."""
    entry = recorded.entry
    fields: dict[str, Any] = {"position": recorded.position, "at": recorded.at, **entry.to_dict()}
    if clean_text(entry.output).encode() != entry.output_bytes:
        fields["output_base64"] = b64encode(entry.output_bytes).decode()
    if recorded.erased:
        fields["erased"] = list(recorded.erased)
    return fields


def to_jsonl(records: Iterable[Exportable]) -> Iterator[bytes]:
    """The records, one a line."""
    for recorded in records:
        yield _line(recorded) + b"\n"


def to_json(records: Iterable[Exportable]) -> Iterator[bytes]:
    """The records as one JSON array, each on a line of its own."""
    before = b"[\n"
    for recorded in records:
        yield before + _line(recorded)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _line(recorded: Exportable) -> bytes:
    text = json.dumps(record_fields(recorded), ensure_ascii=False, separators=(",", ":"))
    return clean_text(text).encode()
