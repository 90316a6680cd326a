"""Copies of a ledger in a file of their own, made by VACUUM: what is in no row of the ledger is not in the copy."""

from __future__ import annotations

import os
import sqlite3

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.files import PRIVATE, partial_name, sync_file, sync_folder
from tallystick.stores.sqlite_connection import ENGINE_ERRORS, connect_reader, store_error
from tallystick.stores.sqlite_schema import SINCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int], None]

PROGRESS_STEPS = 50
"""After this many steps of SQLite's the progress is told."""


def backup(path: str, target: str, progress: Progress | None) -> None:
    """Copy the database at `path` into the new file `target`, complete and durable or not at all, for this user alone.

    `progress` gets (bytes done, bytes in all). The copy is a single file without a log beside it.
    Raises InputError where the target exists, StoreUnavailableError, TamperedError for a damaged file.
    """
    if os.path.lexists(target):
        raise _exists(target)
    partial = partial_name(target)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
        _copy(path, partial, progress)
        _forget_erasing(partial)
        sync_file(partial)
        os.link(partial, target)
        sync_folder(os.path.dirname(target))
    except ENGINE_ERRORS as error:
        raise store_error(error, target) from None
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise StoreUnavailableError(f"cannot write the backup: {error.strerror}", where=target) from None
    finally:
        for leftover in (partial, f"{partial}-journal"):
            if os.path.exists(leftover):
                os.unlink(leftover)


def _exists(target: str) -> InputError:
    return InputError("the file exists", where=target, advice="name a new one")


def _copy(path: str, partial: str, progress: Progress | None) -> None:
    source = connect_reader(path)
    try:
        source.execute("PRAGMA query_only = 0")
        source.execute("PRAGMA synchronous = OFF")
        pages, size = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        total = pages * size

        def tell() -> int:
            if progress is not None:
                progress(min(os.path.getsize(partial), total), total)
            return 0

        source.set_progress_handler(tell, PROGRESS_STEPS)
        source.execute("VACUUM INTO ?", (partial,))
        if progress is not None:
            progress(total, total)
    finally:
        source.close()


def _forget_erasing(partial: str) -> None:
    """What was erased from the ledger was never in the copy, whether or not it is gone from there."""
    copy = sqlite3.connect(partial, isolation_level=None)
    try:
        copy.execute("PRAGMA journal_mode = MEMORY")
        (version,) = copy.execute("PRAGMA user_version").fetchone()
        if version >= SINCE["local_erasing"]:
            copy.execute("DELETE FROM local_erasing")
    finally:
        copy.close()
