"""Which version commands of a plan are run while judging: none that the branch in front could have brought."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.plan import Plan

_WORD = re.compile(r"[^\s;&|()<>`$\"'={}\[\],]+")
_SIMPLE_COMMANDS = re.compile(r"[;&|\n()`]|\$\(")
_REDIRECTION = re.compile(r"\d*[<>]")
_TASK_RUNNERS = frozenset(
    (
        "bazel", "bun", "bundle", "cargo", "composer", "deno", "doit", "gmake", "gradle", "gradlew", "hatch", "invoke",
        "just", "make", "mvn", "mvnw", "nix", "nox", "npm", "npx", "pdm", "pipenv", "pnpm", "poetry", "rake", "sbt",
        "task", "tox", "uv", "uvx", "yarn",
    )
)  # fmt: skip
"""Programs that run what a file in the work tree says, unless they are only asked for their own version."""


class VersionCommands:
    """The version commands that may be run while judging."""

    def __init__(self, base: Plan | None, root: str, *, all_of_them: bool = False) -> None:
        """`base`: the plan on the base. `root`: the top of the work tree. `all_of_them`: run every one."""
        self._all = all_of_them
        self._root = root
        self._known: set[str] = set()
        if base is not None and not all_of_them:
            tasks = (task.criteria for task in base.tasks.values())
            for criteria in (base.criteria, *tasks):
                self._known.update(command for one in criteria.values() for command in one.environment.versions)

    def may_run(self, command: str) -> bool:
        """Whether the base's plan has the command, and nothing in it is a file of the work tree or runs one."""
        if self._all:
            return True
        return command in self._known and not self._names_a_file(command) and not _runs_a_task(command)

    def _names_a_file(self, command: str) -> bool:
        words = (word for word in _WORD.findall(command) if not word.startswith("-"))
        places = (os.path.normpath(os.path.join(self._root, word)) for word in words)
        return any(place.startswith(self._root + os.sep) and os.path.lexists(place) for place in places)


def _runs_a_task(command: str) -> bool:
    for simple in _SIMPLE_COMMANDS.split(command):
        words = [word for word in simple.split() if "=" not in word.split("/", 1)[0]]
        if words and os.path.basename(words[0]) in _TASK_RUNNERS:
            asked = [word for word in words[1:] if not word.startswith("-")]
            if any(not _REDIRECTION.match(word) for word in asked):
                return True
    return False
