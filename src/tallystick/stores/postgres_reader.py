"""Reading sessions from PostgreSQL: each call one statement, so that it sees one moment."""

from __future__ import annotations

from tallystick.model.record import Sealed
from tallystick.model.text import clean_text
from tallystick.stores.base import HEAD_KEY, Row, SessionKey, tip_from
from tallystick.stores.postgres_schema import ORDER_OF_MAKING, number_of, partition_of, session_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from tallystick.stores.base import Tip
    from tallystick.stores.checkpoints import CheckpointLog

    Pointing = tuple[str, int, str | None, bytes | None]

READ_ROWS = 512


class PostgresReader:
    """The reading half of the store."""

    ledger_id: str

    @property
    def log(self) -> CheckpointLog:
        """See `Store.log`."""
        raise NotImplementedError

    def _query(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement. Raises StoreUnavailableError."""
        raise NotImplementedError

    def find(self, task_id: str, ledger_id: str = "") -> SessionKey | None:
        """See `Store.find`."""
        if not task_id or "\0" in task_id or clean_text(task_id) != task_id:
            return None
        key = session_key(ledger_id or self.ledger_id, task_id)
        number = int.from_bytes(key)
        rows = self._query(
            f"SELECT l.ledger_id, s.task_id, s.header FROM tallystick.session_{partition_of(number)} s"
            " JOIN tallystick.ledger l ON l.number = s.ledger WHERE s.key = %s",
            (key,),
        )
        return SessionKey(number, *rows[0]) if rows else None

    def ledgers(self) -> list[str]:
        """See `Store.ledgers`."""
        return [one for (one,) in self._query("SELECT ledger_id FROM tallystick.ledger ORDER BY number")]

    def sessions(self) -> Iterator[SessionKey]:
        """See `Store.sessions`."""
        after = (b"", b"")
        while rows := self._query(
            f"SELECT made, key, coalesce(l.ledger_id, ''), task_id, header FROM ("
            f"SELECT {ORDER_OF_MAKING} AS made, key, ledger, task_id, header FROM tallystick.session"
            f" WHERE ({ORDER_OF_MAKING}, key) > (%s, %s) ORDER BY 1, 2 LIMIT {READ_ROWS}) s"
            " LEFT JOIN tallystick.ledger l ON l.number = s.ledger ORDER BY 1, 2",
            after,
        ):
            for _, key, ledger_id, task_id, header in rows:
                yield SessionKey(number_of(key), ledger_id, task_id, header)
            after = rows[-1][:2]

    def newest_sessions(self, count: int) -> list[SessionKey]:
        """See `Store.newest_sessions`."""
        rows = self._query(
            "SELECT key, coalesce(l.ledger_id, ''), task_id, header FROM ("
            f"SELECT {ORDER_OF_MAKING} AS made, key, ledger, task_id, header FROM tallystick.session"
            " ORDER BY 1 DESC, 2 DESC LIMIT %s) s LEFT JOIN tallystick.ledger l ON l.number = s.ledger"
            " ORDER BY made DESC, key DESC",
            (count,),
        )
        return [SessionKey(number_of(key), *named) for key, *named in rows]

    def proofs(self, digest: bytes, limit: int | None = None) -> list[tuple[SessionKey, int]]:
        """See `Store.proofs`."""
        rows = self._query(
            "SELECT s.key, l.ledger_id, s.task_id, s.header, p.position FROM tallystick.local_proof p"
            " JOIN tallystick.session s ON s.key = p.session JOIN tallystick.ledger l ON l.number = s.ledger"
            f" WHERE p.digest = %s ORDER BY {ORDER_OF_MAKING} DESC, s.key DESC, p.position DESC LIMIT %s",
            (digest, limit),
        )
        return [(SessionKey(number_of(key), *named), position) for key, *named, position in rows]

    def tip(self, session: SessionKey) -> Tip:
        """See `Store.tip`."""
        key, digit = _place(session)
        rows = self._query(
            f"SELECT position, at, edge FROM tallystick.state_{digit} WHERE session = %s AND key = %s", (key, HEAD_KEY)
        )
        return tip_from(session.task_id, rows[0] if rows else None)

    def state_rows(self, session: SessionKey) -> tuple[int, list[tuple[str, int, str | None, bytes | None]]]:
        """See `Store.state_rows`. One statement sees one moment."""
        key, digit = _place(session)
        found = self._query(
            "SELECT newest.position, s.key, s.position, s.at, s.edge, s.names, s.places, s.more"
            f" FROM (SELECT coalesce(max(position), 0) AS position FROM tallystick.record_{digit} WHERE session = %s)"
            f" AS newest LEFT JOIN tallystick.state_{digit} s ON s.session = %s",
            (key, key),
        )
        return found[0][0], _pointing([row[1:] for row in found if row[1] is not None])

    def pointer(self, session: SessionKey, key: str) -> int:
        """See `Store.pointer`."""
        place, digit = _place(session)
        rows = self._query(
            f"SELECT key, position, names, places FROM tallystick.state_{digit} WHERE session = %s AND key = ANY (%s)",
            (place, [HEAD_KEY, key]),
        )
        for name, position, names, places in rows:
            if name == key:
                return int(position)
            if names and places and key in names:
                return int(places[names.index(key)] or 0)
        return 0

    def rows(
        self, session: SessionKey, start: int = 1, stop: int | None = None, *, outputs: bool = True
    ) -> Iterator[list[Row]]:
        """See `Store.rows`."""
        last = self.tip(session).position if stop is None else stop
        while start <= last:
            found = self._records(session, start, last, READ_ROWS, outputs)
            if not found:
                return
            yield [_row(one) for one in found]
            start = found[-1][0] + 1

    def raw_rows(self, session: SessionKey, start: int, count: int) -> list[tuple[Any, ...]]:
        """See `Store.raw_rows`."""
        return self._records(session, start if start > 0 else -(1 << 63), (1 << 63) - 1, count, True)

    def row(self, session: SessionKey, position: int) -> Row | None:
        """See `Store.row`."""
        if not 0 < position < 1 << 63:
            return None
        found = self._records(session, position, position, 1, True)
        return _row(found[0]) if found else None

    def _records(self, session: SessionKey, first: int, last: int, count: int, outputs: bool) -> list[tuple[Any, ...]]:
        key, digit = _place(session)
        return self._query(
            "SELECT position, coalesce(record, ''), coalesce(node, ''), criterion_before, type_before, text_salt, text,"
            f" details_salt, details, output_salt, {'output' if outputs else 'NULL'} FROM tallystick.record_{digit}"
            " WHERE session = %s AND position BETWEEN %s::bigint AND %s::bigint ORDER BY position LIMIT %s",
            (key, first, last, count),
        )

    def artifact(self, session: SessionKey, position: int) -> Iterator[bytes]:
        """See `Store.artifact`."""
        from tallystick.stores.artifacts import unpack

        key, digit = _place(session)

        def first_from(chunk: int) -> list[Any]:
            return self._query(
                f"SELECT chunk, digest, data FROM tallystick.artifact_{digit} WHERE session = %s AND position = %s"
                " AND chunk >= %s::bigint ORDER BY chunk LIMIT 1",
                (key, position, chunk),
            )

        return unpack(first_from, task_id=session.task_id, position=position)

    def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:
        """See `Store.faults`."""
        from tallystick.stores import postgres_faults
        from tallystick.stores.log_faults import log_faults

        if session is not None:
            yield from postgres_faults.schema_faults(self._query)
            return
        yield from postgres_faults.faults(self._query)
        yield from log_faults(self.log, self.ledger_id)


def _place(session: SessionKey) -> tuple[bytes, str]:
    """The session's key, and the partition that holds it."""
    return session.number.to_bytes(16, "big"), partition_of(session.number)


def _row(found: tuple[Any, ...]) -> Row:
    position, record, node, criterion_before, type_before, *sealed = found
    return Row(position, record, node, criterion_before, type_before, Sealed(*sealed))


def _pointing(rows: Sequence[tuple[Any, ...]]) -> list[Pointing]:
    """The head and every pointer, wherever it lies. What the database cannot have left gets a name that says so."""
    inline: dict[str, int] = {}
    odd: list[Pointing] = []
    marked: Any = False
    others = 0
    for key, position, at, edge, names, places, more in rows:
        if key == HEAD_KEY:
            odd.append((key, position, at, edge))
            if _is_paired(names, places):
                inline, marked = dict(zip(names, places, strict=True)), more
            else:
                odd.append(("?pointers", position, None, None))
    found: list[Pointing] = [(key, position, None, None) for key, position in inline.items()]
    for key, position, at, edge, *head in rows:
        if key != HEAD_KEY:
            others += 1
            name = f"?twice {key}" if key in inline else key
            found.append((name, position, at if head == [None] * 3 else "pointers", edge))
    if marked is not (others > 0):
        odd.append(("?more", max(others, 1), None, None))
    return [*odd, *found]


def _is_paired(names: Any, places: Any) -> bool:
    """Whether each name has its own place, and each place is one."""
    if not isinstance(names, list) or not isinstance(places, list) or len(names) != len(places):
        return False
    texts = all(isinstance(name, str) for name in names)
    return texts and len(set(names)) == len(names) and all(isinstance(place, int) for place in places)
