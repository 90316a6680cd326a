"""Records: the exact bytes stored and hashed for a session's header and for each of its entries.

An entry becomes a record (what replay and judgement need) and up to three sealed parts, which the record only
commits to: lower-case hex SHA-256 of salt ‖ bytes. A part and its salt can be erased; the record stays.
"""

from __future__ import annotations

import json
from hashlib import sha256

from tallystick.errors import InputError
from tallystick.model.entry import Entry
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import checked, compact, quote
from tallystick.model.output import OUTPUT_LIMIT, OutputKeeper
from tallystick.model.spelling import (
    ENTRY,
    ENTRY_PREFIX,
    FIELD_TYPES,
    WIDE,
    is_later,
    is_spelled,
    misspelled,
    require_sound,
)
from tallystick.model.spelling import PARTS as PARTS
from tallystick.model.spelling import RECORD_LIMIT as RECORD_LIMIT
from tallystick.model.spelling import REDACTION as REDACTION
from tallystick.model.spelling import VERSION as VERSION
from tallystick.model.text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

SALT_BYTES = 16
SALTS_BYTES = SALT_BYTES * len(PARTS)
PART_LIMIT = 1 << 20
"""Bytes of `text` and of `details`."""

BULK = 500
"""From how many records on importing msgspec pays."""

_IDS = ("id", "type", "criterion_id", "phase_id")
_TEXTS = (*_IDS, "recorded_at", "status", "provider")
_PART_TEXTS = ("reason", "command", "path")


class Record(Frozen):
    """What the bytes of an entry's record say. An absent field is empty."""

    FIELDS = tuple(FIELD_TYPES)
    __slots__ = FIELDS

    v: int
    kind: str
    at: str
    id: str
    type: str
    recorded_at: str
    criterion_id: str
    phase_id: str
    status: str
    provider: str
    exit_code: int
    erases: list[Any] | None
    text: str
    details: str
    output: str
    output_size: int

    def __init__(self, **fields: Any) -> None:
        for name, value in (_EMPTY | fields).items():
            set_once(self, name, value)


_EMPTY: dict[str, Any] = {name: kind() for name, kind in FIELD_TYPES.items()} | {"erases": None}


def decode_record(data: bytes) -> Record:
    """What a record's bytes say. Raises InputError if they are not spelled as the one spelling of a record.

    Of a record that a later version wrote it reads the fields that it knows.
    """
    fields = json_object(data, "the record")
    if not data.startswith(ENTRY_PREFIX) and is_later(data, ENTRY):
        return _of_a_later_version(fields)
    if not is_spelled(fields, data):
        raise misspelled()
    record = Record(**fields)
    require_sound(record)
    return record


def _of_a_later_version(fields: dict[str, Any]) -> Record:
    if (erases := fields.get("erases")) is not None and not isinstance(erases, list):
        raise InputError("erases in the record is not a position and parts")
    for name, value in fields.items():
        if name in _EMPTY and name != "erases" and type(value) is not type(_EMPTY[name]):
            raise InputError(f"{name} in the record is {type(value).__name__}")
    return Record(**{name: value for name, value in fields.items() if name in _EMPTY})


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object that these bytes are: strict UTF-8, no constants of JavaScript, no lone surrogates."""
    try:
        value = _decode(data.decode())
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InputError(f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{what} is not a JSON object")
    return value


class Sealed:
    """The sealed parts that lie beside a record, each with its salt; None where there is none."""

    __slots__ = ("details", "details_salt", "output", "output_salt", "text", "text_salt")

    def __init__(
        self,
        text_salt: bytes | None = None,
        text: bytes | None = None,
        details_salt: bytes | None = None,
        details: bytes | None = None,
        output_salt: bytes | None = None,
        output: bytes | None = None,
    ) -> None:
        self.text_salt = text_salt
        self.text = text
        self.details_salt = details_salt
        self.details = details
        self.output_salt = output_salt
        self.output = output


def part_digest(salt: bytes, data: bytes) -> str:
    """What a record says of a part: lower-case hex SHA-256 of salt ‖ bytes."""
    return sha256(salt + data).hexdigest()


class Draft:
    """An entry ready to be recorded: sealed and checked; only its time and defaults are open."""

    __slots__ = ("_tail", "criterion_id", "entry_id", "phase_id", "recorded_at", "sealed", "type")

    def __init__(self, entry: Entry, sealed: Sealed, tail: str) -> None:
        self.entry_id = entry.id
        self.type = entry.type
        self.recorded_at = entry.recorded_at
        self.criterion_id = entry.criterion_id
        self.phase_id = entry.phase_id
        self.sealed = sealed
        self._tail = tail

    def record(self, at: str, position: int, *, defaults: bool = True) -> bytes:
        """The record's bytes at this time and position.

        `defaults`: an entry without an id gets `entry-<position>`, one without `recorded_at` gets `at`.
        Raises InputError where the record would be over 65,535 bytes.
        """
        entry_id = self.entry_id or (f"entry-{position}" if defaults else "")
        recorded_at = self.recorded_at or (at if defaults else "")
        parts = [f'{{"v":1,"kind":"entry","at":"{at}"']
        if entry_id:
            parts.append(f',"id":{quote(entry_id)}')
        if self.type:
            parts.append(f',"type":{quote(self.type)}')
        if recorded_at:
            parts.append(f',"recorded_at":{quote(recorded_at)}')
        parts.append(self._tail)
        data = "".join(parts).encode()
        if len(data) > RECORD_LIMIT:
            raise InputError(
                f"the entry's record would be {len(data)} bytes, over {RECORD_LIMIT}",
                advice="shorten its ids, status or provider",
            )
        return data

    def input_digest(self, salt: bytes) -> bytes:
        """What an idempotency key remembers of the input as the caller gave it: 32 bytes."""
        digest = sha256(salt)
        for item in (self.entry_id, self.type, self.recorded_at, _without_digests(self._tail)):
            digest.update(quote(item).encode() + b"\n")
        for part in (self.sealed.text, self.sealed.details, self.sealed.output):
            digest.update(b"-" if part is None else sha256(part).digest())
        return digest.digest()

    def is_recorded_as(
        self,
        record: bytes,
        text_salt: bytes | None,
        details_salt: bytes | None,
        output_salt: bytes | None,
        *,
        position: int,
        defaults: bool = True,
    ) -> bool:
        """Whether a record at that position, beside which these salts lie, is of this very entry.

        It never is if a part was erased: nobody can tell then.
        """
        fields = json_object(record, "the record")
        at = fields.get("at", "")
        tail = json.loads("{" + self._tail.removeprefix(","))
        sealed = self.sealed
        for part, salt, data in (
            ("text", text_salt, sealed.text),
            ("details", details_salt, sealed.details),
            ("output", output_salt, sealed.output),
        ):
            if data is not None:
                tail[part] = None if salt is None else part_digest(salt, data)
        opening = {
            "v": VERSION,
            "kind": "entry",
            "at": at,
            "id": self.entry_id or (f"entry-{position}" if defaults else ""),
            "type": self.type,
            "recorded_at": self.recorded_at or (at if defaults else ""),
        }
        return fields == {name: value for name, value in (opening | tail).items() if value != ""}


def _without_digests(tail: str) -> str:
    """The open fields of a record's tail; the digests of its parts are salted and differ each time."""
    return json.dumps(
        {name: value for name, value in json.loads("{" + tail.removeprefix(",")).items() if name not in PARTS}
    )


def seal(entry: Entry, salts: bytes, *, erases: tuple[int, Sequence[str]] | None = None) -> Draft:
    """An entry made ready to be recorded. `salts` are 48 random bytes.

    Raises InputError where the entry cannot be recorded; nothing that it holds is dropped silently.
    """
    if not isinstance(entry, Entry):
        raise InputError(f"{type(entry).__name__} is not an entry")
    try:
        return _seal(entry, salts, erases)
    except UnicodeEncodeError:
        texts = {name: clean_text(getattr(entry, name)) for name in (*_TEXTS, *_PART_TEXTS)}
        return _seal(entry.replace(**texts), salts, erases)
    except (TypeError, AttributeError):
        raise _wrong_type(entry) from None


def _wrong_type(entry: Entry) -> InputError:
    for name in (*_TEXTS, *_PART_TEXTS):
        if not isinstance(value := getattr(entry, name), str):
            return InputError(f"{name} is {type(value).__name__}, not text", where="entry")
    if not isinstance(entry._output, (str, bytes)):
        return InputError(f"output is {type(entry._output).__name__}, neither text nor bytes", where="entry")
    if not isinstance(entry.details, dict):
        return InputError(f"details is {type(entry.details).__name__}, not a JSON object", where="entry")
    return InputError("a field has a value of the wrong type", where="entry")


def _seal(entry: Entry, salts: bytes, erases: tuple[int, Sequence[str]] | None) -> Draft:
    ids = "".join((entry.id, entry.type, entry.criterion_id, entry.phase_id))
    if "\0" in ids:
        named = next(name for name in _IDS if "\0" in getattr(entry, name))
        raise InputError(f"{named} has a NUL character", where="entry")
    sealed = Sealed()
    tail = _open_fields(entry)
    if erases is not None:
        tail += f',"erases":{compact([erases[0], list(erases[1])]).decode()}'
    if text := _text_fields(entry):
        sealed.text_salt, sealed.text = salts[:16], _bounded("text", f"{{{text[1:]}}}".encode())
        tail += f',"text":"{part_digest(sealed.text_salt, sealed.text)}"'
    if not isinstance(entry.details, dict):
        raise _wrong_type(entry)
    output, details, size = _output(entry)
    if details:
        sealed.details_salt = salts[16:32]
        sealed.details = _bounded("details", compact(checked(dict(details), "details", wide="scafld")))
        tail += f',"details":"{part_digest(sealed.details_salt, sealed.details)}"'
    if output:
        sealed.output_salt, sealed.output = salts[32:48], output
        tail += f',"output":"{part_digest(sealed.output_salt, output)}","output_size":{size}'
    tail += "}"
    "".join((ids, entry.recorded_at, tail)).encode()
    return Draft(entry, sealed, tail)


def _open_fields(entry: Entry) -> str:
    """What the record says in the open, behind its id, type and time."""
    fields = ""
    if entry.criterion_id:
        fields = f',"criterion_id":{quote(entry.criterion_id)}'
    if entry.phase_id:
        fields += f',"phase_id":{quote(entry.phase_id)}'
    if entry.status:
        fields += f',"status":{quote(entry.status)}'
    if entry.provider:
        fields += f',"provider":{quote(entry.provider)}'
    if entry.exit_code:
        fields += f',"exit_code":{_exit_code(entry.exit_code)}'
    return fields


def _text_fields(entry: Entry) -> str:
    """What the text part says, each field with a comma before it."""
    fields = ""
    if entry.reason:
        fields = f',"reason":{quote(entry.reason)}'
    if entry.command:
        fields += f',"command":{quote(entry.command)}'
    if entry.path:
        fields += f',"path":{quote(entry.path)}'
    return fields


def _exit_code(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"exit_code is {type(value).__name__}, not an integer", where="entry")
    if not -WIDE <= value < WIDE:
        raise InputError("exit_code is outside 64 bits", where="entry")
    return int(value)


def _bounded(name: str, data: bytes) -> bytes:
    if len(data) > PART_LIMIT:
        raise InputError(
            f"{name} is {len(data)} bytes, over {PART_LIMIT}",
            where="entry",
            advice="put the rest into output",
        )
    return data


def _output(entry: Entry) -> tuple[bytes, Any, int]:
    """The kept bytes of the output, the details that say what was dropped, and the size of all of it."""
    output, details = entry.output_bytes, entry.details
    if not output:
        return output, details, 0
    if len(output) > OUTPUT_LIMIT:
        keeper = OutputKeeper()
        keeper.feed(output)
        output = keeper.kept()
        if keeper.dropped is not None:
            details = {**details, "output": dropped_details(*keeper.dropped)}
    return output, details, len(output) + dropped_bytes(details)


def dropped_details(offset: int, count: int) -> dict[str, int]:
    """What `details.output` says of an output whose middle was dropped: where, and how many bytes."""
    return {"dropped_at": offset, "dropped": count}


def dropped_bytes(details: Any) -> int:
    """How many bytes of the output were dropped, as `details.output` says."""
    said = details.get("output") if details else None
    count = said.get("dropped", 0) if isinstance(said, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


def record_decoder(count: int) -> Callable[[bytes], Any]:
    """What decodes that many records best: the standard library for a few, msgspec for many."""
    if count < BULK:
        return decode_record
    from tallystick.model.bulk import decode_bulk

    return decode_bulk


def missing_parts(record: Any, sealed: Sealed) -> tuple[str, ...]:
    """The parts that a record commits to and that are no longer there, salt and all."""
    return tuple(part for part in PARTS if getattr(record, part) and getattr(sealed, f"{part}_salt") is None)


def open_entry(record: Any, sealed: Sealed, *, outputs: bool = True) -> Entry:
    """The entry that a record (or a bulk record) and its parts stand for; missing parts read as empty.

    Raises InputError where a part is not what a record's part can be.
    """
    text = json_object(sealed.text, "the text part") if sealed.text is not None else {}
    if any(not isinstance(text.get(name, ""), str) for name in _PART_TEXTS):
        raise InputError("the text part has a field that is not text")
    details = json_object(sealed.details, "the details part") if sealed.details is not None else None
    return Entry(
        id=record.id,
        type=record.type,
        recorded_at=record.recorded_at,
        criterion_id=record.criterion_id,
        phase_id=record.phase_id,
        status=record.status,
        reason=text.get("reason", ""),
        provider=record.provider,
        command=text.get("command", ""),
        exit_code=record.exit_code,
        output=(sealed.output or b"") if outputs else b"",
        path=text.get("path", ""),
        details=details,
    )
