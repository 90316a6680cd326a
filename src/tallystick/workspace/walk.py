"""Content outside git: the lines that git would print, made by walking through a folder.

Blob ids are git's (SHA-1). There are no ignore rules here: only the folder of a ledger, its files and what is
in a `.git` never count.
"""

from __future__ import annotations

import hashlib
import os
import stat

from tallystick.errors import InputError
from tallystick.workspace.hidden import Hidden
from tallystick.workspace.inputs import Listing, path_of
from tallystick.workspace.location import OWN_FOLDER
from tallystick.workspace.snapshot import PendingSnapshot, Snapshot, all_new

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NEVER_ENTERED = (b".git", os.fsencode(OWN_FOLDER))
_KINDS = (stat.S_IFREG, stat.S_IFLNK)
_CHUNK = 1 << 20
_ATTEMPTS = 5


class PendingWalk(PendingSnapshot):
    """A walk that has not begun: without git there is nobody to do it in the background."""

    __slots__ = ("_hidden", "_root")

    def __init__(self, root: str, hidden: Hidden) -> None:
        self._root = root
        self._hidden = hidden

    def result(self) -> Snapshot:
        """The content. Raises InputError where a file or folder cannot be read."""
        return WalkedSnapshot(self._root, Listing(list(walk(self._root, self._hidden))))


class WalkedSnapshot(Snapshot):
    """The content of a plain folder; its `changes` and `untracked` are all files."""

    __slots__ = ()

    def __init__(self, root: str, listing: Listing) -> None:
        super().__init__(root, listing.digest(()))
        self._own_listing = listing

    @property
    def dirty(self) -> bool:
        """False: there is no commit to differ from."""
        return False

    def _find_changes(self) -> dict[str, str]:
        return all_new(self.own_listing)

    def _own_untracked(self) -> set[bytes]:
        return {path_of(line) for line in self.own_listing.lines}


def walk(root: str, hidden: Hidden) -> Iterator[bytes]:
    """The lines of all files below `root`, in the byte order of their paths.

    Links are not followed; sockets, pipes and devices are no content, as for git. Raises InputError where
    something cannot be read.
    """
    top = os.fsencode(root)
    found = sorted(files(root, hidden))
    for path, mode in found:
        full = os.path.join(top, path)
        try:
            if stat.S_ISLNK(mode):
                target = os.readlink(full)
                yield _line(b"120000", blob_id(target), path)
            else:
                yield _line(b"100755" if mode & stat.S_IXUSR else b"100644", _file_id(full), path)
        except FileNotFoundError:
            continue  # it went away meanwhile
        except OSError as error:
            raise _unreadable(full, error) from None


def blob_id(content: bytes) -> str:
    """The id that git gives a blob with this content, in a SHA-1 repository."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _line(mode: bytes, oid: str, path: bytes) -> bytes:
    return b"%b blob %b\t%b" % (mode, oid.encode("ascii"), path)


def files(root: str, hidden: Hidden) -> Iterator[tuple[bytes, int]]:
    """Path and mode of each file and link below `root`, in no order. Raises InputError as `walk` does."""
    top = os.fsencode(root)
    never = hidden.inodes()
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(top, folder)))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(os.path.join(top, folder), error) from None
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if entry.name in _NEVER_ENTERED or path in hidden:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(found.st_mode):
                folders.append(path)
            elif stat.S_IFMT(found.st_mode) in _KINDS and (found.st_dev, found.st_ino) not in never:
                yield path, found.st_mode


def _file_id(path: bytes) -> str:
    """The blob id of a file, read as it stands still: its size has to be known first."""
    for _ in range(_ATTEMPTS):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            length = 0
            while part := os.read(descriptor, _CHUNK):
                digest.update(part)
                length += len(part)
        finally:
            os.close(descriptor)
        if length == size:
            return digest.hexdigest()
    raise InputError(
        "grows or shrinks while it is read",
        where=os.fsdecode(path),
        advice="try again when nothing writes it",
    )


def _unreadable(path: bytes, error: OSError) -> InputError:
    return InputError(
        f"cannot be read: {error.strerror}",
        where=os.fsdecode(path),
        advice="make it readable, or work in a git repository and ignore it there",
    )
