"""Proofs that a log holds a leaf, in a file of their own: c2sp.org/tlog-proof."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.encoding import (
    base64_decode,
    base64_encode,
    decode_decimal,
    decode_hash,
    decode_text,
    require_hash,
    require_uint64,
)
from tallystick.proof.merkle import verify_inclusion
from tallystick.proof.note import MAX_NOTE_SIZE, SignedNote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.proof.policy import Endorsed, Policy

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_SIZE = 2 * MAX_NOTE_SIZE
MAX_PATH_LENGTH = 64


class TlogProof(Frozen):
    """That a leaf is in the tree of a checkpoint. Raises InputError where a field cannot be one."""

    __slots__ = FIELDS = ("index", "path", "checkpoint", "extra")

    index: int
    """Which leaf; 0 is the first."""
    path: tuple[bytes, ...]
    """The audit path from the leaf's sibling upwards (RFC 6962 section 2.1.1): at most 64 hashes."""
    checkpoint: SignedNote
    """The signed checkpoint."""
    extra: bytes
    """Data that nothing authenticates; empty where there is none."""

    def __init__(self, index: int, path: Iterable[bytes], checkpoint: SignedNote, extra: bytes = b"") -> None:
        set_once(self, "index", require_uint64(index, "the index"))
        set_once(self, "path", tuple(require_hash(node, "a hash of the inclusion proof") for node in path))
        set_once(self, "checkpoint", checkpoint)
        set_once(self, "extra", extra)
        if len(self.path) > MAX_PATH_LENGTH:
            raise InputError(f"the inclusion proof has {len(self.path)} hashes; at most {MAX_PATH_LENGTH} can stand")

    @classmethod
    def parse(cls, data: bytes | str) -> TlogProof:
        """The proof that a `.tlog-proof` file holds. Raises InputError for all but the one spelling of it."""
        text = decode_text(data, "the proof", MAX_PROOF_SIZE)
        head, separator, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n", MAX_PATH_LENGTH + 3)
        if not separator or header != HEADER:
            raise InputError(f"this is not a proof of a transparency log: its first line is not {HEADER}")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = base64_decode(lines.pop(0).removeprefix("extra "), "the extra data")
        if not lines or not lines[0].startswith("index "):
            raise InputError("the proof states no index")
        index = decode_decimal(lines.pop(0).removeprefix("index "), "the index")
        path = [decode_hash(line, "a hash of the inclusion proof") for line in lines]
        return cls(index, path, SignedNote.parse(checkpoint), extra)

    def __str__(self) -> str:
        """The contents of a `.tlog-proof` file."""
        extra = [f"extra {base64_encode(self.extra)}"] if self.extra else []
        path = (base64_encode(node) for node in self.path)
        return "\n".join((HEADER, *extra, f"index {self.index}", *path, "", str(self.checkpoint)))

    def verify(self, leaf: bytes, policy: Policy) -> Endorsed:
        """Check that a log the policy trusts holds the leaf hash `leaf` at `index`; returns its checkpoint.

        Raises CheckFailedError where it does not hold, InputError where the proof is malformed.
        """
        endorsed = policy.check(self.checkpoint)
        checkpoint = endorsed.checkpoint
        verify_inclusion(leaf, self.index, checkpoint.size, self.path, checkpoint.root)
        return endorsed
