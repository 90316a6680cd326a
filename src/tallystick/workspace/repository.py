"""One git repository with a work tree: the whole of it, or a submodule's."""

from __future__ import annotations

import os

from tallystick.workspace.git import Git
from tallystick.workspace.hidden import Hidden
from tallystick.workspace.index import new_digest
from tallystick.workspace.location import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.location import Location


class Repository:
    """Where the repository lies, git to ask about it, and what in its work tree never counts."""

    __slots__ = ("git", "hidden", "location", "oid_size", "root")

    def __init__(self, location: Location, hidden: Hidden) -> None:
        self.location = location
        self.hidden = hidden
        self.root = location.root
        self.oid_size = _oid_size(location)
        """How many bytes an object id has: 20, or 32 in a SHA-256 repository."""
        self.git = Git(location.root, location.objects, explicit=location.git_dir if location.explicit else "")

    def inner(self, path: bytes) -> Repository | None:
        """The repository whose work tree is at `path` below this one's; None where nothing is checked out."""
        root = os.path.join(self.root, os.fsdecode(path))
        location = at(root) if not os.path.islink(root) else None
        return Repository(location, Hidden(root, self.hidden.absolute)) if location else None

    @property
    def index(self) -> str:
        """The user's index file, which may not exist yet."""
        return os.path.join(self.location.git_dir, "index")

    @property
    def empty_tree(self) -> str:
        """The id of the tree without a file, which git knows without having it."""
        return new_digest(self.oid_size, b"tree 0\0").hex()

    def has(self, commit: str) -> bool:
        """Whether the repository still has that commit."""
        printed = self.git.run("cat-file", "--batch-check", stdin=f"{commit}^{{commit}}\n".encode())
        return not printed.endswith(b" missing\n")


def _oid_size(location: Location) -> int:
    try:
        with open(os.path.join(location.common_dir, "config"), "rb") as file:
            config = file.read().lower()
    except OSError:
        return 20
    settings = {b"".join(line.replace(b'"', b"").split()) for line in config.split(b"\n")}
    return 32 if b"objectformat=sha256" in settings else 20
