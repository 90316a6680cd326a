"""Bundles that two programs could read differently, and what each of them comes to.

Each is made from nothing and signed by the ledger's key, so that only the format is there to refuse it by.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.forge import AT, KEY, ORIGIN, TASK, Forge, compact, encoded, part
from tallystick.model.text import BLANK

HOLDS, FAILS, REFUSED, TAMPERED, CLOSED = range(5)
Change = Callable[[Forge], Any]


def record(old: str, new: str, number: int = 1) -> Change:
    """One piece of a record's text replaced by another."""

    def change(forge: Forge) -> None:
        assert old in forge.records[number]
        forge.records[number] = forge.records[number].replace(old, new, 1)

    return change


def fields(number: int = 1, **changed: Any) -> Change:
    """Fields of a record set, in the record's own order, empty ones kept."""

    def change(forge: Forge) -> None:
        forge.records[number] = compact({**json.loads(forge.records[number]), **changed})

    return change


def tail(text: str, number: int = 1) -> Change:
    """Something at the end of a record."""

    def change(forge: Forge) -> None:
        forge.records[number] = forge.records[number][:-1] + text + "}"

    return change


def header(old: str, new: str) -> Change:
    """One piece of the header's text replaced by another."""

    def change(forge: Forge) -> None:
        assert old in forge.header
        forge.header = forge.header.replace(old, new, 1)

    return change


def attributes(**changed: Any) -> Change:
    """Attributes of the forge set."""

    def change(forge: Forge) -> None:
        for name, value in changed.items():
            setattr(forge, name, value)

    return change


def reordered(forge: Forge) -> None:
    forge.records[1] = compact(dict(reversed(json.loads(forge.records[1]).items())))


def spaced(forge: Forge) -> None:
    forge.records[1] = json.dumps(json.loads(forge.records[1]))


def not_utf8(forge: Forge) -> None:
    forge.records[1] = forge.records[1].encode().replace(b'"pass"', b'"\xff"')  # type: ignore[call-overload]


def too_long(forge: Forge) -> None:
    room = 65_535 - len(forge.records[1])
    forge.records[1] = forge.records[1].replace('"pass"', f'"{"x" * (room + 5)}"')


def as_long_as_it_goes(forge: Forge) -> None:
    room = 65_535 - len(forge.records[1])
    forge.records[1] = forge.records[1].replace('"pass"', f'"{"x" * (room + 4)}"')


def unredacted(mark: Any, said: str = "") -> Change:
    """The first entry's text, which a redaction names, with another mark or there as it was."""

    def change(forge: Forge) -> None:
        forge.parts[0] = {"text": mark}
        if said:
            forge.records[0] = forge.entry(1, text=said)

    return change


def leaf(tail_of_it: str, origin: str = ORIGIN) -> Change:
    return attributes(leaf_tail=tail_of_it, origin=origin)


def begins(epoch: int, after: str = ORIGIN, size: int = 1) -> str:
    return f',"epoch":{epoch},"after":{compact({"origin": after, "size": size, "root": "0" * 64})}'


def signature_by(name: str, blob: bytes = bytes(68)) -> Change:
    return attributes(signature_lines=[f"— {name} {encoded(blob)}"])


HEADER_AT = AT.format(0)
RECORD_CASES: dict[str, tuple[Change, int]] = {
    "a record as it should be": (lambda _: None, HOLDS),
    "a record with white space": (spaced, REFUSED),
    "a record with its keys in another order": (reordered, REFUSED),
    "white space behind a record": (record('"}', '"} '), REFUSED),
    "a newline in a record": (record(",", ",\n"), REFUSED),
    "a byte order mark before a record": (record("{", "\ufeff{"), REFUSED),
    "a later version": (record('"v":1', '"v":2'), CLOSED),
    "a later version with fields that nobody knows": (record('"v":1', '"v":12,"kind":"x","new":[1],"v":1'), CLOSED),
    "an unknown kind": (record('"kind":"entry"', '"kind":"annotation"'), CLOSED),
    "the kind of a header": (record('"kind":"entry"', '"kind":"session"'), CLOSED),
    "version 0": (record('"v":1', '"v":0'), REFUSED),
    "version 01": (record('"v":1', '"v":01'), REFUSED),
    "version 1.0": (record('"v":1', '"v":1.0'), REFUSED),
    "version true": (record('"v":1', '"v":true'), REFUSED),
    "version -1": (record('"v":1', '"v":-1'), REFUSED),
    "a version as text": (record('"v":1', '"v":"2"'), REFUSED),
    "no version": (record('"v":1,', ""), REFUSED),
    "no kind": (record('"kind":"entry",', ""), REFUSED),
    "an empty kind": (record('"kind":"entry"', '"kind":""'), REFUSED),
    "a kind that is escaped": (record('"kind":"entry"', '"kind":"entr\\u0079"'), REFUSED),
    "a kind before the version": (record('"v":1,"kind":"entry"', '"kind":"entry","v":1'), REFUSED),
    "a version twice, the later one last": (tail(',"v":2'), REFUSED),
    "a kind twice": (tail(',"kind":"later"'), REFUSED),
    "a status twice": (record('"status":"pass"', '"status":"fail","status":"pass"'), REFUSED),
    "an unknown field": (tail(',"nonsense":1'), REFUSED),
    "an unknown field that is not JSON": (tail(',"x":NaN'), REFUSED),
    "an empty status": (record('"status":"pass"', '"status":""'), REFUSED),
    "an empty provider": (record(',"text"', ',"provider":"","text"'), REFUSED),
    "an exit code of 0": (record(',"text"', ',"exit_code":0,"text"'), REFUSED),
    "an exit code of -0": (record(',"text"', ',"exit_code":-0,"text"'), REFUSED),
    "an exit code of 1.0": (record(',"text"', ',"exit_code":1.0,"text"'), REFUSED),
    "an exit code of 1e2": (record(',"text"', ',"exit_code":1e2,"text"'), REFUSED),
    "an exit code that is text": (record(',"text"', ',"exit_code":"1","text"'), REFUSED),
    "an exit code that is true": (record(',"text"', ',"exit_code":true,"text"'), REFUSED),
    "an exit code beyond 2^53": (record(',"text"', ',"exit_code":9007199254740993,"text"'), HOLDS),
    "the largest exit code": (record(',"text"', f',"exit_code":{2**63 - 1},"text"'), HOLDS),
    "the smallest exit code": (record(',"text"', f',"exit_code":{-(2**63)},"text"'), HOLDS),
    "an exit code beyond 64 bits": (record(',"text"', f',"exit_code":{2**63},"text"'), REFUSED),
    "an exit code below 64 bits": (record(',"text"', f',"exit_code":{-(2**63) - 1},"text"'), REFUSED),
    "an exit code of a hundred digits": (record(',"text"', f',"exit_code":{"9" * 100},"text"'), REFUSED),
    "an output_size of nothing": (tail(',"output_size":7'), REFUSED),
    "an output without a size": (record(',"output_size":7', "", 2), REFUSED),
    "an output_size of 0": (record('"output_size":7', '"output_size":0', 2), REFUSED),
    "an output_size below 0": (record('"output_size":7', '"output_size":-7', 2), REFUSED),
    "an output_size beyond 2^53": (record('"output_size":7', '"output_size":9007199254740993', 2), HOLDS),
    "an output_size beyond 64 bits": (record('"output_size":7', f'"output_size":{2**63}', 2), REFUSED),
    "erases of a part that is none": (record('["text"]', '["nonsense"]', 3), REFUSED),
    "erases of no part": (record('["text"]', "[]", 3), REFUSED),
    "erases of a part twice": (record('["text"]', '["text","text"]', 3), REFUSED),
    "erases of a part that the record never had": (record('["text"]', '["text","output"]', 3), TAMPERED),
    "erases of text": (record("[1,", '["1",', 3), REFUSED),
    "erases without a list": (record('["text"]', '"text"', 3), REFUSED),
    "erases that is null": (tail(',"erases":null', 2), REFUSED),
    "erases of position 0": (record("[1,", "[0,", 3), REFUSED),
    "erases of what comes later": (record("[1,", "[4,", 3), TAMPERED),
    "erases of a position beyond 2^53": (record("[1,", "[9007199254740993,", 3), TAMPERED),
    "erases in what is no redaction": (record("redaction", "note", 3), TAMPERED),
    "a lone surrogate": (record('"pass"', '"\\ud800"'), REFUSED),
    "a surrogate pair that is escaped": (record('"pass"', '"\\ud83c\\udfb7"'), REFUSED),
    "a letter that is escaped": (record('"pass"', '"p\\u0061ss"'), REFUSED),
    "a slash that is escaped": (record('"pass"', '"a\\/b"'), REFUSED),
    "a control character in upper-case hex": (record('"pass"', '"\\u001F"'), REFUSED),
    "a control character as it is written": (record('"pass"', '"\\u001f\\n\\b"'), HOLDS),
    "a newline in its long form": (record('"pass"', '"\\u000a"'), REFUSED),
    "U+007F and U+2028 as they are": (record('"pass"', '"\x7f\u2028\u0085é🎷"'), HOLDS),
    "text that looks like fields": (record('"pass"', '"\\",\\"exit_code\\":7,\\"output_size\\":9,\\"v\\":2"'), HOLDS),
    "no UTF-8": (not_utf8, REFUSED),
    "a record that is too long": (too_long, REFUSED),
    "a record as long as it can be": (as_long_as_it_goes, HOLDS),
    "a record that is no object": (record("{", "[{"), REFUSED),
    "the 31st of November": (record("2026-11-24", "2026-11-31"), REFUSED),
    "the 29th of February": (record("2026-11-24", "2025-02-29"), REFUSED),
    "24 o'clock": (record("T10:", "T24:"), REFUSED),
    "a 60th second": (record(":05.", ":60."), REFUSED),
    "a 60th minute": (record(":35:", ":60:"), REFUSED),
    "the year 0": (record("2026-", "0000-"), REFUSED),
    "a time without its fraction": (record(".000002Z", "Z"), REFUSED),
    "a time with a zone": (record(".000002Z", ".000002+00:00"), REFUSED),
    "a time in digits of another script": (record("2026-11", "٢٠٢٦-11"), REFUSED),
    "a time that goes back": (record("2026-11-24", "2026-11-23"), TAMPERED),
    "an erased part whose digest is none": (unredacted("erased", "erased"), REFUSED),
    "an erased part whose digest is in upper case": (unredacted("erased", "A" * 64), REFUSED),
    "an erased part marked as omitted": (unredacted("omitted"), TAMPERED),
    "an erased part that is there": (unredacted(part(b'{"reason":"r1"}')), TAMPERED),
}
HEADER_CASES: dict[str, tuple[Change, int]] = {
    "a header of a later version": (header('"v":1', '"v":2'), CLOSED),
    "a header of an unknown kind": (header('"kind":"session"', '"kind":"thread"'), CLOSED),
    "a header with the kind of an entry": (header('"kind":"session"', '"kind":"entry"'), CLOSED),
    "a header with version 1.0": (header('"v":1', '"v":1.0'), REFUSED),
    "a header with rules that do not exist": (header('"rules":1', '"rules":99'), REFUSED),
    "a header with rules that are true": (header('"rules":1', '"rules":true'), REFUSED),
    "a header with rules 2": (header('"rules":1', '"rules":2'), HOLDS),
    "a header without rules": (header(',"rules":1', ""), REFUSED),
    "a header with an unknown field": (header('"rules":1', '"rules":1,"more":1'), REFUSED),
    "a header with white space": (header(",", ", "), REFUSED),
    "a header with rules twice": (header('"rules":1', '"rules":2,"rules":1'), REFUSED),
    "a header that was made on no day": (header(f'"at":"{HEADER_AT}"', '"at":"2026-02-30T00:00:00.000000Z"'), REFUSED),
    "a header with created_at that is no text": (header(f'"created_at":"{HEADER_AT}"', '"created_at":1'), REFUSED),
    "a header with an empty created_at": (header(f'"created_at":"{HEADER_AT}"', '"created_at":""'), HOLDS),
    "a header with an empty origin": (header('"rules":1', '"rules":1,"origin":{}'), HOLDS),
    "a header with an origin": (
        header('"rules":1', '"rules":1,"origin":{"format":"scafld","schema_version":1}'),
        HOLDS,
    ),
    "a header whose origin is a list": (header('"rules":1', '"rules":1,"origin":[]'), REFUSED),
    "a header whose origin is null": (header('"rules":1', '"rules":1,"origin":null'), REFUSED),
    "an origin in another order": (
        header('"rules":1', '"rules":1,"origin":{"schema_version":1,"format":"x"}'),
        REFUSED,
    ),
    "an origin with an empty field": (header('"rules":1', '"rules":1,"origin":{"format":""}'), REFUSED),
    "an origin with an unknown field": (header('"rules":1', '"rules":1,"origin":{"x":"y"}'), REFUSED),
    "an origin of 64 bits": (header('"rules":1', f'"rules":1,"origin":{{"schema_version":{2**63 - 1}}}'), HOLDS),
    "an origin beyond 64 bits": (header('"rules":1', f'"rules":1,"origin":{{"schema_version":{2**63}}}'), REFUSED),
    "the header of another task": (header(TASK, "another"), TAMPERED),
    "a header with a ledger in upper case": (header("abcdef", "ABCDEF"), REFUSED),
}
PROOF_CASES: dict[str, tuple[Change, int]] = {
    "a leaf of the 31st of November": (attributes(leaf_at="2026-11-31T10:35:05.000000Z"), REFUSED),
    "a leaf of 24 o'clock": (attributes(leaf_at="2026-11-24T24:60:60.000000Z"), REFUSED),
    "a leaf of a leap day that is none": (attributes(leaf_at="2100-02-29T10:35:05.000000Z"), REFUSED),
    "a leaf about 2^53 tasks": (attributes(tasks=str(2**53)), HOLDS),
    "a leaf about more tasks": (attributes(tasks=str(2**53 + 1)), REFUSED),
    "a leaf about 01 tasks": (attributes(tasks="01"), REFUSED),
    "a leaf that begins epoch 1": (leaf(begins(1)), REFUSED),
    "a leaf that begins epoch 7 in a log of epoch 1": (leaf(begins(7)), FAILS),
    "a leaf that begins epoch 7 in a log of epoch 2": (leaf(begins(7), f"{ORIGIN}/2"), FAILS),
    "a leaf that begins epoch 2 in a log of epoch 3": (leaf(begins(2), f"{ORIGIN}/3"), FAILS),
    "a leaf that begins epoch 2": (leaf(begins(2), f"{ORIGIN}/2"), HOLDS),
    "an epoch after another ledger's": (leaf(begins(2, f"tallystick/{'0' * 32}"), f"{ORIGIN}/2"), FAILS),
    "an epoch after itself": (leaf(begins(2, f"{ORIGIN}/2"), f"{ORIGIN}/2"), FAILS),
    "an epoch after a later one": (leaf(begins(2, f"{ORIGIN}/3"), f"{ORIGIN}/2"), FAILS),
    "an epoch after more checkpoints than there can be": (leaf(begins(2, size=2**53 + 1), f"{ORIGIN}/2"), REFUSED),
    "a leaf of a later version": (attributes(leaf='{"v":2,"kind":"checkpoint"}'), REFUSED),
    "a leaf with a field more": (leaf(',"more":1'), REFUSED),
    "a log of epoch 1 that says so": (attributes(origin=f"{ORIGIN}/1"), FAILS),
    "a log of epoch 02": (attributes(origin=f"{ORIGIN}/02"), FAILS),
    "a log of a later epoch": (attributes(origin=f"{ORIGIN}/2"), HOLDS),
    "a log of another ledger": (attributes(origin=f"tallystick/{'0' * 32}"), FAILS),
    "a line behind the root": (attributes(extensions=["more"]), FAILS),
    "2^53 + 1 checkpoints": (attributes(size=2**53 + 1), REFUSED),
    "2^53 + 2 checkpoints": (attributes(size=2**53 + 2), REFUSED),
    "a stranger's signature": (signature_by("stranger.example"), HOLDS),
    "U+FEFF in a stranger's name": (signature_by("a\ufeffb"), HOLDS),
    "U+200B in a stranger's name": (signature_by("a\u200bb"), HOLDS),
    "a stranger's name of 5,000 bytes": (signature_by("x" * 5_000), HOLDS),
    "a plus in a stranger's name": (signature_by("a+b"), REFUSED),
    "a stranger without a name": (signature_by(""), REFUSED),
    "a stranger's signature that is too short": (signature_by("ab", bytes(4)), REFUSED),
    "a stranger's signature of one byte": (signature_by("ab", bytes(5)), HOLDS),
    "a stranger with the signer's id": (signature_by("ab", KEY.key.key_id + bytes(64)), HOLDS),
    "a stranger with the signer's name": (signature_by(ORIGIN, bytes(68)), HOLDS),
    "a second signature that does not hold": (signature_by(ORIGIN, KEY.key.key_id + bytes(64)), FAILS),
    "a second signature of another length": (signature_by(ORIGIN, KEY.key.key_id + bytes(60)), FAILS),
    "a hundred signatures": (attributes(signature_lines=[f"— s/{n} {encoded(bytes(68))}" for n in range(99)]), HOLDS),
    "a hundred and one": (attributes(signature_lines=[f"— s/{n} {encoded(bytes(68))}" for n in range(100)]), REFUSED),
}
SPACE_CASES = {
    f"U+{ord(space):04X} in a stranger's name": (signature_by(f"a{space}b"), REFUSED)
    for space in BLANK
    if space > "\x1f"
}
CASES = {**RECORD_CASES, **HEADER_CASES, **PROOF_CASES, **SPACE_CASES}


def forged(name: str) -> Forge:
    """The bundle of that case, in parts."""
    change, _ = CASES[name]
    forge = Forge()
    change(forge)
    return forge
