"""proof/checkpoint.py: the texts that logs and cosigners sign, and the leaf of our own log."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import InputError
from tallystick.proof.checkpoint import (
    Checkpoint,
    CheckpointLeaf,
    cosignature_v1_message,
    cosigned_message,
)
from tallystick.proof.merkle import EMPTY_ROOT

# The example of c2sp.org/tlog-checkpoint and, cosigned, of c2sp.org/tlog-cosignature.
SPEC_ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
SPEC_TEXT = f"example.com/behind-the-sofa\n20852163\n{SPEC_ROOT}\n"

ROOT = sha256(b"root").digest()
ROOT_TEXT = b64encode(ROOT).decode()


def test_the_example_of_the_spec() -> None:
    checkpoint = Checkpoint.parse(SPEC_TEXT)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert b64encode(checkpoint.root).decode() == SPEC_ROOT
    assert checkpoint.extensions == ()
    assert checkpoint.text == SPEC_TEXT


def test_the_message_of_a_cosignature_v1() -> None:
    assert cosignature_v1_message(1679315147, SPEC_TEXT).decode() == (
        f"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n{SPEC_ROOT}\n"
    )


def test_the_structure_that_mldsa_signs() -> None:
    message = cosigned_message("w.example", 0x0102030405060708, "log.example", 0x1112, ROOT)
    assert message == (
        b"subtree/v1\n\x00"
        b"\x09w.example"
        b"\x01\x02\x03\x04\x05\x06\x07\x08"
        b"\x0blog.example"
        b"\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\x11\x12" + ROOT
    )
    part = cosigned_message("w", 0, "l", 8, ROOT, start=4)
    assert part[12 + 2 + 8 + 2 :][:16] == (4).to_bytes(8, "big") + (8).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("cosigner", "timestamp", "origin", "end", "root", "start"),
    [
        ("", 0, "l", 1, ROOT, 0),
        ("w", 0, "", 1, ROOT, 0),
        ("w" * 256, 0, "l", 1, ROOT, 0),
        ("w", 0, "é" * 128, 1, ROOT, 0),
        ("w", -1, "l", 1, ROOT, 0),
        ("w", 2**63, "l", 1, ROOT, 0),
        ("w", 1, "l", 2, ROOT, 1),
        ("w", 0, "l", 2**64, ROOT, 0),
        ("w", 0, "l", 2, ROOT, -1),
        ("w", 0, "l", 1, ROOT[1:], 0),
    ],
)
def test_structures_that_cannot_be(
    cosigner: str, timestamp: int, origin: str, end: int, root: bytes, start: int
) -> None:
    with pytest.raises(InputError):
        cosigned_message(cosigner, timestamp, origin, end, root, start=start)


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("a", 0, EMPTY_ROOT),
        Checkpoint("go.sum database tree", 1, ROOT),
        Checkpoint("a+b", 2**64 - 1, ROOT, ("ext",)),
        Checkpoint("日本", 10, ROOT, ("one", "two three", "— not a signature")),
        Checkpoint("no\u2028break\u0085here", 1, ROOT, ("\x7f",)),
        Checkpoint("a", 1, ROOT, (" ", "a\u2029b")),
    ],
)
def test_checkpoints_round_trip(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "log\n",
        "log\n1\n",
        f"log\n1\n{ROOT_TEXT}",
        f"\n1\n{ROOT_TEXT}\n",
        f"log\n\n{ROOT_TEXT}\n",
        "log\n1\n\n",
        f"log\n1\n{ROOT_TEXT}\n\n",
        f"log\n1\n{ROOT_TEXT}\next\n\n",
        f"log\n1\n{ROOT_TEXT}\n\next\n",
        f"log\n01\n{ROOT_TEXT}\n",
        f"log\n00\n{ROOT_TEXT}\n",
        f"log\n+1\n{ROOT_TEXT}\n",
        f"log\n-1\n{ROOT_TEXT}\n",
        f"log\n 1\n{ROOT_TEXT}\n",
        f"log\n1 \n{ROOT_TEXT}\n",
        f"log\n1_0\n{ROOT_TEXT}\n",
        f"log\n²\n{ROOT_TEXT}\n",
        f"log\n١\n{ROOT_TEXT}\n",
        f"log\n1.0\n{ROOT_TEXT}\n",
        f"log\n0x1\n{ROOT_TEXT}\n",
        f"log\n{2**64}\n{ROOT_TEXT}\n",
        f"log\n{'9' * 5000}\n{ROOT_TEXT}\n",
        f"log\n0\n{ROOT_TEXT}\n",
        f"log\n1\n{ROOT_TEXT[:-1]}\n",
        f"log\n1\n{ROOT_TEXT}=\n",
        f"log\n1\n {ROOT_TEXT}\n",
        f"log\n1\n{b64encode(ROOT[1:]).decode()}\n",
        f"log\n1\n{b64encode(ROOT + ROOT).decode()}\n",
        f"log\n1\n{ROOT.hex()}\n",
        f"log\r\n1\r\n{ROOT_TEXT}\r\n",
        f"lo\tg\n1\n{ROOT_TEXT}\n",
        f"\ud800\n1\n{ROOT_TEXT}\n",
        "a" * 70_000 + f"\n1\n{ROOT_TEXT}\n",
    ],
)
def test_what_is_no_checkpoint(text: str) -> None:
    with pytest.raises(InputError):
        Checkpoint.parse(text)


def test_a_hash_has_one_spelling() -> None:
    """The last character of the base64 of 32 bytes has two unused bits, which must be zero."""
    assert ROOT_TEXT.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(ROOT_TEXT[-2])
    for bits in (1, 2, 3):
        bent = ROOT_TEXT[:-2] + alphabet[last | bits] + "="
        with pytest.raises(InputError):
            Checkpoint.parse(f"log\n1\n{bent}\n")


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("a\n", 1, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", 2**64, ROOT, ()),
        ("a", 1, ROOT[:31], ()),
        ("a", 1, ROOT, ("",)),
        ("a", 1, ROOT, ("b\n",)),
        ("a", 0, ROOT, ()),
        ("a\x00", 1, ROOT, ()),
    ],
)
def test_checkpoints_that_cannot_be(origin: str, size: int, root: bytes, extensions: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        Checkpoint(origin, size, root, extensions)


@given(st.text(max_size=120), st.integers(0, 60), st.integers(0, 4))
def test_fuzzed_checkpoints(noise: str, place: int, cut: int) -> None:
    for text in (
        noise,
        SPEC_TEXT[:place] + noise + SPEC_TEXT[place + cut :],
        f"log\n1\n{ROOT_TEXT}\n{noise}\n",
    ):
        try:
            checkpoint = Checkpoint.parse(text)
        except InputError:
            continue
        assert checkpoint.text == text


LEAF = CheckpointLeaf("2026-02-28T23:59:59.000001Z", 12, ROOT)
LEAF_BYTES = (
    f'{{"v":1,"kind":"checkpoint","at":"2026-02-28T23:59:59.000001Z","tasks":12,"heads":"{ROOT.hex()}"}}'
).encode()


def test_the_bytes_of_a_leaf() -> None:
    assert LEAF.encode() == LEAF_BYTES
    assert CheckpointLeaf.decode(LEAF_BYTES) == LEAF
    assert list(json.loads(LEAF_BYTES)) == ["v", "kind", "at", "tasks", "heads"]
    assert json.dumps(json.loads(LEAF_BYTES), separators=(",", ":")).encode() == LEAF_BYTES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"v":1', '"v":2'),
        ('"v":1', '"v":1.0'),
        ('"v":1,', ""),
        ('"checkpoint"', '"entry"'),
        ('{"v"', '{ "v"'),
        ("}", "}\n"),
        ("{", "\ufeff{"),
        ('"tasks":12', '"tasks":012'),
        ('"tasks":12', '"tasks":-1'),
        ('"tasks":12', '"tasks":12.0'),
        ('"tasks":12', '"tasks":1e1'),
        ('"tasks":12', '"tasks":"12"'),
        ('"tasks":12', '"tasks":' + "9" * 17),
        ('"tasks":12', '"tasks":١'),
        ('"tasks":12', '"tasks":12,"tasks":12'),
        ('"tasks":12,', ""),
        ('"tasks":12', '"tasks":12,"extra":0'),
        (ROOT.hex(), ROOT.hex().upper()),
        (ROOT.hex(), ROOT.hex()[2:]),
        (ROOT.hex(), ROOT.hex() + "00"),
        ("2026-02-28", "2026-02-29"),
        ("2026-02-28", "2026-13-01"),
        ("2026-02-28", "0000-01-01"),
        ("T23:59:59", "T24:00:00"),
        ("T23:59:59", "T23:59:60"),
        ("T23", " 23"),
        (".000001Z", "Z"),
        (".000001Z", ".00001Z"),
        (".000001Z", ".000001+00:00"),
        (".000001Z", ".000001z"),
        ("kind", "\\u006bind"),
    ],
)
def test_other_spellings_of_a_leaf_are_refused(old: str, new: str) -> None:
    bent = LEAF_BYTES.decode().replace(old, new, 1)
    assert bent != LEAF_BYTES.decode()
    with pytest.raises(InputError):
        CheckpointLeaf.decode(bent.encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[" * 200, b"\xff" * 150, b"[" * 1_000_000, LEAF_BYTES * 2])
def test_what_is_no_leaf(data: bytes) -> None:
    with pytest.raises(InputError):
        CheckpointLeaf.decode(data)


@given(st.datetimes(), st.integers(0, 2**53), st.binary(min_size=32, max_size=32))
def test_leaves_round_trip(when: object, tasks: int, heads: bytes) -> None:
    leaf = CheckpointLeaf(f"{when:%Y-%m-%dT%H:%M:%S.%f}Z".rjust(27, "0"), tasks, heads)
    assert CheckpointLeaf.decode(leaf.encode()) == leaf


@pytest.mark.parametrize(
    ("at", "tasks", "heads"),
    [
        ("", 1, ROOT),
        ("2026-01-01T00:00:00Z", 1, ROOT),
        ('2026-01-01T00:00:00.000000Z","x":"', 1, ROOT),
        ("\ud800", 1, ROOT),
        ("2026-01-01T00:00:00.000000Z", -1, ROOT),
        ("2026-01-01T00:00:00.000000Z", True, ROOT),
        ("2026-01-01T00:00:00.000000Z", 1, ROOT[1:]),
    ],
)
def test_leaves_that_cannot_be(at: str, tasks: int, heads: bytes) -> None:
    with pytest.raises(InputError):
        CheckpointLeaf(at, tasks, heads)


@given(st.integers(0, len(LEAF_BYTES)), st.integers(0, 5), st.binary(max_size=5))
def test_fuzzed_leaves(place: int, cut: int, put: bytes) -> None:
    bent = LEAF_BYTES[:place] + put + LEAF_BYTES[place + cut :]
    try:
        leaf = CheckpointLeaf.decode(bent)
    except InputError:
        return
    assert leaf.encode() == bent
