"""Bytes on their way from a command to the caller, without ever waiting for a slow reader."""

from __future__ import annotations

import errno
import os
import select
import stat

from tallystick.capture.terminal import NewlineRestorer, adds_carriage_returns

HIGH_WATER = 1 << 18
"""Bytes that may wait for the caller's reader before the command is made to wait too."""

_READ_SIZE = 1 << 16
# A pipe that polls as writable takes this much without blocking (POSIX, PIPE_BUF), even one that we must not
# make non-blocking, because it is not ours alone.
_SAFE_WRITE = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512


class Target:
    """One of the caller's own streams. What it does not take at once waits in `pending`.

    `error` is the first failure other than a reader that went away; after either, bytes are thrown away.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.pending = bytearray()
        self.error: OSError | None = None
        self._broken = False
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            self._broken = True
            return
        self._never_blocks = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))

    def offer(self, data: bytes) -> None:
        """Passes bytes on, after those that wait."""
        if self._broken:
            return
        written = 0 if self.pending else self._write(data)
        if written < len(data):
            self.pending += memoryview(data)[written:]

    def flush(self) -> None:
        """Writes as much of what waits as the stream takes now."""
        with memoryview(self.pending) as waiting:
            written = self._write(waiting)
        del self.pending[:written]

    def abandon(self) -> None:
        """Gives up on whoever should read."""
        self._broken = True
        self.pending.clear()

    def _write(self, data: bytes | memoryview) -> int:
        if self._never_blocks:
            return self._write_once(data)
        written = 0
        with memoryview(data) as view:
            while written < len(view) and self._room.poll(0):
                count = self._write_once(view[written : written + _SAFE_WRITE])
                if not count:
                    break
                written += count
            return len(view) if self._broken else written

    def _write_once(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EBADF):
                self.error = self.error or error
            self._broken = True
            return len(data)


class Source:
    """One stream of the command, a pipe or the master of a pseudo-terminal, read without blocking."""

    def __init__(self, fd: int, target: Target | None, *, is_terminal: bool) -> None:
        self.fd = fd
        self.target = target
        self.is_open = True
        self._newlines = NewlineRestorer() if is_terminal else None
        os.set_blocking(fd, False)

    @property
    def must_wait(self) -> bool:
        """Whether the caller's reader is too far behind to read on."""
        return self.target is not None and len(self.target.pending) >= HIGH_WATER

    def read(self) -> bytes:
        """Reads what is there, passes it on, and returns it as the command wrote it."""
        try:
            data = os.read(self.fd, _READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: no program has the terminal open any more
            data = b""
        if not data:
            return self.close()
        if self.target is not None:
            self.target.offer(data)
        if self._newlines is not None:
            return self._newlines.feed(data, mapped=adds_carriage_returns(self.fd))
        return data

    def close(self) -> bytes:
        """Stops reading; the last bytes that were held back."""
        if not self.is_open:
            return b""
        self.is_open = False
        os.close(self.fd)
        return self._newlines.finish() if self._newlines is not None else b""


class Keyboard:
    """What is typed on the caller's terminal, on its way to the command's. Nothing is read ahead of need.

    It is open until one of the two terminals is gone.
    """

    def __init__(self, fd: int, master: int) -> None:
        self.fd = fd
        self.master = master
        self.pending = b""
        self.is_open = True

    def read(self) -> None:
        """Takes what was typed and passes it on."""
        try:
            self.pending = os.read(self.fd, 1024)
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""
        if self.pending:
            self.flush()
        else:
            self.is_open = False

    def flush(self) -> None:
        """Passes on what waits, as far as the command's terminal takes it."""
        try:
            self.pending = self.pending[os.write(self.master, self.pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.pending = b""
            self.is_open = False
