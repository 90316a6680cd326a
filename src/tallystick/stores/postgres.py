"""The shared store: one PostgreSQL database, many machines, the same guarantees as in a file of one's own."""

from __future__ import annotations

import os
import time
from threading import RLock

import psycopg

from tallystick.clock import now as machine_clock
from tallystick.errors import NotFoundError, StoreUnavailableError, TamperedError
from tallystick.model.ids import require_task_id
from tallystick.stores import forking
from tallystick.stores.appending import Work
from tallystick.stores.base import IdempotencyKey
from tallystick.stores.group_commit import Request
from tallystick.stores.postgres_connection import Link
from tallystick.stores.postgres_errors import (
    UNIQUE_VIOLATION,
    UNSETTLED,
    CannotConnectError,
    Interrupted,
    is_passing,
    store_error,
)
from tallystick.stores.postgres_pool import Pool
from tallystick.stores.postgres_reader import PostgresReader
from tallystick.stores.postgres_retry import Patience, UnknownOutcome, nothing_recorded
from tallystick.stores.postgres_schema import MOVED_STATE, SCHEMA_VERSION, partition_of
from tallystick.stores.postgres_setup import make_or_migrate, newer_schema, older_schema
from tallystick.stores.postgres_sql import SYNCHRONOUS
from tallystick.stores.postgres_track import Miss, Track, append_alone, rfc3339
from tallystick.stores.postgres_url import parse
from tallystick.stores.postgres_writer import COPY_ROWS, PostgresBatch, has_artifact, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar

    from tallystick.model.header import Header
    from tallystick.model.record import Draft, Sealed
    from tallystick.stores.base import Head, SessionKey, Store
    from tallystick.stores.copying import KeyRow, Piece
    from tallystick.stores.postgres_checkpoints import PostgresLog

    T = TypeVar("T")

RETRY_SECONDS = 60.0
"""For how long a call goes on trying when connections break: a failover fits in."""
OPEN_SECONDS = 20.0
"""For how long opening goes on trying where it may help: several servers are named, or one is starting."""
MISSES = 8
TRACKED = 10_000
"""Of how many sessions a store remembers where it left them."""


class PostgresStore(PostgresReader):
    """A ledger in the schema `tallystick` of one PostgreSQL database.

    `clock` gives RFC 3339 times in UTC (None: the server's clock), `random` that many random bytes. Calls are
    tried again for `retry_seconds` (60) where connections break.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool,
        random: Callable[[int], bytes],
        clock: Callable[[], str] | None = None,
        read_only: bool = False,
        retry_seconds: float | None = None,
    ) -> None:
        self._target = parse(url, read_only=read_only)
        self.url = self._target.shown
        self.read_only = read_only
        self.ledger_id = ""
        self._clock = None if clock is machine_clock else clock
        self._retry_seconds = RETRY_SECONDS if retry_seconds is None else retry_seconds
        self._reset()
        forking.register(self)
        self._open(create=create and not read_only, random=random)

    def _reset(self) -> None:
        self._log: PostgresLog | None = None
        self._pool = Pool(self._connect, self.url)
        self._tracks: dict[str, Track] = {}
        self._forking = RLock()

    @property
    def log(self) -> PostgresLog:
        """See `Store.log`."""
        if self._log is None:
            from tallystick.stores.postgres_checkpoints import PostgresLog

            self._log = PostgresLog(self._query, self._write)
        return self._log

    def _open(self, *, create: bool, random: Callable[[int], bytes]) -> None:
        link = self._first_link()
        try:
            if not link.version and not create:
                raise NotFoundError("no ledger in this database", where=self.url, advice="notch init makes one")
            if link.version > SCHEMA_VERSION:
                raise newer_schema(link.version, self._target)
            if link.version < SCHEMA_VERSION:
                if self.read_only:
                    raise older_schema(link.version, self._target)
                make_or_migrate(link, random)
                link.identify()
            self.ledger_id = link.ledger_id
        except psycopg.Error as error:
            raise store_error(error, self._target) from None
        finally:
            self._pool.give_back(link)
        if not self.ledger_id:
            raise TamperedError("the row that names the ledger is missing", where=self.url)

    def _first_link(self) -> Link:
        patience = Patience(OPEN_SECONDS)
        while True:
            try:
                return self._pool.take()
            except CannotConnectError as error:
                helps = error.starting or (error.passing and self._target.several)
                if not helps or not patience.wait():
                    raise

    def _connect(self) -> Link:
        link = Link.open(self._target, read_only=self.read_only)
        if self.ledger_id and (link.version, link.ledger_id) != (SCHEMA_VERSION, self.ledger_id):
            link.close()
            raise self._other_ledger(link)
        return link

    def _other_ledger(self, link: Link) -> StoreUnavailableError:
        if link.ledger_id == self.ledger_id:
            return (newer_schema if link.version > SCHEMA_VERSION else older_schema)(link.version, self._target)
        return StoreUnavailableError(
            f"another ledger answers here: {link.ledger_id or 'none'}, not {self.ledger_id}",
            where=self.url,
            advice="check what the URL leads to",
        )

    # --- writing

    def append(
        self,
        task_id: str,
        drafts: Sequence[Draft],
        *,
        expected_position: int | None = None,
        key: IdempotencyKey | None = None,
        defaults: bool = True,
    ) -> Head:
        """See `Store.append`."""
        return self._submit(Work(task_id, drafts, expected_position=expected_position, key=key, defaults=defaults))

    def create(self, header: Header, drafts: Sequence[Draft]) -> Head:
        """See `Store.create`."""
        return self._submit(Work(header.task_id, drafts, header=header, defaults=False))

    def erase(self, task_id: str, position: int, parts: Sequence[str], redaction: Draft) -> Head:
        """See `Store.erase`. Dead rows, the write-ahead log, its archives and replicas keep what they have."""
        return self._submit(Work(task_id, [redaction], erase=(position, parts)))

    def finish_erasures(
        self, progress: Callable[[int, int], None] | None = None, *, patience: float | None = None
    ) -> None:
        """See `Store.finish_erasures`. There is nothing that a client could do."""

    def unfinished_erasures(self) -> list[tuple[str, int]]:
        """None: when dead rows and logs are gone is the server's business."""
        return []

    def _submit(self, work: Work) -> Head:
        self._require_writable()
        if work.key is None:
            for draft in work.drafts:
                if is_salted(draft.sealed):
                    break
            else:
                work.key = new_key()
        track = self._track(work.task_id)
        if len(work.drafts) == 1 and not track.locking and track.standing and track.lock.acquire(blocking=False):
            try:
                return self._alone(track, work)
            finally:
                track.lock.release()
        head: Head = track.commits.submit(work)
        return head

    def _alone(self, track: Track, work: Work) -> Head:
        """One entry, where no other thread appends to the session."""
        request = Request(work)
        if not _needs_lock((request,)):
            try:
                link = self._pool.take(track.digit)
                try:
                    head = append_alone(link, track, work, self._now(link))
                except psycopg.Error as error:
                    if error.sqlstate in UNSETTLED:
                        link.insist()
                    elif error.sqlstate != UNIQUE_VIOLATION:
                        raise
                    track.locking = True
                else:
                    if head is not None:
                        return head
                finally:
                    self._pool.give_back(link)
            except Miss:
                track.locking = True
            except (Interrupted, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    raise store_error(error, self._target) from None
                self._pool.drop_idle()
                track.locking = True
            except CannotConnectError as error:
                if not error.passing:
                    raise nothing_recorded(error) from None
                track.locking = True
        self._perform_locked(track, [request])
        if request.error is not None:
            raise request.error
        assert request.result is not None
        return request.result  # type: ignore[no-any-return]

    def _require_writable(self) -> None:
        if self.read_only:
            raise StoreUnavailableError(
                "this ledger was opened for reading", where=self.url, advice="open it for writing"
            )

    def _track(self, task_id: str) -> Track:
        track = self._tracks.get(task_id)
        if track is None:
            require_task_id(task_id)
            if len(self._tracks) >= TRACKED:
                self._tracks.clear()
            track = self._tracks.setdefault(task_id, Track(self.ledger_id, task_id, self._perform))
        return track

    def _perform(self, track: Track, requests: list[Request]) -> None:
        with track.lock:
            self._perform_locked(track, requests)

    def _perform_locked(self, track: Track, requests: list[Request]) -> None:
        """Do what the requests ask, each group in a transaction of its own."""
        for group in _groups(requests) if len(requests) > 1 else (requests,):
            try:
                self._commit(track, group)
            except Exception as error:
                for request in group:
                    request.result, request.error = None, self._for_request(error, request)

    def _for_request(self, error: Exception, request: Request) -> Exception:
        if not isinstance(error, UnknownOutcome):
            return error
        return StoreUnavailableError(
            f"{error}: whether this was recorded is not known",
            where=self.url,
            advice="append it again under the same idempotency key"
            if request.work.key and request.work.key.salt
            else "look whether it is there before it is tried again (an idempotency key would settle it)",
        )

    def _commit(self, track: Track, requests: list[Request]) -> None:
        """Commit the group, however often that has to be tried. Raises what no further attempt can change."""
        locked = track.standing is None or track.locking or _needs_lock(requests)
        patience, misses = None, 0
        sent = any(request.work.attempts for request in requests)
        while True:
            try:
                self._attempt(track, requests, locked=locked)
                return
            except Miss:
                misses += 1
                track.locking = True
                if misses > MISSES:
                    raise TamperedError(
                        "the store refuses the entry, so its rows do not fit together",
                        task_id=track.task_id,
                        advice="run notch verify",
                    ) from None
            except CannotConnectError as error:
                patience = patience or Patience(self._retry_seconds)
                if not error.passing or not patience.wait():
                    raise (UnknownOutcome(error.what) if sent else nothing_recorded(error)) from None
            except (Interrupted, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    found = store_error(error, self._target)
                    if sent and isinstance(found, StoreUnavailableError):
                        raise UnknownOutcome(found.what) from None
                    raise found from None
                sent = True
                self._pool.drop_idle()
                patience = patience or Patience(self._retry_seconds)
                if not patience.wait():
                    raise UnknownOutcome(self._said(error)) from None
            locked = True

    def _said(self, error: Interrupted | psycopg.Error) -> str:
        return store_error(error, self._target).what if isinstance(error, psycopg.Error) else str(error)

    def _attempt(self, track: Track, requests: list[Request], *, locked: bool) -> None:
        for request in requests:
            request.result = request.error = None
        link = self._pool.take(track.digit)
        done = False
        try:
            if locked:
                self._with_lock(link, track, requests)
            else:
                self._without_lock(link, track, requests)
            done = True
        except psycopg.Error as error:
            if error.sqlstate in UNSETTLED:
                link.insist()
            if error.sqlstate in (*UNSETTLED, UNIQUE_VIOLATION, MOVED_STATE):
                raise Miss from None
            raise
        finally:
            if not done:
                for request in requests:
                    request.result = request.error = None
            self._pool.give_back(link)

    def _without_lock(self, link: Link, track: Track, requests: list[Request]) -> None:
        batch = PostgresBatch(link, track, self.ledger_id, self._now(link), None)
        batch.perform(requests)
        if any(request.error is not None for request in requests):
            # Only what is read under the lock decides that a request fails.
            raise Miss
        batch.commit()

    def _with_lock(self, link: Link, track: Track, requests: list[Request]) -> None:
        # A key of our own can be there only after an attempt that may have been committed.
        keys = [
            work.key.key for work in (one.work for one in requests) if work.key and (work.key.salt or work.attempts)
        ]
        loaded = lock(link, track, keys)
        if self._clock is None:
            link.calibrate(loaded.clock)
        known = track.standing
        track.locking = known is not None and known.tip.position != loaded.position
        batch = PostgresBatch(link, track, self.ledger_id, self._now(link), loaded)
        batch.perform(requests)
        batch.commit()

    def _now(self, link: Link) -> str:
        """The time for records: the server's, unless the store was opened with another clock."""
        return rfc3339(link.now()) if self._clock is None else self._clock()

    def _write(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What `work` returns, once what it did in a transaction is durable; it may be asked more than once.

        Raises StoreUnavailableError, and psycopg.errors.UniqueViolation where somebody else was faster.
        """
        self._require_writable()

        again = False

        def transact(link: Link) -> T:
            nonlocal again
            link.unconfirmed = False
            with link.connection.transaction():
                link.query(f"SELECT {SYNCHRONOUS.format(local='true')}")
                if again:
                    # Where it was done before, nothing is left to write, and a commit that wrote nothing does not
                    # wait for a standby; with this it waits for all that came before it.
                    link.query("SELECT pg_catalog.pg_logical_emit_message(true, 'tallystick', '')")
                again = True
                result = work(link.connection)
            if link.unconfirmed:
                raise Interrupted("no standby confirmed the commit")
            return result

        try:
            return self._patiently(transact)
        except psycopg.errors.UniqueViolation:
            raise
        except psycopg.Error as error:
            raise store_error(error, self._target) from None

    # --- reading

    def _query(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._patiently(lambda link: link.query(sql, arguments))
        except psycopg.Error as error:
            raise store_error(error, self._target) from None

    def _patiently(self, work: Callable[[Link], T]) -> T:
        """What `work` returns, on one connection after another for as long as connections break.

        Raises StoreUnavailableError, and psycopg.Error for what the server objects to.
        """
        patience = Patience(self._retry_seconds)
        while True:
            try:
                link = self._pool.take()
                try:
                    return work(link)
                finally:
                    self._pool.give_back(link)
            except CannotConnectError as error:
                if not error.passing or not patience.wait():
                    raise
            except (Interrupted, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    raise
                if not patience.wait():
                    raise StoreUnavailableError(self._said(error), where=self.url, advice="try again") from None
                self._pool.drop_idle()

    def find(self, task_id: str, ledger_id: str = "") -> SessionKey | None:
        """See `Store.find`."""
        if not ledger_id and (track := self._tracks.get(task_id)) and (standing := track.standing):
            return standing.session
        return super().find(task_id, ledger_id)

    def remember_proofs(self, proofs: Sequence[tuple[bytes, SessionKey, int]]) -> None:
        """See `Store.remember_proofs`."""
        self._require_writable()
        kept = [(session.number.to_bytes(16, "big"), position, digest) for digest, session, position in proofs]
        by_partition: dict[str, list[tuple[bytes, int, bytes]]] = {}
        for row in sorted(kept):
            by_partition.setdefault(partition_of(int.from_bytes(row[0])), []).append(row)
        for digit, rows in by_partition.items():
            sessions, positions, digests = map(list, zip(*rows, strict=True))
            self._query(
                f"INSERT INTO tallystick.local_proof_{digit} (session, position, digest)"
                " SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::bytea[]) ON CONFLICT DO NOTHING RETURNING 1",
                (sessions, positions, digests),
            )

    def adopt(self, source: Store, key: SessionKey) -> int:
        """Keep a verified session of another ledger beside ours; returns how many entries are new.

        Raises InputError where it is ours, or another history of one that is kept.
        """
        from tallystick.stores.postgres_adopt import adopt

        for attempt in range(1, MISSES + 1):
            try:
                return self._write(lambda connection: adopt(connection, source, key, self.ledger_id))
            except psycopg.errors.UniqueViolation as error:
                # Somebody else made the same ledger or session meanwhile.
                if attempt == MISSES:
                    raise store_error(error, self._target) from None
        raise AssertionError

    def take_over(self, ledger_id: str) -> None:
        """See `CopyTarget.take_over`."""
        from tallystick.stores.postgres_copy import take_over

        self._write(lambda connection: take_over(connection, ledger_id, self.url))
        self.ledger_id = ledger_id
        self._tracks.clear()

    def take(self, pieces: Sequence[Piece]) -> None:
        """See `CopyTarget.take`."""
        from tallystick.stores.copying import elsewhere
        from tallystick.stores.postgres_copy import take

        try:
            self._write(lambda connection: take(connection, pieces))
        except psycopg.errors.UniqueViolation:
            raise elsewhere(pieces[0].session.task_id) from None

    def idempotency_keys(self, session: SessionKey, after: tuple[int, str], count: int) -> list[KeyRow]:
        """Up to `count` keys of a session behind (last position, key), in that order."""
        from tallystick.stores.postgres_copy import idempotency_keys

        return idempotency_keys(self._query, session, after, count)

    def changes(
        self, known: Mapping[int, int], *, only: Sequence[str] | None = None, interval: float = 1.0
    ) -> Iterator[list[tuple[SessionKey, int]]]:
        """See `Store.changes`."""
        from tallystick.stores.postgres_watching import Watcher

        return Watcher(self._connect, self.ledger_id, known, only, interval).changes()

    # --- life

    def close(self) -> None:
        """See `Store.close`. What other threads have under way ends first."""
        self._pool.close()

    def before_fork(self) -> None:
        """See `Forkable`."""

    def after_fork(self) -> None:
        """See `Forkable`."""

    def in_child(self) -> None:
        """See `Forkable`. The parent's connections stay the parent's; the child makes its own."""
        closed = self._pool.abandon()
        self._reset()
        if closed:
            self._pool.close()


def is_salted(sealed: Sealed) -> bool:
    """Whether a record's bytes occur once in the world: it commits to a part with a salt."""
    return bool(sealed.text_salt or sealed.details_salt or sealed.output_salt)


def new_key() -> IdempotencyKey:
    """A key of our own for what could be taken for something else's bytes. Later ones sort later."""
    return IdempotencyKey(f"~{time.time_ns() >> 20:011x}{os.urandom(10).hex()}", None)


def _needs_lock(requests: Sequence[Request]) -> bool:
    """Whether the requests are more than one statement's worth, or depend on what only the lock's holder sees."""
    count = 0
    for request in requests:
        work = request.work
        if work.erase is not None or work.header is not None or work.attempts:
            return True
        for draft in work.drafts:
            if has_artifact(draft.sealed.output):
                return True
        count += len(work.drafts)
    return count >= COPY_ROWS


def _groups(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """The requests in order: appends together, what erases or makes a session alone."""
    group: list[Request] = []
    for request in requests:
        alone = request.work.erase is not None or request.work.header is not None
        if alone and group:
            yield group
            group = []
        group.append(request)
        if alone:
            yield group
            group = []
    if group:
        yield group
