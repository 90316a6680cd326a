"""A session's first record: leaf 0 of its tree, so that a history cannot pass for another task's."""

from __future__ import annotations

import json

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.record import RECORD_LIMIT, json_object
from tallystick.model.session import Origin, Rules
from tallystick.model.spelling import SESSION, VERSION, WIDE, is_later, is_ledger_id, is_time
from tallystick.model.text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Header(Frozen):
    """What a session's first record says. Leaf 0 of its tree, so that it cannot pass for another task's."""

    FIELDS = ("v", "kind", "at", "ledger", "task_id", "created_at", "rules", "origin")
    __slots__ = FIELDS

    v: int
    kind: str
    at: str
    ledger: str
    task_id: str
    created_at: str
    rules: int
    origin: Origin | None

    def __init__(
        self,
        *,
        at: str,
        ledger: str,
        task_id: str,
        created_at: str,
        rules: int = 1,
        origin: Origin | None = None,
        v: int = VERSION,
        kind: str = SESSION,
    ) -> None:
        for name, value in zip(self.FIELDS, (v, kind, at, ledger, task_id, created_at, rules, origin), strict=True):
            set_once(self, name, value)

    @property
    def updated_at(self) -> str:
        """What the fold over the session's entries begins with."""
        return self.origin.updated_at if self.origin else self.created_at

    @property
    def schema_version(self) -> int:
        """1; an imported session's is the file's."""
        return self.origin.schema_version if self.origin else 1

    def encode(self) -> bytes:
        """The header's bytes, lone surrogates replaced.

        Raises InputError if there would be more than 65,535 of them, or they could not be read back.
        """
        data = self._spelling()
        if len(data) > RECORD_LIMIT:
            raise InputError(f"the session's header would be {len(data)} bytes, over {RECORD_LIMIT}")
        decode_header(data)
        return data

    def _spelling(self) -> bytes:
        fields: dict[str, Any] = {
            "v": self.v,
            "kind": self.kind,
            "at": self.at,
            "ledger": self.ledger,
            "task_id": self.task_id,
            "created_at": self.created_at,
            "rules": int(self.rules),
        }
        if self.origin:
            fields["origin"] = self.origin.to_dict()
        return clean_text(json.dumps(fields, ensure_ascii=False, separators=(",", ":"))).encode()


RULES = frozenset(Rules)

_HEADER_TYPES = {
    "v": int,
    "kind": str,
    "at": str,
    "ledger": str,
    "task_id": str,
    "created_at": str,
    "rules": int,
}


def decode_header(data: bytes) -> Header:
    """What a header's bytes say. Raises InputError if they are not spelled as the one spelling of a header.

    Of a header that a later version wrote it reads the fields that it knows. What adds rules raises `v`, too.
    """
    fields = json_object(data, "the session's header")
    for name, kind in _HEADER_TYPES.items():
        if name not in fields:
            raise InputError(f"{name} is missing in the session's header")
        if type(fields[name]) is not kind:
            raise InputError(f"{name} in the session's header is {type(fields[name]).__name__}")
    origin = fields.get("origin")
    header = Header(
        **{name: fields[name] for name in _HEADER_TYPES}, origin=None if origin is None else _origin(origin)
    )
    if not is_later(data, SESSION):
        _require_sound(header, data)
    return header


def _require_sound(header: Header, data: bytes) -> None:
    if header.rules not in RULES:
        raise InputError(f"the session's header names rules {header.rules}, which do not exist")
    if (header.v, header.kind) != (VERSION, SESSION) or header._spelling() != data or len(data) > RECORD_LIMIT:
        raise InputError("the session's header is not spelled as headers are")
    if not is_time(header.at):
        raise InputError("the time in the session's header does not exist")
    if not is_ledger_id(header.ledger):
        raise InputError("the ledger in the session's header is not 32 hex digits")
    if header.origin is not None and not -WIDE <= header.origin.schema_version < WIDE:
        raise InputError("the schema_version in the session's header is outside 64 bits")


def _origin(fields: Any) -> Origin:
    if not isinstance(fields, dict):
        raise InputError("the origin in the session's header is not a JSON object")
    known = {name: fields[name] for name in Origin.FIELDS if name in fields}
    for name, value in known.items():
        if type(value) is not (int if name == "schema_version" else str):
            raise InputError(f"{name} in the session's origin is {type(value).__name__}")
    return Origin(**known)
