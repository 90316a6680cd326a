"""Which version commands of a plan are run while judging: none that could run what the branch in front brought."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.plan import Plan
    from tallystick.workspace import Snapshot

_SHELL = frozenset("$`;&()<>*?[]{}~!\\\n")
_ASKS = frozenset(("--version", "-version", "-V", "-VV", "-v"))
_DETAIL = re.compile(r"--(all|client|json|long|raw|short|verbose)")
_VERSION_IS_A_SUBCOMMAND = frozenset(("docker", "git", "go", "helm", "kubectl", "openssl", "podman", "zig"))
_PRINTING = frozenset(("cat", "cut", "echo", "grep", "head", "id", "sort", "tail", "tr", "uname", "uniq", "wc"))
"""Programs that run nothing, whatever their arguments are."""
_LED_BY_THE_TREE = frozenset(
    (
        "ant", "asdf", "bazel", "bazelisk", "bun", "bundle", "cargo", "composer", "conda", "deno", "direnv", "doit",
        "dotnet", "gradle", "gradlew", "hatch", "invoke", "just", "mise", "mvn", "mvnw", "nix", "nox", "npm",
        "npx", "pdm", "pipenv", "pixi", "pnpm", "poetry", "rake", "rustc", "rustup", "rye", "sbt", "task", "tox",
        "uv", "uvx", "yarn",
    )
)  # fmt: skip
"""Programs that read the work tree even if they are only asked for their version, and may run what it says."""


class VersionCommands:
    """The version commands that may be run while judging."""

    def __init__(self, base: Plan | None, snapshot: Snapshot, *, all_of_them: bool = False) -> None:
        """`base`: the plan on the base. `snapshot`: the content in front. `all_of_them`: run every one."""
        self._all = all_of_them
        self._snapshot = snapshot
        self._known: set[str] = set()
        if base is not None and not all_of_them:
            tasks = (task.criteria for task in base.tasks.values())
            for criteria in (base.criteria, *tasks):
                self._known.update(command for one in criteria.values() for command in one.environment.versions)

    def may_run(self, command: str) -> bool:
        """Whether the base's plan has the command, and it only asks programs outside the tree for their versions."""
        if self._all:
            return True
        plain = command.replace("2>&1", "")
        if command not in self._known or _SHELL.intersection(plain):
            return False
        return all(self._only_asks(simple.split()) for simple in plain.split("|"))

    def _only_asks(self, words: list[str]) -> bool:
        if not words or any(map(self._is_of_the_tree, words)):
            return False
        program, *arguments = words
        if program in _PRINTING:
            return True
        return (
            "/" not in program
            and "=" not in program
            and program not in _LED_BY_THE_TREE
            and not self._is_content(_found_in_path(program))
            and _ask_for_the_version(program, arguments)
        )

    def _is_of_the_tree(self, word: str) -> bool:
        """Whether the word names something in the work tree."""
        root = self._snapshot.root
        place = os.path.normpath(os.path.join(root, word.strip("\"'")))
        return place.startswith(root + os.sep) and os.path.lexists(place)

    def _is_content(self, place: str) -> bool:
        """Whether a file is one that a commit can bring."""
        root = self._snapshot.root + os.sep
        return any(
            name.startswith(root) and bool(self._snapshot.blob(name.removeprefix(root)))
            for name in (place, os.path.realpath(place))
        )


def _ask_for_the_version(program: str, arguments: list[str]) -> bool:
    asks = _ASKS | {"version"} if program in _VERSION_IS_A_SUBCOMMAND else _ASKS
    others = [argument for argument in arguments if argument not in asks]
    return len(others) < len(arguments) and all(map(_DETAIL.fullmatch, others))


def _found_in_path(program: str) -> str:
    """Where the shell finds the program; empty if it does not."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        place = os.path.join(os.path.abspath(folder), program)
        if os.access(place, os.X_OK) and not os.path.isdir(place):
            return place
    return ""
