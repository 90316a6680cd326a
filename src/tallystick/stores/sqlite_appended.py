"""A view of the writing connection's own, whose one trigger does all that an entry at a known head takes.

Inserted into it, an entry becomes its record and moves head and pointers, or is refused where the head is not
the one that is remembered. A statement by itself is a transaction: for one entry it is all of it, and what
`SqliteBatch` takes eight statements for. Where threads share a transaction, fewer statements mean fewer moments
at which its leader has to wait for others to run.
"""

from __future__ import annotations

import sqlite3
from itertools import chain

from tallystick.stores.base import INLINE_OUTPUT, extend, pointer_keys
from tallystick.stores.sqlite_schema import POSITION_BITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.stores.appending import Standing, Work
    from tallystick.stores.base import Head, Row, SessionKey
    from tallystick.stores.sqlite_memory import Memory

GROUP = 16
"""Rows that one statement inserts."""
_RECORD = ("id", "record", "node", "criterion_before", "type_before")
_SEALED = ("text_salt", "text", "details_salt", "details", "output_salt", "output")
_HEAD = ("session", "position", "at", "edge", "edge_before")
_POINTERS = ("one", "other", "third")
_COLUMNS = (*_RECORD, *_SEALED, *_HEAD, *_POINTERS)

_VIEW = f"CREATE TEMP VIEW appended AS SELECT {', '.join(f'NULL AS {column}' for column in _COLUMNS)}"
_TRIGGER = (
    "CREATE TEMP TRIGGER appended_insert INSTEAD OF INSERT ON appended BEGIN"
    " UPDATE state SET position = new.position, at = new.at, edge = new.edge WHERE session = new.session AND key = ''"
    " AND position = new.position - 1 AND edge = new.edge_before;"
    " SELECT RAISE(ABORT, 'tallystick: the head has moved') WHERE changes() <> 1;"
    f" INSERT INTO record VALUES ({', '.join(f'new.{column}' for column in (*_RECORD, *_SEALED))});"
    + "".join(
        f" UPDATE state SET position = new.position WHERE session = new.session AND key = new.{column};"
        for column in _POINTERS
    )
    + " END"
)
_APPEND = f"INSERT INTO appended VALUES ({', '.join('?' * len(_COLUMNS))})"


def prepare(connection: sqlite3.Connection) -> None:
    """Make the view, which no other connection sees and no file keeps."""
    connection.execute(_VIEW)
    connection.execute(_TRIGGER)


def append_one(
    connection: sqlite3.Connection, memory: Memory, session: SessionKey, work: Work, clock: Callable[[], str]
) -> Head | None:
    """The new head, durable. None where it takes more to decide, or the head has moved: then nothing was written.

    Raises InputError for a record that is too long, and what the engine raises.
    """
    number = session.number
    standing = memory.standing(number) if memory.viewed and work.is_plain else None
    if standing is None or work.expected_position not in (None, standing.tip.position):
        return None
    draft, pointers, tip = work.drafts[0], standing.pointers, standing.tip
    sealed = draft.sealed
    if sealed.output is not None and len(sealed.output) > INLINE_OUTPUT:
        return None
    for key in pointer_keys(standing.rules, draft.type, draft.criterion_id, draft.phase_id):
        if key not in pointers:
            return None
    memory.take(number)
    moved = standing.moved
    (row,) = extend(
        tip, work.drafts, now=clock(), rules=standing.rules, pointers=pointers, moved=moved, defaults=work.defaults
    ).rows
    try:
        connection.execute(_APPEND, appended(standing, parameters(number << POSITION_BITS, row)))
    except sqlite3.IntegrityError:
        return None
    memory.keep((standing,))
    return tip.head()


def parameters(base: int, row: Row) -> tuple[object, ...]:
    """A row of the table of records, for a row of the session whose packed ids begin at `base`."""
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


def is_next(standing: Standing) -> bool:
    """Whether a session is one record further than its head's row says, and all of its pointers are there already."""
    if standing.new or standing.tip.position != standing.stored[0] + 1:
        return False
    return standing.pointers.keys() >= standing.moved.keys()


def appended(standing: Standing, record: tuple[object, ...]) -> tuple[object, ...]:
    """The view's row for the one record that a session is further (see `is_next`)."""
    tip, (_, before), keys = standing.tip, standing.stored, (*standing.moved, None, None)
    packed = tip.edge.pack()
    standing.stored = (tip.position, packed)
    return (*record, standing.session.number, tip.position, tip.at, packed, before, *keys[:3])


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert whole rows into a table or the view `appended`, many with each statement."""
    if not rows:
        return
    marks = f"({', '.join('?' * len(rows[0]))})"
    whole = len(rows) - len(rows) % GROUP
    if whole:
        statement = f"INSERT INTO {table} VALUES {', '.join([marks] * GROUP)}"
        for start in range(0, whole, GROUP):
            connection.execute(statement, tuple(chain.from_iterable(rows[start : start + GROUP])))
    if whole < len(rows):
        connection.executemany(f"INSERT INTO {table} VALUES {marks}", rows[whole:])
