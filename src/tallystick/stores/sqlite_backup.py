"""Copies of a ledger through SQLite's backup API."""

from __future__ import annotations

import os
import sqlite3

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.stores.sqlite_connection import ENGINE_ERRORS, connect_reader, store_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PAGES_A_STEP = 1024


def backup(path: str, target: str, progress: Callable[[int, int], None] | None) -> None:
    """Copy the database at `path` into the new file `target`, complete or not at all.

    `progress` gets (pages done, pages in all). The copy is a single file without a log beside it.
    """
    if os.path.exists(target):
        raise InputError("the file exists", where=target, advice="name a new one")
    partial = f"{target}.partial"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise StoreUnavailableError(f"cannot write the backup: {error.strerror}", where=target) from None
    os.close(descriptor)
    try:
        source, copy = connect_reader(path), sqlite3.connect(partial, isolation_level=None)
        try:
            # One moment for all steps: without it, each write of somebody else would start the copy over.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM ledger").fetchone()
            source.backup(
                copy,
                pages=PAGES_A_STEP if progress else -1,
                progress=(lambda _, left, total: progress(total - left, total)) if progress else None,
            )
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
            source.close()
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(partial, target)
    except ENGINE_ERRORS as error:
        raise store_error(error, target) from None
    except FileExistsError:
        raise InputError("the file exists", where=target, advice="name a new one") from None
    except OSError as error:
        raise StoreUnavailableError(f"cannot write the backup: {error.strerror}", where=target) from None
    finally:
        for leftover in (partial, f"{partial}-journal", f"{partial}-wal", f"{partial}-shm"):
            if os.path.exists(leftover):
                os.unlink(leftover)
