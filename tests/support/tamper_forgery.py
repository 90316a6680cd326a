"""Forgeries for the tamper corpus by somebody who knows the format, and has a key of his own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from support.forge import LEDGER, Forge
from support.spellings import forged as spelled_otherwise
from support.tamper_edits import dumped, edited, flip_text
from support.tamper_world import Lines, World
from tallystick.proof.keys import ED25519_COSIGNATURE, Signer, VerifierKey
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.note import Signature, SignedNote, sign

Proof = dict[str, Any]


def forged(world: World, edit: dict[str, Any], lines: Lines) -> Lines:
    """The lines after the forgery that `edit` names."""
    op = edit["op"]
    if op == "signed_again":
        return [f"{line}\n" for line in spelled_otherwise(edit["case"]).lines()]
    if op == "signed_absence":
        begins = {"bundle": 1, "ledger": LEDGER, "task_id": edit["task_id"], "absent": True}
        return Forge().absence(first=begins).decode().splitlines(keepends=True)
    if op in _OF_LINES:
        return _OF_LINES[op](world, lines)
    proof = json.loads(lines[1])["proof"]
    _OF_PROOFS[op](world, proof)
    return [lines[0], dumped({"proof": proof}), *lines[2:]]


# --- lines


def _append_record(lines: Lines, fields: dict[str, Any]) -> Lines:
    """One more record, which no checkpoint is about, with head and count made to fit."""
    edge = Edge()
    for line in lines[2:-1]:
        one = json.loads(line)
        if "piece" not in one:
            record = base64.b64decode(one.get("session") or one["record"])
            edge.append(leaf_hash(record))
    last = json.loads(record)
    made = {"v": 1, "kind": "entry", "at": last["at"], "id": "forged", **fields}
    data = json.dumps(made, separators=(",", ":")).encode()
    edge.append(leaf_hash(data))
    added = dumped({"record": base64.b64encode(data).decode()})
    longer = edited([*lines[:-1], added, lines[-1]], 0, ["position"], lambda value: value + 1)
    longer = edited(longer, 0, ["root"], lambda _: edge.root().hex())
    return edited(longer, -1, ["end"], lambda value: value + 1)


def _append_pass(_: World, lines: Lines) -> Lines:
    return _append_record(lines, {"type": "criterion", "recorded_at": "2020", "criterion_id": "ac1", "status": "pass"})


def _hide_by_redaction(_: World, lines: Lines) -> Lines:
    hidden = edited(lines, 4, ["text"], lambda _: "erased")
    return _append_record(hidden, {"type": "redaction", "recorded_at": "2020", "erases": [2, ["text"]]})


def _fail_to_pass(_: World, lines: Lines) -> Lines:
    def change(text: str) -> str:
        record = base64.b64decode(text)
        assert b'"status":"fail"' in record
        return base64.b64encode(record.replace(b'"status":"fail"', b'"status":"pass"')).decode()

    return edited(lines, 3, ["record"], change)


def _swap_pieces(_: World, lines: Lines) -> Lines:
    one, other = (n for n, line in enumerate(lines) if line.startswith('{"piece"'))
    lines[one], lines[other] = lines[other], lines[one]
    return lines


def _swap_parts(_: World, lines: Lines) -> Lines:
    one, other = json.loads(lines[4]), json.loads(lines[6])
    one["text"], other["text"] = other["text"], one["text"]
    return [*lines[:4], dumped(one), lines[5], dumped(other), *lines[7:]]


def _reorder(_: World, lines: Lines) -> Lines:
    fields = json.loads(lines[4])
    return [*lines[:4], dumped(dict(reversed(fields.items()))), *lines[5:]]


def _escape(_: World, lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace('"record":"e', '"record":"\\u0065', 1), *lines[5:]]


def _claim_presence_as_absence(world: World, lines: Lines) -> Lines:
    del lines
    first, second = (json.loads(line) for line in world.bundles["t"][:2])
    proof = {"absent": True, **{name: second["proof"][name] for name in ("leaf", "map", "tlog")}}
    made = {"bundle": 1, "ledger": first["ledger"], "task_id": "t", "absent": True}
    return [dumped(made), dumped({"proof": proof}), dumped({"end": 0})]


def _absence_of_another(world: World, lines: Lines) -> Lines:
    del lines
    return edited(world.bundles["absent"], 0, ["task_id"], lambda _: "t")


def _absence_of_then(world: World, lines: Lines) -> Lines:
    """The map proof of a task that came later, from before it came, under the newest checkpoint."""
    del lines
    then, now = (json.loads(world.bundles[name][1]) for name in ("absent then", "absent"))
    now["proof"]["map"] = then["proof"]["map"]
    return [world.bundles["absent then"][0], dumped(now), world.bundles["absent"][2]]


_OF_LINES: dict[str, Callable[[World, Lines], Lines]] = {
    "append_pass": _append_pass,
    "fail_to_pass": _fail_to_pass,
    "hide_by_redaction": _hide_by_redaction,
    "swap_pieces": _swap_pieces,
    "swap_parts": _swap_parts,
    "reorder": _reorder,
    "escape": _escape,
    "space": lambda _, lines: [*lines[:4], lines[4].replace(":", ": ", 1), *lines[5:]],
    "crlf": lambda _, lines: [line.replace("\n", "\r\n") for line in lines],
    "last_newline": lambda _, lines: [*lines[:-1], lines[-1][:-1]],
    "byte_order_mark": lambda _, lines: ["\ufeff" + lines[0], *lines[1:]],
    "nul": lambda _, lines: [*lines, "\0"],
    "float": lambda _, lines: [lines[0].replace('"position":10', '"position":10.0'), *lines[1:]],
    "upper": lambda _, lines: edited(lines, 0, ["root"], str.upper),
    "presence_as_absence": _claim_presence_as_absence,
    "absence_of_another": _absence_of_another,
    "absence_of_then": _absence_of_then,
}


# --- proofs


def _note(proof: Proof) -> SignedNote:
    return SignedNote.parse(proof["tlog"].split("\n\n", 1)[1])


def _with_note(proof: Proof, note: str) -> None:
    proof["tlog"] = proof["tlog"].split("\n\n", 1)[0] + "\n\n" + note


def _in_note(old: str, new: str) -> Callable[[World, Proof], None]:
    def change(_: World, proof: Proof) -> None:
        note = str(_note(proof))
        assert old in note
        _with_note(proof, note.replace(old, new, 1))

    return change


def _sized(size: int) -> Callable[[World, Proof], None]:
    def change(_: World, proof: Proof) -> None:
        lines = proof["tlog"].split("\n")
        lines[1] = f"index {max(size - 1, 0)}"
        lines[lines.index("") + 2] = str(size)
        proof["tlog"] = "\n".join(lines)

    return change


def _extra(_: World, proof: Proof) -> None:
    proof["tlog"] = proof["tlog"].replace("@v1\n", "@v1\nextra AAAA\n", 1)


def _extension(world: World, proof: Proof) -> None:
    _with_note(proof, _note(proof).text + "more\n\n" + str(_note(proof)).split("\n\n")[1])
    del world


def _cosigned_alone(world: World, proof: Proof) -> None:
    """The honest key's own signature, but as a witness's: a key has one role."""
    key = world.key.verifier(f"tallystick/{world.ledger_id}")
    honest = world.key.signer(key.name)
    witness = Signer(VerifierKey(key.name, ED25519_COSIGNATURE, key.public), honest._sign_bytes)
    _with_note(proof, str(sign(_note(proof).text, [witness], timestamp=1_800_000_000)))


def _under_the_honest_id(world: World, proof: Proof) -> None:
    """What a stranger could do who found a key with the same four bytes of id."""
    honest = _note(proof).signatures[0]
    text = _note(proof).text
    made = world.stranger.signer(honest.name).sign(text)
    _with_note(proof, str(SignedNote(text, [Signature(honest.name, honest.key_id, made)])))


def _signed_twice(_: World, proof: Proof) -> None:
    line = str(_note(proof).signatures[0])
    _with_note(proof, f"{_note(proof)}{line[:60]}{flip_text(line[60:])}\n")


def _older_signature(_: World, proof: Proof) -> None:
    text = proof["since"]["checkpoint"]
    start = text.rindex(" ") + 20
    proof["since"]["checkpoint"] = text[:start] + flip_text(text[start:-9]) + text[-9:]


def _older_by_a_stranger(world: World, proof: Proof) -> None:
    note = SignedNote.parse(proof["since"]["checkpoint"])
    proof["since"]["checkpoint"] = str(sign(note.text, [world.stranger.signer(note.signatures[0].name)]))


_OF_PROOFS: dict[str, Callable[[World, Proof], None]] = {
    "size_0": _sized(0),
    "size_large": _sized((1 << 53) + 1),
    "size_largest": _sized((1 << 64) - 1),
    "extra": _extra,
    "extension": _extension,
    "look_alike": _in_note("tallystick/", "t\u0430llystick/"),
    "later_epoch": lambda world, proof: _in_note(world.ledger_id, f"{world.ledger_id}/2")(world, proof),
    "crlf_note": lambda _, proof: _with_note(proof, str(_note(proof)).replace("\n", "\r\n")),
    "cosigned_alone": _cosigned_alone,
    "under_the_honest_id": _under_the_honest_id,
    "signed_twice": _signed_twice,
    "older_signature": _older_signature,
    "older_by_a_stranger": _older_by_a_stranger,
    "no_since": lambda _, proof: proof.pop("since"),
}
