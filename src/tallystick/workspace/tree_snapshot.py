"""The content of a commit or a tree, read from the repository's objects."""

from __future__ import annotations

import os

from tallystick.errors import NotFoundError
from tallystick.workspace.inputs import GITLINK, Listing, blob_of, path_of
from tallystick.workspace.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.repository import Repository


class TreeSnapshot(Snapshot):
    """The content of a commit or tree; of submodules, what their own repositories have of it.

    It differs from nothing, and everything in it is tracked.
    """

    __slots__ = ("_repository",)

    def __init__(self, repository: Repository, tree: str, *, commit: str = "") -> None:
        super().__init__(repository.root, tree, commit=commit, repository=repository)
        self.stands_on = tree
        self._repository = repository

    def read(self, path: str) -> bytes | None:
        """The bytes of a file (a link's target for a link); None where there is none."""
        oid = self.blob(path) if "\n" in path else ""
        printed = self._repository.git.run(
            "cat-file", "--batch", stdin=os.fsencode(f"{oid or f'{self.tree}:{path}'}\n")
        )
        head, _, content = printed.partition(b"\n")
        return content[:-1] if head.split(b" ")[1:2] == [b"blob"] else None

    def _list(self) -> Listing:
        printed = self._repository.git.run("ls-tree", "-r", "-z", "--full-tree", self.tree)
        return Listing.read(printed).hiding(self._repository.hidden.paths)

    def _find_changes(self) -> dict[str, str]:
        return {}

    def _own_untracked(self) -> set[bytes]:
        return set()

    def open_submodules(self) -> dict[bytes, Snapshot]:
        for line in self.own_listing.lines:
            if line.startswith(GITLINK) and path_of(line) not in self.submodules:
                inner = _committed_submodule(self._repository, line)
                if inner:
                    self.submodules[path_of(line)] = inner
        return self.submodules


def tree_snapshot(repository: Repository, commit_or_tree: str) -> TreeSnapshot:
    """The content of a commit or tree. Raises NotFoundError where there is none."""
    if "\n" in commit_or_tree:
        raise NotFoundError("no such commit or tree", where=commit_or_tree)
    asked = f"{commit_or_tree}^{{commit}}\n{commit_or_tree}^{{tree}}\n"
    printed = repository.git.run("cat-file", "--batch-check", stdin=os.fsencode(asked)).split(b"\n")
    commit, tree = (_named(line, kind) for line, kind in zip(printed, (b"commit", b"tree"), strict=False))
    if not tree:
        raise NotFoundError("no such commit or tree", where=commit_or_tree)
    return TreeSnapshot(repository, tree, commit=commit)


def _committed_submodule(repository: Repository, gitlink: bytes) -> TreeSnapshot | None:
    """The commit that a line of a listing names, from what is checked out there, if that has it."""
    inner = repository.inner(path_of(gitlink))
    try:
        return tree_snapshot(inner, blob_of(gitlink)) if inner else None
    except NotFoundError:
        return None


def _named(line: bytes, kind: bytes) -> str:
    """The object id of an answer of `cat-file --batch-check`; empty where it is not of that kind."""
    words = line.split(b" ")
    return words[0].decode("ascii") if words[1:2] == [kind] else ""
