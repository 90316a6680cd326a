"""A work tree of some content in scratch, beside the user's own: where commands are run again.

It is a linked work tree of the same repository, so that history and tags are there, with a detached head. Nothing that
is not in the content is in it: no ignored file, nothing that a build left. No hook of the repository runs.
"""

from __future__ import annotations

import os

from tallystick.errors import InputError
from tallystick.workspace.content import Workspace
from tallystick.workspace.git import GitError
from tallystick.workspace.paths import path_bytes, path_text
from tallystick.workspace.scratch import Scratch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from tallystick.workspace.git import Git
    from tallystick.workspace.snapshot import Snapshot

_NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.sparseCheckout=false")


class TemporaryWorktree:
    """The content of a commit, or of a tree that is kept, checked out in scratch. Close it, or use it in a `with`."""

    def __init__(self, origin: Workspace, commit: str, tree: str = "", *, exclude: Iterable[str] = ()) -> None:
        """`tree`: check that out instead of the commit's own. `exclude`: see `Workspace.find`.

        Raises InputError outside git or where there is no commit, GitError where git cannot check it out.
        """
        if not commit:
            raise InputError("there is no commit yet", where=origin.root, advice="commit first")
        self._git: Git = origin.git
        self._scratch = Scratch()
        self.path = os.path.realpath(self._scratch.path) + "/" + os.path.basename(self._scratch.path)
        """Where it lies."""
        self._added = False
        try:
            self._git.run(*_NO_HOOKS, "worktree", "add", "--quiet", "--detach", "--no-checkout", self.path, commit)
            self._added = True
            self.workspace = Workspace.find(self.path, exclude=exclude)
            self.workspace.git.run(*_NO_HOOKS, "read-tree", "-u", "--reset", tree or commit)
            self._fill_submodules(origin.tree_snapshot(tree or commit), origin.root)
        except BaseException:
            self.close()
            raise

    def _fill_submodules(self, content: Snapshot, root: str) -> None:
        """Clones those that are checked out in the user's work tree, from there: without a network."""
        for path, inner in content.open_submodules().items():
            source, target = (os.path.join(folder, path_text(path)) for folder in (root, self.path))
            self._git.run(*_NO_HOOKS, "clone", "--quiet", "--shared", "--no-checkout", "--", source, target)
            self.workspace.git.run(*_NO_HOOKS, "-C", target, "checkout", "--quiet", "--detach", inner.commit)

    def overlay(self, snapshot: Snapshot) -> None:
        """Makes the files those of a work tree that stands on the same commit: what differs there is copied."""
        for path in snapshot.own_changes:
            source, target = (os.path.join(os.fsencode(root), path_bytes(path)) for root in (snapshot.root, self.path))
            if os.path.lexists(target):
                os.unlink(target)
            if os.path.islink(source) or os.path.isfile(source):
                _copy(source, target)

    def revert(self, path: str, commit: str) -> bool:
        """Makes one file what it is in the commit, gone where it is not there; whether that changed anything."""
        before = self.workspace.snapshot()
        full = os.path.join(os.fsencode(self.path), path_bytes(path))
        committed = self._git.run("ls-tree", "-z", "--full-tree", commit, "--", path)
        if committed:
            self.workspace.git.run(*_NO_HOOKS, "checkout", "--quiet", commit, "--", f":(top,literal){path}")
        elif os.path.lexists(full):
            os.unlink(full)
        return before.tree != self.workspace.snapshot().tree

    def close(self) -> None:
        """Removes it, and all that was made in it."""
        remove = ("worktree", "remove", "--force", "--force", self.path)
        try:
            if self._added:
                self._git.run(*remove)
        except GitError:  # a process that was left behind may still write in there
            self._scratch.close()
            self._git.run(*remove)
        finally:
            self._added = False
            self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy(source: bytes, target: bytes) -> None:
    """Copies a file with its bits, or a link as a link."""
    from shutil import copy2

    os.makedirs(os.path.dirname(target), exist_ok=True)
    copy2(source, target, follow_symlinks=False)
