"""Everything that can wake a running capture from outside: signals to us, and requests of other threads.

Each is one byte in a pipe: the number of a signal, or TERMINATE. The interpreter itself writes the bytes of
signals (`signal.set_wakeup_fd`), so that the loop which reads them needs no handler that does anything.
"""

from __future__ import annotations

import _thread
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

TERMINATE = 0
"""The request to end the command with all its group, first politely."""


def _existing(*names: str) -> tuple[signal.Signals, ...]:
    """The signals of these names that this system has: Windows lacks most."""
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


ENDING_SIGNALS = frozenset(_existing("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"))
LISTENED = (*ENDING_SIGNALS, *_existing("SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGTSTP", "SIGCONT"))
_PASSED = frozenset((TERMINATE, *LISTENED))


class RunControl:
    """A handle on one run, for other threads than the one that runs it.

    Its methods may be called at any time: a request made before the run has begun is carried out once it
    has; after its end it does nothing.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._post: Callable[[int], None] | None = None
        self._early: list[int] = []

    def terminate(self) -> None:
        """Ends the command and its group: SIGTERM, and SIGKILL two seconds later or at a second call."""
        self.send_signal(TERMINATE)

    def send_signal(self, number: int) -> None:
        """Passes a signal on to the command's group, as if this process had received it.

        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT or SIGWINCH; others are ignored.
        """
        with self._lock:
            if self._post is None:
                self._early.append(number)
            else:
                self._post(number)

    def attach(self, post: Callable[[int], None]) -> None:
        """Called by the run when it begins: `post` takes each request."""
        with self._lock:
            self._post = post
            for number in self._early:
                post(number)

    def detach(self) -> None:
        """Called by the run when it has ended."""
        with self._lock:
            self._post = lambda _number: None


class Inbox:
    """The pipe, and where this is the main thread, the signals that go into it. Close it to undo both."""

    def __init__(self) -> None:
        self.fd, self._write_end = _nonblocking_pipe()
        self._previous: dict[int, Callable[[int, FrameType | None], object] | int] = {}
        self._previous_wakeup = -1
        self.hears_signals = self._listen()

    def _listen(self) -> bool:
        try:
            self._previous_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        except ValueError:  # not the main thread
            return False
        for number in LISTENED:
            previous = signal.getsignal(number)
            # What was ignored when we were started (nohup, a background job) stays so, for the command too.
            if previous is not None and previous != signal.SIG_IGN:
                self._previous[number] = previous
                signal.signal(number, _only_wake)
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            # The system would throw away how the command ended.
            self._previous[signal.SIGCHLD] = signal.SIG_IGN
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return True

    def post(self, number: int) -> None:
        """Puts a byte in; safe from any thread."""
        os.write(self._write_end, bytes((number,)))

    def take(self) -> bytes:
        """The requests that have come in since the last call, oldest first; does not wait.

        Signals that others listen to come through the same pipe, and are left to them.
        """
        try:
            return bytes(number for number in os.read(self.fd, 4096) if number in _PASSED)
        except BlockingIOError:
            return b""

    def stop_this_job(self) -> None:
        """Stops our whole process group as the terminal's suspend key would; returns when it goes on.

        Returns at once where nobody could make it go on: the system refuses to stop an orphaned group.
        """
        if signal.SIGTSTP not in self._previous:
            return
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.kill(0, signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, _only_wake)

    def close(self) -> None:
        """Gives signals back to who had them."""
        if self.hears_signals:
            for number, previous in self._previous.items():
                signal.signal(number, previous)
            signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self.fd)
        os.close(self._write_end)


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    pass


def _nonblocking_pipe() -> tuple[int, int]:
    from tallystick.capture.descriptors import pipe

    ends = pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends
