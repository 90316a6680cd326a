"""Scripts that run with mounts of their own, where this machine lets us: full disks, read-only and network ones."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_BECOME_NOBODY = """
import encodings.ascii, importlib, os, pkgutil
for floor in ("model", "proof", "stores"):
    for one in pkgutil.iter_modules(importlib.import_module(f"tallystick.{floor}").__path__):
        if "postgres" not in one.name:
            importlib.import_module(f"tallystick.{floor}.{one.name}")
import msgspec, tallystick.ledger, tallystick.verification
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
"""
"""Everything is imported first: the interpreter may lie where nobody else can read."""


@functools.cache
def _unshare() -> tuple[str, ...] | None:
    for command in (("unshare", "-m"), ("unshare", "-r", "-m")):
        try:
            done = subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0:
            return command
    return None


def run_mounted(mounts: str, script: str, *arguments: str | Path) -> str:
    """Run the shell lines `mounts`, then the Python `script`, with mounts that nobody else sees; what it printed.

    In both, `$1` and `sys.argv[1]` are the first argument. Skips the test where mounting is not allowed.
    """
    unshare = _unshare()
    if unshare is None:
        pytest.skip("mounting is not allowed here")
    python = f'exec {shlex.quote(sys.executable)} -c {shlex.quote(textwrap.dedent(script))} "$@"'
    shell = f"set -e\n{textwrap.dedent(mounts)}\n{python}"
    return _run([*unshare, "/bin/sh", "-c", shell, "sh", *map(str, arguments)])


def run_as_nobody(script: str, *arguments: str | Path) -> str:
    """Run the Python `script` as a user who may write nowhere; as the one who runs the tests, where not root."""
    return _run([sys.executable, "-c", _BECOME_NOBODY + textwrap.dedent(script), *map(str, arguments)])


def let_everybody_in(folder: Path) -> None:
    """Open the way to a folder that pytest made for the one who runs the tests alone."""
    for one in (folder, *folder.parents):
        if one.stat().st_uid == os.getuid() and not one.stat().st_mode & 0o005:
            one.chmod(one.stat().st_mode | 0o055)


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
