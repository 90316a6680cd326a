"""The real `notch`, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def notch_argv(*args: str | Path) -> list[str]:
    """The command line that runs `notch ARGS`: the installed script, else `python -m tallystick`."""
    script = Path(sysconfig.get_path("scripts")) / ("notch.exe" if os.name == "nt" else "notch")
    start = [str(script)] if script.exists() else [sys.executable, "-m", "tallystick"]
    return [*start, *map(str, args)]


class Notch:
    """Runs `notch` and looks at how it ended. Standard input is empty unless `input` is given."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        input: str | bytes | None = None,
        check: bool = True,
        code: int = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run `notch ARGS` in `cwd`; output is decoded as UTF-8.

        Raises AssertionError with all that was printed where the exit code is not `code`, unless `check` is
        false; a traceback on standard error is never right and raises in any case. A value of `env` is added
        to the environment.
        """
        done = subprocess.run(
            notch_argv(*args),
            cwd=cwd or self.cwd,
            env={**os.environ, **(env or {})},
            input=input.encode() if isinstance(input, str) else input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout,
        )
        stdout, stderr = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        said = f"notch {' '.join(map(str, args))}: exit {done.returncode}\n{stdout}{stderr}"
        if "Traceback (most recent call last)" in stderr:
            raise AssertionError(said)
        if check and done.returncode != code:
            raise AssertionError(f"expected exit {code}; {said}")
        return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)

    def json(self, *args: str | Path, cwd: Path | None = None, code: int = 0) -> Any:
        """What `notch ARGS --json` printed, decoded."""
        return json.loads(self(*args, "--json", cwd=cwd, code=code).stdout)
