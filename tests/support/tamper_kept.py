"""A checkpoint that somebody kept, made or forged; whose signatures count; and what a ledger is told of it."""

from __future__ import annotations

import json
import re
from typing import Any

from support.tamper_edits import dumped, flip_base64
from support.tamper_world import Lines, World
from tallystick import Ledger, TallystickError
from tallystick.proof.keys import ED25519_COSIGNATURE, SigningKey
from tallystick.proof.note import Signature, SignedNote
from tallystick.trust.against import Trusted, faults_against, read_against, read_trusted

WITNESSES = [SigningKey(f"witness.example/{n}", ED25519_COSIGNATURE, bytes((n + 1,)) * 32) for n in range(2)]
_VARIES = re.compile(r"[0-9a-f]{16,}|\d{4}-\d\d-\d\dT[\d:.]+Z", re.IGNORECASE)


def told(error: TallystickError) -> str:
    """What an error says, without what is another in every world."""
    return _VARIES.sub("…", error.what)


def kept_note(world: World, edit: dict[str, Any]) -> str:
    """The note that the row is about."""
    note = SignedNote.parse(world.notes[edit["kept"]])
    how = edit.get("note", "")
    if how == "root":
        lines = str(note).split("\n")
        return "\n".join((*lines[:2], flip_base64(lines[2]), *lines[3:]))
    if how == "stranger":
        return str(SignedNote(note.text, [_signature(world.stranger.signer(note.signatures[0].name), note.text)]))
    if how == "cosigned":
        return str(note.with_signatures(_cosignature(n, note.text) for n in (0, 1)))
    if how == "cosigned_twice":
        return str(SignedNote(note.text, [*note.signatures, _cosignature(0, note.text), _cosignature(0, note.text, 9)]))
    if how == "cosigned_only":
        return str(SignedNote(note.text, [_cosignature(0, note.text)]))
    if how == "old_cosignature":
        return str(note.with_signatures([_cosignature(0, SignedNote.parse(world.notes["first"]).text)]))
    return str(note)


def cosigned_bundle(world: World, names: tuple[str, ...]) -> Lines:
    """The bundle of `t` with witnesses' cosignatures under the checkpoints of these names."""
    line = json.loads(world.bundles["t"][1])
    proof = line["proof"]
    for name in names:
        note = SignedNote.parse(world.notes[name])
        added = str(note.with_signatures(_cosignature(n, note.text) for n in (0, 1)))
        if name == "first":
            proof["since"]["checkpoint"] = added
        else:
            proof["tlog"] = proof["tlog"].replace(str(note), added)
    return [world.bundles["t"][0], dumped(line), *world.bundles["t"][2:]]


def _signature(signer: Any, text: str) -> Signature:
    return Signature(signer.key.name, signer.key.key_id, signer.sign(text))


def _cosignature(number: int, text: str, time: int = 1_800_000_000) -> Signature:
    signer = WITNESSES[number].signer()
    return Signature(signer.key.name, signer.key.key_id, signer.sign(text, time))


def trusted_keys(world: World, edit: dict[str, Any]) -> Any:
    """The keys, or the tlog-policy, by which the row's note is judged."""
    how = edit.get("trusted", "")
    if how in ("", "retired"):
        return [Trusted.parse(f"{world.vkey} until 1" if how else world.vkey)]
    lines = [f"log {world.vkey}", *(f"witness w{n} {key.key}" for n, key in enumerate(WITNESSES))]
    return read_trusted(
        "\n".join((*lines, f"group both {'all' if how == 'two' else 'any'} w0 w1", "quorum both")).encode()
    )


def first_fault(ledger: Ledger, note: str, trusted: Any) -> str:
    """What is told first where the ledger is held to the note, without what varies; empty where it fits."""
    try:
        against = read_against(note.encode(), ledger.ledger_id, trusted)
        for fault in faults_against(ledger, against.checkpoint):
            return _VARIES.sub("…", fault.what)
        ledger.verify()
    except TallystickError as error:
        return told(error)
    return ""
