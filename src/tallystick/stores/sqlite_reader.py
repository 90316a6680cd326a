"""Reading a SQLite ledger."""

from __future__ import annotations

from tallystick.errors import TamperedError
from tallystick.model.record import Sealed
from tallystick.model.text import clean_text
from tallystick.stores import sqlite_proofs
from tallystick.stores.base import HEAD_KEY, Row, SessionKey, tip_from
from tallystick.stores.sqlite_connection import ENGINE_ERRORS, first_of_wrong_type, store_error
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK, REDACTIONS, SINCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from _thread import RLock
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from tallystick.stores.base import Tip
    from tallystick.stores.sqlite_checkpoints import SqliteLog

READ_ROWS = 512
_ROW = (
    f"id & {POSITION_MASK}, record, node, criterion_before, type_before,"
    " text_salt, text, details_salt, details, output_salt"
)
_WITH_OUTPUT = f"{_ROW}, output"
_WITHOUT_OUTPUT = f"{_ROW}, NULL"
_RECORD_KINDS = "ibbiiBBBBBB"
_SESSION_KINDS = "ittb"


class SqliteReader:
    """What `SqliteStore` reads. Every call sees what is committed when it is made."""

    ledger_id: str
    path: str
    _version: int
    """The schema version that the file had when it was last looked at."""
    _reading: RLock
    _sessions: dict[str, SessionKey]

    @property
    def log(self) -> SqliteLog:
        """See `Store.log`."""
        raise NotImplementedError

    def _connection(self) -> sqlite3.Connection:
        """The connection to read from, made where there is none."""
        raise NotImplementedError

    def _query(self, sql: str, arguments: Sequence[Any] = (), *, kinds: str = "", task_id: str = "") -> list[Any]:
        """The rows. `kinds` names the type of each column; where a task is named, the first is a position."""
        try:
            with self._reading:
                rows = self._connection().execute(sql, arguments).fetchall()
        except ENGINE_ERRORS as error:
            raise store_error(error, self.path) from None
        wrong = first_of_wrong_type(rows, kinds)
        if wrong is not None:
            position = wrong[0] if task_id else None
            where = "" if task_id else self.path
            raise TamperedError("the row is damaged", task_id=task_id, position=position, where=where)
        return rows

    def _onward(self, start: int, last: int) -> int:
        """Where to read on. Raises TamperedError where a damaged index leads back, and reading would never end."""
        if last < start:
            raise TamperedError("the rows are out of order", where=self.path, advice="restore a backup and compare")
        return last + 1

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
            kinds=_SESSION_KINDS,
        )
        return SessionKey(*rows[0]) if rows else None

    def ledgers(self) -> list[str]:
        """See `Store.ledgers`."""
        rows = self._query("SELECT ledger_id FROM ledger ORDER BY number", kinds="t")
        return [ledger_id for (ledger_id,) in rows]

    def sessions(self) -> Iterator[SessionKey]:
        """See `Store.sessions`."""
        after = 0
        while rows := self._query(
            "SELECT s.number, coalesce(l.ledger_id, ''), s.task_id, s.header"
            " FROM session s LEFT JOIN ledger l ON l.number = s.ledger"
            " WHERE s.number > ? ORDER BY s.number LIMIT ?",
            (after, READ_ROWS),
            kinds=_SESSION_KINDS,
        ):
            for row in rows:
                yield SessionKey(*row)
            after = self._onward(after + 1, rows[-1][0]) - 1

    def newest_sessions(self, count: int) -> list[SessionKey]:
        """See `Store.newest_sessions`."""
        rows = self._query(
            "SELECT s.number, coalesce(l.ledger_id, ''), s.task_id, s.header"
            " FROM session s LEFT JOIN ledger l ON l.number = s.ledger ORDER BY s.number DESC LIMIT ?",
            (count,),
            kinds=_SESSION_KINDS,
        )
        return [SessionKey(*row) for row in rows]

    def changes(
        self, known: Mapping[int, int], *, only: Sequence[str] | None = None, interval: float = 1.0
    ) -> Iterator[list[tuple[SessionKey, int]]]:
        """See `Store.changes`."""
        from tallystick.stores.sqlite_watching import changes

        return changes(self._query, self.ledger_id, known, only, interval)

    def tip(self, session: SessionKey) -> Tip:
        """See `Store.tip`."""
        rows = self._query(
            "SELECT position, at, edge FROM state WHERE session = ? AND key = ?",
            (session.number, HEAD_KEY),
            kinds="iTB",
        )
        return tip_from(session.task_id, rows[0] if rows else None)

    def state_rows(self, session: SessionKey) -> tuple[int, list[tuple[str, int, str | None, bytes | None]]]:
        """See `Store.state_rows`. One statement sees one moment."""
        first = session.number << POSITION_BITS
        (_, last, _, _), *rows = self._query(
            f"SELECT NULL, coalesce(max(id) & {POSITION_MASK}, 0), NULL, NULL FROM record"
            " WHERE id BETWEEN ? AND ? UNION ALL SELECT key, position, at, edge FROM state WHERE session = ?",
            (first, first + POSITION_MASK, session.number),
            kinds="TiTB",
        )
        return last, rows

    def pointer(self, session: SessionKey, key: str) -> int:
        """See `Store.pointer`."""
        statement = "SELECT position FROM state WHERE session = ? AND key = ?"
        rows = self._query(statement, (session.number, key), kinds="i")
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
                kinds=_RECORD_KINDS,
                task_id=session.task_id,
            )
            if not found:
                return
            yield [_row(one) for one in found]
            start = self._onward(start, found[-1][0])

    def raw_rows(self, session: SessionKey, start: int, count: int) -> list[tuple[Any, ...]]:
        """See `Store.raw_rows`."""
        base = session.number << POSITION_BITS
        return self._query(
            f"SELECT {_WITH_OUTPUT} FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            (base + start, base + POSITION_MASK + 1, count),
            kinds=_RECORD_KINDS,
            task_id=session.task_id,
        )

    def row(self, session: SessionKey, position: int) -> Row | None:
        """See `Store.row`."""
        if not 0 < position <= POSITION_MASK:
            return None
        found = self._query(
            f"SELECT {_WITH_OUTPUT} FROM record WHERE id = ?",
            ((session.number << POSITION_BITS) + position,),
            kinds=_RECORD_KINDS,
            task_id=session.task_id,
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
                kinds="ibb",
            )

        return unpack(first_from, task_id=session.task_id, position=position)

    def unfinished_erasures(self) -> list[tuple[str, int]]:
        """See `Store.unfinished_erasures`."""
        source = "local_erasing" if self._version >= SINCE["local_erasing"] else f"({REDACTIONS})"
        return self._query(
            f"SELECT s.task_id, e.record & {POSITION_MASK} FROM {source} e"
            f" JOIN session s ON s.number = e.record >> {POSITION_BITS} ORDER BY e.record",
            kinds="ti",
        )

    def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:
        """See `Store.faults`."""
        from tallystick.stores import sqlite_faults
        from tallystick.stores.log_faults import log_faults

        if session is not None:
            yield from sqlite_faults.schema_faults(self._query)
            return
        yield from sqlite_faults.faults(self._query)
        yield from log_faults(self.log, self.ledger_id)

    def proofs(self, digest: bytes, limit: int | None = None) -> list[tuple[SessionKey, int]]:
        """See `Store.proofs`."""
        return sqlite_proofs.find(self._query, digest, limit)


def _row(found: tuple[Any, ...]) -> Row:
    position, record, node, criterion_before, type_before, *sealed = found
    return Row(position, record, node, criterion_before, type_before, Sealed(*sealed))
