"""A folder of a project as detection sees it: what is in it, and what its files say, however broken they are."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

READ_LIMIT = 1024 * 1024
"""How much of a file is looked at, in bytes."""

DEPTH = 2
"""How many levels below the root projects are looked for."""

_INSTALLED = frozenset(("node_modules", "vendor", "venv", "target"))
"""Folders of what was installed or built: no member of a workspace lies there."""
_SKIPPED = _INSTALLED | frozenset(
    (
        "third_party", "env", "dist", "build", "out", "docs", "doc", "examples", "fixtures", "testdata", "tests",
        "test",
    )
)  # fmt: skip


class ProjectFolder:
    """A folder and the names in it. What cannot be read is as if it were not there."""

    __slots__ = ("files", "folders", "path", "prefix")

    def __init__(self, path: str, prefix: str = "") -> None:
        self.path = path
        self.prefix = prefix
        """The way from the root of the work tree, with `/`; empty for the root itself."""
        self.files: list[str] = []
        self.folders: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        self.folders.append(entry.name)
                    elif entry.is_file():
                        self.files.append(entry.name)
        except OSError:
            pass

    def has(self, *names: str) -> list[str]:
        """Those of the names that are files here, in the order given."""
        return [name for name in names if name in self.files]

    def with_ending(self, *endings: str) -> list[str]:
        """Those of the endings that a file here has."""
        return [ending for ending in endings if any(name.endswith(ending) for name in self.files)]

    def text(self, name: str) -> str:
        """What a file holds; empty where it is not there."""
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read(READ_LIMIT).decode("utf-8", "replace")
        except OSError:
            return ""

    def toml(self, name: str) -> dict[str, Any]:
        """A TOML file's tables; none where it is not there or not TOML."""
        import tomllib

        try:
            return tomllib.loads(self.text(name))
        except (ValueError, RecursionError):
            return {}

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file's object; empty where it is not there or no object."""
        import json

        try:
            found = json.loads(self.text(name) or "{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def below(self, name: str) -> ProjectFolder:
        """One of its folders."""
        prefix = f"{self.prefix}/{name}" if self.prefix else name
        return ProjectFolder(os.path.join(self.path, name), prefix)

    def projects_below(self, depth: int = DEPTH) -> Iterator[ProjectFolder]:
        """Folders in which a project of its own may lie, parents first. None of another repository's, or ignored."""
        for inner in self.inner_folders(_SKIPPED):
            yield inner
            if depth > 1:
                yield from inner.projects_below(depth - 1)

    def inner_folders(self, skipped: frozenset[str] = _INSTALLED) -> Iterator[ProjectFolder]:
        """Its folders, without those of another repository, those that it has git ignore, and the `skipped`."""
        ignored = {line.strip().strip("/") for line in self.text(".gitignore").splitlines()}
        for name in self.folders:
            if name in skipped or name in ignored or not _plain(name):
                continue
            inner = self.below(name)
            if ".git" not in (*inner.files, *inner.folders):
                yield inner

    def pattern(self, pattern: str) -> str:
        """A pattern that is written from this folder, from the root of the work tree."""
        escaped = re.sub(r"([*?\\[])", r"\\\1", self.prefix)
        return f"{escaped}/{pattern}" if self.prefix else pattern

    def command(self, command: str) -> str:
        """A shell command that is written from this folder, from the root of the work tree."""
        import shlex

        return f"cd {shlex.quote(self.prefix)} && {command}" if self.prefix else command


def _plain(name: str) -> bool:
    """Whether a folder of that name can stand at the start of a pattern."""
    return name[0] not in ".!~-" and ":" not in name and name.isprintable() and name == name.strip()


def table(value: Any, *names: str) -> dict[str, Any]:
    """The table at a path of keys; empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
