"""`notch` called in this process: what it decides and prints, without the start of a process for each call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from typing import Any
from unittest import mock

from support.command import Notch
from tallystick.cli import main

READING = frozenset({"gate", "why", "status", "log", "show", "plan", "handoff"})
"""Commands that only read, or remember what they read."""


class ReadingInside(Notch):
    """Runs `notch`: what reads in this process, the rest in processes of their own."""

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        input: str | bytes | None = None,
        check: bool = True,
        code: int = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> CompletedProcess[str]:
        """See `Notch`."""
        if input is not None or args[0] not in READING:
            return super().__call__(*args, cwd=cwd, input=input, check=check, code=code, env=env, timeout=timeout)
        done = call_inside(cwd or self.cwd, *map(str, args), env=env)
        said = f"notch {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == code, f"expected exit {code}; {said}"
        return done


def call_inside(cwd: Path, *args: str, env: Mapping[str, str | None] | None = None) -> CompletedProcess[str]:
    """The exit code of `notch ARGS` in that folder, and what it printed. A value of None is unset."""
    before = os.getcwd()
    wanted = {name: value for name, value in (env or {}).items() if value is not None}
    with mock.patch.dict(os.environ, wanted), TemporaryFile() as out, TemporaryFile() as err:
        for name in set(env or {}) - set(wanted):
            os.environ.pop(name, None)
        os.chdir(cwd)
        try:
            with _redirected(1, out.fileno()), _redirected(2, err.fileno()):
                code = main(list(args))
        finally:
            os.chdir(before)
        printed = [_read(file.fileno()) for file in (out, err)]
    assert "Traceback" not in printed[1], printed[1]
    return CompletedProcess(args, code, *printed)


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 20, 0).decode()


@contextmanager
def _redirected(number: int, target: int) -> Iterator[None]:
    """Descriptor and Python stream of that number (1, 2) lead to `target` meanwhile."""
    stream = sys.stdout if number == 1 else sys.stderr
    stream.flush()
    kept = os.dup(number)
    os.dup2(target, number)
    redirect: Any = redirect_stdout if number == 1 else redirect_stderr
    try:
        with open(number, "w", encoding="utf-8", closefd=False) as file, redirect(file):
            yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
