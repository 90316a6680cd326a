"""What a bundle's second line proves: that a signed checkpoint is about this history, and extends an older one."""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import SAFE_INTEGER
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.encoding import quoted, require_hash
from tallystick.proof.head_proof import HeadProof
from tallystick.proof.headmap import MapProof
from tallystick.proof.merkle import verify_consistency
from tallystick.proof.note import SignedNote
from tallystick.proof.tlog_proof import TlogProof
from tallystick.stores.checkpoints import epoch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from tallystick.proof.checkpoint import CheckpointLeaf
    from tallystick.stores.bundle_lines import Lines


class Since(Frozen):
    """That the log extends an older checkpoint."""

    __slots__ = FIELDS = ("note", "path")

    note: SignedNote
    """The older signed checkpoint."""
    path: tuple[bytes, ...]
    """The consistency proof (RFC 6962 section 2.1.2)."""

    def __init__(self, note: SignedNote, path: Iterable[bytes]) -> None:
        set_once(self, "note", note)
        set_once(self, "path", tuple(path))

    def checkpoint(self) -> Checkpoint:
        """The older checkpoint. Raises InputError."""
        return Checkpoint.parse(self.note.text)

    def verify(self, new: Checkpoint, ledger_id: str) -> None:
        """Check that `new` extends it, in the same epoch or a later one. Raises CheckFailedError, InputError."""
        old = self.checkpoint()
        if not 0 < epoch_of(old.origin, ledger_id) <= epoch_of(new.origin, ledger_id):
            raise CheckFailedError(f"the older checkpoint is of another log: {quoted(old.origin)}")
        _require_plain(old)
        if not old.size:
            raise InputError("the older checkpoint is of an empty log, which every log extends")
        verify_consistency(old.size, old.root, new.size, new.root, self.path)


def require_own(checkpoint: Checkpoint, ledger_id: str) -> None:
    """Raises CheckFailedError where the checkpoint is not one that a key of this ledger signs."""
    if not epoch_of(checkpoint.origin, ledger_id):
        raise CheckFailedError(f"the checkpoint is that of another ledger: {quoted(checkpoint.origin)}")
    _require_plain(checkpoint)


def _require_plain(checkpoint: Checkpoint) -> None:
    if checkpoint.extensions:
        raise CheckFailedError("the checkpoint has lines behind its root, and those of ledgers have none")


def require_epoch(leaf: CheckpointLeaf, checkpoint: Checkpoint, ledger_id: str) -> None:
    """Check that an epoch which the leaf begins is the checkpoint's, and comes after an earlier one of this ledger.

    Raises CheckFailedError, and InputError for more checkpoints than can be counted the same everywhere.
    """
    if checkpoint.size > SAFE_INTEGER:
        raise InputError(f"no ledger has {checkpoint.size} checkpoints")
    if leaf.after is None:
        return
    epoch = epoch_of(checkpoint.origin, ledger_id)
    if leaf.epoch != epoch:
        raise CheckFailedError(f"its leaf begins epoch {leaf.epoch}, and the checkpoint is of epoch {epoch}")
    if not 0 < epoch_of(leaf.after.origin, ledger_id) < epoch:
        raise CheckFailedError(f"its leaf begins an epoch after one of another log: {quoted(leaf.after.origin)}")


def proof_fields(proof: HeadProof, since: Since | None) -> dict[str, Any]:
    """The second line of a bundle."""
    fields: dict[str, Any] = {"absent": True}
    if proof.position is not None:
        fields = {"position": proof.position, "root": proof.root.hex()}
    fields |= {"leaf": proof.leaf.decode(), "map": proof.map_proof.to_json(), "tlog": str(proof.tlog_proof())}
    if since is not None:
        fields["since"] = {"checkpoint": str(since.note), "consistency": [node.hex() for node in since.path]}
    return {"proof": fields}


def read_proof(lines: Lines, line: dict[str, Any], task_id: str, *, absent: bool) -> tuple[HeadProof, Since | None]:
    """What the line that was taken last states. Nothing of it is checked yet. Raises InputError."""
    fields = lines.only(line, ("proof",))["proof"]
    if not isinstance(fields, dict):
        raise lines.wrong("the proof is no object")
    about = ("absent",) if absent else ("position", "root")
    lines.only(fields, (*about, "leaf", "map", "tlog", *(("since",) if "since" in fields else ())))
    tlog = TlogProof.parse(lines.text(fields, "tlog"))
    if tlog.index != Checkpoint.parse(tlog.checkpoint.text).size - 1:
        raise lines.wrong("the log's proof is not about its last leaf")
    proof = HeadProof(
        task_id,
        None if absent else lines.count(fields, "position"),
        b"" if absent else _from_hex(lines, fields["root"], "the root"),
        lines.text(fields, "leaf").encode(),
        MapProof.from_json(fields["map"]),
        tlog.path,
        str(tlog.checkpoint),
    )
    if proof.map_proof.other is not None and proof.map_proof.other[1] > SAFE_INTEGER:
        raise lines.wrong("the position in the map proof is no count")
    since = _read_since(lines, fields["since"]) if "since" in fields else None
    lines.require_spelled(proof_fields(proof, since))
    return proof, since


def _read_since(lines: Lines, fields: object) -> Since:
    if not isinstance(fields, dict):
        raise lines.wrong("since is no object")
    lines.only(fields, ("checkpoint", "consistency"))
    path = fields["consistency"]
    if not isinstance(path, list):
        raise lines.wrong("the consistency proof is no list")
    note = SignedNote.parse(lines.text(fields, "checkpoint"))
    return Since(note, [_from_hex(lines, node, "a hash of the consistency proof") for node in path])


def _from_hex(lines: Lines, value: object, what: str) -> bytes:
    try:
        return require_hash(bytes.fromhex(value), what)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise lines.wrong(f"{what} is not hex") from None
