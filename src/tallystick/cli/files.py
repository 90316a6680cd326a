"""Files that commands read and write."""

from __future__ import annotations

import os

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.ledger import Ledger


def read_file(path: str, ledger: Ledger | None = None) -> bytes:
    """The file's bytes. Raises NotFoundError, InputError; never touches the open ledger's own files.

    Opening and closing those in this process would drop SQLite's locks.
    """
    if ledger is not None:
        refuse_own_file(path, ledger)
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError("no such file", where=path) from None
    except IsADirectoryError:
        raise InputError("this is a folder, not a file", where=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from None


def refuse_own_file(path: str, ledger: Ledger) -> None:
    """Raises InputError where `path` is one of the files that the open ledger is kept in."""
    for own in getattr(ledger.store, "files", list)():
        try:
            if os.path.samefile(path, own):
                raise InputError("this is the open ledger itself", where=path, advice="name another file")
        except OSError:
            continue


def write_new(path: str, pieces: Iterable[bytes]) -> None:
    """Write a file complete or not at all; an existing one is replaced only by a complete one.

    Raises StoreUnavailableError where it cannot be written.
    """
    partial = f"{path}.partial"
    try:
        with open(partial, "wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(partial, path)
    except OSError as error:
        raise StoreUnavailableError(f"cannot be written: {error.strerror}", where=path) from None
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
