"""File descriptors that never collide with standard input, output and error, and that no command inherits."""

from __future__ import annotations

import fcntl
import os


def pipe() -> tuple[int, int]:
    """`(read end, write end)`, closed on exec, both above 2 even where a standard stream is closed."""
    read_end, write_end = os.pipe()
    return above_standard(read_end), above_standard(write_end)


def above_standard(descriptor: int) -> int:
    """The same open file under a number above 2; the descriptor given is closed if it was not."""
    if descriptor > 2:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return moved


def is_open(descriptor: int) -> bool:
    """Whether the number stands for an open file."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def same_file(first: int, second: int) -> bool:
    """Whether both descriptors lead to the same file, pipe or device."""
    try:
        return os.path.sameopenfile(first, second)
    except OSError:
        return False


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`, waiting as long as it takes; raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]
