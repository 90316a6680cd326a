"""One transaction's worth of appends to a SQLite ledger."""

from __future__ import annotations

from tallystick.errors import StoreUnavailableError, TamperedError
from tallystick.stores.appending import CACHED_SESSIONS, PREFIX_BYTES, Batch, Standing
from tallystick.stores.artifacts import pack
from tallystick.stores.base import HEAD_KEY, INLINE_OUTPUT, SessionKey, tip_from
from tallystick.stores.sqlite_appended import appended, insert, is_next, parameters
from tallystick.stores.sqlite_connection import first_of_wrong_type
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from typing import Any

    from tallystick.stores.appending import Seen, Stored
    from tallystick.stores.base import Head, IdempotencyKey, Row
    from tallystick.stores.sqlite_memory import Memory

INSERT_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_STATE = "INSERT INTO state (session, key, position, at, edge) VALUES (?, ?, ?, ?, ?)"
UPDATE_HEAD = "UPDATE state SET position = ?, at = ?, edge = ? WHERE session = ? AND key = ''"
UPDATE_POINTER = "UPDATE state SET position = ? WHERE session = ? AND key = ?"
_INSERT_SESSION = (
    "INSERT INTO session SELECT ?, 1, ?, ? WHERE EXISTS (SELECT 1 FROM ledger WHERE number = 1 AND ledger_id = ?)"
)
"""A ledger that is empty may be given the id of one that is copied into it."""
_READ_STATE = "SELECT key, position, at, edge FROM state WHERE session = ? AND key IN (?, ?, ?, ?)"


class SqliteBatch(Batch):
    """See `Batch`. `sessions` lives as long as the store, `memory` as long as the connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        ledger_id: str,
        now: str,
        sessions: dict[str, SessionKey],
        memory: Memory,
    ) -> None:
        super().__init__(ledger_id, now)
        self._connection = connection
        self._sessions = sessions
        self._memory = memory
        self._created: dict[str, SessionKey] = {}
        """Sessions made in this transaction: known to nobody else before it is committed."""
        self._records: dict[int, list[tuple[object, ...]]] = {}
        if len(sessions) > CACHED_SESSIONS:
            sessions.clear()
        memory.check(connection)

    def committed(self) -> None:
        """What this transaction wrote is what stands now."""
        self._sessions.update(self._created)
        self._memory.keep(self._standing.values())

    # --- sessions

    def _session(self, task_id: str) -> SessionKey | None:
        known = self._sessions.get(task_id) or self._created.get(task_id)
        if known is None:
            found = self._read("SELECT number, header FROM session WHERE ledger = 1 AND task_id = ?", (task_id,), "ib")
            if not found:
                return None
            ((number, header),) = found
            known = self._sessions[task_id] = SessionKey(number, self._ledger_id, task_id, header)
        return known

    def _read(self, sql: str, arguments: Sequence[object], kinds: str) -> list[tuple[Any, ...]]:
        """The rows, whose columns are of these kinds (see `first_of_wrong_type`)."""
        rows = self._connection.execute(sql, arguments).fetchall()
        if first_of_wrong_type(rows, kinds) is not None:
            raise TamperedError("a row of the ledger is damaged", advice="run notch verify")
        return rows

    def _insert_session(self, task_id: str, header: bytes) -> SessionKey:
        (number,) = self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM session").fetchone()
        made = self._connection.execute(_INSERT_SESSION, (number, task_id, header, self._ledger_id))
        if not made.rowcount:
            raise StoreUnavailableError("another ledger was copied into this empty one", advice="open it again")
        session = self._created[task_id] = SessionKey(number, self._ledger_id, task_id, header)
        return session

    def _recall(self, number: int) -> Standing | None:
        return self._memory.take(number)

    def _rules(self, session: SessionKey) -> int:
        left = self._memory.left.get(session.number)
        return left[0] if left else super()._rules(session)

    def _stand_on(self, session: SessionKey, rules: int, keys: Sequence[str]) -> Standing:
        found = self._read_state(session.number, [HEAD_KEY, *keys])
        tip = tip_from(session.task_id, found.pop(HEAD_KEY, None))
        if self._memory.left.get(session.number) != (rules, tip.position):
            self._require_open(session, tip.position)
        return Standing(session, rules, tip, {key: row[0] for key, row in found.items()}, new=False)

    def _read_pointers(self, standing: Standing, keys: Sequence[str]) -> dict[str, int]:
        return {key: row[0] for key, row in self._read_state(standing.session.number, keys).items()}

    def _read_state(self, number: int, keys: Sequence[str]) -> dict[str, tuple[int, str | None, bytes | None]]:
        found: dict[str, tuple[int, str | None, bytes | None]] = {}
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 4):
            four = unique[start : start + 4]
            four += [four[0]] * (4 - len(four))
            for key, position, at, edge in self._read(_READ_STATE, (number, *four), "tiTB"):
                found[key] = (position, at, edge)
        return found

    def _newest_prefix(self, session: SessionKey, position: int) -> bytes | None:
        return self._column(f"substr(record, 1, {PREFIX_BYTES})", session, position)

    def _hash(self, session: SessionKey, column: str, position: int) -> bytes | None:
        self._flush_records()
        return self._column(column, session, position)

    def _column(self, column: str, session: SessionKey, position: int) -> bytes | None:
        record = (session.number << POSITION_BITS) + position
        found = self._read(f"SELECT {column} FROM record WHERE id = ?", (record,), "b")
        return found[0][0] if found else None

    # --- writing

    def _insert_rows(self, session: SessionKey, rows: Sequence[Row]) -> None:
        base = session.number << POSITION_BITS
        for row in rows:
            output = row.sealed.output
            if output is not None and len(output) > INLINE_OUTPUT:
                self._write_artifact(base + row.position, output)
        self._records.setdefault(session.number, []).extend([parameters(base, row) for row in rows])

    def _write(self, standings: Iterable[Standing]) -> None:
        alone: list[tuple[object, ...]] = []
        heads: list[tuple[object, ...]] = []
        moved: list[tuple[object, ...]] = []
        new: list[tuple[object, ...]] = []
        for standing in standings:
            number, tip, pointers = standing.session.number, standing.tip, standing.pointers
            records = self._records.get(number, ())
            if self._memory.viewed and len(records) == 1 and is_next(standing):
                alone.append(appended(standing, *self._records.pop(number)))
                continue
            standing.stored = (tip.position, tip.edge.pack())
            if standing.new:
                new.append((number, HEAD_KEY, tip.position, tip.at, standing.stored[1]))
            elif standing.moved:
                heads.append((tip.position, tip.at, standing.stored[1], number))
            for key, position in standing.moved.items():
                if key in pointers:
                    moved.append((position, number, key))
                else:
                    new.append((number, key, position, None, None))
        self._flush_records()
        connection = self._connection
        insert(connection, "appended", alone)
        connection.executemany(UPDATE_HEAD, heads)
        connection.executemany(UPDATE_POINTER, moved)
        insert(connection, "state", new)

    def _flush_records(self) -> None:
        for records in self._records.values():
            insert(self._connection, "record", records)
        self._records = {}

    def _write_artifact(self, record: int, output: bytes) -> None:
        write_artifact(self._connection, record, output)

    # --- idempotency keys

    def _seen(self, session: SessionKey, key: str) -> Seen | None:
        statement = "SELECT last, salt, digest FROM local_idempotency WHERE session = ? AND key = ?"
        found: list[Seen] = self._read(statement, (session.number, key), "iBB")
        return found[0] if found else None

    def _remember(self, session: SessionKey, key: IdempotencyKey, digest: bytes | None, first: int, head: Head) -> None:
        self._connection.execute(
            "INSERT INTO local_idempotency (session, key, first, last, salt, digest) VALUES (?, ?, ?, ?, ?, ?)",
            (session.number, key.key, first, head.position, key.salt, digest),
        )

    def _stored(self, session: SessionKey, position: int) -> Stored | None:
        self._flush_records()
        if not 0 < position <= POSITION_MASK:
            return None
        statement = "SELECT record, text_salt, details_salt, output_salt FROM record WHERE id = ?"
        found: list[Stored] = self._read(statement, ((session.number << POSITION_BITS) + position,), "bBBB")
        return found[0] if found else None

    # --- erasure

    def _clear(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        self._flush_records()
        clear(self._connection, session.number, position, parts)
        redaction = self._standing[session.number].tip.position
        note_erasing(self._connection, (session.number << POSITION_BITS) + redaction)


def clear(connection: sqlite3.Connection, session: int, position: int, parts: Sequence[str]) -> None:
    """Clear these parts of an entry, and what they could be guessed by in the indexes."""
    record = (session << POSITION_BITS) + position
    cleared = ", ".join(f"{part}_salt = NULL, {part} = NULL" for part in parts)
    connection.execute(f"UPDATE record SET {cleared} WHERE id = ?", (record,))
    if "output" in parts:
        connection.execute("DELETE FROM artifact WHERE record = ?", (record,))
    connection.execute("DELETE FROM local_proof WHERE record = ?", (record,))
    connection.execute(
        "UPDATE local_idempotency SET salt = NULL, digest = NULL WHERE session = ? AND first <= ? AND last >= ?",
        (session, position, position),
    )


def note_erasing(connection: sqlite3.Connection, record: int) -> None:
    """Remember that what this redaction erases is not gone yet. In the transaction that clears it."""
    connection.execute("INSERT OR IGNORE INTO local_erasing (record, rewritten) VALUES (?, 0)", (record,))


def write_artifact(connection: sqlite3.Connection, record: int, output: bytes) -> None:
    """Insert the pieces of a large output of that record."""
    connection.executemany(
        "INSERT INTO artifact (record, chunk, digest, data) VALUES (?, ?, ?, ?)",
        ((record, chunk, digest, data) for chunk, (digest, data) in enumerate(pack(output))),
    )
