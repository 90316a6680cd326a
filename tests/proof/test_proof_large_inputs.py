"""A megabyte of anything is read or refused in a time that grows with its length, by every parser."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tallystick.errors import TallystickError
from tallystick.proof import merkle
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.headmap import MapProof
from tallystick.proof.keys import ED25519, SigningKey, VerifierKey
from tallystick.proof.note import MAX_NOTE_SIZE, Signature, SignedNote, parse_signatures
from tallystick.proof.policy import Policy
from tallystick.proof.tlog_proof import TlogProof

MEGABYTE = MAX_NOTE_SIZE
# Each of these takes milliseconds; whatever is quadratic in a megabyte takes minutes.
SECONDS = 3

KEY = SigningKey("w", ED25519, bytes(32)).key
HASH = "A" * 43 + "="

PARSERS: dict[str, Callable[[str], object]] = {
    "note": SignedNote.parse,
    "note bytes": lambda text: SignedNote.parse(text.encode()),
    "known key": lambda text: SignedNote.parse(text).verify([KEY]),
    "signature": Signature.parse,
    "signatures": parse_signatures,
    "checkpoint": Checkpoint.parse,
    "leaf": lambda text: CheckpointLeaf.decode(text.encode()),
    "vkey": VerifierKey.parse,
    "skey": SigningKey.parse,
    "policy": Policy.parse,
    "tlog-proof": TlogProof.parse,
}

PROOF_HEAD = "c2sp.org/tlog-proof@v1\n"
LINE = "— w " + "A" * 8 + "\n"

# (head, what is repeated up to a megabyte, tail)
SHAPES = [
    ("", "\n", ""),
    ("", "\n\n", ""),
    ("", "a", ""),
    ("", "a", "\n\n" + LINE),
    ("", "a\n", "\n" + LINE),
    ("", "\n", LINE),
    ("a\n\n", LINE, ""),
    ("a\n\n", "\n" + LINE, ""),
    ("a\n\n— w ", "A", "\n"),
    ("a\n\n— w ", "A", "=\n"),
    ("a\n\n— ", "w", " AAAAAAAA\n"),
    ("a\n\n", "— ", "\n"),
    ("— w ", "AAAA", ""),
    ("", "— w ", ""),
    ("", " ", ""),
    ("", "+", ""),
    ("w+", "00000000+", ""),
    ("w+00000000+", "AAAA", ""),
    ("PRIVATE+KEY+w+00000000+", "AAAA", ""),
    ("PRIVATE+KEY+", "+", ""),
    ("log\n", "9", f"\n{HASH}\n"),
    ("log\n1\n", "A", "\n"),
    (f"log\n1\n{HASH}\n", "x\n", ""),
    (f"log\n1\n{HASH}\n", "x\n", "\n" + LINE),
    ('{"v":1,"kind":"checkpoint","at":"', "2", ""),
    ("", "[", ""),
    ("", "#\n", "quorum none\n"),
    ("", "log\n", ""),
    ("", f"log {KEY}\n", ""),
    ("group g any ", "w ", "\nquorum g\n"),
    ("", "quorum none\n", ""),
    ("quorum none\n", " \t", ""),
    (PROOF_HEAD + "index 0\n", f"{HASH}\n", "\na\n\n" + LINE),
    (PROOF_HEAD + "extra ", "AAAA", "\nindex 0\n\na\n\n" + LINE),
    (PROOF_HEAD + "index ", "9", "\n\na\n\n" + LINE),
    (PROOF_HEAD + "index 0\n\n", "a\n", "\n" + LINE),
    (PROOF_HEAD, "\n", ""),
    ("", "\u20ac", ""),
    ("", "\U0001f600\n", "\n" + LINE),
    ("", "\u2028", "\n\n" + LINE),
]


def refusal(parse: Callable[[str], object], text: str) -> str:
    """What our error says; nothing where the text is taken. Any other exception is a bug."""
    try:
        parse(text)
    except TallystickError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", PARSERS)
def test_a_megabyte_of_every_shape(name: str) -> None:
    parse = PARSERS[name]
    for head, repeated, tail in SHAPES:
        room = MEGABYTE - len(head.encode()) - len(tail.encode())
        text = head + repeated * (room // len(repeated.encode())) + tail
        started = time.perf_counter()
        message = refusal(parse, text)
        assert time.perf_counter() - started < SECONDS, (head, repeated, tail)
        assert len(message) < 1000, "an error message repeats all that it was given"
        assert message.isprintable()


def test_the_largest_valid_policy_is_read_in_time() -> None:
    lines = []
    for number in range(4000):
        key = VerifierKey("w", 0x04, number.to_bytes(32, "little")[:31] + b"\x15")
        lines.append(f"witness w{number} {key}")
        lines.append(f"group g{number} any w{number}" + (f" g{number - 1}" if number else ""))
    text = "\n".join([*lines, "quorum g3999\n"])
    started = time.perf_counter()
    policy = Policy.parse(text)
    assert policy.is_quorum([b"w0"])
    assert time.perf_counter() - started < SECONDS


def test_a_note_full_of_signatures_by_one_known_key_is_checked_in_time() -> None:
    signer = SigningKey("w", ED25519, bytes(32)).signer()
    text = "a" * (MEGABYTE - 20_000) + "\n"
    line = Signature("w", signer.key.key_id, signer.sign(text))
    started = time.perf_counter()
    assert len(SignedNote(text, [line] * 100).verify([signer.key])) == 1
    assert time.perf_counter() - started < 2 * SECONDS


def test_proofs_with_a_million_hashes_are_refused_in_time() -> None:
    million = [bytes(32)] * 1_000_000
    started = time.perf_counter()
    with pytest.raises(TallystickError):
        merkle.verify_inclusion(bytes(32), 5, 10, million, bytes(32))
    with pytest.raises(TallystickError):
        merkle.verify_consistency(5, bytes(32), 10, bytes(32), million)
    with pytest.raises(TallystickError):
        MapProof(million)
    with pytest.raises(TallystickError):
        MapProof.from_json({"siblings": ["00" * 32] * 1_000_000})
    assert time.perf_counter() - started < SECONDS
