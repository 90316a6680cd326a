"""What we sign and prove verifies with implementations that are not ours, and theirs verifies here.

tlog-scales and aics-tlog (both Apache-2.0) and proofbundle (MIT) are test dependencies only. aics-tlog needs
Python 3.12, so its tests are left out below that, and only there.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from tallystick.errors import CheckFailedError
from tallystick.proof import merkle
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    SigningKey,
    VerifierKey,
)
from tallystick.proof.note import SignedNote, sign
from tallystick.proof.policy import Policy
from tallystick.proof.tlog_proof import TlogProof

ORIGIN = "tallystick/0123456789abcdef0123456789abcdef"
TIME = 1_770_000_000
LEAVES = [b"leaf %d" % number for number in range(23)]
SIZES = (1, 2, 3, 5, 8, 16, 23)
TYPES = (ED25519, ED25519_COSIGNATURE, MLDSA44_COSIGNATURE)

LOG = SigningKey(ORIGIN, ED25519, bytes(32))
WITNESS = SigningKey("witness.example/w1", ED25519_COSIGNATURE, b"\1" * 32)
PQ_WITNESS = SigningKey("witness.example/w2", MLDSA44_COSIGNATURE, b"\2" * 32)
POLICY = Policy.parse(
    f"log {LOG.key}\nwitness w1 {WITNESS.key}\nwitness w2 {PQ_WITNESS.key}\ngroup both all w1 w2\nquorum both\n"
)


class Tree:
    def __init__(self) -> None:
        edge = merkle.Edge()
        self.leaves = [merkle.leaf_hash(leaf) for leaf in LEAVES]
        self.nodes = [edge.append(leaf) for leaf in self.leaves]

    def leaf(self, index: int) -> bytes:
        return self.leaves[index]

    def node(self, index: int) -> bytes:
        return self.nodes[index]


TREE = Tree()


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, merkle.read_root(size, TREE))


def our_note(size: int) -> str:
    return str(sign(checkpoint(size).text, [key.signer() for key in (LOG, WITNESS, PQ_WITNESS)], TIME))


class TestTlogScales:
    """github.com/florolf/tlog-scales: notes, checkpoints and cosignatures of all three types, both proofs."""

    @pytest.mark.parametrize("key_type", TYPES)
    def test_keys(self, key_type: int) -> None:
        from tlog_scales.signing import Vkey

        key = SigningKey("example.com/key", key_type, b"\3" * 32).key
        theirs = Vkey(key.name, None, key_type, key.public)
        assert theirs.serialize() == str(key)
        assert theirs.key_id.to_bytes(4, "big") == key.key_id
        assert Vkey.from_string(str(key)).pubkey == key.public

    @pytest.mark.parametrize("size", SIZES)
    def test_they_verify_ours(self, size: int) -> None:
        from tlog_scales.signing import Vkey, VkeySet
        from tlog_scales.tlog import Checkpoint as TheirCheckpoint

        theirs = TheirCheckpoint.from_text(our_note(size))
        assert (theirs.origin, theirs.size, theirs.root_hash) == (ORIGIN, size, checkpoint(size).root)
        vkeys = [Vkey.from_string(str(key.key)) for key in (LOG, WITNESS, PQ_WITNESS)]
        for vkey in vkeys:
            theirs.verify(vkey)
        assert {vkey.name for vkey, _ in VkeySet(*vkeys).verify(theirs.signatures, theirs)} == {
            LOG.key.name,
            WITNESS.key.name,
            PQ_WITNESS.key.name,
        }

    @pytest.mark.parametrize("size", SIZES)
    def test_we_verify_theirs(self, size: int) -> None:
        from tlog_scales.signing import MLDSA44CosignatureSigner, PlainEd25519Signer
        from tlog_scales.tlog import Checkpoint as TheirCheckpoint

        signers = [
            PlainEd25519Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32))),
            MLDSA44CosignatureSigner(PQ_WITNESS.key.name, MLDSA44PrivateKey.from_seed_bytes(b"\2" * 32)),
        ]
        theirs = TheirCheckpoint.make_signed(ORIGIN, size, checkpoint(size).root, signers)
        note = SignedNote.parse(theirs.serialize())
        assert Checkpoint.parse(note.text) == checkpoint(size)
        assert [one.key for one in note.verify([LOG.key, PQ_WITNESS.key])] == [LOG.key, PQ_WITNESS.key]
        keys = [VerifierKey.parse(signer.vkey.serialize()) for signer in signers]
        assert keys == [LOG.key, PQ_WITNESS.key]

    def test_they_refuse_what_we_refuse(self) -> None:
        from tlog_scales.signing import Vkey
        from tlog_scales.tlog import Checkpoint as TheirCheckpoint

        bent = our_note(23).replace("\n23\n", "\n22\n")
        for key in (LOG, WITNESS, PQ_WITNESS):
            with pytest.raises(CheckFailedError):
                SignedNote.parse(bent).verify([key.key])
            with pytest.raises(Exception, match=r"^$"):  # cryptography's InvalidSignature says nothing
                TheirCheckpoint.from_text(bent).verify(Vkey.from_string(str(key.key)))

    def test_inclusion_proofs(self) -> None:
        from tlog_scales.tlog import InclusionProof, InclusionProofInvalid

        for size in SIZES:
            root = merkle.read_root(size, TREE)
            for index in range(size):
                path = merkle.inclusion_proof(index, size, TREE)
                InclusionProof(index, size, path).check(TREE.leaf(index), root)
                with pytest.raises(InclusionProofInvalid):
                    InclusionProof(index, size, path).check(TREE.leaf((index + 1) % 23), root)

    def test_consistency_proofs(self) -> None:
        from tlog_scales.tlog import ConsistencyProof

        for size in SIZES:
            for old in range(1, size + 1):
                path = merkle.consistency_proof(old, size, TREE)
                ConsistencyProof(old, size, path).check(merkle.read_root(old, TREE), merkle.read_root(size, TREE))

    def test_verdicts_agree_on_wrong_proofs(self) -> None:
        from tlog_scales.tlog import ConsistencyProof, InclusionProof

        for size in SIZES:
            root = merkle.read_root(size, TREE)
            for index in range(size):
                path = merkle.inclusion_proof(index, size, TREE)
                for bent in (path[:-1], path[1:], path[::-1], [*path, root], path):
                    for place in range(size + 1):
                        ours = agrees(merkle.verify_inclusion, TREE.leaf(index), place, size, bent, root)
                        theirs = agrees(InclusionProof(place, size, bent).check, TREE.leaf(index), root)
                        assert ours == theirs
            for old in range(1, size):
                path = merkle.consistency_proof(old, size, TREE)
                old_root = merkle.read_root(old, TREE)
                for bent in (path[:-1], path[1:], path[::-1], [*path, root], path):
                    for claimed in range(1, size):
                        ours = agrees(merkle.verify_consistency, claimed, old_root, size, root, bent)
                        theirs = agrees(ConsistencyProof(claimed, size, bent).check, old_root, root)
                        assert ours == theirs


class TestProofbundle:
    """github.com/b7n0de/proofbundle: the one Python implementation of `.tlog-proof` files."""

    def vkeys(self) -> list[str]:
        return [str(WITNESS.key), str(PQ_WITNESS.key)]

    def test_they_verify_our_checkpoints(self) -> None:
        from proofbundle.checkpoint import verify_checkpoint, verify_cosignature

        note = our_note(23)
        verdict = verify_checkpoint(note, str(LOG.key))
        assert verdict["ok"]
        assert (verdict["origin"], verdict["tree_size"]) == (ORIGIN, 23)
        assert verdict["root"] == checkpoint(23).root
        for vkey in self.vkeys():
            verdict = verify_cosignature(note, vkey)
            assert verdict["ok"]
            assert verdict["timestamp"] == TIME

    def test_we_verify_their_checkpoints(self) -> None:
        from proofbundle.checkpoint import cosign_checkpoint, cosign_checkpoint_mldsa, sign_checkpoint

        private = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (0, 1)]
        note = sign_checkpoint(ORIGIN, 23, checkpoint(23).root, private[0], ORIGIN)
        note = cosign_checkpoint(note, private[1], WITNESS.key.name, TIME)
        note = cosign_checkpoint_mldsa(note, MLDSA44PrivateKey.from_seed_bytes(b"\2" * 32), PQ_WITNESS.key.name, TIME)
        endorsed = POLICY.check(SignedNote.parse(note))
        assert endorsed.checkpoint == checkpoint(23)
        assert endorsed.cosigned == {b"w1": TIME, b"w2": TIME}
        ours = SignedNote.parse(our_note(23))
        assert SignedNote.parse(note).signatures[:2] == ours.signatures[:2]

    def test_they_verify_our_proofs(self) -> None:
        from proofbundle.tlogproof import parse_tlog_proof, verify_tlog_proof

        for size in SIZES:
            note = SignedNote.parse(our_note(size))
            for index in range(size):
                path = merkle.inclusion_proof(index, size, TREE)
                for extra in (b"", b"extra"):
                    text = str(TlogProof(index, path, note, extra))
                    parsed = parse_tlog_proof(text)
                    assert (parsed["index"], parsed["proof"]) == (index, path)
                    assert (parsed["extra"] or b"", parsed["checkpoint"]) == (extra, str(note))
                verdict = verify_tlog_proof(
                    text, LEAVES[index], str(LOG.key), self.vkeys(), threshold=2, expected_origin=ORIGIN
                )
                assert verdict["ok"], verdict
                assert not verify_tlog_proof(text, b"never", str(LOG.key), self.vkeys(), threshold=2)["ok"]

    def test_we_verify_their_proofs(self) -> None:
        from proofbundle.merkle import inclusion_proof
        from proofbundle.tlogproof import format_tlog_proof

        for size in SIZES:
            for index in range(size):
                text = format_tlog_proof(index, inclusion_proof(LEAVES[:size], index), our_note(size), b"x")
                proof = TlogProof.parse(text)
                assert str(proof) == text
                assert proof.verify(TREE.leaf(index), POLICY).checkpoint == checkpoint(size)
                with pytest.raises(CheckFailedError):
                    proof.verify(merkle.leaf_hash(b"never"), POLICY)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="aics-tlog needs Python 3.12")
class TestAicsTlog:
    """github.com/petros-poli/AICS-public: Ed25519 notes, checkpoints, cosignatures, and both proofs."""

    def test_keys(self) -> None:
        from aics_tlog.note import format_vkey, parse_vkey

        for key in (LOG.key, WITNESS.key, PQ_WITNESS.key):
            theirs = parse_vkey(str(key))
            assert (theirs.name, theirs.key_id, theirs.public_key) == (key.name, key.key_id, key.public)
            assert format_vkey(theirs) == str(key)

    def test_they_verify_ours(self) -> None:
        from aics_tlog.checkpoint import checkpoint_from_note, verify_checkpoint
        from aics_tlog.note import parse_vkey

        for size in SIZES:
            theirs, note = checkpoint_from_note(our_note(size))
            assert (theirs.origin, theirs.size, theirs.root) == (ORIGIN, size, checkpoint(size).root)
            result = verify_checkpoint(note, parse_vkey(str(LOG.key)), [parse_vkey(str(WITNESS.key))], 1)
            assert result.ok, result.error
            assert result.timestamps == {WITNESS.key.name: TIME}

    def test_we_verify_theirs(self) -> None:
        from aics_tlog.checkpoint import Checkpoint as TheirCheckpoint
        from aics_tlog.checkpoint import sign_checkpoint
        from aics_tlog.cosign import sign_cosignature
        from aics_tlog.note import Note

        private = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (0, 1)]
        for extensions in ((), ("one", "two")):
            theirs = TheirCheckpoint(ORIGIN, 23, checkpoint(23).root, extensions)
            signed = sign_checkpoint(theirs, private[0], ORIGIN)
            _, line = sign_cosignature(private[1], WITNESS.key.name, TIME, ORIGIN, 23, theirs.root, extensions)
            note = SignedNote.parse(Note(signed.text, (*signed.signatures, line)).to_bytes())
            assert [one.timestamp for one in note.verify([LOG.key, WITNESS.key])] == [None, TIME]
            assert Checkpoint.parse(note.text).extensions == extensions

    def test_proofs_both_ways(self) -> None:
        from aics_tlog.tree import MerkleTree, verify_consistency, verify_inclusion

        theirs = MerkleTree(LEAVES)
        for size in SIZES:
            root = merkle.read_root(size, TREE)
            assert theirs.root(size) == root
            for index in range(size):
                path = merkle.inclusion_proof(index, size, TREE)
                assert theirs.inclusion_proof(index, size) == path
                assert verify_inclusion(TREE.leaf(index), index, size, path, root)
            for old in range(1, size + 1):
                path = merkle.consistency_proof(old, size, TREE)
                assert theirs.consistency_proof(old, size) == path
                assert verify_consistency(old, size, merkle.read_root(old, TREE), root, path)


def agrees(verify: Any, *arguments: object) -> bool:
    """Whether a verifier, of whatever manners, takes a proof."""
    try:
        verify(*arguments)
    except Exception:
        return False
    return True
