"""The log of checkpoints in a PostgreSQL ledger. See `CheckpointLog`.

Any number of sequencers may work on it at once. A lease keeps them out of each other's way, and nothing rests on
it: what keeps the log from forking is that a checkpoint's number is a primary key, here and among the heads.
"""

from __future__ import annotations

import psycopg

from tallystick.proof.headmap import map_key
from tallystick.stores.base import HEAD_KEY, tip_from
from tallystick.stores.checkpoints import StoredCheckpoint, moved_since
from tallystick.stores.postgres_schema import PARTITIONS, number_of, partition_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from tallystick.proof.headmap import Head as MapHead
    from tallystick.stores.base import SessionKey
    from tallystick.stores.checkpoints import Change, MovedHead, Tiles

    Query = Callable[..., list[Any]]
    Connection = psycopg.Connection[Any]
    Write = Callable[[Callable[[Connection], bool]], bool]

READ_ROWS = 1024
UNMARK_ROWS = 200
"""How many heads' marks are taken back at a time: whoever appends to one of them waits for so short a transaction."""
UPSERT_ROWS = 10_000
_NEWEST = (
    "LEFT JOIN LATERAL (SELECT position, root FROM tallystick.head_history_{x} WHERE session = s.key"
    " ORDER BY checkpoint DESC LIMIT 1) h ON true"
)
_MOVED = (
    "SELECT s.key, s.task_id, t.position, t.at, t.edge, h.position, h.root FROM tallystick.session_{x} s"
    f" JOIN tallystick.state_{{x}} t ON t.session = s.key AND t.key = '{HEAD_KEY}' {_NEWEST}"
    " WHERE s.ledger = 1 AND t.moved"
)
_AS_OF = (
    "CROSS JOIN LATERAL (SELECT position, root FROM tallystick.head_history{x} WHERE session = {session}"
    " AND checkpoint <= %s ORDER BY checkpoint DESC LIMIT 1) h"
)


class PostgresLog:
    """The checkpoints of one database. `write` runs a function in a transaction and returns once that is durable."""

    def __init__(self, query: Query, write: Write) -> None:
        self._query = query
        self._write = write

    # --- reading

    def size(self) -> int:
        """See `CheckpointLog.size`."""
        return int(self._query("SELECT coalesce(max(number), 0) FROM tallystick.checkpoint")[0][0])

    def read(self, start: int, count: int) -> list[StoredCheckpoint]:
        """See `CheckpointLog.read`."""
        rows = self._query(
            "SELECT number, leaf, node, note, key FROM tallystick.checkpoint WHERE number >= %s"
            " ORDER BY number LIMIT %s",
            (start, count),
        )
        return [StoredCheckpoint(*row) for row in rows]

    def pending(self) -> tuple[int, bytes] | None:
        """See `CheckpointLog.pending`."""
        rows = self._query("SELECT number, leaf FROM tallystick.local_pending ORDER BY number DESC LIMIT 1")
        return (rows[0][0], rows[0][1]) if rows else None

    def moved(self) -> list[MovedHead]:
        """See `CheckpointLog.moved`. One statement sees one moment."""
        found = []
        for key, task_id, position, at, edge, before, root in self._query(
            " UNION ALL ".join(_MOVED.format(x=digit) for digit in PARTITIONS)
        ):
            tip = tip_from(task_id, (position, at, edge))
            found.append(moved_since(number_of(key), task_id, tip, before, root))
        return [one for one in found if one is not None]

    def changes(self, after: int = 0) -> Iterator[list[Change]]:
        """See `CheckpointLog.changes`."""
        number, session = after, b"\xff" * 17
        while rows := self._query(
            "SELECT h.checkpoint, h.session, s.task_id, h.position, h.root FROM ("
            "SELECT * FROM tallystick.head_history WHERE (checkpoint, session) > (%s::integer, %s)"
            f" ORDER BY checkpoint, session LIMIT {READ_ROWS}) h"
            " LEFT JOIN tallystick.session s ON s.key = h.session AND s.ledger = 1 ORDER BY 1, 2",
            (number, session),
        ):
            yield [(checkpoint, number_of(key), *rest) for checkpoint, key, *rest in rows]
            number, session = rows[-1][:2]

    def heads_of(self, session: SessionKey) -> list[tuple[int, int, bytes]]:
        """See `CheckpointLog.heads_of`."""
        return self._query(
            f"SELECT checkpoint, position, root FROM tallystick.head_history_{partition_of(session.number)}"
            " WHERE session = %s ORDER BY checkpoint",
            (session.number.to_bytes(16, "big"),),
        )

    def heads(self, number: int, low: bytes, high: bytes) -> Iterator[MapHead]:
        """See `CheckpointLog.heads`."""
        comparison = ">="
        while True:
            rows: list[MapHead] = self._query(
                "SELECT t.key, h.position, h.root FROM tallystick.local_task t"
                f" {_AS_OF.format(x='', session='t.session')}"
                f" WHERE t.key {comparison} %s AND t.key <= %s ORDER BY t.key LIMIT {READ_ROWS}",
                (number, low, high),
            )
            yield from rows
            if len(rows) < READ_ROWS:
                return
            low, comparison = rows[-1][0], ">"

    def all_heads(self, number: int) -> Iterator[tuple[str, int, bytes]]:
        """See `CheckpointLog.all_heads`."""
        for digit in PARTITIONS:
            after = b""
            while rows := self._query(
                f"SELECT s.key, s.task_id, h.position, h.root FROM tallystick.session_{digit} s"
                f" {_AS_OF.format(x=f'_{digit}', session='s.key')}"
                f" WHERE s.ledger = 1 AND s.key > %s ORDER BY s.key LIMIT {READ_ROWS}",
                (number, after),
            ):
                for row in rows:
                    yield row[1:]
                after = rows[-1][0]

    def tile(self, depth: int, prefix: int) -> bytes | None:
        """See `CheckpointLog.tile`."""
        rows = self._query("SELECT tile FROM tallystick.local_tile WHERE depth = %s AND prefix = %s", (depth, prefix))
        return rows[0][0] if rows else None

    def known_task(self, session: int) -> str | None:
        """See `CheckpointLog.known_task`."""
        key = session.to_bytes(16, "big")
        rows = self._query("SELECT task_id FROM tallystick.local_task WHERE session = %s", (key,))
        return rows[0][0] if rows else None

    # --- writing

    def prepare(self, number: int, leaf: bytes, moved: Sequence[MovedHead], tiles: Tiles, *, anew: bool) -> bool:
        """See `CheckpointLog.prepare`."""

        def work(connection: Connection) -> bool:
            # Only sequencers wait here: appends never touch this table.
            connection.execute("LOCK TABLE tallystick.local_pending IN SHARE ROW EXCLUSIVE MODE")
            if not _is_next(connection, number):
                return False
            _keep_heads(connection, number, moved)
            connection.execute("INSERT INTO tallystick.local_pending VALUES (%s, %s)", (number, leaf))
            _keep_map(connection, moved, tiles, anew=anew)
            return True

        try:
            done = self._write(work)
        except psycopg.errors.UniqueViolation:
            return False
        if done:
            self._unmark(moved)
        return done

    def _unmark(self, moved: Sequence[MovedHead]) -> None:
        """Take the marks of heads back that the newest checkpoint is about: those that nobody moved meanwhile."""
        for digit, keys in _by_partition(one.session for one in moved):
            for start in range(0, len(keys), UNMARK_ROWS):
                some = keys[start : start + UNMARK_ROWS]
                self._write(lambda connection, digit=digit, some=some: _unmark(connection, digit, some))  # type: ignore[misc]

    def replace_pending(self, number: int, leaf: bytes) -> bool:
        """See `CheckpointLog.replace_pending`."""
        return self._write(
            lambda connection: (
                connection.execute(
                    "UPDATE tallystick.local_pending SET leaf = %s WHERE number = %s", (leaf, number)
                ).rowcount
                == 1
            )
        )

    def finish(self, checkpoint: StoredCheckpoint) -> bool:
        """See `CheckpointLog.finish`."""

        def work(connection: Connection) -> bool:
            done = connection.execute(
                "DELETE FROM tallystick.local_pending WHERE number = %s AND leaf = %s",
                (checkpoint.number, checkpoint.leaf),
            )
            if done.rowcount != 1:
                return False
            values = tuple(getattr(checkpoint, name) for name in StoredCheckpoint.FIELDS)
            connection.execute("INSERT INTO tallystick.checkpoint VALUES (%s, %s, %s, %s, %s)", values)
            return True

        return self._write(work)

    def lead(self, holder: str, seconds: float) -> bool:
        """Whether `holder` leads for that long: nobody else holds the lease, or he held it before."""

        def work(connection: Connection) -> bool:
            found = connection.execute(
                "INSERT INTO tallystick.local_lease AS held (name, holder, until)"
                " VALUES ('sequencer', %s, clock_timestamp() + make_interval(secs => %s))"
                " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
                " WHERE held.holder = excluded.holder OR held.until < clock_timestamp() RETURNING true",
                (holder, seconds),
            )
            return found.fetchone() is not None

        return self._write(work)


def _is_next(connection: Connection, number: int) -> bool:
    row = connection.execute(
        "SELECT (SELECT coalesce(max(number), 0) FROM tallystick.checkpoint),"
        " EXISTS (SELECT FROM tallystick.local_pending)"
    ).fetchone()
    assert row is not None
    size, pending = row
    return bool(size + 1 == number and not pending)


def _by_partition(sessions: Iterable[int]) -> Iterator[tuple[str, list[bytes]]]:
    keys: dict[str, list[bytes]] = {}
    for session in sorted(sessions):
        keys.setdefault(partition_of(session), []).append(session.to_bytes(16, "big"))
    return iter(keys.items())


def _keep_heads(connection: Connection, number: int, moved: Sequence[MovedHead]) -> None:
    by_session = {one.session: one for one in moved}
    for digit, keys in _by_partition(by_session):
        with connection.cursor().copy(
            f"COPY tallystick.head_history_{digit} (session, checkpoint, position, root) FROM STDIN (FORMAT BINARY)"
        ) as copy:
            copy.set_types(("bytea", "integer", "bigint", "bytea"))
            for key in keys:
                one = by_session[number_of(key)]
                copy.write_row((key, number, one.position, one.root))


def _keep_map(connection: Connection, moved: Sequence[MovedHead], tiles: Tiles, *, anew: bool) -> None:
    if anew:
        connection.execute("DELETE FROM tallystick.local_tile")
        connection.execute("DELETE FROM tallystick.local_task")
        added = connection.execute(
            "SELECT s.key, s.task_id FROM tallystick.session s WHERE ledger = 1"
            " AND EXISTS (SELECT FROM tallystick.head_history h WHERE h.session = s.key)"
        ).fetchall()
    else:
        added = [(one.session.to_bytes(16, "big"), one.task_id) for one in moved if one.before is None]
    keyed = sorted((map_key(task_id), session, task_id) for session, task_id in added)
    _upsert(
        connection,
        "INSERT INTO tallystick.local_task (key, session, task_id)"
        " SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::text[])"
        " ON CONFLICT (key) DO UPDATE SET session = excluded.session, task_id = excluded.task_id",
        keyed,
    )
    _upsert(
        connection,
        "INSERT INTO tallystick.local_tile (depth, prefix, tile)"
        " SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bytea[])"
        " ON CONFLICT (depth, prefix) DO UPDATE SET tile = excluded.tile",
        sorted((depth, prefix, tile) for (depth, prefix), tile in tiles.items()),
    )


def _upsert(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), UPSERT_ROWS):
        columns = [list(column) for column in zip(*rows[start : start + UPSERT_ROWS], strict=True)]
        connection.execute(statement.encode(), columns)


def _unmark(connection: Connection, digit: str, keys: list[bytes]) -> bool:
    connection.execute(
        f"UPDATE tallystick.state_{digit} t SET moved = false FROM (SELECT DISTINCT ON (session) session, position"
        f" FROM tallystick.head_history_{digit} WHERE session = ANY (%s) ORDER BY session, checkpoint DESC) h".encode()
        + f" WHERE t.session = h.session AND t.key = '{HEAD_KEY}' AND t.moved AND t.position = h.position".encode(),
        (keys,),
    )
    return True
