"""The work tree, or the plain folder, that the content in front of us lies in."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.workspace.excludes import LocalIgnoreRules
from tallystick.workspace.git_snapshot import PendingGitSnapshot
from tallystick.workspace.hidden import Hidden
from tallystick.workspace.location import Location, locate
from tallystick.workspace.repository import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from tallystick.workspace.git import Git
    from tallystick.workspace.snapshot import PendingSnapshot, Snapshot


class Workspace:
    """A git work tree, or a plain folder outside git.

    Looking at it costs one `git status`, and one or two small git processes more where files differ from the
    index. Neither the index nor anything else below `.git` is written.
    """

    def __init__(self, location: Location, hidden: Hidden) -> None:
        self.root = location.root
        """The top of the work tree: absolute, without symbolic links."""
        self.is_git = bool(location.git_dir)
        """False for a plain folder."""
        self.git_dir = location.git_dir
        """The git directory of this work tree; empty outside git."""
        self.common_root = location.common_root
        """The main work tree's root, for a linked work tree; else `root`."""
        self.hidden = hidden
        """What never counts as content."""
        self._repository = Repository(location, hidden) if self.is_git else None
        self._rules = LocalIgnoreRules(location)

    @classmethod
    def find(cls, start: str = ".", *, exclude: Iterable[str] = ()) -> Self:
        """The git work tree that contains `start`, else the plain folder it is in.

        `exclude` are the files of a ledger (the database, its `-wal`, `-shm` and lock): they never count as content
        and are never opened. A plain folder's root is the nearest one up that has a ledger or a plan, else
        `start`. Raises NotFoundError where `start` does not exist, InputError where a `.git` file leads nowhere.
        """
        location = locate(start)
        return cls(location, Hidden(location.root, exclude))

    @property
    def git(self) -> Git:
        """The git command line in this work tree. Raises InputError outside git."""
        return self.repository.git

    @property
    def repository(self) -> Repository:
        """The git repository. Raises InputError outside git."""
        if not self._repository:
            raise InputError("not a git work tree", where=self.root, advice="only git keeps earlier content")
        return self._repository

    def start_snapshot(self, *, local_rules: bool = True) -> PendingSnapshot:
        """Begins to look at the content; git does so in the background, and `result()` waits for it.

        `local_rules` False leaves `excludes` empty, for whoever only compares content. Raises TallystickError where
        git is missing or no scratch file can be written.
        """
        if self._repository:
            return PendingGitSnapshot(self._repository, self._rules if local_rules else None)
        from tallystick.workspace.walk import PendingWalk

        return PendingWalk(self.root, self.hidden)

    def snapshot(self) -> Snapshot:
        """The content now. Raises TallystickError where a file cannot be read or git refuses."""
        return self.start_snapshot().result()

    def tree_snapshot(self, commit_or_tree: str) -> Snapshot:
        """The content of a commit or tree, named in any way that git knows; `read` gives its files.

        Raises NotFoundError where there is none, InputError outside git.
        """
        from tallystick.workspace.tree_snapshot import tree_snapshot

        return tree_snapshot(self.repository, commit_or_tree)
