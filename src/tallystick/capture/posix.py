"""How a command's streams are laid out on POSIX systems, and its run from first to last.

Three arrangements:

- Our input and output are terminals: the command has a session of its own on a pseudo-terminal, ours is raw,
  and every key goes there (session.py).
- Our output is a terminal, our input is not: its output is a pseudo-terminal, which only looks like one; it
  shares our session and through it the real terminal, as a command in a shell's pipeline does.
- Our output is no terminal: pipes; one for both outputs where ours lead to the same place, so that their
  order is exact.
"""

from __future__ import annotations

import os
import time

from tallystick.capture.descriptors import is_open, pipe, same_file
from tallystick.capture.executable import CommandNotRunError
from tallystick.capture.inbox import Inbox
from tallystick.capture.relay import Keyboard, Source, Target
from tallystick.capture.result import Finished
from tallystick.capture.spawn import Child, Command, start
from tallystick.capture.supervisor import Desk, Supervisor
from tallystick.capture.terminal import CallerTerminal, ForegroundLoan, open_pty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.capture.inbox import RunControl
    from tallystick.capture.output import OutputRecorder

    Streams = tuple[int | None, int | None, int | None]


def run_on_posix(
    argv: Sequence[str] | str,
    recorder: OutputRecorder,
    timeout: float | None,
    cwd: str | None,
    env: Mapping[str, str],
    streams: Streams,
    control: RunControl | None,
) -> Finished:
    """`run_process`, see there."""
    started = time.monotonic()
    finished = Finished(recorder.output, started)
    inbox = Inbox()
    plumbing = _Plumbing(streams)
    try:
        command = Command(argv, env, cwd)
        child = plumbing.start(command, inbox.hears_signals)
        if control is not None:
            control.attach(inbox.post)
        supervisor = Supervisor(
            child, inbox, plumbing.desk, recorder.record, None if timeout is None else started + timeout
        )
        try:
            supervisor.run()
        except BaseException:
            supervisor.kill()
            raise
        finally:
            plumbing.restore()
            child.release()
            if control is not None:
                control.detach()
        _tell(finished, supervisor, plumbing.desk)
        finished.session = 0 if inbox.hears_signals else child.pid
    except CommandNotRunError as reason:
        finished.not_run(reason, recorder, streams[2])
    finally:
        plumbing.close()
        inbox.close()
    return finished


def _tell(finished: Finished, supervisor: Supervisor, desk: Desk) -> None:
    finished.timed_out = supervisor.timed_out
    finished.forwarded = supervisor.forwarded
    finished.duration_ms = round((supervisor.ended_at - finished.started_at_monotonic) * 1000)
    finished.ended_with(os.waitstatus_to_exitcode(supervisor.status or 0))
    finished.undelivered = next((target.error for target in desk.targets if target.error), None)


class _Plumbing:
    """The descriptors of one run. What the command gets is closed here once it has it."""

    def __init__(self, streams: Streams) -> None:
        stdin, stdout, stderr = streams
        self._stdin = stdin if stdin is not None and is_open(stdin) else -1
        self._stdout = stdout
        self._stderr = stderr
        self._ours: list[int] = []
        self._commands: list[int] = []
        self.desk = Desk([])

    def start(self, command: Command, hears_signals: bool) -> Child:
        """Lays the streams and starts the command. Raises CommandNotRunError."""
        on_screen = self._stdout is not None and os.isatty(self._stdout)
        typed = self._stdin >= 0 and os.isatty(self._stdin)
        try:
            if on_screen and typed and hears_signals:
                return self._start_in_session(command)
            return self._start_beside_us(command, on_screen, hears_signals)
        finally:
            for descriptor in self._commands:
                os.close(descriptor)
            self._commands.clear()

    def _start_in_session(self, command: Command) -> Child:
        from tallystick.capture.session import start_in_session

        assert self._stdout is not None
        try:
            master, slave = open_pty(self._stdin, self._stdout, plain_output=False)
        except OSError:  # no pseudo-terminals here, or none left
            return self._start_beside_us(command, False, True)
        self._commands.append(slave)
        stderr = self._stderr_end(slave)
        desk = self.desk
        desk.sources.append(Source(master, Target(self._stdout), is_terminal=True))
        desk.master, desk.screen = master, self._stdout
        desk.caller = CallerTerminal(self._stdin)
        typing_end = os.dup(master)
        self._ours.append(typing_end)
        desk.keyboard = Keyboard(self._stdin, typing_end)
        desk.caller.sync()
        try:
            return start_in_session(command, (slave, slave, stderr), os.ttyname(slave), desk.caller)
        except OSError as error:
            self.restore()
            raise command.not_run(error) from None
        except BaseException:
            self.restore()
            raise

    def _start_beside_us(self, command: Command, on_screen: bool, hears_signals: bool) -> Child:
        desk = self.desk
        target = None if self._stdout is None else Target(self._stdout)
        stdout = -1
        if on_screen:
            assert self._stdout is not None
            try:
                desk.master, stdout = open_pty(self._stdout, self._stdout, plain_output=True)
                desk.screen = self._stdout
                desk.sources.append(Source(desk.master, target, is_terminal=True))
            except OSError:
                pass
        if stdout < 0:
            read_end, stdout = pipe()
            desk.sources.append(Source(read_end, target, is_terminal=False))
        self._commands.append(stdout)
        stderr = self._stderr_end(stdout)
        if hears_signals:
            desk.loan = ForegroundLoan()
        return start(command, (self._stdin, stdout, stderr), own_session=not hears_signals)

    def _stderr_end(self, stdout: int) -> int:
        """The command's end for standard error: that of its output where ours lead to the same place."""
        if self._stderr is not None and self._stdout is not None and same_file(self._stdout, self._stderr):
            return stdout
        if self._stderr is None and self._stdout is None:
            return stdout
        read_end, write_end = pipe()
        self._commands.append(write_end)
        other = None if self._stderr is None else Target(self._stderr)
        self.desk.sources.append(Source(read_end, other, is_terminal=False))
        return write_end

    def restore(self) -> None:
        """Gives the caller's terminal back."""
        if self.desk.caller is not None:
            self.desk.caller.restore()

    def close(self) -> None:
        """Closes all that is still open."""
        for source in self.desk.sources:
            source.close()
        for descriptor in self._ours:
            os.close(descriptor)
        if self.desk.loan is not None:
            self.desk.loan.close()
