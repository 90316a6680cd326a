"""A real git repository in a temporary folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class GitRepo:
    """A work tree at `root`, driven by the git command line; the branch is `main`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> GitRepo:
        """A new repository without a commit."""
        root.mkdir(parents=True, exist_ok=True)
        repo = cls(root)
        repo.git("init", "-q")
        return repo

    def git(
        self,
        *args: str | Path,
        check: bool = True,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What `git ARGS` printed on standard output, without the last newline.

        A git that fails raises AssertionError with what it said, unless `check` is false.
        """
        done = subprocess.run(
            ["git", *map(str, args)],
            cwd=self.root,
            env={**os.environ, **(env or {})},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=120,
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")
        return done.stdout.removesuffix("\n")

    def write(self, path: str, content: str | bytes = "", *, executable: bool = False) -> Path:
        """Write a file (text as UTF-8, newlines as given), making its folders."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        if executable:
            file.chmod(0o755)
        return file

    def read(self, path: str) -> str:
        """A file's text."""
        return (self.root / path).read_bytes().decode()

    def remove(self, path: str) -> None:
        """Delete a file from the work tree."""
        (self.root / path).unlink()

    def commit(self, message: str = "Change", *, add: bool = True) -> str:
        """Commit all that git would add (only what is staged where `add` is false); the commit's id."""
        if add:
            self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self) -> str:
        """The id of the commit checked out."""
        return self.git("rev-parse", "HEAD")

    def tree(self, revision: str = "HEAD") -> str:
        """The id of a commit's tree."""
        return self.git("rev-parse", f"{revision}^{{tree}}")

    def clone(self, root: Path) -> GitRepo:
        """A clone of this repository at `root`."""
        self.git("clone", "-q", self.root, root)
        return GitRepo(root)
