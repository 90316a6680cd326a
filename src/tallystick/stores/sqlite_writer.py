"""One transaction's worth of appends to a SQLite ledger."""

from __future__ import annotations

from tallystick.errors import (
    ConcurrencyError,
    IdempotencyConflict,
    InputError,
    NotFoundError,
    StoreUnavailableError,
    TallystickError,
    TamperedError,
)
from tallystick.model.record import Header, decode_header
from tallystick.proof.merkle import Edge, leaf_hash, read_root
from tallystick.stores.artifacts import pack
from tallystick.stores.base import HEAD_KEY, INLINE_OUTPUT, Head, SessionKey, Tip, extend, pointer_keys, tip_from
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tallystick.model.record import Draft
    from tallystick.stores.base import IdempotencyKey, Row
    from tallystick.stores.group_commit import Request

ENTRY_PREFIX = b'{"v":1,"kind":"entry"'
HEADER_PREFIX = b'{"v":1,"kind":"session"'
CACHED_SESSIONS = 100_000

_INSERT_RECORD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_STATE = "INSERT INTO state (session, key, position, at, edge) VALUES (?, ?, ?, ?, ?)"
_UPDATE_HEAD = "UPDATE state SET position = ?, at = ?, edge = ? WHERE session = ? AND key = ''"
_UPDATE_POINTER = "UPDATE state SET position = ? WHERE session = ? AND key = ?"
_READ_STATE = "SELECT key, position, at, edge FROM state WHERE session = ? AND key IN (?, ?, ?, ?)"


class Work:
    """What one caller asks of a transaction."""

    __slots__ = ("defaults", "drafts", "erase", "expected_position", "header", "key", "task_id")

    def __init__(
        self,
        task_id: str,
        drafts: Sequence[Draft],
        *,
        expected_position: int | None = None,
        key: IdempotencyKey | None = None,
        header: Header | None = None,
        defaults: bool = True,
        erase: tuple[int, Sequence[str]] | None = None,
    ) -> None:
        self.task_id = task_id
        self.drafts = drafts
        self.expected_position = expected_position
        self.key = key
        self.header = header
        self.defaults = defaults
        self.erase = erase


class _Standing:
    """A session while a transaction appends to it: where it stands, and what has yet to be written."""

    __slots__ = ("moved", "new", "number", "pointers", "rules", "tip")

    def __init__(self, number: int, rules: int, tip: Tip, pointers: dict[str, int], *, new: bool) -> None:
        self.number = number
        self.rules = rules
        self.tip = tip
        self.pointers = pointers
        self.moved: dict[str, int] = {}
        self.new = new


class _Nodes:
    """The stored nodes of a session, for roots of the past."""

    def __init__(self, connection: sqlite3.Connection, session: SessionKey) -> None:
        self._connection = connection
        self._session = session

    def leaf(self, index: int) -> bytes:
        """See `NodeReader.leaf`."""
        return leaf_hash(self._column("record", index) if index else self._session.header)

    def node(self, index: int) -> bytes:
        """See `NodeReader.node`."""
        return self._column("node", index) if index else self.leaf(0)

    def _column(self, column: str, position: int) -> bytes:
        row = self._connection.execute(
            f"SELECT {column} FROM record WHERE id = ?", ((self._session.number << POSITION_BITS) + position,)
        ).fetchone()
        if row is None:
            raise TamperedError("the record is missing", task_id=self._session.task_id, position=position)
        return bytes(row[0])


class Batch:
    """The appends that share one transaction. Each request gets its result, or its own error and no trace."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        ledger_id: str,
        now: str,
        sessions: dict[str, SessionKey],
        written: dict[int, int],
    ) -> None:
        self._connection = connection
        self._ledger_id = ledger_id
        self._now = now
        self._sessions = sessions
        self._written = written
        self.created: dict[str, SessionKey] = {}
        """Sessions made in this transaction: known to nobody else before it is committed."""
        self._standing: dict[int, _Standing] = {}
        self._records: list[tuple[object, ...]] = []

    def perform(self, requests: Sequence[Request]) -> None:
        """Do what the requests ask, up to but without the commit."""
        if len(self._sessions) > CACHED_SESSIONS:
            self._sessions.clear()
            self._written.clear()
        for request in requests:
            try:
                request.result = self._one(request.work)
            except TallystickError as error:
                request.error = error
        self._flush_records()
        for standing in self._standing.values():
            self._write_state(standing)

    def _one(self, work: Work) -> Head:
        session = self._session(work.task_id)
        if work.header is not None and session is not None:
            raise InputError("the task already has a session", where=work.task_id)
        if work.key is not None and session is not None:
            first = self._seen(session, work, work.key)
            if first is not None:
                return first
        if session is None:
            expected = work.expected_position
            if expected:
                raise ConcurrencyError(work.task_id, expected, 0)
            if work.erase is not None:
                raise NotFoundError("no such task", where=work.task_id, advice="notch tasks lists them")
            for position, draft in enumerate(work.drafts, 1):
                draft.record(self._now, position, defaults=work.defaults)
            session = self._create(work)
        standing = self._stand(session, work.drafts)
        if work.expected_position is not None and work.expected_position != standing.tip.position:
            raise ConcurrencyError(work.task_id, work.expected_position, standing.tip.position)
        return self._extend(session, standing, work)

    def _extend(self, session: SessionKey, standing: _Standing, work: Work) -> Head:
        if work.erase is not None:
            self._check_erasable(session, *work.erase)
        first = standing.tip.position + 1
        extension = extend(
            standing.tip,
            work.drafts,
            now=self._now,
            rules=standing.rules,
            pointers=standing.pointers | standing.moved if standing.moved else standing.pointers,
            defaults=work.defaults,
        )
        standing.moved.update(extension.pointers)
        base = session.number << POSITION_BITS
        for row in extension.rows:
            self._records.append(_parameters(base, row))
            output = row.sealed.output
            if output is not None and len(output) > INLINE_OUTPUT:
                self._write_artifact(base + row.position, output)
        head = standing.tip.head()
        if work.key is not None:
            self._remember(session, work, work.key, first, head.position)
        if work.erase is not None:
            self._clear(session, *work.erase)
        return head

    # --- sessions

    def _session(self, task_id: str) -> SessionKey | None:
        known = self._sessions.get(task_id) or self.created.get(task_id)
        if known is None:
            row = self._connection.execute(
                "SELECT number, header FROM session WHERE ledger = 1 AND task_id = ?", (task_id,)
            ).fetchone()
            if row is None:
                return None
            known = self._sessions[task_id] = SessionKey(row[0], self._ledger_id, task_id, row[1])
        return known

    def _create(self, work: Work) -> SessionKey:
        given = work.header
        header = Header(
            at=self._now,
            ledger=self._ledger_id,
            task_id=work.task_id,
            created_at=given.created_at if given else self._now,
            rules=given.rules if given else 1,
            origin=given.origin if given else None,
        ).encode()
        (number,) = self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM session").fetchone()
        self._connection.execute("INSERT INTO session VALUES (?, 1, ?, ?)", (number, work.task_id, header))
        session = self.created[work.task_id] = SessionKey(number, self._ledger_id, work.task_id, header)
        edge = Edge()
        edge.append(leaf_hash(header))
        self._standing[number] = _Standing(number, given.rules if given else 1, Tip(0, self._now, edge), {}, new=True)
        self._written[number] = 0
        return session

    def _stand(self, session: SessionKey, drafts: Sequence[Draft]) -> _Standing:
        standing = self._standing.get(session.number)
        rules = standing.rules if standing else _rules(session)
        wanted: list[str] = []
        for draft in drafts:
            wanted += pointer_keys(rules, draft.type, draft.criterion_id, draft.phase_id)
        if standing is None:
            found = self._read_state(session.number, [HEAD_KEY, *wanted])
            standing = self._standing[session.number] = self._standing_from(session, rules, found)
        elif not standing.new:
            missing = [key for key in wanted if key not in standing.pointers and key not in standing.moved]
            if missing:
                standing.pointers.update(
                    {key: row[0] for key, row in self._read_state(session.number, missing).items()}
                )
        return standing

    def _read_state(self, number: int, keys: Sequence[str]) -> dict[str, tuple[int, str, bytes]]:
        found: dict[str, tuple[int, str, bytes]] = {}
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 4):
            four = unique[start : start + 4]
            four += [four[0]] * (4 - len(four))
            for key, position, at, edge in self._connection.execute(_READ_STATE, (number, *four)):
                found[key] = (position, at, edge)
        return found

    def _standing_from(self, session: SessionKey, rules: int, found: dict[str, tuple[int, str, bytes]]) -> _Standing:
        tip = tip_from(session.task_id, found.pop(HEAD_KEY, None))
        self._require_open(session, tip.position)
        return _Standing(session.number, rules, tip, {key: row[0] for key, row in found.items()}, new=False)

    def _require_open(self, session: SessionKey, position: int) -> None:
        """A session that a later version wrote to is readable but closed."""
        if self._written.get(session.number) == position:
            return
        record, prefix = session.header, HEADER_PREFIX
        if position:
            row = self._connection.execute(
                "SELECT substr(record, 1, 32) FROM record WHERE id = ?",
                ((session.number << POSITION_BITS) + position,),
            ).fetchone()
            if row is None:
                raise TamperedError("the newest record is missing", task_id=session.task_id, position=position)
            record, prefix = row[0], ENTRY_PREFIX
        if not record.startswith(prefix):
            raise StoreUnavailableError(
                "the session was written to by a later version and is closed to this one",
                where=session.task_id,
                advice="upgrade tallystick",
            )

    # --- writing

    def _flush_records(self) -> None:
        if len(self._records) == 1:
            self._connection.execute(_INSERT_RECORD, self._records[0])
        elif self._records:
            self._connection.executemany(_INSERT_RECORD, self._records)
        self._records = []

    def _write_state(self, standing: _Standing) -> None:
        number, tip, connection = standing.number, standing.tip, self._connection
        if standing.new:
            connection.execute(_INSERT_STATE, (number, HEAD_KEY, tip.position, tip.at, tip.edge.pack()))
        elif standing.moved:
            connection.execute(_UPDATE_HEAD, (tip.position, tip.at, tip.edge.pack(), number))
        for key, position in standing.moved.items():
            if key in standing.pointers:
                connection.execute(_UPDATE_POINTER, (position, number, key))
            else:
                connection.execute(_INSERT_STATE, (number, key, position, None, None))
        self._written[number] = tip.position

    def _write_artifact(self, record: int, output: bytes) -> None:
        self._connection.executemany(
            "INSERT INTO artifact (record, chunk, digest, data) VALUES (?, ?, ?, ?)",
            ((record, chunk, digest, data) for chunk, (digest, data) in enumerate(pack(output))),
        )

    # --- idempotency keys

    def _seen(self, session: SessionKey, work: Work, key: IdempotencyKey) -> Head | None:
        row = self._connection.execute(
            "SELECT last, salt, digest FROM local_idempotency WHERE session = ? AND key = ?",
            (session.number, key.key),
        ).fetchone()
        if row is None:
            return None
        last, salt, digest = row
        if salt is not None and input_digest(work.drafts, salt) != digest:
            raise IdempotencyConflict(
                f"the idempotency key {key.key!r} was used before with another input",
                where=work.task_id,
                advice="use a new key for a new entry",
            )
        self._flush_records()
        return Head(last, read_root(last + 1, _Nodes(self._connection, session)).hex())

    def _remember(self, session: SessionKey, work: Work, key: IdempotencyKey, first: int, last: int) -> None:
        self._connection.execute(
            "INSERT INTO local_idempotency (session, key, first, last, salt, digest) VALUES (?, ?, ?, ?, ?, ?)",
            (session.number, key.key, first, last, key.salt, input_digest(work.drafts, key.salt)),
        )

    # --- erasure

    def _check_erasable(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        self._flush_records()
        columns = ", ".join(f"{part}_salt" for part in parts)
        row = None
        if 0 < position <= POSITION_MASK:
            row = self._connection.execute(
                f"SELECT {columns} FROM record WHERE id = ?", ((session.number << POSITION_BITS) + position,)
            ).fetchone()
        if row is None:
            raise NotFoundError(f"no entry at position {position}", where=session.task_id)
        gone = [part for part, salt in zip(parts, row, strict=True) if salt is None]
        if gone:
            raise InputError(
                f"the entry at position {position} has no {' and no '.join(gone)} to erase",
                where=session.task_id,
            )

    def _clear(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        self._flush_records()
        record = (session.number << POSITION_BITS) + position
        cleared = ", ".join(f"{part}_salt = NULL, {part} = NULL" for part in parts)
        self._connection.execute(f"UPDATE record SET {cleared} WHERE id = ?", (record,))
        if "output" in parts:
            self._connection.execute("DELETE FROM artifact WHERE record = ?", (record,))
        self._connection.execute(
            "UPDATE local_idempotency SET salt = NULL, digest = NULL WHERE session = ? AND first <= ? AND last >= ?",
            (session.number, position, position),
        )


def _rules(session: SessionKey) -> int:
    try:
        return decode_header(session.header).rules
    except InputError as error:
        raise TamperedError(error.what, task_id=session.task_id, position=0) from None


def input_digest(drafts: Sequence[Draft], salt: bytes) -> bytes:
    """What an idempotency key remembers of an append: 32 bytes."""
    from hashlib import sha256

    return sha256(b"".join(draft.input_digest(salt) for draft in drafts)).digest()


def _parameters(base: int, row: Row) -> tuple[object, ...]:
    sealed = row.sealed
    output = sealed.output
    return (
        base + row.position,
        row.record,
        row.node,
        row.criterion_before,
        row.type_before,
        sealed.text_salt,
        sealed.text,
        sealed.details_salt,
        sealed.details,
        sealed.output_salt,
        output if output is None or len(output) <= INLINE_OUTPUT else None,
    )
