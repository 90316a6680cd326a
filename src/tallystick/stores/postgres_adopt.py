"""Keeping a session of another ledger beside ours in PostgreSQL, byte for byte, read-only."""

from __future__ import annotations

from tallystick.stores.adopting import complete_rows, require_foreign, require_same
from tallystick.stores.base import HEAD_KEY
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import copied, row_values, statements_of
from tallystick.stores.postgres_track import INLINE_POINTERS, pack_pointers, read_pointers
from tallystick.stores.postgres_writer import artifact_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    import psycopg

    from tallystick.stores.base import Row, SessionKey, Store

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
        here.make()
    here.copy_rows(complete_rows(source, key, max(held, 0) + 1, tip.position))
    here.write_state(source.state_rows(key)[1], new=held < 0)
    return tip.position - max(held, 0)


class _Here:
    """The session as it is kept, in the caller's transaction."""

    def __init__(self, connection: Connection, key: SessionKey) -> None:
        self._connection = connection
        self._session = key
        self._key = session_key(key.ledger_id, key.task_id)
        self._digit = partition_of(int.from_bytes(self._key))
        self.header = b""

    def _rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        return self._connection.cursor(binary=True).execute(statement.encode(), arguments).fetchall()

    def held(self) -> int:
        """Where it stands, its head locked; -1 where it is not kept."""
        rows = self._rows(
            f"SELECT s.header, t.position FROM tallystick.session_{self._digit} s"
            f" JOIN tallystick.state_{self._digit} t ON t.session = s.key AND t.key = '{HEAD_KEY}'"
            " WHERE s.key = %s FOR UPDATE OF t",
            self._key,
        )
        if not rows:
            return -1
        self.header = rows[0][0]
        return int(rows[0][1])

    def records(self, first: int, last: int) -> list[bytes]:
        """The records from one position to another."""
        rows = self._rows(
            f"SELECT record FROM tallystick.record_{self._digit} WHERE session = %s AND position BETWEEN %s AND %s"
            " ORDER BY position",
            self._key,
            first,
            last,
        )
        return [record for (record,) in rows]

    def make(self) -> None:
        """The session itself, and its ledger where it is the first of that."""
        session = self._session
        rows = self._rows("SELECT number FROM tallystick.ledger WHERE ledger_id = %s", session.ledger_id)
        if not rows:
            rows = self._rows(
                "INSERT INTO tallystick.ledger SELECT max(number) + 1, %s FROM tallystick.ledger RETURNING number",
                session.ledger_id,
            )
        self._connection.execute(
            f"INSERT INTO tallystick.session_{self._digit} (key, ledger, task_id, header)"
            " VALUES (%s, %s, %s, %s)".encode(),
            (self._key, rows[0][0], session.task_id, session.header),
        )

    def copy_rows(self, chunks: Iterable[list[Row]]) -> None:
        """Records with their parts, and artifacts."""
        statements = statements_of(self._digit)
        for rows in chunks:
            self._copy(statements.copy_records, copied([self._key, *row_values(row)] for row in rows))
            self._copy(statements.copy_artifacts, copied(artifact_rows(self._key, rows)))

    def _copy(self, statement: bytes, blocks: Iterator[bytes]) -> None:
        with self._connection.cursor().copy(statement) as copy:
            for block in blocks:
                copy.write(block)

    def write_state(self, wanted: list[tuple[str, int, str | None, bytes | None]], *, new: bool) -> None:
        """The head and the pointers, those that lie in the head's row left where they are."""
        head = next(row for row in wanted if row[0] == HEAD_KEY)
        pointers = {name: position for name, position, *_ in wanted if name != HEAD_KEY}
        if new:
            inline = set(sorted(pointers)[:INLINE_POINTERS])
        else:
            ((text,),) = self._rows(
                f"SELECT pointers FROM tallystick.state_{self._digit} WHERE session = %s AND key = '{HEAD_KEY}'",
                self._key,
            )
            inline = set(read_pointers(text, self._session.task_id)[0])
        kept = {name: position for name, position in pointers.items() if name in inline}
        others = {name: position for name, position in pointers.items() if name not in inline}
        packed = pack_pointers(kept, bool(others)).decode()
        self._connection.execute(
            f"INSERT INTO tallystick.state_{self._digit} (session, key, position, at, edge, pointers)"
            f" VALUES (%s, '{HEAD_KEY}', %s, %s, %s, %s) ON CONFLICT (session, key) DO UPDATE SET position ="
            " excluded.position, at = excluded.at, edge = excluded.edge, pointers = excluded.pointers".encode(),
            (self._key, *head[1:], packed),
        )
        self._connection.execute(
            f"INSERT INTO tallystick.state_{self._digit} AS kept (session, key, position)"
            " SELECT %s, * FROM unnest(%s::text[], %s::bigint[])"
            " ON CONFLICT (session, key) DO UPDATE SET position = excluded.position"
            " WHERE kept.position < excluded.position".encode(),
            (self._key, list(others), list(others.values())),
        )
