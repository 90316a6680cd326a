"""Sentences of the C2SP specifications (as of July 2026) that are easy to get wrong, each with what holds us to it."""

from __future__ import annotations

import pytest

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.text import BLANK
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    SigningKey,
    VerifierKey,
    check_key_name,
)
from tallystick.proof.note import MAX_NOTE_SIZE, Signature, SignedNote, UnsignedError, sign
from tallystick.proof.policy import Policy

ORIGIN = "example.com/log"
LOG = SigningKey(ORIGIN, ED25519, b"\1" * 32)
SAME_AS_WITNESS = SigningKey("witness.example", ED25519_COSIGNATURE, b"\1" * 32)
PQ = SigningKey(ORIGIN, MLDSA44_COSIGNATURE, b"\2" * 32)
WITNESS = SigningKey("witness.example", ED25519_COSIGNATURE, b"\3" * 32)
TEXT = Checkpoint(ORIGIN, 7, bytes(range(32))).text
STRANGER = bytes(68)


# --- c2sp.org/signed-note


@pytest.mark.parametrize("space", BLANK, ids=lambda space: f"U+{ord(space):04X}")
def test_names_have_no_unicode_spaces(space: str) -> None:
    """ "Key names MUST be non-empty and MUST NOT contain any Unicode spaces or plus (U+002B) characters." """
    with pytest.raises(InputError):
        check_key_name(f"a{space}b")


@pytest.mark.parametrize("character", ["\ufeff", "\u200b", "\u180e", "\u2060", "\x7f", "é", "🎷", "-", "—"])
def test_what_is_no_unicode_space_may_stand_in_a_name(character: str) -> None:
    """The same sentence: nothing else is ruled out."""
    assert check_key_name(f"a{character}b") == f"a{character}b"


@pytest.mark.parametrize("name", ["stranger", "a\ufeffb", "x" * 4_097, "é" * 100_000, ORIGIN])
def test_unknown_keys_are_ignored_whatever_they_are_called(name: str) -> None:
    """
    "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but not both) with a known
    key."
    """
    note = sign(TEXT, [LOG.signer()])
    for key_id in (bytes(4), LOG.key.key_id):
        if (name, key_id) == (LOG.key.name, LOG.key.key_id):
            continue
        mixed = SignedNote.parse(str(note.with_signatures([Signature(name, key_id, STRANGER)])))
        assert [one.key for one in mixed.verify([LOG.key])] == [LOG.key]


def test_the_note_limits_how_long_a_name_can_be() -> None:
    """
    "Verifiers SHOULD apply a maximum limit to the number of signatures in a note (or, equivalently, to the overall
    size of a note)"
    """
    line = str(Signature("x" * MAX_NOTE_SIZE, bytes(4), b"\1"))
    with pytest.raises(InputError):
        SignedNote.parse(f"{sign(TEXT, [LOG.signer()])}{line}\n")


def test_every_signature_by_a_known_key_is_verified() -> None:
    """ "If the key name and ID match a known key, verifiers MUST verify the signature." """
    good = sign(TEXT, [LOG.signer()]).signatures[0]
    for bad in (bytes(64), bytes(60), good.signature[::-1], good.signature + b"\0"):
        for signatures in (
            [good, Signature(good.name, good.key_id, bad)],
            [Signature(good.name, good.key_id, bad), good],
        ):
            with pytest.raises(CheckFailedError):
                SignedNote(TEXT, signatures).verify([LOG.key])


def test_hex_is_lower_case() -> None:
    """ "The hex encoding of a positive integer is the fixed length lowercase Base 16 encoding"

    Go's parser takes upper case as well; what it writes is lower case.
    """
    vkey = str(LOG.key)
    upper = vkey.replace(LOG.key.key_id.hex(), LOG.key.key_id.hex().upper())
    assert upper != vkey
    assert VerifierKey.parse(vkey) == LOG.key
    with pytest.raises(InputError):
        VerifierKey.parse(upper)


# --- c2sp.org/tlog-checkpoint


def test_a_log_may_sign_with_ml_dsa_44() -> None:
    """ "Logs SHOULD use ML-DSA-44 cosignatures to sign the checkpoint, but MAY use any note signature algorithm" """
    note = sign(TEXT, [PQ.signer()])
    assert [one.key for one in note.verify([PQ.key])] == [PQ.key]
    assert Policy.parse(f"log {PQ.key}\nquorum none\n").check(note).logs == (PQ.key,)


def test_a_key_that_signs_checkpoints_signs_nothing_else() -> None:
    with pytest.raises(InputError, match=r"type 0x06 signs checkpoints and nothing else; use an Ed25519 key"):
        sign("a statement\n", [PQ.signer()])


# --- c2sp.org/tlog-policy

DUPLICATES = {
    "two logs": f"log {LOG.key}\nlog {LOG.named('other.example').key}\nquorum none\n",
    "two witnesses": f"witness a {WITNESS.key}\nwitness b {WITNESS.named('x').key}\nquorum a\n",
    "a log, then a witness": f"log {LOG.key}\nwitness w {SAME_AS_WITNESS.key}\nquorum w\n",
    "a witness, then a log": f"witness w {SAME_AS_WITNESS.key}\nlog {LOG.key}\nquorum w\n",
    "an ML-DSA-44 log, then a witness": f"log {PQ.key}\nwitness w {PQ.named('w').key}\nquorum w\n",
    "an ML-DSA-44 witness, then a log": f"witness w {PQ.named('w').key}\nlog {PQ.key}\nquorum w\n",
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_a_key_stands_once_in_a_policy(name: str) -> None:
    """
    "Two vkeys are considered *duplicate* if they wrap the same underlying public key, even if they differ by key name
    and key id."

    The format forbids duplicate logs and duplicate witnesses. One key as log and witness is one party that vouches for
    itself, so that is refused, too.
    """
    with pytest.raises(InputError, match="already"):
        Policy.parse(DUPLICATES[name])


def test_a_policy_without_logs_is_for_where_the_log_is_known() -> None:
    """
    "An application where the appropriate log(s) are known from other context may accept a policy with an empty set of
    logs."
    """
    policy = Policy.parse(f"witness w {WITNESS.key}\nquorum w\n")
    cosigned = sign(TEXT, [LOG.signer(), WITNESS.signer()], 5)
    assert policy.require_quorum(cosigned) == {b"w": 5}
    with pytest.raises(UnsignedError, match="the quorum 'w' did not cosign"):
        policy.require_quorum(sign(TEXT, [LOG.signer()]))
    false = SignedNote(TEXT, [Signature(WITNESS.key.name, WITNESS.key.key_id, bytes(72))])
    with pytest.raises(CheckFailedError, match="does not fit"):
        policy.require_quorum(false)
    with pytest.raises(InputError, match="names no log"):
        policy.check(cosigned)
