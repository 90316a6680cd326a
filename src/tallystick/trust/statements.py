"""What a key says about entries and plans: attestations and approvals, as signed notes in the ledger.

The first line names the ledger and the kind of statement, the second the task as JSON. A checkpoint's second line
is a number, so that no signature of the one can pass for the other.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from itertools import chain

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import compact
from tallystick.proof.note import SignedNote, UnsignedError, sign
from tallystick.stores.checkpoints import origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.proof.keys import VerifierKey
    from tallystick.trust.keys import Key

ATTESTATION, APPROVAL = "attestation", "approval"
"""The kinds of statements, and the types of the entries that hold them."""
LINES_LIMIT = 10_000
_ENTRY = re.compile(r"entry ([1-9]\d{0,9}) ([0-9a-f]{64})", re.ASCII)
_WEAKENING = re.compile(r"weakening ([0-9a-f]{64})", re.ASCII)


class Statement(Frozen):
    """A statement in a signed note. Whose it is, is not said before `signers`."""

    __slots__ = FIELDS = ("kind", "ledger_id", "task_id", "entries", "weakenings", "note")

    kind: str
    """`attestation` or `approval`."""
    ledger_id: str
    task_id: str
    entries: Mapping[int, str]
    """What is attested: position -> leaf hash of the entry's record, in hex."""
    weakenings: frozenset[str]
    """What is approved: digests as `weakening_digest` makes them."""
    note: SignedNote

    def __init__(
        self,
        kind: str,
        ledger_id: str,
        task_id: str,
        note: SignedNote,
        *,
        entries: Mapping[int, str] | None = None,
        weakenings: Iterable[str] = (),
    ) -> None:
        set_once(self, "kind", kind)
        set_once(self, "ledger_id", ledger_id)
        set_once(self, "task_id", task_id)
        set_once(self, "entries", dict(entries or {}))
        set_once(self, "weakenings", frozenset(weakenings))
        set_once(self, "note", note)

    def signers(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Which of the keys signed it, under the name of this statement's ledger or their own.

        Name and id together tell whose a signature is, and every one that is a key's is verified. Raises
        CheckFailedError if any of those does not hold.
        """
        known = {key: (key.replace(name=origin_of(self.ledger_id)), key) for key in keys}
        try:
            verified = {one.key for one in self.note.verify({*chain.from_iterable(known.values())})}
        except UnsignedError:
            return []
        return [key for key, named in known.items() if not verified.isdisjoint(named)]


def weakening_digest(fields: Mapping[str, Any]) -> str:
    """What an approval says of one weakening: hex SHA-256 of its fields as compact JSON, keys in byte order."""
    return sha256(compact(dict(fields))).hexdigest()


def attest(key: Key, ledger_id: str, task_id: str, entries: Mapping[int, str]) -> str:
    """The signed statement that the key stands behind these entries (position -> leaf hash in hex)."""
    lines = [f"entry {position} {leaf}" for position, leaf in sorted(entries.items())]
    return _signed(key, ledger_id, ATTESTATION, task_id, lines)


def approve(key: Key, ledger_id: str, task_id: str, weakenings: Iterable[Mapping[str, Any]]) -> str:
    """The signed statement that the key lets these weakenings pass for the task."""
    lines = [f"weakening {weakening_digest(fields)}" for fields in weakenings]
    return _signed(key, ledger_id, APPROVAL, task_id, lines)


def _signed(key: Key, ledger_id: str, kind: str, task_id: str, lines: list[str]) -> str:
    if not lines:
        raise InputError(f"there is nothing that an {kind} could be about", where=task_id)
    text = "".join(f"{line}\n" for line in (_first(ledger_id, kind), json.dumps(task_id), *lines))
    return str(sign(text, [key.signer(origin_of(ledger_id))]))


def _first(ledger_id: str, kind: str) -> str:
    return f"{origin_of(ledger_id)}/{kind}"


def parse_statement(text: str) -> Statement:
    """The statement in a signed note. Raises InputError for anything but the one spelling of it."""
    note = SignedNote.parse(text)
    lines = note.text.split("\n")[:-1]
    if not 3 <= len(lines) <= LINES_LIMIT:
        raise InputError("the note is no statement about a task")
    origin, _, kind = lines[0].rpartition("/")
    ledger_id = origin.removeprefix("tallystick/")
    try:
        task_id = json.loads(lines[1])
    except ValueError:
        task_id = None
    if kind not in (ATTESTATION, APPROVAL) or not isinstance(task_id, str) or json.dumps(task_id) != lines[1]:
        raise InputError("the note is no statement about a task")
    pattern = _ENTRY if kind == ATTESTATION else _WEAKENING
    matches = [pattern.fullmatch(line) for line in lines[2:]]
    found = [match for match in matches if match is not None]
    if len(found) != len(matches):
        raise InputError("the statement has a line that it cannot have")
    if kind == ATTESTATION:
        entries = {int(match[1]): match[2] for match in found}
        return Statement(kind, ledger_id, task_id, note, entries=entries)
    return Statement(kind, ledger_id, task_id, note, weakenings=[match[1] for match in found])
