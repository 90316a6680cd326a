"""What `git status --porcelain=v2 -z` says (its own manual page has the format)."""

from __future__ import annotations

ARGUMENTS = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--untracked-files=all",
    "--no-renames", "--ignore-submodules=dirty",
)  # fmt: skip
"""Every path that differs, one by one; of a submodule whether another commit is checked out, no more."""

_FIELDS_BEFORE_PATH = {b"1": 8, b"2": 9, b"u": 10}
_NO_FILE = "000000"


class Line:
    """One path that differs. Paths are bytes, from the root of the work tree.

    `staged` and `unstaged` are the two letters of `git status`, `.` for no difference, `?` twice for an untracked
    path. `committed` is (mode, object id) in the commit, both empty where it has no such file; git does not tell it of
    a conflict, and tells it wrongly of a file that was only intended to be added.
    """

    __slots__ = ("committed", "conflict", "path", "staged", "unstaged")

    def __init__(
        self, letters: str, path: bytes, committed: tuple[str, str] = ("", ""), *, conflict: bool = False
    ) -> None:
        self.staged, self.unstaged = letters[0], letters[1]
        self.path = path
        self.committed = committed
        self.conflict = conflict
        """Whether a merge is unresolved here."""

    @property
    def untracked(self) -> bool:
        """Whether git does not know the path yet. With a final `/` it is a repository of its own."""
        return self.staged == "?"


class Status:
    """The commit checked out (empty before the first one) and what differs, in git's order."""

    __slots__ = ("commit", "lines")

    def __init__(self, commit: str, lines: list[Line]) -> None:
        self.commit = commit
        self.lines = lines


def parse_status(printed: bytes) -> Status:
    """Reads what git printed for `ARGUMENTS`. Raises ValueError where it is cut short."""
    if not printed.endswith(b"\0"):
        raise ValueError("git status printed no whole line")
    commit, lines = "", []
    records = iter(printed[:-1].split(b"\0"))
    for record in records:
        kind = record[:1]
        if kind == b"?":
            lines.append(Line("??", record[2:]))
        elif kind in _FIELDS_BEFORE_PATH:
            fields = record.split(b" ", _FIELDS_BEFORE_PATH[kind])
            letters, path = fields[1].decode("ascii"), fields[-1]
            mode, oid = fields[3].decode("ascii"), fields[6].decode("ascii")
            known = kind != b"u" and mode != _NO_FILE
            lines.append(Line(letters, path, (mode, oid) if known else ("", ""), conflict=kind == b"u"))
            if kind == b"2":
                next(records)  # where it was renamed from
        elif record.startswith(b"# branch.oid "):
            oid = record[len(b"# branch.oid ") :].decode("ascii")
            commit = "" if oid == "(initial)" else oid
    return Status(commit, lines)
