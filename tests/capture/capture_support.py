"""What the tests of running commands share: the driver program, and somebody who sits at a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DRIVER = Path(__file__).with_name("capture_driver.py")
PATIENCE = 20.0  # seconds until a test gives up on something that should take a moment


def driver_argv(result: Path, argv: Sequence[str] | str, **options: Any) -> list[str]:
    """The command line that runs `argv` through `run_process` and leaves how it went in `result`."""
    spec = json.dumps({"argv": argv, **options})
    return [sys.executable, str(DRIVER), str(result), spec]


def told(result: Path) -> SimpleNamespace:
    """How the command ended, as the driver wrote it down."""
    wait_until(result.exists, f"{result} was not written")
    return SimpleNamespace(**json.loads(result.read_text()))


def wait_until(condition: Callable[[], bool], otherwise: str = "it did not come to pass") -> None:
    """Returns once `condition` holds; raises AssertionError where it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)


def quickest(took: Callable[[], float], *, below: float) -> bool:
    """Whether something took less than so many seconds in one of five tries: a machine may be busy, not always."""
    return any(took() < below for _ in range(5))


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


class Typist:
    """Somebody at a terminal of 24 by 80 (or as given), whose session's leader is `argv`.

    `redirect` maps a standard descriptor of the program to a file to open (its path and flags), or to an open
    descriptor.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        redirect: dict[int, int | tuple[Path, int]] | None = None,
        size: tuple[int, int] = (24, 80),
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.pid, self.fd = os.forkpty()
        if self.pid == 0:
            try:
                os.closerange(3, 1024)
                termios.tcsetwinsize(0, size)
                for standard, file in (redirect or {}).items():
                    os.dup2(file if isinstance(file, int) else os.open(file[0], file[1], 0o600), standard)
                if cwd:
                    os.chdir(cwd)
                os.execve(argv[0], list(argv), {**os.environ, **(env or {})})
            finally:
                os._exit(99)
        self.seen = b""
        self._from = 0

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)

    def type(self, keys: bytes) -> None:
        """Types; returns when the terminal has taken it all."""
        while keys:
            _, writable, _ = select.select([], [self.fd], [], PATIENCE)
            assert writable, f"the terminal takes no more: {self.seen[-500:]!r}"
            keys = keys[os.write(self.fd, keys[:512]) :]
            self._look(0)

    def expect(self, text: bytes) -> None:
        """Returns when `text` has been shown after what was expected last."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.seen.find(text, self._from)) < 0:
            assert time.monotonic() < deadline, f"{text!r} was not shown after {self.seen[self._from :]!r}"
            assert self._look(0.1), f"the program ended without {text!r}; shown: {self.seen!r}"
        self._from = at + len(text)

    def _look(self, patience: float) -> bool:
        """Takes what is shown within `patience` seconds; False once nothing can be shown any more."""
        readable, _, _ = select.select([self.fd], [], [], patience)
        if not readable:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def watch(self, seconds: float) -> None:
        """Looks on for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._look(0.02):
            pass

    def wait(self) -> int:
        """The program's exit code (minus the signal's number), after looking on to its end."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                while select.select([self.fd], [], [], 0)[0] and self._look(0):
                    pass
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"it goes on and on; shown: {self.seen!r}"
            if not self._look(0.02):
                time.sleep(0.01)

    def kill(self, number: int) -> None:
        """Sends the program a signal."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Closes the terminal's window."""
        os.close(self.fd)
        self.fd = -1

    def resize(self, rows: int, columns: int) -> None:
        """Gives the window another size."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """The terminal's modes now: input, output, control and local flags (termios(3))."""
        return termios.tcgetattr(self.fd)[:4]

    @property
    def is_cooked(self) -> bool:
        """Whether the terminal echoes, edits lines and makes signals of keys, as it does for a shell."""
        wanted = termios.ECHO | termios.ICANON | termios.ISIG
        return self.modes()[3] & wanted == wanted
