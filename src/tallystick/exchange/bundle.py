"""One task's session as one file that proves itself, written as a stream. `docs/formats.md` has its lines."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.model.record import BULK, PARTS
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.recorded import records_of
from tallystick.stores.bundle_lines import encoded, spelled
from tallystick.stores.bundle_proof import Since, proof_fields
from tallystick.stores.bundle_reader import ERASED, OMITTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.proof.head_proof import HeadProof
    from tallystick.stores.base import Row, SessionKey


def write_bundle(
    ledger: Ledger,
    task_id: str,
    *,
    ledger_id: str = "",
    artifacts: bool = False,
    omit: Iterable[str] = (),
    since: str | None = None,
    proof: HeadProof | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """The lines of a bundle of the session as it is now.

    `artifacts` takes outputs over 64 KiB along; `omit` leaves parts out. `proof`: what a checkpoint says of the
    task. `since`: the text of an older signed checkpoint, whose extension is proved too. Raises NotFoundError,
    InputError, CheckFailedError if the log does not extend that, TamperedError for a record that cannot be read.
    """
    keys = [key for key in ledger.sessions_of(task_id) if key.ledger_id == (ledger_id or ledger.ledger_id)]
    if not keys:
        ledger.head(task_id, ledger_id=ledger_id)
    key, left_out = keys[0], frozenset(omit)
    if left_out - set(PARTS):
        raise InputError(f"parts are {', '.join(PARTS)}", where=task_id)
    head = ledger.store.tip(key).head()
    first = {"bundle": 1, "ledger": key.ledger_id, "task_id": task_id, "position": head.position, "root": head.root}
    second = proof_fields(proof, _since(ledger, proof, since)) if proof is not None else None
    yield spelled(first)
    if second is not None:
        yield spelled(second)
    yield spelled({"session": encoded(key.header)})
    many = head.position >= BULK
    for rows in ledger.store.rows(key, 1, head.position):
        for row, record in zip(rows, records_of(rows, task_id, many=many), strict=True):
            yield from _entry_lines(ledger, key, row, record, artifacts, left_out)
        if progress is not None:
            progress(len(rows))
    yield spelled({"end": head.position})


def write_absence(ledger: Ledger, proof: HeadProof, *, since: str | None = None) -> Iterator[bytes]:
    """The lines of a bundle which shows that a checkpoint is about no session of a task.

    Raises InputError where it is about one, or where the log does not extend `since`.
    """
    if proof.position is not None:
        raise InputError(f"checkpoint {proof.number} is about its entries up to {proof.position}", where=proof.task_id)
    second = proof_fields(proof, _since(ledger, proof, since))
    yield spelled({"bundle": 1, "ledger": ledger.ledger_id, "task_id": proof.task_id, "absent": True})
    yield spelled(second)
    yield spelled({"end": 0})


def _since(ledger: Ledger, proof: HeadProof, text: str | None) -> Since | None:
    """The proof that the log extends the older checkpoint. Raises InputError, CheckFailedError where it does not."""
    if text is None:
        return None
    from tallystick.proof.merkle import consistency_proof
    from tallystick.stores.checkpoints import LogTree

    note = SignedNote.parse(text)
    old = Checkpoint.parse(note.text)
    path = consistency_proof(old.size, proof.number, LogTree(ledger.store.log)) if 0 < old.size <= proof.number else []
    since = Since(note, path)
    since.verify(proof.checkpoint(), ledger.ledger_id)
    return since


def _entry_lines(
    ledger: Ledger, key: SessionKey, row: Row, record: Any, artifacts: bool, left_out: frozenset[str]
) -> Iterator[bytes]:
    fields: dict[str, Any] = {"record": encoded(row.record)}
    pieces: Iterable[bytes] = ()
    for part in PARTS:
        if not getattr(record, part):
            continue
        salt, data = getattr(row.sealed, f"{part}_salt"), getattr(row.sealed, part)
        if salt is None:
            fields[part] = ERASED
        elif part in left_out or (data is None and not artifacts):
            fields[part] = OMITTED
        elif data is None:
            kept = list(ledger.store.artifact(key, row.position))
            fields[part] = {"salt": encoded(salt), "pieces": len(kept)}
            pieces = kept
        else:
            fields[part] = {"salt": encoded(salt), "data": encoded(data)}
    yield spelled(fields)
    for piece in pieces:
        yield spelled({"piece": encoded(piece)})
