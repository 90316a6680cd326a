"""How content moved: between two snapshots, during a run, and since some evidence was recorded."""

from __future__ import annotations

import os
import stat

from tallystick.errors import NotFoundError
from tallystick.workspace.differences import differences
from tallystick.workspace.git import GitError
from tallystick.workspace.inputs import Listing, blob_of, path_of
from tallystick.workspace.paths import named_path, path_bytes, path_text
from tallystick.workspace.snapshot import PLAIN_FILE, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from tallystick.workspace.content import Workspace
    from tallystick.workspace.snapshot import State

    Times = tuple[int, int, int, int]
    """ctime and mtime in nanoseconds, inode, size."""

_NOTHING = ("", "")
_GITLINK = "160000"
_EMPTY_FILES = (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
"""Blob ids (SHA-1, SHA-256) of the empty file, which nobody would call renamed."""


class Change:
    """One file that is not as it was.

    `how` is `added`, `deleted`, `modified`, `mode` (only the mode) or `renamed` (with the same bytes, from
    `was`). Paths are as in `Snapshot`.
    """

    __slots__ = ("how", "path", "was")

    def __init__(self, path: str, how: str, was: str = "") -> None:
        self.path = path
        self.how = how
        self.was = was

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Change) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Change({self.path!r}, {self.how!r}{f', was={self.was!r}' if self.was else ''})"

    def _key(self) -> tuple[str, str, str]:
        return self.path, self.how, self.was


def changed_paths(
    workspace: Workspace,
    then: Mapping[str, Any] | tuple[str, Mapping[str, str]],
    now: Snapshot,
    patterns: Sequence[str] = (),
) -> list[Change] | None:
    """Which files that one of the pathspecs matches are not as they were, by path; no patterns match all.

    `then` is what was kept of the earlier snapshot: `details.content`, or a pair of its `commit` and `changes`. None
    is returned where that commit is gone (or now there is no git): the files cannot be named any more.
    """
    if isinstance(then, tuple):
        commit, changes = then
    else:
        commit = then.get("commit", "")
        changes = {named_path(path): was for path, was in then.get("changes", {}).items()}
    if commit and not workspace.is_git:
        return None
    moved = _moved(commit, changes, now)
    if moved is None:
        return None
    if patterns:
        wanted = _matching(moved, patterns)
        moved = {path: states for path, states in moved.items() if path in wanted}
    return _told(moved)


def changed_states(
    workspace: Workspace, commit: str, now: Snapshot, patterns: Sequence[str] = ()
) -> dict[str, tuple[State, State]]:
    """The files that one of the pathspecs matches and that differ: path -> (mode and blob id at that commit, and now).

    Both parts of a state are empty if there is no such file. Raises NotFoundError if the commit is gone.
    """
    moved = _moved(commit, {}, now) if workspace.is_git else None
    if moved is None:
        raise NotFoundError("no such commit", where=commit)
    wanted = _matching(moved, patterns) if patterns else moved.keys()
    return {path: states for path, states in moved.items() if path in wanted}


def changed_outside(workspace: Workspace, commit: str, now: Snapshot, patterns: Sequence[str]) -> dict[str, State]:
    """The files that none of the pathspecs matches and that differ from that commit: path -> (mode, blob id) now.

    Both are empty for a file that is gone. Raises NotFoundError if the commit is gone.
    """
    moved = changed_states(workspace, commit, now)
    inside = _matching(moved, patterns) if moved else ()
    return {path: state for path, (_, state) in moved.items() if path not in inside}


def products(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """Untracked files that are in `after` and were not in `before`: path -> blob id, by path."""
    appeared = after.untracked() - before.untracked()
    if not appeared:
        return {}
    appeared -= {path_of(line) for line in before.listing.lines}
    changes = after.changes
    names = sorted(name for name in map(path_text, appeared) if name in changes)
    return {name: changes[name].partition(" ")[0] for name in names}


def change_times(workspace: Workspace, paths: Iterable[str]) -> dict[str, Times]:
    """Path -> what the file system says of the file, to tell with `touched` that it was written meanwhile.

    A change time cannot be set back, so an edit that was undone still shows. Absent files are left out, and so are
    folders (a submodule's path is one). Costs a few microseconds a file.
    """
    root = os.fsencode(workspace.root)
    found = {}
    for path in paths:
        try:
            told = os.lstat(os.path.join(root, path_bytes(path)))
        except OSError:
            continue
        if not stat.S_ISDIR(told.st_mode):
            found[path] = (told.st_ctime_ns, told.st_mtime_ns, told.st_ino, told.st_size)
    return found


def touched(before: Mapping[str, Times], after: Mapping[str, Times]) -> list[str]:
    """The paths, sorted, that two `change_times` tell different things about, or only one of them knows."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _moved(commit: str, changes: Mapping[str, str], now: Snapshot) -> dict[str, tuple[State, State]] | None:
    """Every path whose state differs: state then, state now. None where the commit is gone."""
    base = _since_commit(commit, now) if commit else {}
    if base is None:
        return None
    committed, inner = now.committed_states(), now.open_submodules()
    folders = tuple(path_text(path) + "/" for path in inner)
    candidates = {*base, *changes, *now.own_changes, *([] if commit else map(path_text, now.own_listing.states()))}
    found = {}
    for path in candidates:
        if path.startswith(folders):
            continue
        today = _state(now.own_listing, path)
        # A path in neither difference is as it is in the commit checked out now.
        unmoved = committed.get(path_bytes(path), today) if commit else _NOTHING
        then = base.get(path, unmoved)
        if path in changes:
            then = _decoded(changes[path], then)
        if then != today:
            found[path] = (then, today)
    for folder, snapshot in inner.items():
        _add_submodule(found, path_text(folder), changes, now, snapshot)
    return found


def _since_commit(commit: str, now: Snapshot) -> dict[str, State] | None:
    """What `commit` has where it differs from what the snapshot stands on. None where it is gone."""
    if not now.repository:
        return None
    if commit == now.stands_on:
        return {}
    try:
        found = list(differences(now.repository.git, commit, now.stands_on))
    except GitError:
        if now.repository.has(commit):
            raise
        return None
    return {path_text(path): then for then, _, path in found}


def _state(listing: Listing, path: str) -> State:
    lines = listing.named(path)
    return (lines[0][:6].decode("ascii"), blob_of(lines[0])) if lines else _NOTHING


def _decoded(value: str, committed: State) -> State:
    """The state that a value of `Snapshot.changes` stands for."""
    oid, _, mode = value.partition(" ")
    return (mode or committed[0] or PLAIN_FILE, oid) if oid else _NOTHING


def _add_submodule(
    found: dict[str, tuple[State, State]], folder: str, changes: Mapping[str, str], now: Snapshot, inner: Snapshot
) -> None:
    """Adds what differs below a submodule (or another repository in the tree), as far as it can be told."""
    mode, oid = found[folder][0] if folder in found else _state(now.own_listing, folder)
    start = folder + "/"
    own = {path.removeprefix(start): value for path, value in changes.items() if path.startswith(start)}
    below = _moved(oid if mode == _GITLINK else "", own, inner)
    for path, states in (below or {}).items():
        found[start + path] = states


def _matching(moved: Mapping[str, tuple[State, State]], patterns: Sequence[str]) -> set[str]:
    """The paths that one of the pathspecs matches."""
    lines = []
    for path in sorted(map(path_bytes, moved)):
        then, today = moved[path_text(path)]
        kind = "commit" if _GITLINK in (then[0], today[0]) else "blob"
        mode = _GITLINK if kind == "commit" else PLAIN_FILE
        lines.append(f"{mode} {kind} {today[1] or then[1]}\t".encode() + path)
    return {path_text(path_of(line)) for line in Listing(lines).matching(patterns)}


def _told(moved: Mapping[str, tuple[State, State]]) -> list[Change]:
    """What happened to each path; one that went and one that came with the same bytes are one renaming."""
    gone: dict[str, list[str]] = {}
    for path in sorted(path for path, (_, today) in moved.items() if today == _NOTHING):
        gone.setdefault(moved[path][0][1], []).append(path)
    told, renamed = [], set()
    for path, (then, today) in sorted(moved.items()):
        if then == _NOTHING:
            origins = gone.get(today[1]) if today[1] not in _EMPTY_FILES else None
            was = origins.pop(0) if origins else ""
            told.append(Change(path, "renamed" if was else "added", was))
            renamed.add(was)
        elif today != _NOTHING:
            told.append(Change(path, "mode" if then[1] == today[1] else "modified"))
    left = (path for paths in gone.values() for path in paths if path not in renamed)
    return sorted((*told, *(Change(path, "deleted") for path in left)), key=lambda change: path_bytes(change.path))
