"""A copy of the user's index that may be written, to bring it up to what lies in the work tree."""

from __future__ import annotations

import os

from tallystick.errors import InputError
from tallystick.workspace.index import Index
from tallystick.workspace.scratch import write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.workspace.repository import Repository
    from tallystick.workspace.scratch import Scratch

_ADD = ("update-index", "-z", "--add", "--remove", "--replace", "--info-only", "--stdin")
_REMOVE = ("update-index", "-z", "--index-info")


class ScratchIndex:
    """The copy. `git` works on it; `entries` is what it holds, once it was read."""

    __slots__ = ("_data", "_repository", "_times", "entries", "git")

    def __init__(self, repository: Repository, scratch: Scratch) -> None:
        """Copies the index as it is. Raises InputError where it cannot be read."""
        self._repository = repository
        self.git = repository.git.on(index=scratch.file("index"))
        self.entries = Index.empty(repository.oid_size)
        self._data, self._times = b"", (0, 0)
        try:
            self._data, self._times = _whole(repository.index)
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"git's index cannot be read: {error.strerror}", where=repository.index) from None
        self._write(self._data)

    def read(self) -> bool:
        """Reads the entries; whether anything in the copy may hide changes. Raises InputError: not an index."""
        if self._data:
            self.entries = self._parsed(self._data)
        return self.entries.split or bool(self.entries.hidden)

    def reveal(self) -> None:
        """Rewrites the copy so that nothing in it hides changes."""
        if self.entries.split:
            self.git.run("update-index", "--no-split-index")
            self._data, self._times = _whole(self.git.index)
            self.entries = self._parsed(self._data)
        patterns = os.path.join(self._repository.location.git_dir, "info", "sparse-checkout")
        revealed = self.entries.without_hiding(os.fsencode(self._repository.root), sparse=os.path.exists(patterns))
        self._write(revealed)

    def update(self, gone: Sequence[bytes], there: Sequence[bytes]) -> None:
        """Takes paths out and puts others in, as they lie in the work tree. Raises GitError for one unreadable."""
        if gone:
            nothing = b"0 " + b"0" * (2 * self._repository.oid_size) + b"\t"
            self.git.run(*_REMOVE, stdin=b"".join(nothing + path + b"\0" for path in gone))
        if there:
            self.git.run(*_ADD, stdin=b"".join(path + b"\0" for path in there))
        if gone or there:
            self.entries = self._parsed(_whole(self.git.index)[0])

    def _write(self, data: bytes) -> None:
        write_file(self.git.index, data)
        # By the index's own time git knows which files may have changed since without showing it.
        os.utime(self.git.index, ns=self._times)

    def _parsed(self, data: bytes) -> Index:
        try:
            return Index(data, self._repository.oid_size)
        except ValueError as error:
            where = self._repository.index
            raise InputError(f"git's index cannot be read: {error}", where=where) from None


def _whole(path: str) -> tuple[bytes, tuple[int, int]]:
    """A file's bytes, and its times of access and change in nanoseconds."""
    with open(path, "rb") as file:
        told = os.fstat(file.fileno())
        return file.read(), (told.st_atime_ns, told.st_mtime_ns)
