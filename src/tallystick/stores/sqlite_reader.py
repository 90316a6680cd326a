"""Reading a SQLite ledger."""

from __future__ import annotations

import sqlite3

from tallystick.errors import TamperedError
from tallystick.model.record import Sealed
from tallystick.model.text import clean_text
from tallystick.stores import sqlite_proofs
from tallystick.stores.base import HEAD_KEY, Row, SessionKey, tip_from
from tallystick.stores.sqlite_connection import store_error
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Iterator, Sequence
    from typing import Any

    from tallystick.stores.base import Tip

READ_ROWS = 512
_ROW = (
    f"id & {POSITION_MASK}, record, node, criterion_before, type_before,"
    " text_salt, text, details_salt, details, output_salt"
)
_WITH_OUTPUT = f"{_ROW}, output"
_WITHOUT_OUTPUT = f"{_ROW}, NULL"


class SqliteReader:
    """What `SqliteStore` reads. Every call sees what is committed when it is made."""

    ledger_id: str
    path: str
    _reading: RLock
    _sessions: dict[str, SessionKey]

    def _connection(self) -> sqlite3.Connection:
        """The connection to read from, made where there is none."""
        raise NotImplementedError

    def _query(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._reading:
                return self._connection().execute(sql, arguments).fetchall()
        except sqlite3.Error as error:
            raise store_error(error, self.path) from None
        except OverflowError:
            raise TamperedError("a number in the file is out of range", where=self.path) from None

    def find(self, task_id: str, ledger_id: str = "") -> SessionKey | None:
        """See `Store.find`."""
        if not ledger_id and (known := self._sessions.get(task_id)):
            return known
        if clean_text(task_id) != task_id:
            return None
        rows = self._query(
            "SELECT s.number, l.ledger_id, s.task_id, s.header"
            " FROM session s JOIN ledger l ON l.number = s.ledger WHERE s.task_id = ? AND l.ledger_id = ?",
            (task_id, ledger_id or self.ledger_id),
        )
        return SessionKey(*rows[0]) if rows else None

    def ledgers(self) -> list[str]:
        """See `Store.ledgers`."""
        return [ledger_id for (ledger_id,) in self._query("SELECT ledger_id FROM ledger ORDER BY number")]

    def sessions(self) -> Iterator[SessionKey]:
        """See `Store.sessions`."""
        after = 0
        while rows := self._query(
            "SELECT s.number, coalesce(l.ledger_id, ''), s.task_id, s.header"
            " FROM session s LEFT JOIN ledger l ON l.number = s.ledger"
            " WHERE s.number > ? ORDER BY s.number LIMIT ?",
            (after, READ_ROWS),
        ):
            for row in rows:
                yield SessionKey(*row)
            after = rows[-1][0]

    def newest_sessions(self, count: int) -> list[SessionKey]:
        """See `Store.newest_sessions`."""
        rows = self._query(
            "SELECT s.number, coalesce(l.ledger_id, ''), s.task_id, s.header"
            " FROM session s LEFT JOIN ledger l ON l.number = s.ledger ORDER BY s.number DESC LIMIT ?",
            (count,),
        )
        return [SessionKey(*row) for row in rows]

    def tip(self, session: SessionKey) -> Tip:
        """See `Store.tip`."""
        rows = self._query(
            "SELECT position, at, edge FROM state WHERE session = ? AND key = ?", (session.number, HEAD_KEY)
        )
        return tip_from(session.task_id, rows[0] if rows else None)

    def state_rows(self, session: SessionKey) -> tuple[int, list[tuple[str, int, str | None, bytes | None]]]:
        """See `Store.state_rows`. One statement sees one moment."""
        first = session.number << POSITION_BITS
        (_, last, _, _), *rows = self._query(
            f"SELECT NULL, coalesce(max(id) & {POSITION_MASK}, 0), NULL, NULL FROM record"
            " WHERE id BETWEEN ? AND ? UNION ALL SELECT key, position, at, edge FROM state WHERE session = ?",
            (first, first + POSITION_MASK, session.number),
        )
        return last, rows

    def pointer(self, session: SessionKey, key: str) -> int:
        """See `Store.pointer`."""
        rows = self._query("SELECT position FROM state WHERE session = ? AND key = ?", (session.number, key))
        return int(rows[0][0]) if rows else 0

    def rows(
        self, session: SessionKey, start: int = 1, stop: int | None = None, *, outputs: bool = True
    ) -> Iterator[list[Row]]:
        """See `Store.rows`."""
        last = self.tip(session).position if stop is None else stop
        base = session.number << POSITION_BITS
        columns = _WITH_OUTPUT if outputs else _WITHOUT_OUTPUT
        while start <= last:
            found = self._query(
                f"SELECT {columns} FROM record WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?",
                (base + start, base + last, READ_ROWS),
            )
            if not found:
                return
            yield [_row(one) for one in found]
            start = found[-1][0] + 1

    def raw_rows(self, session: SessionKey, start: int, count: int) -> list[tuple[Any, ...]]:
        """See `Store.raw_rows`."""
        base = session.number << POSITION_BITS
        return self._query(
            f"SELECT {_WITH_OUTPUT} FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (base + start, base + POSITION_MASK + 1, count),
        )

    def row(self, session: SessionKey, position: int) -> Row | None:
        """See `Store.row`."""
        if not 0 < position <= POSITION_MASK:
            return None
        found = self._query(
            f"SELECT {_WITH_OUTPUT} FROM record WHERE id = ?",
            ((session.number << POSITION_BITS) + position,),
        )
        return _row(found[0]) if found else None

    def artifact(self, session: SessionKey, position: int) -> Iterator[bytes]:
        """See `Store.artifact`."""
        from tallystick.stores.artifacts import unpack

        record = (session.number << POSITION_BITS) + position

        def first_from(chunk: int) -> list[Any]:
            return self._query(
                "SELECT chunk, digest, data FROM artifact WHERE record = ? AND chunk >= ? ORDER BY chunk LIMIT 1",
                (record, chunk),
            )

        return unpack(first_from, task_id=session.task_id, position=position)

    def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:
        """See `Store.faults`."""
        from tallystick.stores import sqlite_faults

        if session is not None:
            return sqlite_faults.schema_faults(self._query)
        return sqlite_faults.faults(self._query)

    def proofs(self, digest: bytes, limit: int = 16) -> list[tuple[SessionKey, int]]:
        """See `Store.proofs`."""
        return sqlite_proofs.find(self._query, digest, limit)


def _row(found: tuple[Any, ...]) -> Row:
    position, record, node, criterion_before, type_before, *sealed = found
    return Row(position, record, node, criterion_before, type_before, Sealed(*sealed))
