"""Running a command so that the caller sees it as if he had run it himself, and everything of it is kept.

Where the caller's output is a terminal, the command gets a pseudo-terminal; else pipes. Exit codes are those
of shells: 128 + N for signal N, 124 for a time limit, 126 and 127 for what cannot be run.
"""

from __future__ import annotations

import os
import sys

from tallystick.capture.output import OutputRecorder
from tallystick.errors import InputError
from tallystick.inherited import child_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tallystick.capture.inbox import RunControl
    from tallystick.capture.output import OutputFilter
    from tallystick.capture.result import Finished


def require_command(argv: Sequence[str] | str) -> None:
    """Raises InputError where that cannot be a command."""
    if not argv or any("\0" in word for word in ([argv] if isinstance(argv, str) else argv)):
        raise InputError("a command needs a first word and cannot hold NUL")


def run_process(
    argv: Sequence[str] | str,
    *,
    timeout: float | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    on_output: Callable[[bytes], None] | None = None,
    kept_through: OutputFilter | None = None,
    stdin: int | None = 0,
    stdout_fd: int | None = 1,
    stderr_fd: int | None = 2,
    control: RunControl | None = None,
) -> Finished:
    """Runs a command to its end, passing its output on to `stdout_fd` and `stderr_fd` as it comes.

    A string runs by `/bin/sh -c`, a list as it is. `timeout` is in seconds: when it is over, the command's
    whole process group is ended. `cwd` defaults to ours, `env` to what of ours is a command's business
    (`child_environment`). `stdin` is handed to the command (None or
    closed: empty input); None for an output keeps it without passing it on.

    What is kept goes through `kept_through`, then to `on_output` and into `Finished.output`: the bytes that
    the command wrote, in the order of their arrival; under a pseudo-terminal, and where both outputs are the
    same file, that is the exact order.

    In the main thread, signals to us are passed on while the command runs, and it shares our terminal; in any
    other thread use `control`, and the command runs in a session of its own, where it cannot prompt.

    Where the command cannot be run, says so on `stderr_fd` in one line, which is kept, and returns 126 or
    127. Raises InputError for a command that is empty or holds NUL.
    """
    require_command(argv)
    recorder = OutputRecorder(on_output, kept_through)
    env = child_environment(os.environ) if env is None else env
    if sys.platform == "win32":
        from tallystick.capture.windows import run_on_windows as run
    else:
        from tallystick.capture.posix import run_on_posix as run
    finished = run(argv, recorder, timeout, cwd, env, (stdin, stdout_fd, stderr_fd), control)
    recorder.finish()
    return finished
