"""Appends to one session on PostgreSQL: one statement where the head is known, the head's row lock where it is not.

A client that knows where a session stands hashes alone and sends one statement, by which the database moves the
head only if it still stands there (compare-and-swap). Whoever misses takes the head's row lock, which queues fairly,
and goes on with locks for as long as it meets others there.
"""

# Here the session is always the track's, so some of what `Batch` passes is not needed.
# ruff: noqa: ARG002

from __future__ import annotations

import psycopg

from tallystick.errors import TamperedError
from tallystick.model.jsontext import compact
from tallystick.proof.merkle import leaf_hash
from tallystick.stores.appending import Batch, Standing
from tallystick.stores.artifacts import pack
from tallystick.stores.base import INLINE_OUTPUT, Head, SessionKey, Tip, tip_from
from tallystick.stores.postgres_errors import Interrupted
from tallystick.stores.postgres_schema import MOVED_STATE
from tallystick.stores.postgres_sql import (
    BEGIN,
    BYTEA,
    COMMIT,
    INT8,
    TEXT,
    array,
    copied,
    int4,
    int8,
    integers,
    row_values,
    texts,
)
from tallystick.stores.postgres_track import TRUE, HeadPointers, Miss, append_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg.pq.abc import PGresult

    from tallystick.stores.appending import Seen, Stored, Work
    from tallystick.stores.base import IdempotencyKey, Row
    from tallystick.stores.copying import KeyRow
    from tallystick.stores.postgres_connection import Link
    from tallystick.stores.postgres_sql import Statement
    from tallystick.stores.postgres_track import Track

    Parameters = Sequence[bytes | None]

COPY_ROWS = 32
"""From how many rows on COPY pays."""


class Loaded:
    """What a transaction read of a session once it held the lock on its head."""

    __slots__ = ("at", "clock", "edge", "header", "pointers", "position", "prefix", "seen", "task_id", "until")

    def __init__(self, result: PGresult, keys: PGresult | None, track: Track) -> None:
        known = track.pointers

        def value(column: int) -> bytes | None:
            return result.get_value(0, column)

        self.clock = _integer(value(0))
        self.task_id = _text(value(1))
        self.header = value(2)
        self.position = None if (position := value(3)) is None else _integer(position)
        self.at = _text(value(4))
        self.edge = value(5)
        is_known = track.packed == self.edge and known.names == value(6)
        self.pointers = known if is_known else HeadPointers.unpack(value(6), value(7), value(8), known)
        self.until = _text(value(9)) or ""
        self.prefix = value(10)
        self.seen: dict[str, Seen] = {}
        for row in range(keys.ntuples if keys is not None else 0):
            assert keys is not None
            key, last, salt, digest = (keys.get_value(row, column) for column in range(4))
            self.seen[_text(key) or ""] = (_integer(last), salt, digest)


def lock(link: Link, track: Track, keys: Sequence[str]) -> Loaded:
    """Begin a transaction, lock the session's head, and read what appending needs: one round trip.

    Keys are read by a statement of its own: one that waits for a lock has already chosen what it sees.
    """
    statements = track.statements
    work: list[tuple[Statement, Parameters]] = [(BEGIN, ()), (statements.hold, (track.key,))]
    if keys:
        work.append((statements.keys, (track.key, texts(keys))))
    _, held, *found = link.pipeline(work)
    return Loaded(held, found[0] if found else None, track)


class PostgresBatch(Batch):
    """See `Batch`: all its requests are for one session. With `loaded` the transaction holds the head's lock."""

    def __init__(self, link: Link, track: Track, ledger_id: str, now: str, loaded: Loaded | None) -> None:
        super().__init__(ledger_id, now)
        self._link = link
        self._track = track
        self._statements = track.statements
        self._loaded = loaded
        self._pointers, self._until = (
            (track.pointers, track.until) if loaded is None else (loaded.pointers, loaded.until)
        )
        self._known: SessionKey | None = None
        self._expected: tuple[bytes, bytes] | None = None
        self._before: list[tuple[Statement, Parameters]] = []
        self._after: list[tuple[Statement, Parameters]] = []
        self._rows: list[Row] = []
        self._keys: list[tuple[bytes, int, int, bytes | None, bytes | None]] = []
        self._heads: dict[int, Head] = {}
        self._done: list[tuple[Work, int, bytes]] = []
        if loaded is None:
            assert track.standing is not None
            self._begin_at(track.standing)

    def _begin_at(self, known: Standing) -> None:
        """Work on a copy: a miss must leave what is remembered as it was."""
        session, tip = known.session, known.tip
        self._known = session
        self._expected = (int8(tip.position), self._track.packed)
        copy = Standing(session, known.rules, Tip(tip.position, tip.at, tip.edge.copy()), known.pointers, new=False)
        self._standing[session.number] = copy

    # --- sessions

    def _session(self, task_id: str) -> SessionKey | None:
        loaded = self._loaded
        if self._known is None and loaded is not None and loaded.header is not None:
            if loaded.task_id != task_id:
                raise TamperedError("the session's row names another task", task_id=task_id, position=0)
            number = int.from_bytes(self._track.key)
            self._known = SessionKey(number, self._ledger_id, task_id, loaded.header)
        return self._known

    def _insert_session(self, task_id: str, header: bytes) -> SessionKey:
        edge = leaf_hash(header)
        self._expected = (int8(0), edge)
        self._before.append((self._statements.create, (self._track.key, header)))
        self._known = SessionKey(int.from_bytes(self._track.key), self._ledger_id, task_id, header)
        return self._known

    def _stand_on(self, session: SessionKey, rules: int, keys: Sequence[str]) -> Standing:
        loaded = self._loaded
        assert loaded is not None
        head = None if loaded.position is None else (loaded.position, loaded.at, loaded.edge)
        tip = tip_from(session.task_id, head)
        self._require_open(session, tip.position)
        self._expected = (int8(tip.position), tip.edge.pack())
        known = self._track.standing
        unmoved = known is not None and self._expected == (int8(known.tip.position), self._track.packed)
        pointers = dict(known.pointers if unmoved and known is not None else self._pointers.positions())
        standing = Standing(session, rules, tip, pointers, new=False)
        missing = [key for key in keys if key not in standing.pointers]
        standing.pointers.update(self._read_pointers(standing, missing))
        return standing

    def _read_pointers(self, standing: Standing, keys: Sequence[str]) -> dict[str, int]:
        if not self._pointers.more or not keys:
            return {}
        # Without the lock, too: pointers move with the head alone, and if it has moved, this comes to nothing.
        found = self._link.run(self._statements.pointers, (self._track.key, texts(set(keys))))
        return {_text(found.get_value(row, 0)) or "": _integer(found.get_value(row, 1)) for row in range(found.ntuples)}

    def _newest_prefix(self, session: SessionKey, position: int) -> bytes | None:
        assert self._loaded is not None
        return self._loaded.prefix

    def _one(self, work: Work) -> Head:
        before = len(self._rows)
        head = super()._one(work)
        if len(self._rows) > before:
            self._done.append((work, self._rows[-1].position, self._rows[-1].record))
        elif self._before and not work.drafts and self._known is not None:
            self._done.append((work, 0, self._known.header))
        return head

    # --- rows

    def _insert_rows(self, session: SessionKey, rows: Sequence[Row]) -> None:
        self._rows += rows

    def _hash(self, session: SessionKey, column: str, position: int) -> bytes | None:
        found = self._link.run(self._statements.hashes[column], (self._track.key, int8(position)))
        return found.get_value(0, 0) if found.ntuples else None

    # --- idempotency keys

    def _seen(self, session: SessionKey, key: str) -> Seen | None:
        encoded = key.encode()
        for name, _, last, salt, digest in self._keys:
            if name == encoded:
                return last, salt, digest
        return self._loaded.seen.get(key) if self._loaded is not None else None

    def _head_at(self, session: SessionKey, position: int) -> Head:
        return self._heads.get(position) or super()._head_at(session, position)

    def _remember(self, session: SessionKey, key: IdempotencyKey, digest: bytes | None, first: int, head: Head) -> None:
        self._keys.append((key.key.encode(), first, head.position, key.salt, digest))
        self._heads[head.position] = head

    def _stored(self, session: SessionKey, position: int) -> Stored | None:
        for row in self._rows:
            if row.position == position:
                return row.record, row.sealed.text_salt, row.sealed.details_salt, row.sealed.output_salt
        if not 0 < position < 1 << 63:
            return None
        found = self._link.run(self._statements.stored, (self._track.key, int8(position)))
        if not found.ntuples:
            return None
        return found.get_value(0, 0) or b"", *(found.get_value(0, n) for n in (1, 2, 3))  # type: ignore[return-value]

    # --- erasure

    def _clear(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        place = (self._track.key, int8(position))
        self._after.append((self._statements.clear, (*place, texts(parts))))
        if "output" in parts:
            self._after.append((self._statements.clear_artifact, place))
        self._after += [(self._statements.clear_keys, place), (self._statements.clear_proofs, place)]

    # --- writing

    def _write(self, standings: Iterable[Standing]) -> None:
        """Nothing yet: `commit` sends all of it in one round trip."""

    def commit(self) -> None:
        """Write and commit.

        Raises Miss where the head has moved, Interrupted where nobody says that the commit is durable.
        """
        link, standing = self._link, next(iter(self._standing.values()), None)
        link.unconfirmed = False
        for done, position, record in self._done:
            done.attempts.append((position, record))
        append, packed = None, b""
        if standing is not None:
            packed = standing.tip.edge.pack()
        if standing is not None and standing.moved:
            append = self._append(standing, packed)
        try:
            if self._loaded is not None:
                work = [*self._before, *([append] if append else []), *self._after, (COMMIT, ())]
                results = link.pipeline(work)
                if append is not None:
                    self._require_moved(append[0], results[len(self._before)])
            elif append is not None:
                self._require_moved(append[0], link.run(*append))
        except psycopg.errors.Error as error:
            if error.sqlstate == MOVED_STATE:
                self._forget_attempts()
            raise
        if link.unconfirmed:
            raise Interrupted("no standby confirmed the commit")
        if standing is not None:
            self._track.accept(standing, packed, self._pointers, self._until)

    def _require_moved(self, statement: Statement, result: PGresult) -> None:
        found = result.get_value(0, 0)
        if statement is self._statements.append_many:
            self._until = _text(found) or ""
        elif found != TRUE:
            self._forget_attempts()
            if self._loaded is not None:  # The head is held, so it is no other client: it is how this session is set.
                self._link.insist()
            raise Miss

    def _forget_attempts(self) -> None:
        """Nothing of it was recorded, and that is certain."""
        for done, _, _ in self._done:
            done.attempts.pop()

    def _append(self, standing: Standing, packed: bytes) -> tuple[Statement, Parameters] | None:
        """What is to be sent to append the rows and to move the head; None if it was sent already."""
        assert self._expected is not None
        before, tip = self._pointers, standing.tip
        self._pointers, rows = before.moved(standing.moved, standing.pointers)
        if self._loaded is not None and self._is_bulk():
            self._copy(packed, before, rows)
            return None
        names = self._pointers.names if len(self._pointers.slots) > len(before.slots) else None
        is_plain = len(self._rows) == 1 and len(self._keys) < 2 and names is None and not rows
        if is_plain and tip.at <= self._until:
            values = append_values(self._track.key, self._expected, packed, self._pointers.places, self._rows[0])
            if not self._keys:
                return self._statements.append_one, values
            name, _, _, salt, digest = self._keys[0]
            return self._statements.append_keyed, (*values, name, salt, digest)
        placed = (texts(rows), integers(rows.values())) if rows else (None, None)
        head = (self._track.key, *self._expected, packed, names, self._pointers.places, *placed)
        return self._statements.append_many, (*head, *self._key_arrays(), *_row_arrays(self._rows))

    def _key_arrays(self) -> tuple[bytes, ...]:
        names, firsts, lasts, salts, digests = zip(*self._keys, strict=True) if self._keys else ((),) * 5
        return (
            array(TEXT, names),
            integers(firsts),
            integers(lasts),
            array(BYTEA, salts),
            array(BYTEA, digests),
        )

    # --- bulk

    def _is_bulk(self) -> bool:
        return len(self._rows) >= COPY_ROWS or any(has_artifact(row.sealed.output) for row in self._rows)

    def _copy(self, packed: bytes, before: HeadPointers, rows: dict[str, int]) -> None:
        """Send the rows by COPY, which moves the head."""
        assert self._expected is not None
        link, key, statements = self._link, self._track.key, self._statements
        keys = [(name.decode(), first, last, salt, digest) for name, first, last, salt, digest in self._keys]
        place, known = int.from_bytes(self._expected[0], "big"), self._expected[1]
        batch = batch_of(place, known, packed, before, self._pointers, rows, keys)
        link.pipeline([*self._before, (statements.batch, (batch,))])
        self._before = []
        link.copy(statements.copy_records, copied([key, *row_values(row)] for row in self._rows))
        if any(has_artifact(row.sealed.output) for row in self._rows):
            link.copy(statements.copy_artifacts, copied(artifact_rows(key, self._rows)))
        self._rows = []


def batch_of(
    place: int,
    known: bytes,
    edge: bytes,
    before: HeadPointers,
    after: HeadPointers,
    rows: Mapping[str, int],
    keys: Iterable[KeyRow] = (),
) -> bytes:
    """Where records that go by COPY lead to, for the setting `tallystick.batch`; see `postgres_moving`.

    `before` and `after`: the pointers in the head's row; `rows`: those that move in rows of their own.
    """
    written = [
        [name, first, last, None if salt is None else salt.hex(), None if digest is None else digest.hex()]
        for name, first, last, salt, digest in keys
    ]
    return compact(
        {
            "place": place,
            "known": known.hex(),
            "edge": edge.hex(),
            "names": list(after.slots) if len(after.slots) > len(before.slots) else None,
            "places": list(after.positions().values()),
            "rows": dict(rows) or None,
            "keys": written,
        }
    )


def has_artifact(output: bytes | None) -> bool:
    """Whether an output is too large to lie beside its record."""
    return output is not None and len(output) > INLINE_OUTPUT


def artifact_rows(key: bytes, rows: Iterable[Row]) -> Iterator[list[bytes | None]]:
    """What of these rows' outputs does not lie beside their records: session, position, chunk, digest, data."""
    for row in rows:
        output = row.sealed.output
        if output is not None and has_artifact(output):
            for chunk, (digest, data) in enumerate(pack(output)):
                yield [key, int8(row.position), int4(chunk), digest, data]


def _row_arrays(rows: Sequence[Row]) -> list[bytes]:
    """The rows in columns, but for their positions, which follow from the head's."""
    columns = zip(*(row_values(row)[1:] for row in rows), strict=True) if rows else [()] * len(_KINDS)
    return [array(kind, column) for kind, column in zip(_KINDS, columns, strict=True)]


_KINDS = (BYTEA, BYTEA, INT8, INT8, *[BYTEA] * 6)


def _integer(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big", signed=True)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
