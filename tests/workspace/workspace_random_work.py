"""Random work on a real git repository: what people do to files, to the index, to history and to a submodule."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from support.repository import GitRepo

NAMES = (
    "a.txt",
    "b.txt",
    "c",
    "d.sh",
    "x/a.txt",
    "x/b",
    "x/y/c.txt",
    "x-y",
    "é ü",
    'q"uo\\te',
    "new\nline",
    "z.log",
    "-o",
)
TEXTS = (b"one\n", b"two\n", b"one\r\n", b"two\r\n", b"", b"\0bin\r\n", b"three\nlines\nhere\n")


class RandomWork:
    """A repository, with a submodule where it begins `committed`, changed step by step.

    `attributes`: line ends of `*.txt` are normalised.
    """

    def __init__(self, root: Path, seed: int, *, attributes: bool, committed: bool) -> None:
        self.chance = random.Random(seed)
        self.repo = GitRepo.create(root / "repo")
        self.repo.write(".gitignore", "*.log\n")
        self.text = ".txt" if attributes else ""
        if attributes:
            self.repo.write(".gitattributes", "*.txt text\n")
        self.skipped: set[str] = set()
        self.origin = GitRepo.create(root / "origin")
        self.origin.write("lib.c", "int x;\n")
        self.origin.commit("First")
        if committed:
            self.repo.git("submodule", "add", "-q", self.origin.root, "sub")
            self.repo.commit("First")

    @property
    def has_submodule(self) -> bool:
        return (self.repo.root / "sub" / ".git").exists()

    def step(self) -> str:
        """Does one thing at random; what it was."""
        actions: list[Callable[[], str]] = [
            self.write, self.write, self.write, self.write_same_size, self.touch, self.touch, self.undo, self.remove,
            self.rename, self.change_mode, self.link, self.swap_kind, self.stage, self.stage_all, self.unstage,
            self.commit, self.commit, self.amend, self.step_back, self.assume, self.skip, self.refresh,
            self.force_ignored, self.untrack, self.in_submodule, self.in_submodule, self.stash, self.intend,
            self.mess_with_ignored, self.wait,
        ]  # fmt: skip
        return self.chance.choice(actions)()

    def files(self) -> list[str]:
        found = self.repo.git("ls-files", "-z", "-c", "-o", "--exclude-standard").split("\0")
        return sorted(
            {path for path in found if path and not path.startswith((".git", "sub")) and self._is_file(path)}
            - self.skipped
        )

    def _is_file(self, path: str) -> bool:
        file = self.repo.root / path
        return file.is_symlink() or file.is_file()

    def some_file(self) -> str:
        return self.chance.choice(self.files() or [self._write(f"made {self.chance.random()}", b"made\n")])

    def _write(self, path: str, data: bytes) -> str:
        file = self.repo.root / path
        for parent in reversed(file.relative_to(self.repo.root).parents[:-1]):
            full = self.repo.root / parent
            if full.is_symlink() or full.is_file():
                full.unlink()
        if file.is_dir() and not file.is_symlink():
            return path
        if file.is_symlink():
            file.unlink()
        self.repo.write(path, data)
        return path

    def write(self) -> str:
        path = self.chance.choice(NAMES)
        if path not in self.skipped:
            self._write(path, self.chance.choice(TEXTS))
        return f"write {path}"

    def write_same_size(self) -> str:
        path = self.some_file()
        file = self.repo.root / path
        if not file.is_symlink() and file.stat().st_size:
            told = file.stat()
            back = self.chance.random() < 0.3
            if back:
                time.sleep(0.01)  # else not even the change time would tell, and git itself could not
            file.write_bytes(bytes([self.chance.randrange(65, 90)]) + file.read_bytes()[1:])
            if back:
                os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
        return f"write the same size to {path}"

    def touch(self) -> str:
        path = self.some_file()
        if not (self.repo.root / path).is_symlink():
            os.utime(self.repo.root / path, ns=(time.time_ns(), time.time_ns() - self.chance.randrange(10**10)))
        return f"touch {path}"

    def undo(self) -> str:
        if not self.repo.git("rev-parse", "-q", "--verify", "HEAD", check=False):
            return "nothing to undo"
        tracked = [path for path in self.repo.git("ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0") if path]
        path = self.chance.choice(tracked)
        if path not in self.skipped and path != "sub":
            self._write(path, b"about to go back\n")
            self.repo.git("checkout", "-q", "HEAD", "--", f":(literal){path}", check=False)
        return f"undo {path}"

    def remove(self) -> str:
        path = self.some_file()
        (self.repo.root / path).unlink()
        return f"remove {path}"

    def rename(self) -> str:
        path, other = self.some_file(), self.chance.choice(NAMES)
        if other not in self.skipped and not (self.repo.root / other).exists() and not other.startswith(path + "/"):
            self._write(other, b"")
            if self._is_file(path):
                os.replace(self.repo.root / path, self.repo.root / other)
        return f"rename {path} to {other}"

    def change_mode(self) -> str:
        path = self.some_file()
        if not (self.repo.root / path).is_symlink():
            (self.repo.root / path).chmod(self.chance.choice([0o644, 0o755, 0o600, 0o700, 0o654]))
        return f"chmod {path}"

    def link(self) -> str:
        path = self.some_file()
        (self.repo.root / path).unlink()
        os.symlink(self.chance.choice(["a.txt", "x", "nowhere", "/etc", "sub"]), self.repo.root / path)
        return f"link {path}"

    def swap_kind(self) -> str:
        """A file becomes a folder with a file in it, or a folder a file."""
        path = self.some_file()
        (self.repo.root / path).unlink()
        (self.repo.root / path).mkdir()
        self.repo.write(f"{path}/inside", "x\n")
        return f"folder for {path}"

    def stage(self) -> str:
        path = self.some_file()
        self.repo.git("add", "--", f":(literal){path}", check=False)
        return f"stage {path}"

    def stage_all(self) -> str:
        self.repo.git("add", "-A")
        return "stage all"

    def unstage(self) -> str:
        self.repo.git("reset", "-q", check=False)
        self._forget_flags()
        return "unstage"

    def _forget_flags(self) -> None:
        """Which files are still skipped: some commands of git drop the flag, or the entry."""
        lines = self.repo.git("ls-files", "-z", "-v").split("\0")
        self.skipped = {line[2:] for line in lines if line.startswith("S")}

    def commit(self) -> str:
        self.repo.commit("Work", add=self.chance.random() < 0.7)
        return "commit"

    def amend(self) -> str:
        if self.repo.git("rev-parse", "-q", "--verify", "HEAD", check=False):
            self.repo.git("commit", "-q", "--amend", "--allow-empty", "-m", f"Amended {self.chance.random()}")
        return "amend"

    def step_back(self) -> str:
        self.repo.git("reset", "-q", "--soft", "HEAD~1", check=False)
        return "reset --soft"

    def assume(self) -> str:
        path = self.some_file()
        flag = self.chance.choice(["--assume-unchanged", "--assume-unchanged", "--no-assume-unchanged"])
        self.repo.git("update-index", flag, "--", path, check=False)
        return f"{flag} {path}"

    def skip(self) -> str:
        if self.skipped and self.chance.random() < 0.5:
            path = self.skipped.pop()
            self.repo.git("update-index", "--no-skip-worktree", "--", path)
            return f"no longer skip {path}"
        path = self.some_file()
        self.repo.git("update-index", "--skip-worktree", "--", path, check=False)
        turn = self.chance.random()
        self._forget_flags()
        if path in self.skipped and turn < 0.5:
            self.skipped.discard(path)
            self._write(path, self.chance.choice(TEXTS))
            self._forget_flags()
        elif path in self.skipped and turn < 0.7:
            (self.repo.root / path).unlink()
        return f"skip {path}"

    def refresh(self) -> str:
        self.repo.git("status")
        return "status"

    def force_ignored(self) -> str:
        self._write("z.log", self.chance.choice(TEXTS))
        self.repo.git("add", "-f", "z.log", check=False)
        return "add an ignored file"

    def untrack(self) -> str:
        path = self.some_file()
        self.repo.git("rm", "-q", "--cached", "--", f":(literal){path}", check=False)
        return f"untrack {path}"

    def in_submodule(self) -> str:
        if not self.has_submodule:
            return "no submodule"
        sub = GitRepo(self.repo.root / "sub")
        turn = self.chance.choice(["edit", "new", "touch", "commit", "undo", "assume"])
        if turn == "edit":
            sub.write("lib.c", self.chance.choice(TEXTS))
        elif turn == "new":
            sub.write("own/new.c", self.chance.choice(TEXTS))
        elif turn == "touch":
            os.utime(sub.root / "lib.c")
        elif turn == "commit":
            sub.commit("In the submodule")
        elif turn == "undo":
            sub.git("reset", "-q", "--hard")
            sub.git("clean", "-q", "-fd")
        return f"submodule: {turn}"

    def stash(self) -> str:
        if self.skipped:
            return "no stash"
        if self.repo.git("stash", "list") and self.chance.random() < 0.5:
            self.repo.git("stash", "pop", "-q", check=False)
            if self.repo.git("ls-files", "-u"):
                self.repo.git("checkout", "-q", "--theirs", "--", ".", check=False)
        else:
            self.repo.git("stash", "push", "-q", *(["-u"] if self.chance.random() < 0.5 else []), check=False)
        return "stash"

    def intend(self) -> str:
        path = self.some_file()
        self.repo.git("add", "-N", "--", f":(literal){path}", check=False)
        return f"intend to add {path}"

    def mess_with_ignored(self) -> str:
        self._write("x/ignored.log", os.urandom(4))
        return "write an ignored file"

    def wait(self) -> str:
        time.sleep(0.01)
        return "wait"
