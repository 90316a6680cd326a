"""Taking sessions that are copied from another store into a SQLite ledger. See `CopyTarget`."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.stores.base import HEAD_KEY, INLINE_OUTPUT
from tallystick.stores.copying import NEW, OUTPUT, beside
from tallystick.stores.sqlite_adopt import session_at
from tallystick.stores.sqlite_schema import POSITION_BITS, TRIGGERS
from tallystick.stores.sqlite_writer import (
    INSERT_RECORD,
    INSERT_STATE,
    UPDATE_HEAD,
    UPDATE_POINTER,
    clear,
    note_erasing,
    write_artifact,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from typing import Any

    from tallystick.stores.base import SessionKey
    from tallystick.stores.copying import KeyRow, Piece

_IS_EMPTY = (
    "SELECT NOT EXISTS (SELECT 1 FROM session) AND NOT EXISTS (SELECT 1 FROM checkpoint)"
    " AND NOT EXISTS (SELECT 1 FROM head_history) AND (SELECT count(*) FROM ledger) = 1"
)


def take_over(connection: sqlite3.Connection, ledger_id: str, where: str) -> None:
    """See `CopyTarget.take_over`. In the caller's transaction."""
    (is_empty,) = connection.execute(_IS_EMPTY).fetchone()
    if not is_empty:
        raise InputError("the ledger is not empty, so it keeps its id", where=where)
    connection.execute("DROP TRIGGER ledger_no_update")
    connection.execute("UPDATE ledger SET ledger_id = ? WHERE number = 1", (ledger_id,))
    connection.execute(TRIGGERS["ledger_no_update"])


def take(connection: sqlite3.Connection, pieces: Sequence[Piece]) -> None:
    """See `CopyTarget.take`. In the caller's transaction."""
    for piece in pieces:
        number, held = session_at(connection, piece.session)
        piece.require_at(held)
        base = number << POSITION_BITS
        _write_rows(connection, piece, base)
        _write_state(connection, piece, number)
        _clear(connection, piece, base)
        connection.executemany(
            "INSERT OR IGNORE INTO local_idempotency (session, key, first, last, salt, digest)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((number, *key) for key in piece.keys),
        )
        connection.executemany(
            "INSERT OR IGNORE INTO local_proof (digest, record) VALUES (?, ?)",
            ((digest, base + position) for digest, position in piece.proofs),
        )


def _write_rows(connection: sqlite3.Connection, piece: Piece, base: int) -> None:
    for rows in piece.complete():
        for row in rows:
            if row[OUTPUT] is not None and len(row[OUTPUT]) > INLINE_OUTPUT:
                write_artifact(connection, base + row[0], row[OUTPUT])
        connection.executemany(INSERT_RECORD, ((base + row[0], *row[1:OUTPUT], beside(row)) for row in rows))


def _write_state(connection: sqlite3.Connection, piece: Piece, number: int) -> None:
    tip = piece.tip
    if piece.before == NEW:
        connection.execute(INSERT_STATE, (number, HEAD_KEY, tip.position, tip.at, tip.edge.pack()))
    elif tip.position > piece.before:
        connection.execute(UPDATE_HEAD, (tip.position, tip.at, tip.edge.pack(), number))
    for key, position in piece.pointers.items():
        moved = piece.before > 0 and connection.execute(UPDATE_POINTER, (position, number, key)).rowcount
        if not moved:
            connection.execute(INSERT_STATE, (number, key, position, None, None))


def _clear(connection: sqlite3.Connection, piece: Piece, base: int) -> None:
    for position, part in piece.cleared:
        clear(connection, base >> POSITION_BITS, position, [part])
    if piece.cleared:
        note_erasing(connection, base + piece.tip.position)


def idempotency_keys(
    query: Callable[..., list[Any]], session: SessionKey, after: tuple[int, str], count: int
) -> list[KeyRow]:
    """Up to `count` keys of a session behind (last position, key), in that order."""
    return query(
        "SELECT key, first, last, salt, digest FROM local_idempotency WHERE session = ? AND (last, key) > (?, ?)"
        " ORDER BY last, key LIMIT ?",
        (session.number, *after, count),
        kinds="tiiBB",
    )
