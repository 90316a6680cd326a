"""One task's session as one file that proves itself, written as a stream. `docs/formats.md` has its lines."""

from __future__ import annotations

import json

from tallystick.errors import InputError
from tallystick.model.record import PARTS, decode_record
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.bundle_reader import ERASED, OMITTED, encoded

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
    InputError.
    """
    keys = [key for key in ledger.sessions_of(task_id) if key.ledger_id == (ledger_id or ledger.ledger_id)]
    if not keys:
        ledger.head(task_id, ledger_id=ledger_id)
    key, left_out = keys[0], frozenset(omit)
    if left_out - set(PARTS):
        raise InputError(f"parts are {', '.join(PARTS)}", where=task_id)
    head = ledger.store.tip(key).head()
    first = {"bundle": 1, "ledger": key.ledger_id, "task_id": task_id, "position": head.position, "root": head.root}
    yield _line(first)
    if proof is not None:
        yield _line(_proof_fields(ledger, proof, since))
    yield _line({"session": encoded(key.header)})
    for rows in ledger.store.rows(key, 1, head.position):
        for row in rows:
            yield from _entry_lines(ledger, key, row, artifacts, left_out)
        if progress is not None:
            progress(len(rows))
    yield _line({"end": head.position})


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _proof_fields(ledger: Ledger, proof: HeadProof, since: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "position": proof.position,
        "root": proof.root.hex(),
        "leaf": proof.leaf.decode(),
        "map": proof.map_proof.to_json(),
        "tlog": str(proof.tlog_proof()),
    }
    if since is not None:
        from tallystick.proof.merkle import consistency_proof
        from tallystick.stores.checkpoints import LogTree

        old = Checkpoint.parse(SignedNote.parse(since).text)
        path = consistency_proof(old.size, proof.number, LogTree(ledger.store.log))
        fields["since"] = {"checkpoint": since, "consistency": [node.hex() for node in path]}
    return {"proof": fields}


def _entry_lines(
    ledger: Ledger, key: SessionKey, row: Row, artifacts: bool, left_out: frozenset[str]
) -> Iterator[bytes]:
    record = decode_record(row.record)
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
    yield _line(fields)
    for piece in pieces:
        yield _line({"piece": encoded(piece)})
