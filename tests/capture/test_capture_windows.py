"""What can be tested elsewhere of the part for Windows: it needs nothing that POSIX alone has."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tallystick.capture.output import OutputRecorder
from tallystick.capture.result import Finished
from tallystick.capture.windows import run_on_windows


def run(argv: Sequence[str] | str, *, timeout: float | None = None, streams: tuple[int, int] | None = None) -> Finished:
    stdout, stderr = streams or (None, None)
    return run_on_windows(argv, OutputRecorder(None, None), timeout, None, None, (None, stdout, stderr), None)


def test_output_is_passed_on_and_kept(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        code = "import os, time; os.write(1, b'out'); time.sleep(0.2); os.write(2, b'err'); raise SystemExit(3)"
        finished = run([sys.executable, "-c", code], streams=(out.fileno(), err.fileno()))
    assert (finished.exit_code, finished.signal, finished.output.kept()) == (3, None, b"outerr")
    assert (tmp_path / "out").read_bytes() == b"out"
    assert (tmp_path / "err").read_bytes() == b"err"


def test_a_time_limit_ends_it() -> None:
    begin = time.monotonic()
    finished = run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)
    assert (finished.exit_code, finished.timed_out) == (124, True)
    assert time.monotonic() - begin < 10


def test_what_cannot_be_run(tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as err:
        finished = run(["no-such-program"], streams=(err.fileno(), err.fileno()))
    assert (finished.exit_code, finished.spawned) == (127, False)
    assert (tmp_path / "err").read_bytes() == finished.output.kept() == b"notch: no-such-program: command not found\n"


@pytest.mark.skipif(os.name == "nt", reason="takes away what Windows lacks anyway")
def test_the_modules_import_without_posix() -> None:
    code = (
        "import sys, os, signal\n"
        "for name in ('fcntl', 'termios', 'tty', 'pty', 'resource', 'posix_ipc'): sys.modules[name] = None\n"
        "for name in ('posix_spawn', 'fork', 'killpg', 'tcgetpgrp', 'openpty', 'uname'): delattr(os, name)\n"
        "from tallystick.capture import executable, identity, inbox, output, process, result, windows\n"
        "sys.platform = 'win32'\n"
        "assert identity.this_process()['boot'] == ''\n"
        "finished = process.run_process([sys.executable, '-c', 'print(1)'], stdout_fd=None)\n"
        "assert (finished.exit_code, finished.output.kept()) == (0, b'1\\n')\n"
        "inbox.RunControl().terminate()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
