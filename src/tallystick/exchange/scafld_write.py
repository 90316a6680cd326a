"""scafld's session file as scafld writes it: two-space indented JSON, without empty fields."""

from __future__ import annotations

from json.encoder import encode_basestring
from operator import index

from tallystick.errors import InputError
from tallystick.exchange.scafld_fields import (
    DIALECTS,
    ENTRY_23,
    ENTRY_25,
    STATE_23,
    STATE_25,
    STATE_EXTRAS,
    extras_of,
)
from tallystick.exchange.scafld_json import INTEGER, ListOf, escaped
from tallystick.exchange.scafld_receipts import receipt_chain
from tallystick.model.text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tallystick.exchange.scafld_json import Kind, Struct
    from tallystick.model import Entry, Session, StateRecord


def dumps(session: Session, dialect: str | None = None) -> bytes:
    """The session as scafld's file of that dialect; None: the one it was read as, `2.3` for one of ours.

    What the dialect has no field for is left out, `details` above all. Raises InputError for a value that the
    file cannot hold.
    """
    origin = session.origin
    dialect = dialect or (origin.dialect if origin else "") or "2.3"
    if dialect not in DIALECTS:
        raise InputError(f"no such dialect: {dialect!r}", advice=f"one of {', '.join(DIALECTS)}")
    try:
        fields = _fields(session, dialect)
    except TypeError:
        raise InputError("a field of the session has a value of the wrong type") from None
    lines = [f'  "{name}": {value}' for name, value in fields.items() if value]
    document = escaped("{\n" + ",\n".join(lines) + "\n}\n")
    try:
        return document.encode()
    except UnicodeEncodeError:
        return clean_text(document).encode()


def _fields(session: Session, dialect: str) -> dict[str, str]:
    """The session's fields as JSON, in order; empty text for one that is left out."""
    return {
        "schema_version": str(index(session.schema_version)),
        "task_id": _text(session.task_id),
        "created_at": session.created_at and _text(session.created_at),
        "updated_at": session.updated_at and _text(session.updated_at),
        "entries": _entries(session, dialect),
        "criterion_states": _states(session.criterion_states, session, dialect),
        "phase_blocks": _states(session.phase_blocks, session, dialect),
        **(_chain(session) if dialect == "2.5" else {}),
    }


def _chain(session: Session) -> dict[str, str]:
    chain = receipt_chain(session)
    if chain.error:
        return {"ledger_head": _text(chain.head), "ledger_error": _text(chain.error)}
    return {"ledger_head": _text(chain.head), "ledger_valid": "true"}


def _entries(session: Session, dialect: str) -> str:
    if not session.entries:
        null = dialect == "2.5" or (session.origin is not None and session.origin.entries == "null")
        return "null" if null else "[]"
    texts = []
    for position, entry in enumerate(session.entries, start=1):
        try:
            texts.append(_entry(entry, dialect))
        except TypeError:
            raise InputError("a field has a value of the wrong type", where=f"position {position}") from None
        except InputError as error:
            raise InputError(error.what, where=f"position {position}") from None
    return "[\n    " + ",\n    ".join(texts) + "\n  ]"


def _entry(entry: Entry, dialect: str) -> str:
    extras = extras_of(entry) if dialect == "2.5" else {}
    values: dict[str, Any] = {name: getattr(entry, name) for name in ENTRY_23.fields}
    return _object(ENTRY_25 if extras else ENTRY_23, {**values, **extras}, "    ")


def _states(states: Mapping[str, StateRecord], session: Session, dialect: str) -> str:
    """The states as an object, its keys in order; empty text for none."""
    if not states:
        return ""
    texts = {}
    for key, state in sorted(states.items(), key=lambda item: item[1].position):
        values: dict[str, Any] = {name: getattr(state, name) for name in STATE_23.fields}
        if dialect == "2.5" and 0 < state.position <= len(session.entries):
            entry = session.entries[state.position - 1]
            extras = extras_of(entry)
            values.update(
                (name, getattr(entry, name) if name in ENTRY_23.fields else extras.get(name)) for name in STATE_EXTRAS
            )
        texts[clean_text(key)] = _object(STATE_25 if dialect == "2.5" else STATE_23, values, "    ")
    return "{\n    " + ",\n    ".join(f"{_text(key)}: {text}" for key, text in sorted(texts.items())) + "\n  }"


def _object(kind: Struct, values: dict[str, Any], indent: str) -> str:
    inner = f"{indent}  "
    parts = [
        f'{inner}"{name}": {_value(kind.fields[name], value, inner)}'
        for name in kind.fields
        if (value := values.get(name)) or name in kind.always
    ]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"


def _value(kind: Kind, value: Any, indent: str) -> str:
    if kind is INTEGER:
        return str(index(value))
    if isinstance(kind, ListOf):
        return "[\n" + ",\n".join(f"{indent}  {_text(item)}" for item in value) + f"\n{indent}]"
    return _text(value)


_text = encode_basestring
"""Text as a JSON string; `escaped` finishes the whole document at once."""
