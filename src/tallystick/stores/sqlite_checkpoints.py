"""The log of checkpoints in a SQLite ledger. See `CheckpointLog`."""

from __future__ import annotations

from tallystick.proof.headmap import map_key
from tallystick.stores.base import HEAD_KEY, tip_from
from tallystick.stores.checkpoints import Moved, StoredCheckpoint, moved_since, unowned_head
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK, SINCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tallystick.proof.headmap import Head as MapHead
    from tallystick.stores.base import SessionKey
    from tallystick.stores.checkpoints import Change, MovedHead, Tiles

    Query = Callable[..., list[Any]]
    Write = Callable[[Callable[[sqlite3.Connection], bool]], bool]

READ_ROWS = 1024
_NEWEST_KEPT = (
    "JOIN head_history h ON h.session = s.number AND h.checkpoint ="
    " (SELECT max(checkpoint) FROM head_history WHERE session = s.number AND checkpoint <= ?)"
)
_LAST_RECORD = (
    f"LEFT JOIN record r ON r.id = (SELECT max(id) FROM record WHERE id > s.number << {POSITION_BITS}"
    f" AND id <= (s.number << {POSITION_BITS}) + {POSITION_MASK})"
)
_MOVED_AND_KEPT = (
    f"SELECT s.number, s.task_id, t.position, t.at, t.edge, coalesce(r.id & {POSITION_MASK}, 0) AS last, r.node,"
    " h.position, h.root FROM session s"
    f" LEFT JOIN state t ON t.session = s.number AND t.key = '{HEAD_KEY}' {_LAST_RECORD} LEFT {_NEWEST_KEPT}"
    " WHERE s.ledger = 1 AND (t.position IS NOT last OR t.position IS NOT h.position)"
    " UNION ALL SELECT count(*), NULL, coalesce(sum(h.position + 1), 0), NULL, NULL, NULL, NULL, NULL, NULL"
    f" FROM session s {_NEWEST_KEPT} WHERE s.ledger = 1"
)
"""The sessions that moved, then the totals of the kept heads: in one statement, which sees one moment."""
_HEAD_AS_OF = "h.checkpoint = (SELECT max(checkpoint) FROM head_history WHERE session = h.session AND checkpoint <= ?)"


class SqliteLog:
    """The checkpoints of one file. `write` runs a function in a transaction and returns once that is durable."""

    def __init__(self, query: Query, write: Write) -> None:
        self._query = query
        self._write = write
        self._exists = False

    def _present(self) -> bool:
        """Whether the file has the tables: one that is only read is not brought up to date."""
        if not self._exists:
            ((version,),) = self._query("PRAGMA user_version")
            self._exists = version >= SINCE["checkpoint"]
        return self._exists

    # --- reading

    def size(self) -> int:
        """See `CheckpointLog.size`."""
        return int(self._query("SELECT coalesce(max(number), 0) FROM checkpoint")[0][0]) if self._present() else 0

    def read(self, start: int, count: int) -> list[StoredCheckpoint]:
        """See `CheckpointLog.read`."""
        if not self._present():
            return []
        rows = self._query(
            "SELECT number, leaf, node, note, key FROM checkpoint WHERE number >= ? ORDER BY number LIMIT ?",
            (start, count),
            kinds="ibbtt",
        )
        return [StoredCheckpoint(*row) for row in rows]

    def moved(self, size: int) -> Moved:
        """See `CheckpointLog.moved`. A file of an older schema is brought up to date."""
        if not self._present():
            self._write(lambda _: True)
        *rows, (tasks, _, entries, *_) = self._query(_MOVED_AND_KEPT, (size, size))
        heads = []
        for number, task_id, position, at, edge, last, node, before, root in rows:
            tip = tip_from(task_id, None if position is None else (position, at, edge))
            heads.append(moved_since(number, task_id, tip, (last, node), before, root))
        return Moved([one for one in heads if one is not None], tasks, entries)

    def changes(self, after: int = 0) -> Iterator[list[Change]]:
        """See `CheckpointLog.changes`."""
        number, session = after, -1
        while self._present():
            rows: list[Change] = self._query(
                "SELECT h.checkpoint, h.session, s.task_id, h.position, h.root FROM head_history h"
                " LEFT JOIN session s ON s.number = h.session AND s.ledger = 1"
                " WHERE (h.checkpoint, h.session) > (?, ?) ORDER BY h.checkpoint, h.session LIMIT ?",
                (number, session if number > after else 2**63 - 1, READ_ROWS),
                kinds="iiTib",
            )
            if not rows:
                return
            yield rows
            number, session = rows[-1][:2]

    def heads_of(self, session: SessionKey) -> list[tuple[int, int, bytes]]:
        """See `CheckpointLog.heads_of`."""
        if not self._present():
            return []
        return self._query(
            "SELECT checkpoint, position, root FROM head_history WHERE session = ? ORDER BY checkpoint",
            (session.number,),
            kinds="iib",
        )

    def heads(self, number: int, low: bytes, high: bytes) -> Iterator[MapHead]:
        """See `CheckpointLog.heads`."""
        comparison = ">="
        while True:
            rows: list[MapHead] = self._query(
                f"SELECT t.key, h.position, h.root FROM local_task t JOIN head_history h ON h.session = t.session"
                f" AND {_HEAD_AS_OF} WHERE t.key {comparison} ? AND t.key <= ? ORDER BY t.key LIMIT ?",
                (number, low, high, READ_ROWS),
                kinds="bib",
            )
            yield from rows
            if len(rows) < READ_ROWS:
                return
            low, comparison = rows[-1][0], ">"

    def all_heads(self, number: int) -> Iterator[tuple[str, int, bytes]]:
        """See `CheckpointLog.all_heads`."""
        after = 0
        while True:
            rows = self._query(
                "SELECT s.number, s.task_id, h.position, h.root FROM session s JOIN head_history h"
                f" ON h.session = s.number AND {_HEAD_AS_OF}"
                " WHERE s.ledger = 1 AND s.number > ? ORDER BY s.number LIMIT ?",
                (number, after, READ_ROWS),
                kinds="itib",
            )
            for row in rows:
                yield row[1:]
            if len(rows) < READ_ROWS:
                return
            after = rows[-1][0]

    def tile(self, depth: int, prefix: int) -> bytes | None:
        """See `CheckpointLog.tile`."""
        rows = self._query("SELECT tile FROM local_tile WHERE depth = ? AND prefix = ?", (depth, prefix), kinds="b")
        return rows[0][0] if rows else None

    def known_task(self, session: int) -> str | None:
        """See `CheckpointLog.known_task`."""
        rows = self._query("SELECT task_id FROM local_task WHERE session = ?", (session,), kinds="t")
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
        """See `CheckpointLog.add`. Whoever appends waits until it is signed."""

        def work(connection: sqlite3.Connection) -> bool:
            (size,) = connection.execute("SELECT coalesce(max(number), 0) FROM checkpoint").fetchone()
            if size + 1 != number:
                return False
            if connection.execute("SELECT 1 FROM head_history WHERE checkpoint >= ? LIMIT 1", (number,)).fetchone():
                raise unowned_head(number)
            connection.executemany(
                "INSERT INTO head_history (session, checkpoint, position, root) VALUES (?, ?, ?, ?)",
                ((one.session, number, one.position, one.root) for one in moved),
            )
            _keep_map(connection, moved, tiles, anew=anew)
            checkpoint = signed()
            values = tuple(getattr(checkpoint, name) for name in StoredCheckpoint.FIELDS)
            connection.execute("INSERT INTO checkpoint (number, leaf, node, note, key) VALUES (?, ?, ?, ?, ?)", values)
            return True

        return self._write(work)


def _keep_map(connection: sqlite3.Connection, moved: Sequence[MovedHead], tiles: Tiles, *, anew: bool) -> None:
    if anew:
        connection.execute("DELETE FROM local_tile")
        connection.execute("DELETE FROM local_task")
        added = connection.execute(
            "SELECT number, task_id FROM session WHERE ledger = 1 AND number IN (SELECT session FROM head_history)"
        ).fetchall()
    else:
        added = [(one.session, one.task_id) for one in moved if one.before is None]
    keyed = sorted((map_key(task_id), session, task_id) for session, task_id in added)
    connection.executemany("INSERT OR REPLACE INTO local_task (key, session, task_id) VALUES (?, ?, ?)", keyed)
    connection.executemany(
        "INSERT OR REPLACE INTO local_tile (depth, prefix, tile) VALUES (?, ?, ?)",
        ((depth, prefix, tile) for (depth, prefix), tile in sorted(tiles.items())),
    )
