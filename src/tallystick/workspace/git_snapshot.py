"""What git would commit now, found without writing anything below `.git`.

`git status` runs on a copy of the index in which nothing is hidden. What it names is put into that copy
(`update-index --info-only`: filters run and blobs are hashed, but none is stored), and `write-tree` puts the new
tree objects into a scratch folder with the repository's own objects as its alternate.
"""

from __future__ import annotations

import os

from tallystick.errors import NotFoundError
from tallystick.workspace.git import GitError
from tallystick.workspace.index import IndexFacts, read_index, without_hiding
from tallystick.workspace.inputs import GITLINK, Listing, blob_of, path_of
from tallystick.workspace.paths import path_text
from tallystick.workspace.scratch import Scratch, write_whole
from tallystick.workspace.snapshot import PendingSnapshot, Snapshot, all_new, change_value
from tallystick.workspace.status import ARGUMENTS, Line, parse_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.workspace.excludes import LocalIgnoreRules
    from tallystick.workspace.git import Child, Git
    from tallystick.workspace.repository import Repository

_NO_FILE = "000000"


class PendingGitSnapshot(PendingSnapshot):
    """A look at a work tree that has begun: git reads it in the background."""

    __slots__ = ("_facts", "_git", "_inner", "_last", "_repository", "_rules", "_scratch", "_status")

    def __init__(self, repository: Repository, rules: LocalIgnoreRules | None = None, *, last: bool = False) -> None:
        """`last`: do not look again where files move while they are read."""
        self._repository = repository
        self._rules = rules
        self._last = last
        self._inner: dict[bytes, PendingGitSnapshot] = {}
        self._status: Child | None = None
        self._scratch = Scratch()
        self._git = repository.git.on(index=self._scratch.file("index"))
        try:
            self._facts = self._copy_index()
            self._status = self._git.start(*ARGUMENTS)
            if rules:
                rules.ask(repository.git)
            for path in self._facts.gitlinks:
                inner = repository.inner(path)
                if inner:
                    self._inner[path] = PendingGitSnapshot(inner)
        except BaseException:
            self.discard()
            raise

    def result(self) -> Snapshot:
        """The content. Raises GitError where git cannot read it, such as a file without permission."""
        try:
            return self._finished()
        except GitError:
            self.discard()
            if self._last:
                raise
        except BaseException:
            self.discard()
            raise
        return PendingGitSnapshot(self._repository, self._rules, last=True).result()

    def discard(self) -> None:
        """Ends what is under way."""
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
        status = parse_status(child.result())
        return status.commit, [line for line in status.lines if line.path not in self._repository.hidden]

    def start_inner(self, lines: list[Line]) -> dict[bytes, PendingGitSnapshot]:
        """The submodules, and repositories that are not submodules yet, all of them begun."""
        for line in lines:
            path = line.path.removesuffix(b"/")
            if line.path.endswith(b"/") or (line.unstaged == "T" and path not in self._inner):
                inner = self._repository.inner(path)
                if inner:
                    self._inner[path] = PendingGitSnapshot(inner)
        return self._inner

    def _finished(self) -> Snapshot:
        commit, lines = self.status()
        submodules: dict[bytes, Snapshot] = {}
        for path, inner in self.start_inner(lines).items():
            submodules[path] = inner.result()
        git = self._git
        moved = self._update_index(lines, submodules)
        tree = "" if moved else self._facts.tree
        if not tree:
            git = git.on(objects=self._scratch.folder("objects"))
            tree = git.run("write-tree", "--missing-ok").decode("ascii").strip()
        else:
            git = self._repository.git
            self._scratch.close()
        excludes = self._rules.digest(self._repository.git) if self._rules else ""
        found = GitSnapshot(self._repository, git, tree, commit=commit, excludes=excludes)
        found.differs = bool(lines)
        found.own_untracked = {line.path for line in lines if line.untracked and not line.path.endswith(b"/")}
        found.submodules = submodules
        found.scratch = self._scratch
        return found

    def _copy_index(self) -> IndexFacts:
        """Puts the user's index into scratch with nothing hidden in it, and tells what it says."""
        try:
            with open(self._repository.index, "rb") as file:
                data = file.read()
                times = os.fstat(file.fileno())
        except FileNotFoundError:
            return IndexFacts()
        facts = self._place_index(data, times)
        if facts.split:
            self._git.run("update-index", "--no-split-index")
            with open(self._git.index, "rb") as file:
                return self._place_index(file.read(), os.fstat(file.fileno()))
        return facts

    def _place_index(self, data: bytes, times: os.stat_result) -> IndexFacts:
        size = self._repository.oid_size
        try:
            facts = read_index(data, size)
            data = without_hiding(data, facts, os.fsencode(self._repository.root), size)
        except ValueError:
            facts = IndexFacts()  # git will say what is wrong with it
        descriptor = os.open(self._git.index, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_whole(descriptor, data)
        finally:
            os.close(descriptor)
        # By the index's own time git knows which files may have changed since without showing it.
        os.utime(self._git.index, ns=(times.st_atime_ns, times.st_mtime_ns))
        return facts

    def _update_index(self, lines: list[Line], submodules: dict[bytes, Snapshot]) -> bool:
        """Brings the scratch index up to what lies in the work tree; whether it had to."""
        root = os.fsencode(self._repository.root)
        gone, there = [], []
        for line in lines:
            path = line.path.removesuffix(b"/")
            if path in submodules and line.unstaged in "?T":
                gone += [path] if line.unstaged == "T" else []
                there += [path] if submodules[path].commit else []
            elif line.unstaged == "D" or (line.conflict and not os.path.lexists(os.path.join(root, path))):
                gone.append(path)
            elif line.unstaged != "." or line.conflict:
                there.append(path)
        if gone:
            nothing = b"0 " + b"0" * (2 * self._repository.oid_size) + b"\t"
            removed = b"".join(nothing + path + b"\0" for path in gone)
            self._git.run("update-index", "-z", "--index-info", stdin=removed)
        if there:
            options = ("-z", "--add", "--remove", "--replace", "--info-only", "--stdin")
            self._git.run("update-index", *options, stdin=b"".join(path + b"\0" for path in there))
        return bool(gone or there)


class GitSnapshot(Snapshot):
    """The content of a git work tree."""

    __slots__ = ("_repository", "differs", "git", "own_untracked", "scratch")

    def __init__(self, repository: Repository, git: Git, tree: str, *, commit: str = "", excludes: str = "") -> None:
        super().__init__(repository.root, tree, commit=commit, excludes=excludes)
        self._repository = repository
        self.git = git
        """Git on the objects of this tree."""
        self.differs = False
        """Whether anything differs from the commit, staged or not."""
        self.own_untracked: set[bytes] = set()
        self.scratch: Scratch | None = None

    def close(self) -> None:
        """Removes the scratch folder that holds this tree's objects."""
        if self.scratch:
            self.scratch.close()
        super().close()

    def _list(self) -> Listing:
        listing = Listing.read(self.git.run("ls-tree", "-r", "-z", "--full-tree", self.tree))
        return listing.hiding(self._repository.hidden.paths)

    def _find_changes(self) -> dict[str, str]:
        if not self.differs:
            return {}
        if not self.commit:
            return all_new(self.own_listing)
        return {
            path_text(path): change_value(*today, usual=then[0])
            for then, today, path in differences(self.git, self.commit, self.tree)
            if path not in self._repository.hidden
        }

    def _own_untracked(self) -> set[bytes]:
        return set(self.own_untracked)


class TreeSnapshot(GitSnapshot):
    """The content of a commit or a tree; of submodules, what their own repositories have of it."""

    __slots__ = ()

    def read(self, path: str) -> bytes | None:
        """The bytes of a file (a link's target for a link); None where there is none."""
        oid = self.blob(path) if "\n" in path else ""
        printed = self.git.run("cat-file", "--batch", stdin=os.fsencode(f"{oid or f'{self.tree}:{path}'}\n"))
        head, _, content = printed.partition(b"\n")
        return content[:-1] if head.split(b" ")[1:2] == [b"blob"] else None

    def _with_files(self) -> dict[bytes, Snapshot]:
        for line in self.own_listing.lines:
            if line.startswith(GITLINK) and path_of(line) not in self.submodules:
                inner = _committed_submodule(self._repository, line)
                if inner:
                    self.submodules[path_of(line)] = inner
        return self.submodules


def _committed_submodule(repository: Repository, gitlink: bytes) -> TreeSnapshot | None:
    """The commit that a line of a listing names, from what is checked out there, if that has it."""
    inner = repository.inner(path_of(gitlink))
    try:
        return tree_snapshot(inner, blob_of(gitlink)) if inner else None
    except NotFoundError:
        return None


def tree_snapshot(repository: Repository, commit_or_tree: str) -> TreeSnapshot:
    """The content of a commit or tree. Raises NotFoundError where there is none."""
    asked = f"{commit_or_tree}^{{commit}}\n{commit_or_tree}^{{tree}}\n"
    if "\n" in commit_or_tree:
        raise NotFoundError("no such commit or tree", where=commit_or_tree)
    printed = repository.git.run("cat-file", "--batch-check", stdin=os.fsencode(asked)).split(b"\n")
    commit, tree = (_named(line, kind) for line, kind in zip(printed, (b"commit", b"tree"), strict=False))
    if not tree:
        raise NotFoundError("no such commit or tree", where=commit_or_tree)
    return TreeSnapshot(repository, repository.git, tree, commit=commit)


def differences(git: Git, old: str, new: str) -> Iterator[tuple[tuple[str, str], tuple[str, str], bytes]]:
    """Each path that differs between two commits or trees: (mode, object id) in either, and the path.

    Mode and id are empty where there is no file.
    """
    printed = git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", old, new)
    records = iter(printed[:-1].split(b"\0") if printed else ())
    for meta in records:
        before, after, old_id, new_id, _ = meta[1:].decode("ascii").split(" ")
        then, today = (
            (mode, oid) if mode != _NO_FILE else ("", "") for mode, oid in ((before, old_id), (after, new_id))
        )
        yield then, today, next(records)


def _named(line: bytes, kind: bytes) -> str:
    """The object id of an answer of `cat-file --batch-check`; empty where it is not of that kind."""
    words = line.split(b" ")
    return words[0].decode("ascii") if words[1:2] == [kind] else ""
