"""Keeping a session of another ledger beside ours, byte for byte, read-only."""

from __future__ import annotations

from tallystick.stores.adopting import complete_rows, erased_before, require_foreign, require_same
from tallystick.stores.base import HEAD_KEY, INLINE_OUTPUT
from tallystick.stores.sqlite_appended import parameters
from tallystick.stores.sqlite_schema import POSITION_BITS
from tallystick.stores.sqlite_writer import INSERT_RECORD, INSERT_STATE, clear, note_erasing, write_artifact

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from tallystick.stores.base import SessionKey, Store


def adopt(connection: sqlite3.Connection, source: Store, key: SessionKey, own: str) -> int:
    """Copy a verified session into the caller's transaction; returns how many entries are new.

    A longer one of the same history goes on where the kept one ends. Raises InputError where it is a session of
    our own ledger, or another history of one that is kept (a fork).
    """
    require_foreign(key, own)
    number, held = session_at(connection, key)
    tip = source.tip(key)
    if held >= 0:
        (header,) = connection.execute("SELECT header FROM session WHERE number = ?", (number,)).fetchone()
        require_same(source, key, header, held, lambda first, last: _records(connection, number, first, last))
    if tip.position <= held >= 0:
        return 0
    base = number << POSITION_BITS
    for rows in complete_rows(source, key, max(held, 0) + 1, tip.position):
        for row in rows:
            output = row.sealed.output
            if output is not None and len(output) > INLINE_OUTPUT:
                write_artifact(connection, base + row.position, output)
        connection.executemany(INSERT_RECORD, [parameters(base, row) for row in rows])
        for position, part in erased_before(rows, held):
            clear(connection, number, position, [part])
            note_erasing(connection, base + rows[-1].position)
    _write_state(connection, source, key, number, new=held < 0)
    return tip.position - max(held, 0)


def session_at(connection: sqlite3.Connection, key: SessionKey) -> tuple[int, int]:
    """The session's number here, and at which position it stands; -1 where it was made just now."""
    row = connection.execute("SELECT number FROM ledger WHERE ledger_id = ?", (key.ledger_id,)).fetchone()
    if row is None:
        (ledger,) = connection.execute("SELECT max(number) + 1 FROM ledger").fetchone()
        connection.execute("INSERT INTO ledger (number, ledger_id) VALUES (?, ?)", (ledger, key.ledger_id))
    else:
        (ledger,) = row
    found = connection.execute(
        "SELECT s.number, t.position FROM session s JOIN state t ON t.session = s.number AND t.key = ''"
        " WHERE s.ledger = ? AND s.task_id = ?",
        (ledger, key.task_id),
    ).fetchone()
    if found is not None:
        return int(found[0]), int(found[1])
    (number,) = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM session").fetchone()
    connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (number, ledger, key.task_id, key.header))
    return int(number), -1


def _records(connection: sqlite3.Connection, number: int, first: int, last: int) -> list[bytes]:
    base = number << POSITION_BITS
    rows = connection.execute(
        "SELECT record FROM record WHERE id BETWEEN ? AND ? ORDER BY id", (base + first, base + last)
    )
    return [record for (record,) in rows]


def _write_state(connection: sqlite3.Connection, source: Store, key: SessionKey, number: int, *, new: bool) -> None:
    _, wanted = source.state_rows(key)
    held = {} if new else dict(connection.execute("SELECT key, position FROM state WHERE session = ?", (number,)))
    for name, position, at, edge in wanted:
        if name not in held:
            connection.execute(INSERT_STATE, (number, name, position, at, edge))
        elif name == HEAD_KEY:
            connection.execute(
                "UPDATE state SET position = ?, at = ?, edge = ? WHERE session = ? AND key = ''",
                (position, at, edge, number),
            )
        elif held[name] != position:
            connection.execute("UPDATE state SET position = ? WHERE session = ? AND key = ?", (position, number, name))
