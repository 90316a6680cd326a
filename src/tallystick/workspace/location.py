"""Where a work tree and its git directory lie, found as git finds them but without running it."""

from __future__ import annotations

import os

from tallystick.errors import InputError, NotFoundError
from tallystick.location import owns

OWN_FOLDER = ".tallystick"
"""The folder of a ledger. It never counts as content."""


class Location:
    """A work tree, or a plain folder; all paths are absolute and without symbolic links.

    `root` is the top of the work tree. `git_dir` is its own git directory, `common_dir` the one it shares with
    its linked work trees; both are empty outside git. `explicit` says that git finds them only when told.
    """

    __slots__ = ("common_dir", "explicit", "git_dir", "root")

    def __init__(self, root: str, git_dir: str = "", *, explicit: bool = False) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = _common_dir(git_dir) if git_dir else ""
        self.explicit = explicit

    @property
    def common_root(self) -> str:
        """The main work tree's root, for a linked work tree; else `root`."""
        if self.common_dir != self.git_dir and os.path.basename(self.common_dir) == ".git":
            return os.path.dirname(self.common_dir)
        return self.root

    @property
    def objects(self) -> str:
        """The folder of the repository's objects."""
        return os.path.join(self.common_dir, "objects")


def locate(start: str) -> Location:
    """The git work tree that contains `start`; else the plain folder it is in.

    A plain folder's root is the nearest one that has a ledger or a plan, else `start` itself. Raises
    NotFoundError where `start` does not exist, InputError where a `.git` file leads nowhere.
    """
    folder = os.path.realpath(start)
    if not os.path.isdir(folder):
        if not os.path.exists(folder):
            raise NotFoundError("no such folder", where=start)
        folder = os.path.dirname(folder)
    for root in _upwards(folder):
        git_dir = _git_dir(root)
        if git_dir:
            return Location(root, git_dir)
    return _told_by_environment(folder) or Location(_plain_root(folder))


def at(root: str) -> Location | None:
    """The work tree whose top is `root`, which has no symbolic links; None where it is not one."""
    git_dir = _git_dir(root)
    return Location(root, git_dir) if git_dir else None


def _upwards(folder: str) -> list[str]:
    found = [folder]
    while folder != (folder := os.path.dirname(folder)):
        found.append(folder)
    return found


def _git_dir(root: str) -> str:
    path = os.path.join(root, ".git")
    if os.path.isdir(path):
        real = os.path.realpath(path)
        return real if _is_git_dir(real) else ""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            content = file.read(65_536)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from None
    if content.startswith(b"gitdir: "):
        target = os.fsdecode(content[len(b"gitdir: ") :].rstrip(b"\r\n"))
        real = os.path.realpath(os.path.join(root, target))
        if _is_git_dir(real):
            return real
    raise InputError(
        "does not lead to a git repository",
        where=path,
        advice="`git worktree repair` in the main work tree may help",
    )


def _is_git_dir(path: str) -> bool:
    if not os.path.lexists(os.path.join(path, "HEAD")):
        return False
    common = _common_dir(path)
    return os.path.isdir(os.path.join(common, "objects")) and os.path.isdir(os.path.join(common, "refs"))


def _common_dir(git_dir: str) -> str:
    try:
        with open(os.path.join(git_dir, "commondir"), "rb") as file:
            target = os.fsdecode(file.read().rstrip(b"\r\n"))
    except OSError:
        return git_dir
    return os.path.realpath(os.path.join(git_dir, target))


def _told_by_environment(folder: str) -> Location | None:
    """The work tree that GIT_DIR and GIT_WORK_TREE name, where `folder` lies in it."""
    git_dir, root = os.environ.get("GIT_DIR"), os.environ.get("GIT_WORK_TREE")
    if not git_dir or not root:
        return None
    git_dir, root = os.path.realpath(git_dir), os.path.realpath(root)
    if root not in _upwards(folder) or not _is_git_dir(git_dir):
        return None
    return Location(root, git_dir, explicit=True)


def _plain_root(folder: str) -> str:
    for root in _upwards(folder):
        if not owns(root):
            break
        if os.path.isdir(os.path.join(root, OWN_FOLDER)) or os.path.isfile(os.path.join(root, "tallystick.toml")):
            return root
    return folder
