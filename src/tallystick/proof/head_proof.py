"""That a checkpoint of a ledger's log is about one task's newest head, or about no head of it at all."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.headmap import map_key
from tallystick.proof.merkle import leaf_hash, verify_inclusion
from tallystick.proof.note import SignedNote
from tallystick.proof.tlog_proof import TlogProof

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.proof.headmap import MapProof


class HeadProof(Frozen):
    """One task's newest head as of a checkpoint: all that is needed to check it but the key that signed.

    Whose signatures count is not decided here: `tlog_proof().verify(leaf_hash(leaf), policy)` or
    `SignedNote.verify` do that.
    """

    __slots__ = FIELDS = ("task_id", "position", "root", "leaf", "map_proof", "path", "note")

    task_id: str
    """The task."""
    position: int | None
    """The position of its newest entry; None where the checkpoint is about no session of the task."""
    root: bytes
    """The root of its tree there: 32 bytes; empty where there is no session."""
    leaf: bytes
    """The leaf of the checkpoint: the last one of the log that the note is about."""
    map_proof: MapProof
    """That the leaf's head map holds this head, or none."""
    path: tuple[bytes, ...]
    """The audit path of the leaf in the log (RFC 6962 section 2.1.1)."""
    note: str
    """The signed checkpoint."""

    def __init__(
        self,
        task_id: str,
        position: int | None,
        root: bytes,
        leaf: bytes,
        map_proof: MapProof,
        path: Iterable[bytes],
        note: str,
    ) -> None:
        values = (task_id, position, root, leaf, map_proof, tuple(path), note)
        for name, value in zip(self.FIELDS, values, strict=True):
            set_once(self, name, value)

    @property
    def number(self) -> int:
        """The checkpoint's number: how many leaves its log has. Raises InputError."""
        return self.checkpoint().size

    def checkpoint(self) -> Checkpoint:
        """The checkpoint in the note. Raises InputError."""
        return Checkpoint.parse(SignedNote.parse(self.note).text)

    def tlog_proof(self) -> TlogProof:
        """The proof that the log holds the leaf, as a `.tlog-proof` file states it. Raises InputError."""
        note = SignedNote.parse(self.note)
        return TlogProof(Checkpoint.parse(note.text).size - 1, self.path, note)

    def verify(self) -> CheckpointLeaf:
        """Check everything but the signatures; returns what the checkpoint's leaf states.

        Raises CheckFailedError where it does not hold, InputError where it is malformed.
        """
        checkpoint = self.checkpoint()
        if not checkpoint.size:
            raise InputError("a checkpoint of an empty log is about no head")
        verify_inclusion(leaf_hash(self.leaf), checkpoint.size - 1, checkpoint.size, self.path, checkpoint.root)
        leaf = CheckpointLeaf.decode(self.leaf)
        if self.position is None:
            self.map_proof.verify_absence(map_key(self.task_id), leaf.heads)
        else:
            self.map_proof.verify_presence(map_key(self.task_id), self.position, self.root, leaf.heads)
        return leaf
