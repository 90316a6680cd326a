"""What a plan's `environment` declares, as it is here: kept as values and compared as values."""

from __future__ import annotations

import os
import sys

from tallystick.inherited import child_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

VERSION_SECONDS = 20.0
VERSION_BYTES = 4_096


def observe_environment(
    variables: Sequence[str] = (),
    versions: Sequence[str] = (),
    *,
    platform: bool = False,
    cwd: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The values of what is declared, for a command with this environment; empty if nothing is declared.

    `variables`: name -> value, None where it is not set. `versions`: command -> what it prints (both streams,
    at most 4,096 bytes; its exit code where that is not 0). `platform`: operating system and machine.
    """
    found: dict[str, Any] = {}
    environ = child_environment(os.environ) if environ is None else environ
    if variables:
        found["variables"] = {name: environ.get(name) for name in variables}
    if versions:
        found["versions"] = {command: _printed(command, cwd, environ) for command in versions}
    if platform:
        found["platform"] = platform_name()
    return found


def platform_name() -> str:
    """The operating system and the machine, such as `Linux debian 12 x86_64`.

    The kernel's own version is left out: two machines of one image often differ in nothing else.
    """
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        return f"Windows {version.major}.{version.minor} {os.environ.get('PROCESSOR_ARCHITECTURE', '')}".rstrip()
    name = os.uname()
    release = " ".join(_distribution()) if name.sysname == "Linux" else name.release.partition(".")[0]
    return " ".join(filter(None, (name.sysname, release, name.machine)))


def _distribution() -> list[str]:
    """ID and VERSION_ID of os-release(5), as far as they are there."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                fields = dict(line.rstrip("\n").partition("=")[::2] for line in file)
        except OSError:
            continue
        return [value for name in ("ID", "VERSION_ID") if (value := fields.get(name, "").strip("\"'"))]
    return []


def _printed(command: str, cwd: str | None, environ: Mapping[str, str]) -> str:
    from tallystick.capture.process import run_process
    from tallystick.model.text import decode_text

    finished = run_process(
        command, timeout=VERSION_SECONDS, cwd=cwd, env=environ, stdin=None, stdout_fd=None, stderr_fd=None
    )
    text = decode_text(finished.output.kept()[:VERSION_BYTES]).strip()
    return text if finished.exit_code == 0 else f"{text} (exit code {finished.exit_code})".strip()
