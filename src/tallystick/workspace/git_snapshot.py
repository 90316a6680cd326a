"""What git would commit now, found without writing anything below `.git`.

`git status` runs on a copy of the index in which nothing is hidden. What it names is put into that copy
(`update-index --info-only`: filters run and blobs are hashed, but none is stored). The rest is read from the copy:
the files, the tree of them, and what differs from the commit.
"""

from __future__ import annotations

import os

from tallystick.workspace.git import GitError
from tallystick.workspace.inputs import Listing
from tallystick.workspace.paths import path_text
from tallystick.workspace.scratch import Scratch
from tallystick.workspace.scratch_index import ScratchIndex
from tallystick.workspace.snapshot import PendingSnapshot, Snapshot, all_new, change_value
from tallystick.workspace.status import ARGUMENTS, Line, parse_status
from tallystick.workspace.trees import tree_id, tree_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.excludes import LocalIgnoreRules
    from tallystick.workspace.git import Child
    from tallystick.workspace.hidden import Hidden
    from tallystick.workspace.index import Index
    from tallystick.workspace.repository import Repository
    from tallystick.workspace.snapshot import State


class PendingGitSnapshot(PendingSnapshot):
    """A look at a work tree that has begun: git reads it in the background."""

    __slots__ = ("_committed", "_index", "_inner", "_last", "_repository", "_rules", "_scratch", "_status")

    def __init__(self, repository: Repository, rules: LocalIgnoreRules | None = None, *, last: bool = False) -> None:
        """`last`: do not look again where files move while they are read."""
        self._repository = repository
        self._rules = rules
        self._last = last
        self._inner: dict[bytes, PendingGitSnapshot] = {}
        self._committed: set[bytes] = set()
        self._status: Child | None = None
        self._scratch = Scratch()
        try:
            self._index = ScratchIndex(repository, self._scratch)
            self._status = self._index.git.start(*ARGUMENTS)
            if rules:
                rules.ask(repository.git)
            if self._index.read():  # which takes a while for a large one, and git was not kept waiting
                self._status.discard()
                self._index.reveal()
                self._status = self._index.git.start(*ARGUMENTS)
            for number in self._index.entries.gitlinks:
                self._begin_inner(self._index.entries.paths[number])
        except BaseException:
            self.discard()
            raise

    def result(self) -> Snapshot:
        """The content. Raises GitError where git cannot read it, such as a file without permission."""
        try:
            return self._finished()
        except GitError:
            if self._last:
                raise
        finally:
            self.discard()
        return PendingGitSnapshot(self._repository, self._rules, last=True).result()

    def discard(self) -> None:
        """Ends what is under way and removes what lies in scratch."""
        if self._status:
            self._status.discard()
        for inner in self._inner.values():
            inner.discard()
        if self._rules:
            self._rules.close()
        self._scratch.close()

    def status(self) -> tuple[str, list[Line]]:
        """The commit checked out (empty before the first one) and what differs, less what never counts."""
        child, self._status = self._status, None
        if child is None:
            raise ValueError("the status was taken before")
        try:
            status = parse_status(child.result())
        except ValueError as error:
            raise GitError(str(error), where=self._repository.root) from None
        hidden = self._repository.hidden
        self._committed = {line.path for line in status.lines if line.committed[0] and line.path in hidden.paths}
        return status.commit, [line for line in status.lines if not self._never_counts(line, hidden)]

    @staticmethod
    def _never_counts(line: Line, hidden: Hidden) -> bool:
        """A file of the ledger's, or one beside it that git does not know; what a commit brings there is content."""
        return line.path in hidden.paths or (line.untracked and line.path in hidden)

    def start_inner(self, lines: list[Line]) -> dict[bytes, PendingGitSnapshot]:
        """The submodules, and repositories that are not submodules yet, all of them begun."""
        for line in lines:
            path = line.path.removesuffix(b"/")
            if line.path.endswith(b"/") or line.unstaged == "T":
                self._begin_inner(path)
        return self._inner

    def _begin_inner(self, path: bytes) -> None:
        inner = self._repository.inner(path)
        if inner:
            self._inner[path] = PendingGitSnapshot(inner)

    def _finished(self) -> Snapshot:
        commit, lines = self.status()
        submodules: dict[bytes, Snapshot] = {}
        for path, inner in self.start_inner(lines).items():
            submodules[path] = inner.result()
        uncommitted = {self._index.entries.paths[number] for number in self._index.entries.uncommitted}
        self._index.update(*self._moved(lines, submodules))
        excludes = self._rules.digest(self._repository.git) if self._rules else ""
        found = GitSnapshot(self._repository, self._index.entries, lines, commit=commit, excludes=excludes)
        found.unclear = uncommitted
        found.committed_hidden = frozenset(self._committed)
        found.submodules = submodules
        return found

    def _moved(self, lines: list[Line], submodules: dict[bytes, Snapshot]) -> tuple[list[bytes], list[bytes]]:
        """The paths to take out of the index, and those to put in anew."""
        root = os.fsencode(self._repository.root)
        gone, there = [], []
        for line in lines:
            path = line.path.removesuffix(b"/")
            if path in submodules and line.unstaged in "?T":
                gone += [path] if line.unstaged == "T" else []
                there += [path] if submodules[path].commit else []
            elif line.conflict:  # its letters tell of the two sides, not of the file
                (there if os.path.lexists(os.path.join(root, path)) else gone).append(path)
            elif line.unstaged == "D":
                gone.append(path)
            elif line.unstaged != ".":
                there.append(path)
        return gone, there


class GitSnapshot(Snapshot):
    """The content of a git work tree."""

    __slots__ = ("_git", "_hidden", "_index", "_lines", "unclear")

    def __init__(
        self, repository: Repository, index: Index, lines: list[Line], *, commit: str = "", excludes: str = ""
    ) -> None:
        """`index` has the content itself; `lines` are what differs from the commit, staged or not."""
        super().__init__(repository.root, tree_id(index), commit=commit, excludes=excludes, repository=repository)
        self.stands_on = commit or repository.empty_tree
        self._git = repository.git
        self._hidden = repository.hidden
        self._index = index
        self._lines = lines
        self.unclear: set[bytes] = set()
        """Paths of which git status does not tell what the commit has: conflicts, files only intended."""

    def _list(self) -> Listing:
        lines = tree_lines(self._index, lambda tree: self._git.run("ls-tree", "-r", "-z", tree)[:-1].split(b"\0"))
        return Listing(lines).hiding(self._hidden.paths)

    def _find_changes(self) -> dict[str, str]:
        if not self.commit:
            return all_new(self.own_listing)
        changes = {}
        for path, committed in self.committed_states().items():
            number = self._index.find(path)
            today = (f"{self._index.mode(number):06o}", self._index.oid(number).hex()) if number >= 0 else ("", "")
            if today != committed:
                changes[path_text(path)] = change_value(*today, usual=committed[0])
        return changes

    def committed_states(self) -> dict[bytes, State]:
        """What the commit has at each path that git status named; both empty where it has no file."""
        states: dict[bytes, State] = {}
        for line in self._lines:
            path = line.path.removesuffix(b"/")
            if line.committed[0] or path not in states:
                states[path] = line.committed
        unclear = states.keys() & self.unclear
        if unclear and self.commit:
            committed = Listing.read(self._git.run("ls-tree", "-r", "-z", "--full-tree", self.commit)).states()
            states.update((path, committed.get(path, ("", ""))) for path in unclear)
        return states

    def _own_untracked(self) -> set[bytes]:
        return {line.path for line in self._lines if line.untracked and not line.path.endswith(b"/")}
