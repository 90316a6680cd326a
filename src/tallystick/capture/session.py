"""A command with a terminal of its own: a session whose leader is a small process of ours.

The kernel treats the leader's group unlike any other: when the leader exits, everything in the foreground is
hung up, and a group whose parent is outside the session cannot be suspended from the keyboard. So the command
does not lead the session. The leader waits for it, reports, takes the terminal back so that what the command
left running in the background lives on, and should we be killed, gives the caller's terminal back its modes.
"""

from __future__ import annotations

import errno
import os
import signal

from tallystick.capture.descriptors import pipe
from tallystick.capture.inbox import LISTENED
from tallystick.capture.spawn import (
    RESET_SIGNALS,
    Child,
    Command,
    read_status,
    write_status,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from tallystick.capture.terminal import CallerTerminal

_LEADER_IGNORES = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
_COMMAND_RESETS = (
    *RESET_SIGNALS,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
    signal.SIGTSTP,
)


class _Pipes:
    """`changes`: statuses from the leader. `hold`: its end sends the leader off. `failure`: errno of exec."""

    def __init__(self) -> None:
        self.changes_read, self.changes_write = pipe()
        self.hold_read, self.hold_write = pipe()
        self.failure_read, self.failure_write = pipe()

    def close_leaders_ends(self) -> None:
        for end in (self.changes_write, self.hold_read, self.failure_write):
            os.close(end)


def start_in_session(command: Command, stdio: tuple[int, int, int], tty_path: str, caller: CallerTerminal) -> Child:
    """Starts `command` in the foreground of a new session with the terminal `tty_path`.

    Only for the main thread: it forks. Raises OSError with the errno of exec where that fails.
    """
    pipes = _Pipes()
    ignored = {number for number in _COMMAND_RESETS if signal.getsignal(number) == signal.SIG_IGN}
    ignored -= set(RESET_SIGNALS)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, LISTENED)
    try:
        leader = os.fork()
        if leader == 0:
            _lead(pipes, command, stdio, tty_path, caller, ignored)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    pipes.close_leaders_ends()

    def release() -> None:
        os.close(pipes.hold_write)
        os.waitpid(leader, 0)

    pid = os.read(pipes.changes_read, 4)
    failure = os.read(pipes.failure_read, 4)
    os.close(pipes.failure_read)
    child = Child(read_status(pid), pipes.changes_read, release)
    if failure or not pid:
        child.release()
        number = read_status(failure) if failure else errno.EAGAIN
        raise OSError(number, os.strerror(number))
    return child


def _lead(
    pipes: _Pipes,
    command: Command,
    stdio: tuple[int, int, int],
    tty_path: str,
    caller: CallerTerminal,
    ignored: set[signal.Signals],
) -> NoReturn:
    """The leader's whole life. It runs nothing of the caller's, and leaves without Python's clean-up."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _LEADER_IGNORES:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        tty = _open_controlling(tty_path)
        pid = os.fork()
        if pid == 0:
            _become(command, stdio, tty, pipes.failure_write, ignored)
        signal.signal(signal.SIGHUP, lambda _number, _frame: _hang_up(pid, caller))
        write_status(pipes.changes_write, pid)
        _close_all_but((pipes.changes_write, pipes.hold_read, tty, caller.fd))
        status = _report_stops(pid, pipes.changes_write)
        os.tcsetpgrp(tty, os.getpgrp())
        os.close(tty)
        write_status(pipes.changes_write, status)
        os.read(pipes.hold_read, 1)
        code = 0
    finally:
        os._exit(code)


def _hang_up(group: int, caller: CallerTerminal) -> None:
    """The other end of the command's terminal is gone, and we with it: what a shell does when that happens."""
    caller.restore_if_left_raw()
    for number in (signal.SIGHUP, signal.SIGCONT):
        os.killpg(group, number)
    os._exit(1)


def _report_stops(pid: int, changes: int) -> int:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        write_status(changes, status)


def _become(
    command: Command,
    stdio: tuple[int, int, int],
    tty: int,
    failure: int,
    ignored: set[signal.Signals],
) -> NoReturn:
    """Turns this process into the command, in the foreground from its first instruction."""
    try:
        os.setpgid(0, 0)
        os.tcsetpgrp(tty, os.getpid())
        for number in (*_LEADER_IGNORES, *_COMMAND_RESETS):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
        for standard, descriptor in enumerate(stdio):
            os.dup2(descriptor, standard)
        if command.cwd is not None:
            os.chdir(command.cwd)
        _exec(command)
    except OSError as error:
        write_status(failure, error.errno or 0)
    finally:
        os._exit(127)


def _exec(command: Command) -> None:
    try:
        os.execve(command.path, command.argv, command.env)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    by_shell = command.by_shell()
    os.execve(by_shell.path, by_shell.argv, by_shell.env)


def _open_controlling(tty_path: str) -> int:
    """Opens a terminal as this session's; Linux does so on opening, BSD systems on request."""
    import fcntl
    import termios

    tty = os.open(tty_path, os.O_RDWR)
    fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
    return tty


def _close_all_but(kept: tuple[int, ...]) -> None:
    """Lets go of what belongs to others: a held lock or a pipe must not outlive its owner in here."""
    low = 0
    for descriptor in sorted(kept):
        if low < descriptor:  # an empty range from 0 would close everything
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
