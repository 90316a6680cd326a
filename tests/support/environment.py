"""The environment that every test runs in: nothing of the person or the CI job that started it."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ORIGINAL = dict(os.environ)
"""The environment as pytest was started with it, for the few tests that need it (package caches)."""

REMOVED_PREFIXES = (
    "GIT_", "TALLYSTICK_", "XDG_", "PG",
    "CI_", "GITHUB_", "GITLAB_", "RUNNER_", "ACTIONS_",
    "CLAUDE", "CODEX_", "GEMINI_", "CURSOR_", "COPILOT_",
)  # fmt: skip
REMOVED = frozenset(
    (
        "CI", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS",
        "SSH_AUTH_SOCK", "SSH_AGENT_PID", "TRACEPARENT", "TZ", "PAGER", "EDITOR", "VISUAL", "PYTHONPATH",
    )
)  # fmt: skip
KEPT_PREFIX = "TALLYSTICK_TEST_"

GIT_CONFIG = """\
[user]
	name = Test Author
	email = author@example.org
[init]
	defaultBranch = main
[commit]
	gpgsign = false
[tag]
	gpgsign = false
[core]
	autocrlf = false
[gc]
	auto = 0
[maintenance]
	auto = false
[protocol "file"]
	allow = always
[advice]
	detachedHead = false
"""


def isolated(environment: Mapping[str, str], *, home: Path, git_config: Path) -> dict[str, str]:
    """`environment` without what could reach a test from outside, with `home` as HOME and git's identity set.

    `git_config` is the file to use as git's global configuration; it holds `GIT_CONFIG`.
    """
    kept = {name: value for name, value in environment.items() if not _reaches_in(name)}
    scripts = sysconfig.get_path("scripts")
    path = [scripts, *(p for p in kept.get("PATH", os.defpath).split(os.pathsep) if p != scripts)]
    return kept | {
        "HOME": str(home),
        "PATH": os.pathsep.join(path),
        "LC_ALL": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
        "GIT_CONFIG_GLOBAL": str(git_config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _reaches_in(name: str) -> bool:
    if name.startswith(KEPT_PREFIX):
        return False
    return name in REMOVED or name.startswith(REMOVED_PREFIXES)
