"""Random changes to each kind of file that a verifier reads: of its bytes, its lines, its fields, and signed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.bending import TEXTS, Chance, bent_bytes, bent_json, bent_lines, bent_text, bent_value
from support.forge import KEY, LEDGER, ORIGIN, TASK, Forge, compact, encoded, raw
from support.verifiers import Case
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, SigningKey
from tallystick.proof.note import Signature, SignedNote, sign
from tallystick.stores.base import Head
from tallystick.trust.keys import Key
from tallystick.trust.statements import Subject, approve, attest

STRANGER = SigningKey(ORIGIN, ED25519, b"\10" * 32)
WITNESSES = [SigningKey(f"witness.example/{n}", ED25519_COSIGNATURE, bytes((20 + n,)) * 32) for n in range(3)]
OWNER = Key("owner", "file", ED25519, KEY.key.public, secret=KEY)
# --- each kind of file: a case to verify, and what must be found if it is accepted; None: whatever both find


Mutation = tuple[Case, dict[str, Any] | None]


class Honest:
    """Honest bundles, as the ledger's own writer wrote them, and the key that signed them."""

    def __init__(
        self, bundles: list[bytes], absences: list[bytes], vkey: str, tasks: set[str], kept: list[str]
    ) -> None:
        self.bundles = bundles
        self.absences = absences
        self.vkey = vkey
        self.tasks = tasks
        self.kept = kept


def mutated_bundle(chance: Chance, honest: Honest) -> Mutation:
    """A bundle that somebody changed who has no key, or one that is changed and signed again."""
    if chance.random() < 0.5:
        return _without_key(chance, honest, honest.bundles)
    forge = Forge()
    how = chance.randrange(8)
    number = chance.randrange(len(forge.records))
    if how < 3:
        forge.records[number] = bent_json(chance, forge.records[number])
    elif how == 3:
        forge.header = bent_json(chance, forge.header)
    elif how == 4:
        forge.leaf = _bent_leaf(chance, forge)
    elif how == 5:
        _bend_note(chance, forge)
    elif how == 6:
        forge.parts[number] = bent_value(chance, {**forge.parts[number]})
    else:
        return _case(_bend_line(chance, forge.bundle()), chance, [str(KEY.key)]), None
    return _case(forge.bundle(), chance, [str(KEY.key)]), None


def mutated_absence(chance: Chance, honest: Honest) -> Mutation:
    """The same for a bundle which shows that nothing is recorded of a task."""
    if chance.random() < 0.5:
        return _without_key(chance, honest, honest.absences)
    forge = Forge()
    how = chance.randrange(5)
    if how == 0:
        forge.leaf = _bent_leaf(chance, forge)
    elif how == 1:
        _bend_note(chance, forge)
    elif how == 2:
        first = {"bundle": 1, "ledger": LEDGER, "task_id": "never", "absent": True}
        return _case(forge.absence(first=bent_value(chance, first)), chance, [str(KEY.key)]), None
    elif how == 3:
        held = json.loads(forge.absence().splitlines()[1])["proof"]["map"]["other"]
        return _case(forge.absence(other=bent_value(chance, held)), chance, [str(KEY.key)]), None
    else:
        task_id = chance.choice((TASK, bent_text(chance, "never"), *TEXTS))
        return _case(forge.absence(task_id), chance, [str(KEY.key)]), None
    return _case(forge.absence(), chance, [str(KEY.key)]), None


def _case(data: bytes, chance: Chance, keys: list[str]) -> Case:
    return {"what": "bundle", "data": data, "keys": [] if chance.random() < 0.1 else keys}


def _without_key(chance: Chance, honest: Honest, files: list[bytes]) -> Mutation:
    number = 0 if len(files) > 1 and chance.random() < 0.01 else chance.randrange(min(1, len(files) - 1), len(files))
    base, how = files[number], chance.randrange(4)
    if how < 2:
        data = bent_bytes(chance, base)
    elif how == 2:
        data = bent_lines(chance, base, chance.choice(files))
    else:
        data = _bend_line(chance, base)
    case = {"what": "bundle", "data": data, "keys": [honest.vkey]}
    if chance.random() < 0.2:
        case["notBefore"] = chance.choice(honest.kept)
    first = json.loads(base.split(b"\n")[0])
    return case, {"ledger_id": first["ledger"], "task_id": first["task_id"]} | (
        {} if "absent" in first else {"position": first["position"], "root": first["root"]}
    )


def _bend_line(chance: Chance, data: bytes) -> bytes:
    lines = data.decode().splitlines()
    place = chance.randrange(len(lines))
    lines[place] = bent_json(chance, lines[place])
    return b"".join(raw(line) + b"\n" for line in lines)


def _bent_leaf(chance: Chance, forge: Forge) -> str:
    if chance.random() < 0.5:
        origin, epoch = chance.choice((ORIGIN, f"{ORIGIN}/2", f"tallystick/{'0' * 32}")), chance.choice((1, 2, 3, 7))
        forge.origin = chance.choice((ORIGIN, f"{ORIGIN}/2", f"{ORIGIN}/3"))
        after = compact({"origin": origin, "size": chance.choice((0, 1, 2**53, 2**53 + 1)), "root": "0" * 64})
        forge.leaf_tail = f',"epoch":{epoch},"after":{after}'
        return str(forge.proof()["proof"]["leaf"])
    return bent_json(chance, str(forge.proof()["proof"]["leaf"]))


def _bend_note(chance: Chance, forge: Forge) -> None:
    """Change what is signed, or put a signature beside the honest one."""
    how = chance.randrange(6)
    if how == 0:
        forge.origin = chance.choice(
            (ORIGIN + "/2", ORIGIN + "/1", ORIGIN + "/02", ORIGIN + "x", "tallystick/x", ORIGIN + "/9" * 6)
        )
    elif how == 1:
        forge.extensions = [chance.choice(("more", "é", "— x AAAAAAAA"))]
    elif how == 2:
        forge.size = chance.choice((1, 2, 3, 2**53, 2**53 + 1, 2**53 + 2, 2**63 + 1, 2**64 - 1))
    elif how == 3:
        name = chance.choice(
            ("ab", "a\x85b", "a\ufeffb", "a\xa0b", "a+b", "a b", "é", "x" * 5_000, ORIGIN, "a\u200bb", "\u3000")
        )
        blob = chance.choice((KEY.key.key_id, b"\0\0\0\0")) + bytes(chance.choice((0, 1, 64, 72)))
        forge.signature_lines = [f"— {name} {encoded(blob)}"]
    elif how == 4:
        forge.signature_lines = [bent_text(chance, f"— stranger.example {encoded(bytes(68))}").replace("\n", " ")]
    else:
        forge.signature_lines = [
            f"— stranger.example/{n} {encoded(bytes(68))}" for n in range(chance.choice((15, 98, 99, 100)))
        ]


def _cosigned() -> str:
    """A checkpoint of the forger's ledger, signed by its key and by three witnesses."""
    lines = Forge().proof()["proof"]["tlog"].split("\n\n", 1)[1]
    note = SignedNote.parse(lines)
    added = [Signature(one.key.name, one.key.key_id, one.signer().sign(note.text, 1_800_000_000)) for one in WITNESSES]
    return str(note.with_signatures(added))


COSIGNED = _cosigned()
POLICY = (
    f"# who may sign\nlog {KEY.key} https://log.example/\n\n"
    + "".join(f"witness w{n} {one.key}\n" for n, one in enumerate(WITNESSES))
    + "group pair 2 w0 w1\ngroup either any pair w2\nquorum either\n"
)
KEYS = f"# who may sign\n{KEY.key}\n{STRANGER.key} until 1\n"


def mutated_checkpoint(chance: Chance, honest: Honest) -> Mutation:
    """A signed checkpoint that was changed, or signed again after that."""
    base = chance.choice(
        (COSIGNED, str(SignedNote(SignedNote.parse(COSIGNED).text, SignedNote.parse(COSIGNED).signatures[:1])))
    )
    keys = chance.choice(
        ([str(KEY.key)], [f"{KEY.key} until 1"], [str(STRANGER.key)], [str(STRANGER.key), str(KEY.key)])
    )
    case: Case = {"what": "checkpoint", "ledger": LEDGER, "keys": keys, "data": b""}
    if chance.random() < 0.3:
        case |= {"keys": [], "keyFile": POLICY.encode()}
    if chance.random() < 0.7:
        case["data"] = bent_bytes(chance, base.encode())
        return case, _checkpoint_fields(base)
    try:
        case["data"] = str(sign(bent_text(chance, SignedNote.parse(base).text), [KEY.signer()])).encode()
    except Exception:
        return mutated_checkpoint(chance, honest)
    return case, None


def _checkpoint_fields(note: str) -> dict[str, Any]:
    lines = note.split("\n")
    return {"origin": lines[0], "number": int(lines[1])}


def mutated_policy(chance: Chance, honest: Honest) -> Mutation:
    """A tlog-policy that was changed, asked about a checkpoint that the honest one accepts."""
    del honest
    return _by_key_file(chance, POLICY, chance.random() < 0.2)


def mutated_keys(chance: Chance, honest: Honest) -> Mutation:
    """A list of keys that was changed, asked about a checkpoint that the honest one accepts."""
    del honest
    return _by_key_file(chance, KEYS, chance.random() < 0.1)


def _by_key_file(chance: Chance, base: str, beside: bool) -> Mutation:
    data = base.encode()
    how = chance.randrange(4)
    if how == 0:
        words = base.split(" ")
        place = chance.randrange(len(words))
        words[place] = chance.choice(
            (*TEXTS, *words, str(WITNESSES[0].key), str(KEY.key), str(KEY.key.replace(name="x")))
        )
        data = raw(" ".join(words))
    elif how == 1:
        data = bent_lines(chance, data, data + KEYS.encode())
    else:
        data = bent_bytes(chance, data)
    keys = [str(KEY.key)] if beside else []
    return {"what": "checkpoint", "ledger": LEDGER, "keys": keys, "keyFile": data, "data": COSIGNED.encode()}, None


SUBJECT = Subject(TASK, Head(3, "a" * 64))
STATEMENTS = (
    attest(OWNER, LEDGER, SUBJECT, {1: "a" * 64, 2: "b" * 64}),
    approve(OWNER, LEDGER, SUBJECT, [{"what": "command changed"}]),
)


def mutated_statement(chance: Chance, honest: Honest) -> Mutation:
    """A statement that was changed. As a signed note both verifiers read it."""
    del honest
    data = chance.choice(STATEMENTS).encode()
    data = bent_lines(chance, data, COSIGNED.encode()) if chance.random() < 0.2 else bent_bytes(chance, data)
    return {"what": "note", "keys": [str(KEY.key)], "data": data}, None


KINDS: dict[str, Callable[[Chance, Honest], Mutation]] = {
    "bundle": mutated_bundle,
    "absence bundle": mutated_absence,
    "checkpoint note": mutated_checkpoint,
    "policy": mutated_policy,
    "vkey list": mutated_keys,
    "statement": mutated_statement,
}
