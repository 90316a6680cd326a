"""Keeping a session of another ledger beside ours: when it is refused, whatever it is kept in."""

from __future__ import annotations

from tallystick.errors import InputError, TamperedError
from tallystick.model.record import PARTS, decode_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tallystick.stores.base import Row, SessionKey, Store


def complete_rows(source: Store, key: SessionKey, start: int, stop: int) -> Iterator[list[Row]]:
    """The rows from one position to another, each with its whole output, wherever the source keeps that.

    Raises TamperedError where an output is missing.
    """
    for rows in source.rows(key, start, stop):
        for row in rows:
            sealed = row.sealed
            if sealed.output is None and sealed.output_salt:
                sealed.output = b"".join(source.artifact(key, row.position))
                if not sealed.output:
                    raise TamperedError("its output is missing", task_id=key.task_id, position=row.position)
        yield rows


def erased_before(rows: Iterable[Row], held: int) -> list[tuple[int, str]]:
    """(position, part) of what these rows erase among the entries up to `held`, which are kept already."""
    found = []
    for row in rows:
        if b'"erases":' in row.record and (erases := decode_record(row.record).erases):
            position, parts = erases
            found += [(position, part) for part in PARTS if part in parts and 0 < position <= held]
    return found


def require_foreign(key: SessionKey, own: str) -> None:
    """Raises InputError for a session of our own ledger."""
    if key.ledger_id == own:
        raise InputError("it is a session of this very ledger", where=key.task_id, advice="it is here already")


def require_same(
    source: Store, key: SessionKey, header: bytes, held: int, records: Callable[[int, int], Sequence[bytes]]
) -> None:
    """Require that the shorter of two histories of a session begins the longer one.

    `header` and `held`: of the one that is kept, and where it stands; `records` gives its records from one
    position to another. Raises InputError, naming where they part, and TamperedError for a missing record.
    """
    shared = min(held, source.tip(key).position)
    differs = 0 if header != key.header else _first_difference(source, key, shared, records)
    if differs is not None:
        raise InputError(
            f"a fork: another history of this session is kept, and they differ from position {differs} on",
            where=f"{key.task_id} of ledger {key.ledger_id}",
            advice="one key or one ledger wrote two histories: ask whoever sent them",
        )


def _first_difference(
    source: Store, key: SessionKey, shared: int, records: Callable[[int, int], Sequence[bytes]]
) -> int | None:
    done = 0
    for rows in source.rows(key, 1, shared):
        kept = records(rows[0].position, rows[-1].position)
        if rows[0].position != done + 1 or len(kept) != len(rows):
            raise TamperedError("the record is missing", task_id=key.task_id, position=done + 1)
        for row, record in zip(rows, kept, strict=True):
            if row.record != record:
                return row.position
        done = rows[-1].position
    if done != shared:
        raise TamperedError("the record is missing", task_id=key.task_id, position=done + 1)
    return None
