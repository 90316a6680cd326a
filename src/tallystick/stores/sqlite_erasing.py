"""Making erased bytes go for good: out of the file, its free space and its log.

Clearing a part overwrites its own cell and nothing else. Where a B-tree moved cells from page to page, earlier copies
lie in what no page uses any more, and the log keeps old pages until it is emptied. So the file is written anew by
VACUUM, and the log is emptied after that. Both can be interrupted: the table `local_erasing` gets a row in the very
transaction that clears the part, and loses it when all of this is done.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from tallystick.errors import StoreUnavailableError
from tallystick.stores.sqlite_connection import ENGINE_ERRORS, connect_writer, store_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]

LOG_MILLISECONDS = 200
"""How long emptying the log waits for readers, while it keeps all who write waiting."""
INTERRUPTIBLE_STEPS = 100_000
"""After so many of its steps VACUUM lets Python look whether it is to stop."""
POLL_SECONDS = 0.1


def finish(path: str, progress: Progress | None) -> bool:
    """Have what was erased gone; False where readers keep the log in use. Under the write lock.

    `progress` gets (bytes written, bytes to write). Raises StoreUnavailableError, TamperedError.
    """
    try:
        connection = connect_writer(path)
        try:
            return _finish(connection, path, progress)
        finally:
            connection.close()
    except ENGINE_ERRORS as error:
        raise _still_there(store_error(error, path)) from None


def _finish(connection: sqlite3.Connection, path: str, progress: Progress | None) -> bool:
    rows = connection.execute("SELECT record, rewritten FROM local_erasing").fetchall()
    if not rows:
        return True
    if not all(rewritten for _, rewritten in rows):
        _rewrite(connection, path, progress)
    busy = _empty_log(connection)
    done = "UPDATE local_erasing SET rewritten = 1" if busy else "DELETE FROM local_erasing"
    # Not synced: what a loss of power takes back is a word too many, and the work is done once more.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"{done} WHERE record = ?", [(record,) for record, _ in rows])
    connection.execute("COMMIT")
    return not busy


def _rewrite(connection: sqlite3.Connection, path: str, progress: Progress | None) -> None:
    _require_space(path)
    connection.execute("PRAGMA temp_store = FILE")
    connection.set_progress_handler(lambda: 0, INTERRUPTIBLE_STEPS)
    with _watched(path, progress):
        connection.execute("VACUUM")
    connection.set_progress_handler(None, 0)


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Whether readers keep it in use."""
    connection.execute(f"PRAGMA busy_timeout = {LOG_MILLISECONDS}")
    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(busy)


def _require_space(path: str) -> None:
    """Raises StoreUnavailableError where the log, which gets every page, would not fit beside the file."""
    space = os.statvfs(path)
    size = os.path.getsize(path)
    if space.f_bavail * space.f_frsize < size:
        raise _still_there(StoreUnavailableError(f"{size >> 20} MiB have to be free to write it anew", where=path))


def _still_there(error: Exception) -> Exception:
    if isinstance(error, StoreUnavailableError):
        return StoreUnavailableError(
            f"the part is erased, but its bytes may still be in the file: {error.what}",
            where=error.where,
            advice="; ".join(filter(None, (error.advice.removesuffix("; nothing of this was recorded"), FINISH))),
        )
    return error


FINISH = "notch erase --finish completes it"


@contextmanager
def _watched(path: str, progress: Progress | None) -> Iterator[None]:
    """Tell how far the rewriting is, by how much of it is in the log."""
    if progress is None:
        yield
        return
    from threading import Event, Thread

    total, ended = max(1, os.path.getsize(path)), Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            try:
                progress(min(os.path.getsize(f"{path}-wal"), total), total)
            except OSError:
                continue

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress(total, total)
