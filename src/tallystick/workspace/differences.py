"""How two commits or trees of a repository differ."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.workspace.git import Git
    from tallystick.workspace.snapshot import State

_ARGUMENTS = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none")
_NO_FILE = "000000"


def differences(git: Git, old: str, new: str) -> Iterator[tuple[State, State, bytes]]:
    """Each path that differs: its state in either, and the path. Raises GitError for an id that is not there."""
    printed = git.run(*_ARGUMENTS, old, new)
    records = iter(printed[:-1].split(b"\0") if printed else ())
    for meta in records:
        old_mode, new_mode, old_id, new_id, _ = meta[1:].decode("ascii").split(" ")
        yield _state(old_mode, old_id), _state(new_mode, new_id), next(records)


def _state(mode: str, oid: str) -> State:
    return (mode, oid) if mode != _NO_FILE else ("", "")
