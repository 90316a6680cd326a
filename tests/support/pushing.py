"""A repository with a plan, a bare one that it pushes to, and git as its hooks run it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.repository import GitRepo

PLAN = """\
[criteria.a]
run = "test -s a/input.txt && ! test -e a/broken"
inputs = ["a/**"]

[criteria.b]
run = "true"
inputs = ["b/**"]
"""


@dataclass
class Ended:
    """How a git command ended."""

    code: int
    said: str
    """What it, its hooks and the other side said."""


class Pusher:
    """Branch `work` of a repository with a plan on `main`, which the bare repository `origin` has."""

    def __init__(self, folder: Path) -> None:
        self.repo = GitRepo(folder / "repo")
        self.origin = GitRepo(folder / "origin.git")

    @classmethod
    def create(cls, folder: Path) -> Pusher:
        """A new one, in a folder of its own."""
        made = cls(folder)
        GitRepo.create(made.repo.root)
        made.repo.git("init", "-q", "--bare", made.origin.root)
        made.repo.git("remote", "add", "origin", made.origin.root)
        made.repo.write("tallystick.toml", PLAN)
        made.repo.write("a/input.txt", "a\n")
        made.repo.write("b/input.txt", "b\n")
        made.repo.commit("base")
        made.repo.git("push", "-q", "origin", "main")
        made.repo.git("checkout", "-q", "-b", "work")
        made.repo.write("a/input.txt", "better\n")
        made.repo.commit("work")
        return made

    def copy(self, folder: Path) -> Pusher:
        """Another one like it, which shares nothing with it."""
        copied = type(self)(folder)
        for mine, other in ((self.repo, copied.repo), (self.origin, copied.origin)):
            shutil.copytree(mine.root, other.root, symlinks=True)
        copied.repo.git("remote", "set-url", "origin", copied.origin.root)
        return copied

    def git(self, *args: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ended:
        """`git ARGS`, whatever comes of it."""
        done = subprocess.run(
            ["git", *map(str, args)],
            cwd=cwd or self.repo.root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    def push(self, *refs: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ended:
        """`git push origin REFS`; without any, the branch that is checked out."""
        return self.git("push", "origin", *(refs or ["HEAD"]), cwd=cwd, env=env)

    def has(self, ref: str) -> str:
        """The commit that `origin` has there; empty for none."""
        return self.origin.git("rev-parse", "--verify", "--quiet", ref, check=False)

    def arrived(self, ref: str = "work") -> bool:
        """Whether `origin` has what the repository has under that name."""
        return bool(self.has(ref)) and self.has(ref) == self.repo.git("rev-parse", ref)
