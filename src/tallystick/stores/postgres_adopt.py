"""Keeping a session of another ledger beside ours in PostgreSQL, byte for byte, read-only."""

from __future__ import annotations

from functools import partial

from tallystick.stores.adopting import complete_rows, erased_before, require_foreign, require_same
from tallystick.stores.base import HEAD_KEY
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import copied, row_values, statements_of
from tallystick.stores.postgres_track import HeadPointers
from tallystick.stores.postgres_writer import artifact_rows, batch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import psycopg

    from tallystick.stores.base import SessionKey, Store, Tip

    Connection = psycopg.Connection[Any]


def adopt(connection: Connection, source: Store, key: SessionKey, own: str) -> int:
    """Copy a verified session into the caller's transaction; returns how many entries are new.

    A longer one of the same history goes on where the kept one ends. Raises InputError where it is a session of
    our own ledger, or another history of one that is kept (a fork).
    """
    require_foreign(key, own)
    here = _Here(connection, key)
    held, tip = here.held(), source.tip(key)
    if held >= 0:
        require_same(source, key, here.header, held, here.records)
    if tip.position <= held >= 0:
        return 0
    if held < 0:
        here.begin()
    here.append(source, tip)
    return tip.position - max(held, 0)


class _Here:
    """The session as it is kept, in the caller's transaction."""

    def __init__(self, connection: Connection, key: SessionKey) -> None:
        self._connection = connection
        self._session = key
        self._key = session_key(key.ledger_id, key.task_id)
        self._digit = partition_of(int.from_bytes(self._key))
        self._held = 0
        self._edge = b""
        self._pointers = HeadPointers()
        self.header = b""

    def _rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        statement = statement.replace("{x}", self._digit)
        return self._connection.cursor(binary=True).execute(statement.encode(), arguments).fetchall()

    def held(self) -> int:
        """Where it stands, its head locked; -1 where it is not kept."""
        ((self.header, position, self._edge, names, places, more),) = self._rows(
            f"SELECT head, place, reached, pointers, stands, others FROM tallystick.hold_{self._digit}(%s)",
            self._key,
        )
        self._pointers = HeadPointers(names or (), places or (), more=bool(more))
        self._held = -1 if position is None else position
        return self._held

    def records(self, first: int, last: int) -> list[bytes]:
        """The records from one position to another."""
        rows = self._rows(
            "SELECT record FROM tallystick.record_{x} WHERE session = %s AND position BETWEEN %s AND %s"
            " ORDER BY position",
            self._key,
            first,
            last,
        )
        return [record for (record,) in rows]

    def begin(self) -> None:
        """The session itself, and its ledger where it is the first of that."""
        self._rows(f"SELECT tallystick.begin_{self._digit}(%s, %s)", self._key, self._session.header)
        self.held()

    def append(self, source: Store, tip: Tip) -> None:
        """The source's entries from where the session stands on, which moves it, and what they erase of earlier ones.

        They are read twice, so that no more than a chunk of them is held: first the records, then what else there is.
        """
        first = max(self._held, 0) + 1
        if tip.position < first:
            return
        chunks = partial(complete_rows, source, self._session, first, tip.position)
        moved = {
            name: position
            for name, position, *_ in source.state_rows(self._session)[1]
            if name != HEAD_KEY and first <= position <= tip.position
        }
        known = self._rows(
            "SELECT key FROM tallystick.state_{x} WHERE session = %s AND key = ANY (%s)", self._key, list(moved)
        )
        after, others = self._pointers.moved(moved, {name for (name,) in known})
        batch = batch_of(self._held, self._edge, tip.edge.pack(), self._pointers, after, others)
        self._rows("SELECT set_config('tallystick.batch', %s, true)", batch.decode())
        statements, key = statements_of(self._digit), self._key
        self._copy(statements.copy_records, copied([key, *row_values(row)] for rows in chunks() for row in rows))
        for rows in chunks():
            self._copy(statements.copy_artifacts, copied(artifact_rows(key, rows)))
            for position, part in erased_before(rows, self._held):
                self._clear(position, part)

    def _copy(self, statement: bytes, blocks: Iterator[bytes]) -> None:
        with self._connection.cursor().copy(statement) as copy:
            for block in blocks:
                copy.write(block)

    def _clear(self, position: int, part: str) -> None:
        where = (self._key, position)
        for statement in (
            f"UPDATE tallystick.record_{{x}} SET {part}_salt = NULL, {part} = NULL",
            "DELETE FROM tallystick.local_proof_{x}",
            *(["DELETE FROM tallystick.artifact_{x}"] if part == "output" else []),
        ):
            at = f"{statement} WHERE session = %s AND position = %s"
            self._connection.execute(at.replace("{x}", self._digit).encode(), where)
