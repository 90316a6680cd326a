"""Slow and obvious answers about a work tree, to hold the quick ones against.

Nothing here uses the code under test: files are read one by one, and git itself stages everything into an index
and an object folder that are thrown away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.repository import GitRepo


def staged_tree(repo: GitRepo, scratch: Path) -> str:
    """The tree that `git add -A` and a commit would make, with nothing hidden by flags of the index."""
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "objects").mkdir(parents=True)
    git_dir = Path(repo.git("rev-parse", "--absolute-git-dir"))
    env = {
        "GIT_INDEX_FILE": str(scratch / "index"),
        "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(git_dir / "objects"),
    }
    if (git_dir / "index").exists():
        shutil.copy2(git_dir / "index", scratch / "index")
        tracked = repo.git("ls-files", "-z", "-v", env=env).split("\0")[:-1]
        hidden = [line[2:] for line in tracked if line[0].islower() or line[0] == "S"]
        sparse = (git_dir / "info/sparse-checkout").exists()
        there = [path for path in hidden if not sparse or os.path.lexists(repo.root / path)]
        for flag, paths in (("--no-assume-unchanged", hidden), ("--no-skip-worktree", there)):
            if paths:
                repo.git("update-index", flag, "-z", "--stdin", input="".join(f"{path}\0" for path in paths), env=env)
    repo.git("add", "-A", env=env)
    return repo.git("write-tree", env=env)


def listed(repo: GitRepo, tree: str, scratch: Path) -> bytes:
    """What `git ls-tree -r -z --full-tree TREE` prints; the tree may be one of `staged_tree`."""
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(scratch / "objects")}
    printed = repo.git("ls-tree", "-r", "-z", "--full-tree", tree, env=env)
    return printed.encode("utf-8", "surrogateescape")


def digest(printed: bytes) -> str:
    """The inputs digest of lines that end with NUL."""
    return hashlib.sha256(printed).hexdigest()


def content(repo: GitRepo, *, text: str = "") -> frozenset[tuple[str, str, bytes]]:
    """(path, kind, bytes) of every file that git knows or would add; line ends of `text` files made LF.

    A submodule gives its commit and its own files. What is skipped and absent is as the index has it.
    """
    found = set(_skipped(repo))
    for path in repo.git("ls-files", "-z", "-c", "-o", "--exclude-standard").split("\0"):
        file = repo.root / path
        if not path or not os.path.lexists(file):
            continue
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            found.add((path, "link", os.fsencode(os.readlink(file))))
        elif stat.S_ISREG(mode):
            data = file.read_bytes()
            if text and path.endswith(text):
                data = data.replace(b"\r\n", b"\n")
            found.add((path, "program" if mode & stat.S_IXUSR else "file", data))
        elif (file / ".git").exists():
            inner = GitRepo(file)
            found.add((path, "commit", inner.head().encode()))
            found.update((f"{path.rstrip('/')}/{name}", kind, data) for name, kind, data in content(inner))
    return frozenset(found)


def _skipped(repo: GitRepo) -> Iterator[tuple[str, str, bytes]]:
    kinds = {"100644": "file", "100755": "program", "120000": "link"}
    flags = {line[2:] for line in repo.git("ls-files", "-z", "-t").split("\0") if line.startswith("S")}
    absent = {path for path in flags if not os.path.lexists(repo.root / path)}
    for line in repo.git("ls-files", "-z", "-s").split("\0") if absent else ():
        head, _, path = line.partition("\t")
        if path in absent:
            yield path, kinds[head[:6]], _blob(repo, head.split()[1])


def _blob(repo: GitRepo, oid: str) -> bytes:
    return subprocess.run(["git", "cat-file", "blob", oid], cwd=repo.root, capture_output=True, check=True).stdout


def traces(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything below a folder with its mode, times and size: equal twice where nobody wrote meanwhile."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            told = os.lstat(path)
            found[path] = (told.st_mode, told.st_mtime_ns, told.st_ctime_ns, told.st_size)
    return found


def unprivileged(script: str, *, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a Python script so that permissions of files hold, for root too.

    Root gives up the capabilities to override them before the script begins; where it cannot, the test is skipped.
    """
    drop = "import ctypes,os,sys\nlibc = ctypes.CDLL(None)\nif os.getuid() == 0:\n"
    drop += "    if any(libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)): sys.exit(77)\n"
    drop += "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", drop, script], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode == 77:
        pytest.skip("this root cannot give up its rights")
    return done
