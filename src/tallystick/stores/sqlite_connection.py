"""Connections to a ledger's SQLite file: how they are opened, what their errors mean, and what a fork does.

Nothing here or elsewhere opens the file other than through SQLite: a plain `open().close()` in the same
process would drop SQLite's locks and lose acknowledged entries.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
from time import sleep

from tallystick.errors import StoreUnavailableError, TallystickError, TamperedError
from tallystick.files import PRIVATE, PUBLIC
from tallystick.stores.sqlite_schema import MINIMUM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

BUSY_SECONDS = 60.0
GIVE_WAY_SECONDS = 0.0001
"""What the next one has to wake up, where others want the lock: whoever gave it back would else take it again."""
GIVE_WAY_TIMES = 8
LOCK = "-lock"
SIDE_FILES = ("-wal", "-shm", "-journal", LOCK)
ENGINE_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
"""What the sqlite3 module raises: the last two for a damaged schema, and for numbers that no ledger has."""
_KINDS = {
    "i": frozenset({int}),
    "t": frozenset({str}),
    "b": frozenset({bytes}),
    "T": frozenset({str, type(None)}),
    "B": frozenset({bytes, type(None)}),
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def require_sqlite() -> None:
    """Raises StoreUnavailableError where the SQLite that Python was built with is too old."""
    if sqlite3.sqlite_version_info < MINIMUM:
        raise StoreUnavailableError(
            f"Python here was built with SQLite {sqlite3.sqlite_version}, and a ledger needs 3.37",
            advice="use a newer Python or SQLite",
        )


def _uri(path: str, query: str) -> str:
    return f"file:{_quoted(path)}?{query}"


def _quoted(path: str) -> str:
    for character, escape in (("%", "%25"), ("?", "%3f"), ("#", "%23"), ("&", "%26")):
        path = path.replace(character, escape)
    return path


def _connect(path: str, query: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        _uri(path, query),
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_SECONDS,
        cached_statements=64,
    )
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    """What is not UTF-8 was never written by us; it has to be found by verification, not end it."""
    return data.decode("utf-8", "replace")


def connect_reader(path: str) -> sqlite3.Connection:
    """A connection that only reads; a copy that nobody can write is opened as one that never changes."""
    folder = os.path.dirname(os.path.abspath(path))
    frozen = not os.access(folder, os.W_OK) and not os.path.exists(f"{path}-wal")
    connection = _connect(path, "immutable=1" if frozen else "mode=ro")
    connection.execute("PRAGMA query_only = 1")
    return connection


def connect_writer(path: str, *, create: bool = False) -> sqlite3.Connection:
    """A connection whose commits are on disk when they return. A new file gets the mode of the lock beside it."""
    connection = _connect(path, f"mode=rwc&modeof={_quoted(path)}{LOCK}" if create else "mode=rw")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        connection.close()
        raise StoreUnavailableError(
            f"SQLite cannot keep a write-ahead log here (it says {mode})",
            where=path,
            advice="keep the ledger on a local disk",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = 1")
    connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute("PRAGMA secure_delete = 1")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


LOG_BYTES = 1_004 * (24 + 4_096)
"""What the write-ahead log grows to before it is checkpointed and used again from its start."""
SPARE_BYTES = 64 * LOG_BYTES
_FEW_PAGES = 16


def grow_log(connection: sqlite3.Connection, path: str) -> None:
    """Make the write-ahead log as long as it is going to be, with a transaction that is rolled back.

    A commit that makes the file longer has the file system write its own journal too, and takes twice as long.
    Whoever appends a few entries has no use for it. Where it cannot be done, the log is left to grow by itself.
    What does not fit into the cache is written to the log, whatever becomes of the transaction.
    """
    try:
        missing = LOG_BYTES - os.stat(f"{path}-wal").st_size
        space = os.statvfs(path)
    except (OSError, AttributeError):
        return
    if missing <= 0 or space.f_bavail * space.f_frsize < SPARE_BYTES:
        return
    try:
        connection.execute(f"PRAGMA cache_size = {_FEW_PAGES}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO artifact VALUES (-1, 0, x'', zeroblob(?))", (missing + 2 * _FEW_PAGES * 4_096,))
    except sqlite3.Error:
        pass
    finally:
        if connection.in_transaction:
            connection.rollback()
        connection.execute("PRAGMA cache_size = -2000")


def roll_back(path: str) -> None:
    """Undo what a killed process began before the write-ahead log was on: a reader may not."""
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.close()


def file_identity(path: str) -> tuple[int, int] | None:
    """Device and number of the file that stands at that path now; None where there is none."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_dev, told.st_ino


def first_of_wrong_type(rows: list[tuple[Any, ...]], kinds: str) -> tuple[Any, ...] | None:
    """The first row that has a value of the wrong type: SQLite does not look when it reads a damaged page.

    `kinds` has a letter for each column: `i` integer, `t` text, `b` bytes; `T` and `B` may be NULL. Empty: any.
    """
    for index, (kind, column) in enumerate(zip(kinds, zip(*rows, strict=True), strict=False)):
        if not _KINDS[kind].issuperset(map(type, column)):
            return next(row for row in rows if type(row[index]) not in _KINDS[kind])
    return None


def store_error(error: Exception, path: str) -> TallystickError:
    """What one of `ENGINE_ERRORS` means to the person who uses the ledger."""
    if not isinstance(error, sqlite3.Error):
        return TamperedError("the database file is damaged", where=path, advice="restore a backup and compare")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return TamperedError(
            f"the database file is damaged ({error})", where=path, advice="restore a backup and compare"
        )
    if code == sqlite3.SQLITE_ERROR:
        return TamperedError(
            f"the file's tables are not those of a ledger ({error})", where=path, advice="restore a backup and compare"
        )
    if code == sqlite3.SQLITE_CONSTRAINT:
        from tallystick.stores.sqlite_moved import moved_error

        return moved_error(error, path) or TamperedError(
            f"the store refuses the entry, so its rows do not fit together ({error})",
            where=path,
            advice="run notch verify",
        )
    advice = {
        sqlite3.SQLITE_FULL: "free some space and try again; nothing of this was recorded",
        sqlite3.SQLITE_READONLY: "make the file and its folder writable, or name another ledger",
        sqlite3.SQLITE_CANTOPEN: "check the path and the folder's permissions",
        sqlite3.SQLITE_PERM: "check the file's permissions",
        sqlite3.SQLITE_BUSY: f"another program has kept it locked for {BUSY_SECONDS:.0f} s",
        sqlite3.SQLITE_IOERR: "check the disk (it may be full or failing)",
    }.get(code, "")
    return StoreUnavailableError(str(error), where=path, advice=advice)


def _open_lock(path: str, database: str) -> int:
    """The lock file, open, its mode and owner those of the ledger as SQLite's own side files have them.

    Whoever may write a ledger that is shared on purpose has to be able to take its lock. Raises OSError.
    """
    try:
        shared = os.stat(database)
    except FileNotFoundError:
        shared = None
    mode = PRIVATE if shared is None else PRIVATE | (shared.st_mode & PUBLIC)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    found, user = os.fstat(descriptor), os.geteuid()
    if user in (0, found.st_uid) and stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(descriptor, mode)
    if user == 0 and shared is not None and (found.st_uid, found.st_gid) != (shared.st_uid, shared.st_gid):
        os.fchown(descriptor, shared.st_uid, shared.st_gid)
    return descriptor


class WriteLock:
    """An advisory lock file, so that processes queue for the write lock instead of polling for it."""

    def __init__(self, path: str) -> None:
        self._database = path
        self._path = f"{path}{LOCK}"
        self._descriptor = -1
        self._others = 0
        """How many more times to give way: others were met not long ago."""

    def __enter__(self) -> None:
        if fcntl is None:
            return
        if self._descriptor < 0:
            try:
                self._descriptor = _open_lock(self._path, self._database)
            except OSError as error:
                raise StoreUnavailableError(
                    f"cannot write beside the ledger: {error.strerror}",
                    where=self._path,
                    advice="make the file and its folder writable, or name another ledger",
                ) from None
        try:
            self._lock()
        except BaseException:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._others = GIVE_WAY_TIMES
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            if self._others:
                self._others -= 1
                sleep(GIVE_WAY_SECONDS)

    def close(self) -> None:
        """Give the file back. In a forked child this leaves the parent's lock alone."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def abandon(connections: list[sqlite3.Connection]) -> None:
    """Keep connections inherited by a fork from ever being used or closed in the child, even at its exit.

    A list that holds itself is never freed by counting, and frozen it is never collected.
    """
    if connections:
        kept: list[object] = [*connections]
        kept.append(kept)
        gc.freeze()
