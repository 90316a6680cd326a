"""proof/tlog_proof.py: `.tlog-proof` files, and which of them prove something."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError, TallystickError
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, SigningKey
from tallystick.proof.merkle import Edge, inclusion_proof, leaf_hash, read_root
from tallystick.proof.note import SignedNote, sign
from tallystick.proof.policy import Policy
from tallystick.proof.tlog_proof import TlogProof

ORIGIN = "tallystick/0123456789abcdef0123456789abcdef"
LOG = SigningKey(ORIGIN, ED25519, bytes(32))
WITNESS = SigningKey("witness.example/w", ED25519_COSIGNATURE, bytes(31) + b"\1")
POLICY = Policy.parse(f"log {LOG.key}\nwitness w {WITNESS.key}\nquorum w\n")


class LeafLog:
    """The log of one ledger: a leaf for each checkpoint."""

    def __init__(self, size: int) -> None:
        heads = (sha256(b"%d" % number).digest() for number in range(size))
        self.leaves = [
            CheckpointLeaf(f"2026-01-01T00:00:{number % 60:02}.000000Z", number, root).encode()
            for number, root in enumerate(heads)
        ]
        edge = Edge()
        self.nodes = [edge.append(leaf_hash(leaf)) for leaf in self.leaves]

    def leaf(self, index: int) -> bytes:
        return leaf_hash(self.leaves[index])

    def node(self, index: int) -> bytes:
        return self.nodes[index]

    def checkpoint(self, *keys: SigningKey) -> SignedNote:
        size = len(self.leaves)
        text = Checkpoint(ORIGIN, size, read_root(size, self)).text
        return sign(text, [key.signer() for key in keys], 1_770_000_000)

    def proof(self, index: int, extra: bytes = b"") -> TlogProof:
        path = inclusion_proof(index, len(self.leaves), self)
        return TlogProof(index, path, self.checkpoint(LOG, WITNESS), extra)


LEAF_LOG = LeafLog(21)


def test_the_file_has_the_lines_of_the_spec() -> None:
    proof = LEAF_LOG.proof(20, b"extra data")
    lines = str(proof).split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + b64encode(b"extra data").decode()
    assert lines[2] == "index 20"
    path = [b64encode(node).decode() for node in inclusion_proof(20, 21, LEAF_LOG)]
    assert lines[3 : 3 + len(path)] == path
    assert lines[3 + len(path)] == ""
    assert "\n".join(lines[4 + len(path) :]) == str(LEAF_LOG.checkpoint(LOG, WITNESS))
    assert str(LEAF_LOG.proof(0)).split("\n")[1] == "index 0"


@pytest.mark.parametrize("size", [1, 2, 3, 8, 21])
def test_every_leaf_of_a_log_is_proved_and_no_other(size: int) -> None:
    log = LeafLog(size)
    for index in range(size):
        proof = TlogProof.parse(str(log.proof(index)).encode())
        assert proof == log.proof(index)
        endorsed = proof.verify(log.leaf(index), POLICY)
        assert endorsed.checkpoint.size == size
        assert endorsed.cosigned == {b"w": 1_770_000_000}
        with pytest.raises(CheckFailedError):
            proof.verify(leaf_hash(b"never logged"), POLICY)
        for wrong in set(range(size + 2)) - {index}:
            moved = TlogProof(wrong, proof.path, proof.checkpoint)
            with pytest.raises((CheckFailedError, InputError)):
                moved.verify(log.leaf(index), POLICY)


def test_a_proof_needs_signatures_that_the_policy_accepts() -> None:
    proof = LEAF_LOG.proof(3)
    alone = TlogProof(3, proof.path, LEAF_LOG.checkpoint(LOG))
    with pytest.raises(CheckFailedError, match="quorum"):
        alone.verify(LEAF_LOG.leaf(3), POLICY)
    stranger = SigningKey(ORIGIN, ED25519, b"\7" * 32)
    with pytest.raises(CheckFailedError, match="no trusted key"):
        TlogProof(3, proof.path, LEAF_LOG.checkpoint(stranger, WITNESS)).verify(LEAF_LOG.leaf(3), POLICY)


def test_extra_data_proves_nothing_and_disproves_nothing() -> None:
    proof = LEAF_LOG.proof(3, b"one")
    other = TlogProof(3, proof.path, proof.checkpoint, b"two")
    assert other.verify(LEAF_LOG.leaf(3), POLICY) == proof.verify(LEAF_LOG.leaf(3), POLICY)


def test_a_checkpoint_of_another_size_with_the_same_root() -> None:
    """The size is signed: a proof cannot be moved to a tree of another size."""
    proof = LEAF_LOG.proof(20)
    checkpoint = Checkpoint.parse(proof.checkpoint.text)
    larger = Checkpoint(ORIGIN, checkpoint.size + 1, checkpoint.root)
    lied = SignedNote(larger.text, proof.checkpoint.signatures)
    with pytest.raises(CheckFailedError, match="does not fit"):
        TlogProof(20, proof.path, lied).verify(LEAF_LOG.leaf(20), POLICY)


def test_an_empty_log_proves_nothing() -> None:
    empty = Checkpoint(ORIGIN, 0, sha256(b"").digest()).text
    note = sign(empty, [LOG.signer(), WITNESS.signer()], 5)
    with pytest.raises(InputError):
        TlogProof(0, [], note).verify(leaf_hash(b""), POLICY)


def test_a_leaf_that_is_no_hash() -> None:
    with pytest.raises(InputError):
        LEAF_LOG.proof(3).verify(b"leaf", POLICY)


@pytest.mark.parametrize(
    ("index", "path", "extra"),
    [
        (-1, [], b""),
        (2**64, [], b""),
        (0, [bytes(31)], b""),
        (0, [bytes(33)], b""),
        (0, [bytes(32)] * 65, b""),
    ],
)
def test_proofs_that_cannot_be(index: int, path: list[bytes], extra: bytes) -> None:
    with pytest.raises(InputError):
        TlogProof(index, path, LEAF_LOG.checkpoint(LOG), extra)


HASH = b64encode(bytes(32)).decode()
NOTE = str(LEAF_LOG.checkpoint(LOG))
HEAD = "c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        HEAD + "index 0\n",
        HEAD + "index 0\n\n",
        HEAD + "index 0\n" + NOTE,
        HEAD + "\n" + NOTE,
        "index 0\n\n" + NOTE,
        " " + HEAD + "index 0\n\n" + NOTE,
        HEAD.replace("v1", "v2") + "index 0\n\n" + NOTE,
        HEAD.replace("\n", "\r\n") + "index 0\n\n" + NOTE,
        HEAD + "index 00\n\n" + NOTE,
        HEAD + "index -5\n\n" + NOTE,
        HEAD + "index +5\n\n" + NOTE,
        HEAD + "index\n\n" + NOTE,
        HEAD + "index \n\n" + NOTE,
        HEAD + "index  0\n\n" + NOTE,
        HEAD + "index notanumber\n\n" + NOTE,
        HEAD + "index ²\n\n" + NOTE,
        HEAD + f"index {2**64}\n\n" + NOTE,
        HEAD + "Index 0\n\n" + NOTE,
        HEAD + "index 0\nindex 0\n\n" + NOTE,
        HEAD + "index 0\nextra QQ==\n\n" + NOTE,
        HEAD + "extra \nindex 0\n\n" + NOTE,
        HEAD + "extra\nindex 0\n\n" + NOTE,
        HEAD + "extra QQ\nindex 0\n\n" + NOTE,
        HEAD + "extra QR==\nindex 0\n\n" + NOTE,
        HEAD + "extra !!notbase64!!\nindex 0\n\n" + NOTE,
        HEAD + "extra QQ==\nextra QQ==\nindex 0\n\n" + NOTE,
        HEAD + "index 0\n!!notbase64!!\n\n" + NOTE,
        HEAD + f"index 0\n{HASH} \n\n" + NOTE,
        HEAD + f"index 0\n{HASH[:-1]}\n\n" + NOTE,
        HEAD + f"index 0\n{b64encode(bytes(64)).decode()}\n\n" + NOTE,
        HEAD + f"index 0\n{bytes(32).hex()}\n\n" + NOTE,
        HEAD + "index 0\n" + f"{HASH}\n" * 65 + "\n" + NOTE,
        HEAD + "index 0\n\n" + NOTE + "\n",
        HEAD + "index 0\n\n" + NOTE[:-1],
        HEAD + "index 0\n\n" + NOTE.split("\n\n")[0] + "\n",
    ],
)
def test_what_is_no_proof(text: str) -> None:
    with pytest.raises(InputError):
        TlogProof.parse(text)
    with pytest.raises(InputError):
        TlogProof.parse(text.encode())


def test_longest_path() -> None:
    text = HEAD + f"index {2**64 - 1}\n" + f"{HASH}\n" * 64 + "\n" + NOTE
    assert str(TlogProof.parse(text)) == text


def test_the_checkpoint_begins_at_the_first_empty_line() -> None:
    """A note's text may hold empty lines; it is the proof's head that cannot."""
    text = HEAD + "index 0\n\n" + str(sign("a\n\nb\n", [LOG.signer()]))
    assert TlogProof.parse(text).checkpoint.text == "a\n\nb\n"
    shifted = HEAD + "index 0\n\n\n" + NOTE
    assert TlogProof.parse(shifted).checkpoint.text.startswith("\n")
    with pytest.raises(InputError):
        TlogProof.parse(shifted).verify(bytes(32), POLICY)


VALID = str(LEAF_LOG.proof(20, b"extra")).encode()


@given(
    st.integers(0, len(VALID)),
    st.integers(0, 50),
    st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b"\n\n", f"{HASH}\n".encode(), b"index 1\n"])),
)
def test_mutated_proofs_are_refused(place: int, cut: int, put: bytes) -> None:
    """Nothing but our errors; what still verifies differs in unauthenticated parts only."""
    mutated = VALID[:place] + put + VALID[place + cut :]
    honest = LEAF_LOG.proof(20)
    try:
        proof = TlogProof.parse(mutated)
        assert str(proof).encode() == mutated
        endorsed = proof.verify(LEAF_LOG.leaf(20), POLICY)
    except TallystickError:
        return
    assert (proof.index, proof.path, proof.checkpoint.text) == (20, honest.path, honest.checkpoint.text)
    assert endorsed == honest.verify(LEAF_LOG.leaf(20), POLICY)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_random_bytes_are_refused(data: bytes | str) -> None:
    with pytest.raises(InputError):
        TlogProof.parse(data)
    head = HEAD + "index 0\n" if isinstance(data, str) else (HEAD + "index 0\n").encode()
    try:
        TlogProof.parse(head + data)  # type: ignore[operator]
    except InputError:
        return
