"""Starting a command as a child of this process, and hearing how it fares."""

from __future__ import annotations

import _thread
import errno
import os
import signal

from tallystick.capture.descriptors import pipe
from tallystick.capture.executable import SHELL, CommandNotRunError, find_executable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What Python ignores for itself, what shells ignore for background jobs, and what would lose exit codes.
RESET_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD)

_STATUS_SIZE = 4


class Command:
    """What is to be run: the file, its arguments, environment and directory (None: the current one)."""

    __slots__ = ("argv", "cwd", "env", "path")

    def __init__(self, argv: Sequence[str] | str, env: Mapping[str, str], cwd: str | None) -> None:
        """Raises CommandNotRunError where no shell could run it."""
        self.argv = [SHELL, "-c", argv] if isinstance(argv, str) else list(argv)
        self.env = env
        self.cwd = None if cwd is None or _is_current(cwd) else cwd
        self.path = find_executable(self.argv[0], env=self.env, cwd=self.cwd)
        if self.cwd is not None:
            self.path = os.path.abspath(self.path)

    def by_shell(self) -> Command:
        """The same file as a script of the shell, as execvp and shells run one without #!."""
        other = Command.__new__(Command)
        other.argv = [SHELL, self.path, *self.argv[1:]]
        other.env, other.cwd, other.path = self.env, self.cwd, SHELL
        return other

    def not_run(self, error: OSError) -> CommandNotRunError:
        """`error` of an exec as a shell would put it: the file is there, so the code is 126."""
        if error.errno == errno.ENOENT:
            return CommandNotRunError(self.argv[0], "bad interpreter: No such file or directory", 126)
        return CommandNotRunError(self.argv[0], os.strerror(error.errno or 0), 126)


def _is_current(cwd: str) -> bool:
    try:
        return os.path.samefile(cwd, ".")
    except OSError:
        return False


class Child:
    """A command that was started. `pid` is its process and its process group.

    `changes` is readable when it stopped or ended; `take_changes` then gives the wait statuses. `release`
    frees what was held for it, once it has ended.
    """

    def __init__(self, pid: int, changes: int, release: Callable[[], None] | None = None) -> None:
        self.pid = pid
        self.changes = changes
        self._release = release

    def take_changes(self) -> list[int]:
        """Wait statuses, in order (see `os.WIFSTOPPED` and its like); waits for the first one."""
        data = os.read(self.changes, 64 * _STATUS_SIZE)
        if not data:  # whoever waited for the command is gone, and the command's end with it
            return [signal.SIGKILL]
        return [read_status(data[at : at + _STATUS_SIZE]) for at in range(0, len(data), _STATUS_SIZE)]

    def release(self) -> None:
        """Frees descriptors and helpers."""
        os.close(self.changes)
        if self._release is not None:
            self._release()


def write_status(descriptor: int, status: int) -> None:
    """Sends a wait status (or a process id) through a pipe, in one piece."""
    os.write(descriptor, status.to_bytes(_STATUS_SIZE, "big"))


def read_status(data: bytes) -> int:
    """What `write_status` sent."""
    return int.from_bytes(data, "big")


def start(command: Command, stdio: tuple[int, int, int], *, own_session: bool) -> Child:
    """Starts `command` with `stdio` as its standard streams (descriptors; -1: empty input).

    It leads a process group of its own: in our session, so that it can still ask on the terminal, or in a new
    session, where it cannot. Raises CommandNotRunError where the system refuses to execute the file.
    """
    try:
        pid = _start(command, stdio, own_session)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise command.not_run(error) from None
        pid = _start(command.by_shell(), stdio, own_session)
    read_end, write_end = pipe()
    _thread.start_new_thread(_wait_for, (pid, write_end))
    return Child(pid, read_end)


def _wait_for(pid: int, write_end: int) -> None:
    """Reports each change of a child until it has ended. A thread, since waiting works in no other way that
    is told of stops, needs no signal and is the same on every system."""
    try:
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            write_status(write_end, status)
            if not os.WIFSTOPPED(status):
                break
    except ChildProcessError:
        pass
    finally:
        os.close(write_end)


def _start(command: Command, stdio: tuple[int, int, int], own_session: bool) -> int:
    if command.cwd is None and hasattr(os, "posix_spawn"):
        try:
            return _posix_spawn(command, stdio, own_session)
        except NotImplementedError:
            pass
    return _popen(command, stdio, own_session)


def _posix_spawn(command: Command, stdio: tuple[int, int, int], own_session: bool) -> int:
    stdin, stdout, stderr = stdio
    first = (os.POSIX_SPAWN_DUP2, stdin, 0) if stdin >= 0 else (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions = [first, (os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    if own_session:
        return os.posix_spawn(
            command.path,
            command.argv,
            command.env,
            file_actions=actions,
            setsid=True,
            setsigdef=RESET_SIGNALS,
        )
    return os.posix_spawn(
        command.path, command.argv, command.env, file_actions=actions, setpgroup=0, setsigdef=RESET_SIGNALS
    )


def _popen(command: Command, stdio: tuple[int, int, int], own_session: bool) -> int:
    import subprocess

    stdin, stdout, stderr = stdio
    process = subprocess.Popen(
        command.argv,
        executable=command.path,
        env=command.env,
        cwd=command.cwd,
        stdin=stdin if stdin >= 0 else subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        close_fds=False,
        start_new_session=own_session,
        process_group=None if own_session else 0,
    )
    # Ours to wait for, so that Popen must not: it would call the running command a leak.
    process.returncode = 0
    return process.pid
