"""Taking sessions that are copied from another store into a PostgreSQL ledger, by COPY. See `CopyTarget`."""

from __future__ import annotations

import psycopg
from psycopg import sql

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.stores.artifacts import pack
from tallystick.stores.copying import NEW, OUTPUT, SALT, beside, has_artifact
from tallystick.stores.postgres_schema import OWNER, partition_of, session_key
from tallystick.stores.postgres_sql import copied, int4, int8, statements_of
from tallystick.stores.postgres_track import HeadPointers
from tallystick.stores.postgres_writer import batch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from tallystick.stores.base import SessionKey
    from tallystick.stores.copying import KeyRow, Piece, RawRow

    Connection = psycopg.Connection[Any]

_IS_EMPTY = (
    "SELECT NOT EXISTS (SELECT FROM tallystick.session) AND NOT EXISTS (SELECT FROM tallystick.checkpoint)"
    " AND NOT EXISTS (SELECT FROM tallystick.head_history) AND (SELECT count(*) FROM tallystick.ledger) = 1"
)


def take_over(connection: Connection, ledger_id: str, where: str) -> None:
    """See `CopyTarget.take_over`. In the caller's transaction. Nobody makes a session meanwhile."""
    try:
        connection.execute(f"SET LOCAL ROLE {OWNER}")
    except psycopg.errors.InsufficientPrivilege:
        raise StoreUnavailableError(
            f"the ledger there is empty and has another id; only a member of {OWNER} can make it this one",
            where=where,
            advice=f"have one run notch init --id {ledger_id} --ledger with that URL",
        ) from None
    connection.execute("LOCK TABLE tallystick.session IN SHARE ROW EXCLUSIVE MODE")
    row = connection.execute(_IS_EMPTY).fetchone()
    if row is None or not row[0]:
        raise InputError("the ledger is not empty, so it keeps its id", where=where)
    connection.execute("ALTER TABLE tallystick.ledger DISABLE TRIGGER ledger_no_update")
    connection.execute("UPDATE tallystick.ledger SET ledger_id = %s WHERE number = 1", (ledger_id,))
    connection.execute("ALTER TABLE tallystick.ledger ENABLE ALWAYS TRIGGER ledger_no_update")
    connection.execute("RESET ROLE")


def take(connection: Connection, pieces: Sequence[Piece]) -> None:
    """See `CopyTarget.take`. In the caller's transaction, which may be a second attempt at one that was committed."""
    for piece in pieces:
        _Taking(connection, piece).run()


class _Taking:
    """One piece, in the caller's transaction."""

    def __init__(self, connection: Connection, piece: Piece) -> None:
        self._connection = connection
        self._piece = piece
        self._key = session_key(piece.session.ledger_id, piece.session.task_id)
        self._digit = partition_of(int.from_bytes(self._key))
        self._pointers = HeadPointers()

    def run(self) -> None:
        piece = self._piece
        held, edge = self._held()
        if (held, edge) == (piece.tip.position, piece.tip.edge.pack()) and held > piece.before:
            return
        piece.require_at(held)
        if held == NEW:
            self._do(f"SELECT tallystick.begin_{self._digit}(%s, %s)", self._key, piece.session.header)
            held, edge = self._held()
        self._copy_rows(held, edge)
        self._clear()
        self._write_proofs()

    def _do(self, statement: str, *arguments: object) -> psycopg.Cursor[Any]:
        return self._connection.cursor(binary=True).execute(sql.SQL(statement.replace("{x}", self._digit)), arguments)

    def _held(self) -> tuple[int, bytes]:
        """Where the session stands, its head locked."""
        held = f"SELECT place, reached, pointers, stands, others FROM tallystick.hold_{self._digit}(%s)"
        ((position, edge, names, places, more),) = self._do(held, self._key).fetchall()
        self._pointers = HeadPointers(names or (), places or (), more=bool(more))
        return (NEW, b"") if position is None else (position, edge)

    def _copy_rows(self, held: int, edge: bytes) -> None:
        """The records, which move the head, then the large outputs, each read when it is sent."""
        statements, piece, key = statements_of(self._digit), self._piece, self._key
        if not piece.rows:
            return
        known = self._do(
            "SELECT key FROM tallystick.state_{x} WHERE session = %s AND key = ANY (%s)", key, list(piece.pointers)
        ).fetchall()
        after, rows = self._pointers.moved(piece.pointers, {name for (name,) in known})
        batch = batch_of(held, edge, piece.tip.edge.pack(), self._pointers, after, rows, piece.keys)
        self._do("SELECT set_config('tallystick.batch', %s, true)", batch.decode())
        self._copy(statements.copy_records, ([key, *_values(row)] for row in piece.rows))
        if any((row[OUTPUT] is None and row[SALT] is not None) or has_artifact(row) for row in piece.rows):
            self._copy(statements.copy_artifacts, _artifacts(key, piece))

    def _copy(self, statement: bytes, rows: Iterable[Sequence[bytes | None]]) -> None:
        with self._connection.cursor().copy(statement) as copy:
            for block in copied(rows):
                copy.write(block)

    def _clear(self) -> None:
        for position, part in self._piece.cleared:
            place = (self._key, position)
            self._do(
                f"UPDATE tallystick.record_{{x}} SET {part}_salt = NULL, {part} = NULL"
                " WHERE session = %s AND position = %s",
                *place,
            )
            if part == "output":
                self._do("DELETE FROM tallystick.artifact_{x} WHERE session = %s AND position = %s", *place)
            self._do("DELETE FROM tallystick.local_proof_{x} WHERE session = %s AND position = %s", *place)
            self._do(
                "UPDATE tallystick.local_idempotency_{x} SET salt = NULL, digest = NULL"
                " WHERE session = %s AND first <= %s AND last >= %s",
                *place,
                position,
            )

    def _write_proofs(self) -> None:
        piece = self._piece
        if piece.proofs:
            self._do(
                "INSERT INTO tallystick.local_proof_{x} (session, digest, position) SELECT %s, *"
                " FROM unnest(%s::bytea[], %s::bigint[]) ON CONFLICT DO NOTHING",
                self._key,
                *map(list, zip(*piece.proofs, strict=True)),
            )


def _values(row: RawRow) -> list[bytes | None]:
    position, record, node, criterion_before, type_before, *parts = row[:OUTPUT]
    return [int8(position), record, node, int8(criterion_before), int8(type_before), *parts, beside(row)]


def _artifacts(key: bytes, piece: Piece) -> Iterator[list[bytes | None]]:
    for rows in piece.complete():
        for row in filter(has_artifact, rows):
            for chunk, (digest, data) in enumerate(pack(row[OUTPUT])):
                yield [key, int8(row[0]), int4(chunk), digest, data]


def idempotency_keys(
    query: Callable[..., list[Any]], session: SessionKey, after: tuple[int, str], count: int
) -> list[KeyRow]:
    """Up to `count` keys of a session behind (last position, key), in that order."""
    return query(
        f"SELECT key, first, last, salt, digest FROM tallystick.local_idempotency_{partition_of(session.number)}"
        " WHERE session = %s AND (last, key) > (%s, %s) ORDER BY last, key LIMIT %s",
        (session.number.to_bytes(16, "big"), *after, count),
    )
