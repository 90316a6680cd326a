"""Files that nobody else sees: unnamed ones, and folders in TMPDIR that are always removed."""

from __future__ import annotations

import atexit
import os

from tallystick.errors import TallystickError

PREFIX = "tallystick-"
"""What the names of all scratch folders and files begin with."""

_folders: set[str] = set()


def temporary_folder() -> str:
    """Where scratch lies: the first of TMPDIR, TEMP, TMP, /tmp and /var/tmp that can be written."""
    for name in (*map(os.environ.get, ("TMPDIR", "TEMP", "TMP")), "/tmp", "/var/tmp"):
        if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return os.path.abspath(name)
    raise TallystickError("no folder for temporary files can be written", advice="set TMPDIR to one that can")


def anonymous_file(content: bytes = b"") -> int:
    """A descriptor of a new file without a name that holds `content`, read and written from its start."""
    name = os.path.join(temporary_folder(), PREFIX + os.urandom(8).hex())
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(name, error) from None
    try:
        os.unlink(name)
        _write_whole(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as error:
        os.close(descriptor)
        raise _unwritable(name, error) from None
    return descriptor


def write_file(path: str, content: bytes) -> None:
    """Writes a scratch file anew. Raises TallystickError where there is no room."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(descriptor, content)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(path, error) from None


def _write_whole(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_whole(descriptor: int) -> bytes:
    """All that a file holds, from its start."""
    parts = []
    place = 0
    size = os.fstat(descriptor).st_size
    while part := os.pread(descriptor, max(size - place, 0) + 1, place):
        parts.append(part)
        place += len(part)
    return b"".join(parts)


class Scratch:
    """A folder of our own, only for this user. `close` removes it; so do the end of the process and `del`."""

    __slots__ = ("path",)

    def __init__(self) -> None:
        path = os.path.join(temporary_folder(), PREFIX + os.urandom(8).hex())
        self.path = ""
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise _unwritable(path, error) from None
        self.path = path
        _folders.add(path)

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def close(self) -> None:
        """Removes the folder and all in it; a second time does nothing."""
        if self.path in _folders:  # not so in a forked child: the folder is its parent's
            _folders.discard(self.path)
            _remove_whole(self.path)
        self.path = ""

    def __del__(self) -> None:
        self.close()


def _remove_whole(folder: str) -> None:
    try:
        _remove(folder)
    except FileNotFoundError:
        return  # whoever cleans TMPDIR was faster


def _remove(folder: str) -> None:
    for item in os.scandir(folder):
        if item.is_dir(follow_symlinks=False):
            _remove(item.path)
        else:
            os.unlink(item.path)
    os.rmdir(folder)


def _unwritable(path: str, error: OSError) -> TallystickError:
    return TallystickError(
        f"a temporary file cannot be written: {error.strerror}",
        where=os.path.dirname(path),
        advice="make room there, or set TMPDIR to another folder",
    )


def _remove_all() -> None:
    while _folders:
        _remove_whole(_folders.pop())


atexit.register(_remove_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_folders.clear)
