"""The log of checkpoints in a PostgreSQL ledger. See `CheckpointLog`.

Any number of sequencers may work on it at once. A lease keeps them out of each other's way, and nothing rests on
it: what keeps the log from forking is that a checkpoint's number is a primary key, here and among the heads.
"""

from __future__ import annotations

import psycopg

from tallystick.proof.headmap import map_key
from tallystick.stores.base import HEAD_KEY, tip_from
from tallystick.stores.checkpoints import Moved, StoredCheckpoint, moved_since, unowned_head
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
UPSERT_ROWS = 10_000
_NEWEST_KEPT = (
    "JOIN LATERAL (SELECT position, root FROM tallystick.head_history_{x} WHERE session = s.key"
    " AND checkpoint <= %s ORDER BY checkpoint DESC LIMIT 1) h ON true"
)
_MOVED = (
    "SELECT s.key, s.task_id, t.position, t.at, t.edge, coalesce(r.position, 0), r.node, h.position, h.root"
    f" FROM tallystick.session_{{x}} s LEFT JOIN tallystick.state_{{x}} t ON t.session = s.key AND t.key = '{HEAD_KEY}'"
    " LEFT JOIN LATERAL (SELECT position, node FROM tallystick.record_{x} WHERE session = s.key"
    f" ORDER BY position DESC LIMIT 1) r ON true LEFT {_NEWEST_KEPT} WHERE s.ledger = 1"
    " AND (t.position IS DISTINCT FROM coalesce(r.position, 0) OR t.position IS DISTINCT FROM h.position)"
)
_KEPT = (
    "SELECT ''::bytea, NULL, count(*), NULL, NULL, coalesce(sum(h.position + 1), 0)::bigint, NULL, NULL, NULL"
    f" FROM tallystick.session_{{x}} s {_NEWEST_KEPT} WHERE s.ledger = 1"
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

    def moved(self, size: int) -> Moved:
        """See `CheckpointLog.moved`. One statement sees one moment."""
        heads, tasks, entries = [], 0, 0
        statement = " UNION ALL ".join(part.format(x=digit) for digit in PARTITIONS for part in (_MOVED, _KEPT))
        rows = self._query(statement, (size,) * statement.count("%s"))
        for key, task_id, position, at, edge, last, node, before, root in rows:
            if not key:
                tasks, entries = tasks + position, entries + last
                continue
            tip = tip_from(task_id, None if position is None else (position, at, edge))
            heads.append(moved_since(number_of(key), task_id, tip, (last, node), before, root))
        return Moved([one for one in heads if one is not None], tasks, entries)

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

    def add(
        self,
        number: int,
        moved: Sequence[MovedHead],
        tiles: Tiles,
        *,
        anew: bool,
        signed: Callable[[], StoredCheckpoint],
    ) -> bool:
        """See `CheckpointLog.add`. Only other signers wait meanwhile."""

        def work(connection: Connection) -> bool:
            # Only signers wait here: appends never touch this table.
            connection.execute("LOCK TABLE tallystick.local_tile IN SHARE ROW EXCLUSIVE MODE")
            if _next_number(connection) != number:
                return False
            kept = "SELECT 1 FROM tallystick.head_history WHERE checkpoint >= %s LIMIT 1"
            if connection.execute(kept, (number,)).fetchone():
                raise unowned_head(number)
            _keep_heads(connection, number, moved)
            _keep_map(connection, moved, tiles, anew=anew)
            checkpoint = signed()
            values = tuple(getattr(checkpoint, name) for name in StoredCheckpoint.FIELDS)
            connection.execute("INSERT INTO tallystick.checkpoint VALUES (%s, %s, %s, %s, %s)", values)
            return True

        try:
            return self._write(work)
        except psycopg.errors.UniqueViolation:
            return False

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


def _next_number(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM tallystick.checkpoint").fetchone()
    assert row is not None
    return int(row[0])


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
