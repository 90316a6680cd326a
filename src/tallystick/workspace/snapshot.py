"""What some content is: its tree, the files in it, and how it differs from the commit it stands on."""

from __future__ import annotations

import os

from tallystick.files import open_plain
from tallystick.workspace.inputs import Listing, blob_of, path_of
from tallystick.workspace.paths import path_bytes, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, Self

    from tallystick.workspace.repository import Repository

    State = tuple[str, str]
    """Mode and object id of a file; both empty where there is none."""

PLAIN_FILE = "100644"
"""The mode of a file that is nothing special."""


class Snapshot:
    """The content of a work tree, folder, commit or tree at one moment.

    Paths are text, from the root, with `/`; bytes that are not UTF-8 are lone surrogates. What is asked for later is
    read from memory or from the repository's objects, never from the work tree (but by `read`).
    """

    __slots__ = (
        "_listing", "_own_changes", "_own_listing",
        "commit", "committed_hidden", "excludes", "repository", "root", "stands_on", "submodules", "tree",
    )  # fmt: skip

    def __init__(
        self, root: str, tree: str, *, commit: str = "", excludes: str = "", repository: Repository | None = None
    ) -> None:
        self.root = root
        """The folder that the paths start from."""
        self.repository = repository
        """The git repository; None outside git."""
        self.stands_on = commit
        """The commit or tree that `own_changes` are changes to."""
        self.commit = commit
        """The commit checked out; empty before the first one and outside git."""
        self.tree = tree
        """The id of the tree that git would commit; outside git, the hex SHA-256 of the lines of all files."""
        self.excludes = excludes
        """Digest of the ignore rules of this machine alone; empty where there are none."""
        self.committed_hidden: frozenset[bytes] = frozenset()
        """Paths of a ledger's files that the commit holds and that differ from it: git would bring them."""
        self.submodules: dict[bytes, Snapshot] = {}
        """The content of submodules that are checked out, and of other repositories in the tree."""
        self._listing: Listing | None = None
        self._own_listing: Listing | None = None
        self._own_changes: dict[str, str] | None = None

    @property
    def dirty(self) -> bool:
        """Whether the content differs from the commit; always false outside git."""
        return bool(self.own_changes) or any(inner.dirty for inner in self.submodules.values())

    @property
    def own_changes(self) -> dict[str, str]:
        """`changes` without those in submodules."""
        if self._own_changes is None:
            self._own_changes = self._find_changes()
        return self._own_changes

    @property
    def changes(self) -> dict[str, str]:
        """What differs from the commit, so that a later `changed_paths` can name files; all, without a commit.

        Path -> blob id, `""` for a deleted file. A mode follows after a space where it is not the commit's
        (`100644` for a new file): `<blob id> 100755`. A submodule's own changes have its path before theirs.
        """
        found = dict(self.own_changes)
        for path, inner in self.submodules.items():
            folder = path_text(path)
            found.update((f"{folder}/{name}", value) for name, value in inner.changes.items())
        return found

    @property
    def listing(self) -> Listing:
        """All files with their modes and blob ids, those of submodules too."""
        if self._listing is None:
            inner = {path: snapshot.listing for path, snapshot in self.open_submodules().items()}
            self._listing = self.own_listing.with_submodules(inner)
        return self._listing

    @property
    def own_listing(self) -> Listing:
        """`listing` without the files of submodules."""
        if self._own_listing is None:
            self._own_listing = self._list()
        return self._own_listing

    def fingerprint(self) -> dict[str, Any]:
        """What the content is known by: `commit`, `tree`, `dirty`, `excludes`, empties left out.

        The tree has only the commit of a submodule. Where one's content is another, `submodules` maps its path to
        the tree that would be committed there.
        """
        fields: dict[str, Any] = {
            "commit": self.commit,
            "tree": self.tree,
            "dirty": self.dirty,
            "excludes": self.excludes,
            "submodules": self._dirty_submodules(),
        }
        return {name: value for name, value in fields.items() if value}

    def matching(self, patterns: Sequence[str] = ()) -> list[tuple[str, str, str, str]]:
        """(mode, type, object id, path) of the files that one of the pathspecs matches, in git's order.

        No patterns match everything. Raises InputError for one that git would refuse.
        """
        found = []
        for line in self.listing.matching(patterns):
            head, _, path = line.partition(b"\t")
            mode, kind, oid = head.decode("ascii").split(" ")
            found.append((mode, kind, oid, path_text(path)))
        return found

    def paths(self, patterns: Sequence[str] = ()) -> list[str]:
        """The paths of the files that one of the pathspecs matches, in git's order; submodules as one more."""
        return [path_text(path_of(line)) for line in self.listing.matching(patterns)]

    def inputs_digest(
        self, patterns: Sequence[str] = (), *, without: Mapping[str, str | Collection[str]] | None = None
    ) -> str:
        """Hex SHA-256 of what `git ls-tree -r -z --full-tree TREE` prints for the matching paths.

        No patterns match everything. `without` maps products of runs to a blob id, or several: such a path is
        left out while its content is that.
        """
        return self.listing.digest(patterns, without)

    def blob(self, path: str) -> str:
        """The object id of a file; empty where the content has no such path."""
        lines = self.listing.named(path)
        return blob_of(lines[0]) if lines else ""

    def state(self, path: str) -> State:
        """(mode, object id) of a file; both are empty if the content has no such path."""
        lines = self.listing.named(path)
        return (lines[0].split(b" ", 1)[0].decode("ascii"), blob_of(lines[0])) if lines else ("", "")

    def untracked(self) -> set[bytes]:
        """The paths that git does not know yet; outside git, all."""
        own = self._own_untracked()
        for path, inner in self.submodules.items():
            own |= {path + b"/" + name for name in inner.untracked()}
        return own

    def read(self, path: str) -> bytes | None:
        """The bytes of a file as they lie in the folder (a link's target for a link); None if there is none.

        Raises InputError for a fifo, a socket or a device.
        """
        full = os.path.join(os.fsencode(self.root), path_bytes(path))
        try:
            if os.path.islink(full):
                return os.readlink(full)
            with open(open_plain(full), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def close(self) -> None:
        """Frees the memory that the list of files takes; it is read again where it is asked for."""
        self._listing = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_submodules(self) -> dict[bytes, Snapshot]:
        """The submodules whose files can be told: those that are checked out."""
        return self.submodules

    def committed_states(self) -> Mapping[bytes, State]:
        """What the commit has at the paths that may differ from it."""
        return {}

    def _list(self) -> Listing:
        """Reads the own files."""
        raise NotImplementedError

    def _find_changes(self) -> dict[str, str]:
        """Compares the own files with the commit's."""
        raise NotImplementedError

    def _own_untracked(self) -> set[bytes]:
        raise NotImplementedError

    def _dirty_submodules(self) -> dict[str, str]:
        found = {}
        for path, inner in sorted(self.submodules.items()):
            name = path_text(path)
            if inner.own_changes:
                found[name] = inner.tree
            found.update((f"{name}/{below}", tree) for below, tree in inner._dirty_submodules().items())
        return found


class PendingSnapshot:
    """A snapshot that is being taken. `result` waits for it; `discard` gives it up."""

    __slots__ = ()

    def result(self) -> Snapshot:
        """The content. Raises TallystickError where a file cannot be read or git refuses; call it once."""
        raise NotImplementedError

    def discard(self) -> None:
        """Ends what is under way, for a caller that failed meanwhile."""


def change_value(mode: str, oid: str, *, usual: str = "") -> str:
    """How `Snapshot.changes` writes a changed path; `usual` is its mode in the commit, empty for a new one."""
    return f"{oid} {mode}" if oid and mode != (usual or PLAIN_FILE) else oid


def all_new(listing: Listing) -> dict[str, str]:
    """`Snapshot.changes` where there is no commit: every file."""
    return {path_text(path): change_value(*state) for path, state in listing.states().items()}
