"""Paths in a work tree that are never content: a ledger's files and our own scratch."""

from __future__ import annotations

import os

from tallystick.location import FILE as LEDGER_FILE
from tallystick.workspace.location import OWN_FOLDER
from tallystick.workspace.scratch import PREFIX, temporary_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_USUAL = tuple(
    os.fsencode(f"{OWN_FOLDER}/{LEDGER_FILE}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", "-lock")
)


class Hidden:
    """What never counts below one `root`; asked with paths from there, as bytes."""

    __slots__ = ("_prefixes", "absolute", "paths")

    def __init__(self, root: str, absolute: Iterable[str] = ()) -> None:
        """`absolute` are the files to hide: those of a ledger, wherever they lie."""
        self.absolute = tuple(map(_real, absolute))
        """The files to hide, by their absolute paths, with no symbolic link in the folder."""
        inside = (_below(root, path) for path in self.absolute)
        self.paths = frozenset((*(path for path in inside if path), *_USUAL))
        """Those of them that lie below the root, and a ledger's in its usual place there."""
        scratch = _below(root, os.path.join(os.path.realpath(temporary_folder()), PREFIX))
        self._prefixes = (os.fsencode(OWN_FOLDER) + b"/", *([scratch] if scratch else []))

    def __contains__(self, path: bytes) -> bool:
        return path in self.paths or path.startswith(self._prefixes)

    def inodes(self) -> set[tuple[int, int]]:
        """Device and inode of the files to hide that exist: they may have other names too."""
        found = set()
        for path in self.absolute:
            try:
                told = os.stat(path)
            except OSError:
                continue
            found.add((told.st_dev, told.st_ino))
        return found


def _real(path: str) -> str:
    """The absolute path with links in its folder resolved, but not the last part: it need not exist."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def _below(root: str, path: str) -> bytes:
    """`path` from `root`; empty where it is not below it."""
    start = root.rstrip("/") + "/"
    return os.fsencode(path[len(start) :]) if path.startswith(start) else b""
