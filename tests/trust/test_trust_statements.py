"""Who signed a statement: name and id together tell, and every signature that is a key's is verified."""

from __future__ import annotations

import pytest

from tallystick.errors import CheckFailedError
from tallystick.proof.keys import ED25519, SigningKey, VerifierKey
from tallystick.proof.note import Signature, SignedNote
from tallystick.stores.base import Head
from tallystick.trust.keys import Key
from tallystick.trust.statements import Statement, Subject, approve, attest, parse_statement

LEDGER, OTHER = "0123456789abcdef" * 2, "f" * 32
ORIGIN = f"tallystick/{LEDGER}"
SECRET = SigningKey(ORIGIN, ED25519, b"\1" * 32)
STRANGER = SigningKey(ORIGIN, ED25519, b"\2" * 32)
SUBJECT = Subject("t", Head(3, "a" * 64))


def key(secret: SigningKey) -> Key:
    return Key("k", "file", ED25519, secret.key.public, secret=secret)


ATTESTED = attest(key(SECRET), LEDGER, SUBJECT, {1: "a" * 64})
APPROVED = approve(key(SECRET), LEDGER, SUBJECT, [{"what": "command changed"}])


def with_signatures(text: str, *signatures: Signature, first: bool = False) -> Statement:
    note = SignedNote.parse(text)
    found = (*signatures, *note.signatures) if first else (*note.signatures, *signatures)
    return parse_statement(str(SignedNote(note.text, found)))


def by(secret: SigningKey, name: str, text: str) -> Signature:
    signer = secret.named(name).signer()
    return Signature(name, signer.key.key_id, signer.sign(SignedNote.parse(text).text))


@pytest.mark.parametrize("text", [ATTESTED, APPROVED])
def test_a_key_signs_under_the_name_of_the_ledger(text: str) -> None:
    """A key that is pinned for one ledger, or under a name of its own, is the same one in another."""
    for pinned in (ORIGIN, f"tallystick/{OTHER}", "alice.example"):
        pin = SECRET.named(pinned).key
        assert parse_statement(text).signers([pin, STRANGER.key]) == [pin]
    assert parse_statement(text).signers([STRANGER.key]) == []


def test_a_signature_under_any_other_name_is_a_strangers() -> None:
    note = SignedNote.parse(ATTESTED)
    for name in ("alice.example", f"tallystick/{OTHER}", f"{ORIGIN}/2"):
        statement = parse_statement(str(SignedNote(note.text, [by(SECRET, name, ATTESTED)])))
        assert statement.signers([SECRET.key, SECRET.named(name).key]) == []


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("blob", [bytes(64), bytes(63), b"\0"])
def test_a_second_signature_that_does_not_hold_ends_it(first: bool, blob: bytes) -> None:
    false = Signature(ORIGIN, SECRET.key.key_id, blob)
    with pytest.raises(CheckFailedError):
        with_signatures(ATTESTED, false, first=first).signers([SECRET.key])


def test_strangers_beside_it_change_nothing() -> None:
    statement = with_signatures(
        ATTESTED,
        Signature(ORIGIN, bytes(4), bytes(64)),
        Signature("mallory.example", SECRET.key.key_id, bytes(64)),
        Signature("x" * 5_000, bytes(4), bytes(64)),
        first=True,
    )
    assert statement.signers([SECRET.key]) == [SECRET.key]


def test_each_key_that_signed_is_told_once() -> None:
    twice = with_signatures(ATTESTED, by(SECRET, ORIGIN, ATTESTED), by(STRANGER, ORIGIN, ATTESTED))
    assert twice.signers([STRANGER.key, SECRET.key]) == [STRANGER.key, SECRET.key]


def test_one_key_under_two_names_is_found_under_both() -> None:
    """What counts parties has to see that they are one: the public halves are equal."""
    names: list[VerifierKey] = [SECRET.key, SECRET.named("alice.example").key, SECRET.named("bob.example").key]
    found = parse_statement(ATTESTED).signers(names)
    assert len({one.public for one in found}) == 1
