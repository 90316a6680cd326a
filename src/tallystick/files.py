"""Files on disk: written whole and durably, for this user alone unless somebody asks otherwise; read if they are plain.

A file that is written appears complete or not at all, and survives a loss of power once the call returns: its bytes
are synced before it gets its name, and the folder after. What could make a reader wait for ever (a fifo, a socket, a
device) is refused.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, EISDIR

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PRIVATE = 0o600
"""The mode of what holds output or secrets."""
PUBLIC = 0o666
"""The mode of what others may read, less what the user's umask takes away."""
PRIVATE_FOLDER = 0o700
_CLOEXEC, _NOFOLLOW, _NONBLOCK, _NOCTTY = (
    getattr(os, f"O_{name}", 0) for name in ("CLOEXEC", "NOFOLLOW", "NONBLOCK", "NOCTTY")
)
_OWN_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
_KINDS = (
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


# --- reading


def open_plain(path: str | bytes) -> int:
    """A descriptor of the file, open for reading.

    What this process was given open (`/dev/stdin`, `/dev/fd/3`) may be anything. Raises InputError for any other
    fifo, socket or device, IsADirectoryError for a folder, FileNotFoundError and other OSErrors.
    """
    if _is_own_descriptor(path):
        return os.open(path, os.O_RDONLY | _CLOEXEC)
    _require_plain(os.stat(path), path)
    descriptor = os.open(path, os.O_RDONLY | _CLOEXEC | _NONBLOCK | _NOCTTY)
    try:
        _require_plain(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_own_descriptor(path: str | bytes) -> bool:
    text = os.fsdecode(path)
    return text == "/dev/stdin" or text.startswith(_OWN_DESCRIPTORS)


def _require_plain(found: os.stat_result, path: str | bytes) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise InputError(f"this is {name}, not a file", where=os.fsdecode(path))


def read_plain(path: str) -> bytes:
    """The file's bytes. Raises NotFoundError, InputError for what `open_plain` refuses or cannot be read."""
    try:
        with open(open_plain(path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError("no such file", where=path) from None
    except IsADirectoryError:
        raise InputError("this is a folder, not a file", where=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from None


# --- writing


def write_whole(
    path: str, pieces: Iterable[bytes], *, mode: int = PRIVATE, exact: bool = False, durable: bool = True
) -> None:
    """Write a file complete or not at all. One that is there is replaced only by a complete one, and keeps its mode.

    `mode`: of a new file, less the umask; `exact`: of any, umask or not. A device or a fifo is written to, not
    replaced. Raises StoreUnavailableError where it cannot be written, InputError for a folder.
    """
    try:
        found = _status(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise InputError("this is a folder, not a file", where=path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            _pour(path, pieces)
            return
        if found is not None and not exact:
            mode, exact = stat.S_IMODE(found.st_mode), True
        partial = _write_partial(path, pieces, mode, exact=exact, durable=durable)
        try:
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
        if durable:
            sync_folder(os.path.dirname(path))
    except OSError as error:
        raise StoreUnavailableError(f"cannot be written: {error.strerror}", where=path) from None


def write_first(path: str, pieces: Iterable[bytes], *, mode: int = PRIVATE) -> None:
    """Write a new file, complete and durable or not at all. Raises FileExistsError where there is one, OSError."""
    partial = _write_partial(path, pieces, mode, exact=False, durable=True)
    try:
        os.link(partial, path)
    finally:
        os.unlink(partial)
    sync_folder(os.path.dirname(path))


def partial_name(path: str) -> str:
    """The path that a file is written at before it gets its name: in the same folder, guessed by nobody."""
    return os.path.join(os.path.dirname(path), f".notch-{os.urandom(8).hex()}.partial")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _write_partial(path: str, pieces: Iterable[bytes], mode: int, *, exact: bool, durable: bool) -> str:
    partial = partial_name(path)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            if exact:
                os.fchmod(descriptor, mode)
            for piece in pieces:
                file.write(piece)
            file.flush()
            if durable:
                os.fsync(descriptor)
    except BaseException:
        os.unlink(partial)
        raise
    return partial


def _pour(path: str, pieces: Iterable[bytes]) -> None:
    with open(os.open(path, os.O_WRONLY | _CLOEXEC | _NOCTTY), "wb") as file:
        for piece in pieces:
            file.write(piece)


# --- folders


def make_folder(path: str, mode: int = PRIVATE_FOLDER) -> None:
    """Make the folder and those above it that are missing, for this user alone and durably. Raises OSError."""
    missing = []
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, mode)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
        sync_folder(os.path.dirname(folder))


def sync_folder(folder: str) -> None:
    """Have the names in the folder survive a loss of power, as far as its file system can promise that."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder or os.curdir, os.O_RDONLY | _CLOEXEC)
    except PermissionError:  # a folder that may be written to and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != EINVAL:
            raise
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    """Have the file's bytes survive a loss of power. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | _CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
