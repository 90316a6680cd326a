"""Running a command where there is neither a pseudo-terminal nor a process group to signal. Untested on Windows.

Pipes, a thread for each, and `taskkill` for the whole tree when the time is up. Ctrl-C reaches the command from
the console itself.
"""

from __future__ import annotations

import _thread
import os
import time

from tallystick.capture.executable import CommandNotRunError
from tallystick.capture.result import Finished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import Popen
    from typing import IO

    from tallystick.capture.inbox import RunControl
    from tallystick.capture.output import OutputRecorder

GRACE = 2.0
_READ_SIZE = 1 << 16


def run_on_windows(
    argv: Sequence[str] | str,
    recorder: OutputRecorder,
    timeout: float | None,
    cwd: str | None,
    env: Mapping[str, str] | None,
    streams: tuple[int | None, int | None, int | None],
    control: RunControl | None,
) -> Finished:
    """`run_process`, see there."""
    finished = Finished(recorder.output, time.monotonic())
    stdin, stdout, stderr = streams
    try:
        process = _start(argv, cwd, env, stdin)
    except CommandNotRunError as reason:
        finished.not_run(reason, recorder, stderr)
        return finished
    if control is not None:
        control.attach(lambda _number: _end_tree(process))
    assert process.stdout
    assert process.stderr
    turn = _thread.allocate_lock()
    pumps = [
        _Pump(process.stdout, stdout, recorder, turn),
        _Pump(process.stderr, stderr, recorder, turn),
    ]
    _wait(process, finished, timeout)
    for pump in pumps:
        pump.wait(GRACE)
    if control is not None:
        control.detach()
    finished.duration_ms = round((time.monotonic() - finished.started_at_monotonic) * 1000)
    finished.ended_with(process.returncode)
    return finished


def _start(
    argv: Sequence[str] | str, cwd: str | None, env: Mapping[str, str] | None, stdin: int | None
) -> Popen[bytes]:
    import shutil
    import subprocess

    words = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
    path = shutil.which(words[0], path=(os.environ if env is None else env).get("PATH"))
    if path is None:
        raise CommandNotRunError(words[0], "command not found", 127)
    try:
        return subprocess.Popen(
            words,
            executable=path,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    except OSError as error:
        raise CommandNotRunError(words[0], error.strerror or "cannot be run", 126) from None


def _wait(process: Popen[bytes], finished: Finished, timeout: float | None) -> None:
    import subprocess

    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        finished.timed_out = True
        _end_tree(process)
        process.wait()


def _end_tree(process: Popen[bytes]) -> None:
    import subprocess

    try:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True)
    except OSError:
        process.kill()


class _Pump:
    """Reads one stream of the command in a thread of its own: passes it on, and records it."""

    def __init__(self, stream: IO[bytes], target: int | None, recorder: OutputRecorder, turn: _thread.LockType) -> None:
        self._stream = stream
        self._target = target
        self._recorder = recorder
        self._turn = turn
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            while data := os.read(self._stream.fileno(), _READ_SIZE):
                with self._turn:
                    self._recorder.record(data)
                self._pass_on(data)
        finally:
            self._done.release()

    def _pass_on(self, data: bytes) -> None:
        try:
            while self._target is not None and data:
                data = data[os.write(self._target, data) :]
        except OSError:
            self._target = None

    def wait(self, seconds: float) -> None:
        """Waits for the stream's end, and not longer for one that something in the background holds."""
        self._done.acquire(timeout=seconds)
