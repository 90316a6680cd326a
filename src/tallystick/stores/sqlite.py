"""The embedded store: one SQLite file, many processes, every acknowledged entry on disk."""

from __future__ import annotations

import os
import sqlite3
from _thread import RLock
from time import monotonic, sleep

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError
from tallystick.files import sync_folder
from tallystick.model.ids import require_task_id
from tallystick.stores import forking, sqlite_connection, sqlite_proofs
from tallystick.stores import sqlite_schema as schema
from tallystick.stores.appending import Work
from tallystick.stores.base import SessionKey
from tallystick.stores.filesystem import require_folder, require_local
from tallystick.stores.group_commit import GroupCommit
from tallystick.stores.sqlite_appended import append_one
from tallystick.stores.sqlite_connection import (
    ENGINE_ERRORS,
    SIDE_FILES,
    WriteLock,
    abandon,
    connect_reader,
    connect_writer,
    file_identity,
    require_sqlite,
    roll_back,
    store_error,
)
from tallystick.stores.sqlite_memory import Memory
from tallystick.stores.sqlite_reader import SqliteReader
from tallystick.stores.sqlite_writer import SqliteBatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from tallystick.model.header import Header
    from tallystick.model.record import Draft
    from tallystick.stores.base import Head, IdempotencyKey, Store
    from tallystick.stores.copying import KeyRow, Piece
    from tallystick.stores.group_commit import Request
    from tallystick.stores.sqlite_checkpoints import SqliteLog

    T = TypeVar("T")

GIVE_WAY_SECONDS = 0.05
"""What others have between two attempts to empty the log."""
LEAST_BYTES = 512
"""A smaller file is no database; SQLite would take it for an empty one and write over it."""


class SqliteStore(SqliteReader):
    """A ledger in one SQLite file. `clock` gives RFC 3339 times in UTC, `random` that many random bytes."""

    def __init__(
        self,
        path: str,
        *,
        create: bool,
        clock: Callable[[], str],
        random: Callable[[int], bytes],
        read_only: bool = False,
    ) -> None:
        require_sqlite()
        self.path = os.path.abspath(path)
        self.url = f"sqlite:///{self.path}"
        self.read_only = read_only
        self._clock = clock
        self._reset()
        forking.register(self)
        try:
            self.ledger_id = self._open(path, create=create and not read_only, random=random)
        except ENGINE_ERRORS as error:
            raise store_error(error, self.path) from None

    def _reset(self) -> None:
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._reading, self._writing, self._copying = RLock(), RLock(), RLock()
        self._lock = WriteLock(self.path)
        self._commits = GroupCommit(self._commit)
        self._sessions: dict[str, SessionKey] = {}
        self._memory = Memory()
        self._unusable = ""
        self._log: SqliteLog | None = None

    @property
    def log(self) -> SqliteLog:
        """See `Store.log`."""
        if self._log is None:
            from tallystick.stores.sqlite_checkpoints import SqliteLog

            self._log = SqliteLog(self._query, self._write)
        return self._log

    def _open(self, path: str, *, create: bool, random: Callable[[int], bytes]) -> str:
        """The ledger's id. A file in which no ledger was ever committed counts as none."""
        exists = os.path.exists(self.path)
        if exists and not os.path.isfile(self.path):
            raise InputError("this is not a file", where=path, advice="name the ledger's file")
        if exists and 0 < os.path.getsize(self.path) < LEAST_BYTES:
            raise StoreUnavailableError("this file is not a ledger", where=path, advice="name another file")
        if not exists and not create:
            raise NotFoundError("no ledger here", where=path, advice="notch init makes one")
        found = self._read_id() if exists else ""
        if not found and not create:
            raise NotFoundError("the file is empty", where=self.path, advice="notch init makes a ledger")
        if not found:
            self._create(random)
            found = self._read_id()
        self._file = file_identity(self.path)
        return found

    def _read_id(self) -> str:
        try:
            return self._id_as_it_is()
        except sqlite3.OperationalError:
            if not os.path.exists(f"{self.path}-journal"):
                raise
            with self._writing, self._lock:
                roll_back(self.path)
            return self._id_as_it_is()

    def _id_as_it_is(self) -> str:
        with self._reading:
            connection = self._connection()
            self._version = schema.version(connection, self.path)
            if self._version:
                return schema.read_ledger_id(connection, self.path)
            connection.close()
            self._reader = None
            return ""

    def _create(self, random: Callable[[int], bytes]) -> None:
        """Make the ledger; several processes may come here at once, and one may have died here before."""
        folder = os.path.dirname(self.path)
        require_folder(folder)
        with self._writing, self._lock:
            connection = connect_writer(self.path, create=True)
            try:
                connection.execute("BEGIN IMMEDIATE")
                if schema.version(connection, self.path) == 0:
                    schema.create(connection, random(16).hex())
                connection.execute("COMMIT")
            finally:
                connection.close()
            sync_folder(folder)

    def _connection(self) -> sqlite3.Connection:
        self._require_usable()
        if self._reader is None:
            require_local(os.path.dirname(self.path))
            self._reader = connect_reader(self.path)
        return self._reader

    def _require_usable(self) -> None:
        if self._unusable:
            raise StoreUnavailableError(self._unusable, where=self.path, advice="open it again")

    # --- writing

    def _require_in_place(self) -> None:
        """Raises StoreUnavailableError where what is written would be gone once the file is closed."""
        if file_identity(self.path) != self._file:
            raise StoreUnavailableError(
                "the ledger's file was removed or replaced while it was in use; nothing of this was recorded",
                where=self.path,
                advice="put it back, or restore a backup",
            )

    def append(
        self,
        task_id: str,
        drafts: Sequence[Draft],
        *,
        expected_position: int | None = None,
        key: IdempotencyKey | None = None,
        defaults: bool = True,
    ) -> Head:
        """See `Store.append`. `defaults` False: an entry without an id stays without one."""
        if task_id not in self._sessions:
            require_task_id(task_id)
        return self._submit(Work(task_id, drafts, expected_position=expected_position, key=key, defaults=defaults))

    def create(self, header: Header, drafts: Sequence[Draft]) -> Head:
        """See `Store.create`."""
        require_task_id(header.task_id)
        return self._submit(Work(header.task_id, drafts, header=header, defaults=False))

    def erase(self, task_id: str, position: int, parts: Sequence[str], redaction: Draft) -> Head:
        """See `Store.erase`."""
        return self._submit(Work(task_id, [redaction], erase=(position, parts)))

    def finish_erasures(
        self, progress: Callable[[int, int], None] | None = None, *, patience: float | None = None
    ) -> None:
        """See `Store.finish_erasures`. Takes as long as writing the file anew, and as much space twice."""
        self._require_writable()
        patience = sqlite_connection.BUSY_SECONDS if patience is None else patience
        deadline = monotonic() + patience
        while not self._finish_erasures(progress):
            if monotonic() >= deadline:
                raise StoreUnavailableError(
                    "the part is erased, but a reader keeps the old log in use",
                    where=self.path,
                    advice="end the reader; notch erase --finish, or the next erasure, empties the log",
                )
            sleep(GIVE_WAY_SECONDS)

    def _finish_erasures(self, progress: Callable[[int, int], None] | None) -> bool:
        from tallystick.stores.sqlite_erasing import finish

        with self._writing, self._locked():
            try:
                self._writer = self._writer or self._open_writer()
            except ENGINE_ERRORS as error:
                raise store_error(error, self.path) from None
            self._require_in_place()
            return finish(self.path, progress)

    def _require_writable(self) -> None:
        if self.read_only:
            raise StoreUnavailableError(
                "this ledger was opened for reading", where=self.path, advice="open it for writing"
            )

    def _submit(self, work: Work) -> Head:
        self._require_writable()
        return self._commits.submit(work)  # type: ignore[no-any-return]

    def _commit(self, requests: list[Request]) -> None:
        try:
            self._transact(requests, own=len(requests) == 1)
        except StoreUnavailableError:
            raise
        except Exception:
            if len(requests) == 1:
                raise
            self._one_by_one(requests)

    def _one_by_one(self, requests: list[Request]) -> None:
        """Where the rows of one session do not fit together, only the requests to that session fail."""
        for request in requests:
            request.error = None
            try:
                self._transact([request])
            except Exception as error:
                request.error = error

    def _transact(self, requests: list[Request], *, own: bool = False) -> None:
        """`own`: there is one, the caller's: where he is interrupted, nobody asks again whether it was done."""
        with self._writing, self._locked():
            connection, committing = None, False
            try:
                connection = self._writer or self._open_writer()
                self._memory.prepare(connection, self.path, len(requests))
                if own and (session := self._sessions.get(requests[0].work.task_id)):
                    self._require_in_place()
                    requests[0].result = append_one(connection, self._memory, session, requests[0].work, self._clock)
                    if requests[0].result is not None:
                        return
                connection.execute("BEGIN IMMEDIATE")
                batch = SqliteBatch(connection, self.ledger_id, self._clock(), self._sessions, self._memory)
                batch.perform(requests)
                self._require_in_place()
                committing = True
                connection.execute("COMMIT")
                batch.committed()
            except BaseException as error:
                failed = isinstance(error, ENGINE_ERRORS)
                if committing and not failed and connection is not None and not connection.in_transaction:
                    raise
                if connection is not None and connection.in_transaction:
                    connection.rollback()
                for request in requests:
                    request.result = None
                self._sessions.clear()
                if isinstance(error, ENGINE_ERRORS):
                    raise store_error(error, self.path) from None
                raise

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, once what it did in a transaction is durable."""
        self._require_writable()
        with self._writing, self._locked():
            connection: sqlite3.Connection | None = None
            try:
                connection = self._writer or self._open_writer()
                connection.execute("BEGIN IMMEDIATE")
                self._memory.forget()
                result = work(connection)
                self._require_in_place()
                connection.execute("COMMIT")
            except BaseException as error:
                if connection is not None and connection.in_transaction:
                    connection.rollback()
                if isinstance(error, ENGINE_ERRORS):
                    raise store_error(error, self.path) from None
                raise
        return result

    def _locked(self) -> WriteLock:
        self._require_usable()
        return self._lock

    def _open_writer(self) -> sqlite3.Connection:
        connection = connect_writer(self.path)
        found = schema.version(connection, self.path)
        if found < schema.SCHEMA_VERSION:
            try:
                connection.execute("BEGIN IMMEDIATE")
                schema.migrate(connection, schema.version(connection, self.path))
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
        self._writer, self._memory, self._version = connection, Memory(), schema.SCHEMA_VERSION
        return connection

    def remember_proofs(self, proofs: Sequence[tuple[bytes, SessionKey, int]]) -> None:
        """See `Store.remember_proofs`."""
        self._write(lambda connection: sqlite_proofs.remember(connection, proofs))

    def adopt(self, source: Store, key: SessionKey) -> int:
        """Keep a verified session of another ledger beside ours; returns how many entries are new.

        Raises InputError where it is ours, or another history of one that is kept.
        """
        from tallystick.stores.sqlite_adopt import adopt

        return self._write(lambda connection: adopt(connection, source, key, self.ledger_id))

    def take_over(self, ledger_id: str) -> None:
        """See `CopyTarget.take_over`."""
        from tallystick.stores.sqlite_copy import take_over

        self._write(lambda connection: take_over(connection, ledger_id, self.path))
        self.ledger_id = ledger_id

    def take(self, pieces: Sequence[Piece]) -> None:
        """See `CopyTarget.take`."""
        from tallystick.stores.sqlite_copy import take

        self._write(lambda connection: take(connection, pieces))

    def close_for(self, url: str) -> None:
        """Take nothing more from now on, whoever writes: the ledger goes on at `url`."""
        from tallystick.stores.sqlite_moved import close_for

        self._write(lambda connection: close_for(connection, url))

    def idempotency_keys(self, session: SessionKey, after: tuple[int, str], count: int) -> list[KeyRow]:
        """Up to `count` keys of a session behind (last position, key), in that order."""
        from tallystick.stores.sqlite_copy import idempotency_keys

        return idempotency_keys(self._query, session, after, count)

    def backup(self, target: str, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the whole ledger, as it is at this moment and without what was erased, into a new file of its own.

        Raises InputError where the target exists, StoreUnavailableError where it cannot be written.
        """
        from tallystick.stores.sqlite_backup import backup

        self._require_usable()
        if os.path.realpath(target) in map(os.path.realpath, self.files()):
            raise InputError("this name belongs to the ledger itself", where=target, advice="name a new file")
        with self._copying:
            backup(self.path, target, progress)

    # --- life

    def files(self) -> list[str]:
        """The paths that belong to the ledger, whether they exist or not."""
        return [self.path, *(self.path + suffix for suffix in SIDE_FILES)]

    def close(self) -> None:
        """See `Store.close`. Waits for what other threads have under way."""
        with self._writing, self._reading:
            self._unusable = self._unusable or "the ledger was closed"
            self._disconnect()

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        self._lock.close()

    def before_fork(self) -> None:
        """See `Forkable`."""
        for lock in (self._copying, self._writing, self._reading):
            lock.acquire()
        self._disconnect()

    def after_fork(self) -> None:
        """See `Forkable`."""
        for lock in (self._reading, self._writing, self._copying):
            lock.release()

    def in_child(self) -> None:
        """See `Forkable`. What forks without Python's hooks leaves us connections that must never be touched."""
        inherited = [one for one in (self._reader, self._writer) if one is not None]
        unusable = "the ledger was open while the process was forked" if inherited else self._unusable
        abandon(inherited)
        self._lock.close()
        self._reset()
        self._unusable = unusable
