"""What differed from the commit before some work began: the output of a `workspace_baseline` entry.

A line for each path, in the order of the paths: the two letters of `git status --porcelain`, a space, the hex
SHA-256 of the file's bytes as they lie there (of a link, of its target), a space, the path. `-` stands for the
digest where there is no file: deleted paths, submodules, repositories in the tree, pipes and devices. A rename is
a deleted and a new path. Untracked folders are listed file by file, and the changes in a submodule after the
submodule, with its path before theirs. A path with control characters, quotes, backslashes or bytes that are not
UTF-8 is quoted as git quotes it. Outside git every file is untracked.
"""

from __future__ import annotations

import hashlib
import os
import stat

from tallystick.errors import InputError
from tallystick.workspace.git_snapshot import PendingGitSnapshot
from tallystick.workspace.paths import c_quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.workspace.content import Workspace

_UNTRACKED = "??"
_NO_FILE = "-"
_CHUNK = 1 << 20


def capture_baseline(workspace: Workspace) -> list[str]:
    """The lines; none where nothing differs. A ledger's files are not among them.

    Raises TallystickError where git refuses, InputError where a file cannot be read.
    """
    if workspace.is_git:
        found = _changed(PendingGitSnapshot(workspace.repository))
    else:
        from tallystick.workspace.walk import files

        found = ((path, _UNTRACKED) for path, _ in files(workspace.root, workspace.hidden))
    root = os.fsencode(workspace.root)
    never = workspace.hidden.inodes()
    lines = []
    for path, letters in sorted(found):
        digest = _digest(os.path.join(root, path), never)
        lines.append(f"{letters} {digest} {c_quoted(path).decode()}")
    return lines


def _changed(pending: PendingGitSnapshot) -> Iterator[tuple[bytes, str]]:
    """Path and letters of everything that differs; a submodule's own after it."""
    try:
        _, lines = pending.status()
        inner = pending.start_inner(lines)
        for line in lines:
            letters = (line.staged + line.unstaged).replace(".", " ")
            yield line.path, letters
        for folder, repository in inner.items():
            for path, letters in _changed(repository):
                yield folder + b"/" + path, letters
    finally:
        pending.discard()


def _digest(path: bytes, never: set[tuple[int, int]]) -> str:
    try:
        told = os.lstat(path)
        if stat.S_ISLNK(told.st_mode):
            return hashlib.sha256(os.readlink(path)).hexdigest()
        if not stat.S_ISREG(told.st_mode) or (told.st_dev, told.st_ino) in never:
            return _NO_FILE
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            while part := file.read(_CHUNK):
                digest.update(part)
    except (FileNotFoundError, NotADirectoryError):
        return _NO_FILE
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=os.fsdecode(path)) from None
    return digest.hexdigest()
