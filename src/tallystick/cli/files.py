"""Files that commands read and write."""

from __future__ import annotations

import os

from tallystick.errors import InputError
from tallystick.files import PRIVATE, read_plain, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from tallystick.ledger import Ledger


def read_file(path: str, ledger: Ledger | None = None) -> bytes:
    """The file's bytes. Raises NotFoundError, InputError; never touches the open ledger's own files.

    Opening and closing those in this process would drop SQLite's locks.
    """
    if ledger is not None:
        _refuse(path, getattr(ledger.store, "files", list)(), "this is the open ledger itself")
    return read_plain(path)


def write_output(path: str, pieces: Iterable[bytes], options: argparse.Namespace, *, mode: int = PRIVATE) -> None:
    """Write what a command puts out into a file: complete or not at all, durable, for this user alone.

    A file that is there keeps its mode. Raises StoreUnavailableError where it cannot be written, InputError where it
    is one of the ledger's own files.
    """
    from tallystick.cli.context import ledger_files

    _refuse(path, ledger_files(options), "this is the ledger itself")
    write_whole(path, pieces, mode=mode)


def _refuse(path: str, files: Iterable[str], what: str) -> None:
    for own in files:
        try:
            same = os.path.samefile(path, own)
        except OSError:
            continue
        if same:
            raise InputError(what, where=path, advice="name another file")
