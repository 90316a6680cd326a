"""Whether a commit could have brought a ledger: what git tracks, and what lies behind a link, is not trusted."""

from __future__ import annotations

import os
from itertools import pairwise

from tallystick.errors import InputError
from tallystick.location import git_directories, sqlite_path
from tallystick.stores.sqlite_connection import SIDE_FILES
from tallystick.workspace.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.workspace.snapshot import Snapshot

_LINK = 0o120000


def require_untracked(url: str, *, named: bool) -> None:
    """Raises InputError if git tracks the ledger's file or a file beside it, or if it is reached through a link.

    `named`: somebody named the place, so that a link of his own is no surprise; one that git tracks is. Other stores
    than SQLite files have nothing that a commit could bring.
    """
    path = sqlite_path(url) or ("" if "://" in url else url)
    if not path:
        return
    path = os.path.abspath(path)
    files = [path + suffix for suffix in ("", *SIDE_FILES)]
    links = files[1:] if named else [os.path.dirname(path), *files]
    if link := next(filter(os.path.islink, links), ""):
        raise InputError(
            "this is a symbolic link, so the evidence would come from elsewhere",
            where=link,
            advice=f"rm {_quoted(link)}, or name the ledger's own place (TALLYSTICK_LEDGER, --ledger)",
        )
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    places = dict.fromkeys((path, real, os.path.realpath(path)))
    for place in places:
        if found := _tracked([place + suffix for suffix in ("", *SIDE_FILES)]):
            raise tracked_error(*found)


def require_uncommitted(snapshot: Snapshot) -> None:
    """Raises InputError if the commit that is checked out holds the ledger's files, though the index does not."""
    if snapshot.committed_hidden:
        raise tracked_error(snapshot.root, os.fsdecode(min(snapshot.committed_hidden)))


def tracked_error(root: str, name: str) -> InputError:
    """What to say of a ledger's file that git tracks as `name` in the work tree at `root`."""
    return InputError(
        f"git tracks {name!r}, so a commit could have brought this evidence",
        where=root,
        advice=f"git -C {_quoted(root)} rm --cached -- {_quoted(name)}, commit that, and remove the file",
    )


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _tracked(files: list[str]) -> tuple[str, str] | None:
    """(top of the work tree, name) of the first of the files, or link on the way to them, that git tracks."""
    folder = os.path.dirname(files[0])
    while True:
        if os.path.lexists(os.path.join(folder, ".git")):
            names = _Names(folder, files)
            for data in _indexes(git_directories(folder)[0]):
                if names.may_be_in(data) and (found := names.entry_in(data)):
                    return folder, found
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _indexes(git_dir: str) -> Iterator[bytes]:
    """The bytes of the index, and of the shared indexes that a split one builds on."""
    try:
        shared = [name for name in os.listdir(git_dir) if name.startswith("sharedindex.")]
    except OSError:
        return
    for name in ("index", *shared):
        try:
            with open(os.path.join(git_dir, name), "rb") as file:
                yield file.read()
        except OSError:
            continue


class _Names:
    """The names of a ledger's files in one work tree, and of the folders on the way to them."""

    def __init__(self, root: str, files: list[str]) -> None:
        self._files = [os.fsencode(os.path.relpath(file, root)) for file in files]
        self._folders = []
        folder = os.path.dirname(self._files[0])
        while folder:
            self._folders.append(folder)
            folder = os.path.dirname(folder)
        self._spelled = _spelling(files[0])

    def may_be_in(self, data: bytes) -> bool:
        """Whether it pays to read the entries: false only if none of the names can be there."""
        if self._spelled is not _as_is or data[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            return True
        ends = [self._files[0], *(folder + b"\0" for folder in self._folders)]
        ends += [folder + b"/\0" for folder in self._folders]
        return any(end in data for end in ends)

    def entry_in(self, data: bytes) -> str:
        """The entry that is one of the files, a link on the way to them, or a folder in a sparse index; else empty."""
        index = _parsed(data)
        if index is None:
            return ""
        files = {self._spelled(name) for name in self._files}
        folders = {self._spelled(name) for name in self._folders}
        for number, path in enumerate(index.paths):
            name = self._spelled(path)
            link = name in folders and index.mode(number) & 0o170000 == _LINK
            if name in files or link or (name.endswith(b"/") and name[:-1] in folders):
                return os.fsdecode(path)
        return ""


def _parsed(data: bytes) -> Index | None:
    for oid_size in (20, 32):
        try:
            found = Index(data, oid_size)
        except (ValueError, IndexError):
            continue
        if all(earlier <= later for earlier, later in pairwise(found.paths)):
            return found
    return None


def _spelling(file: str) -> Callable[[bytes], bytes]:
    """How the file system that the file lies on compares names."""
    folder, name = os.path.split(file)
    other = os.path.join(folder, name.swapcase())
    try:
        folds = other != file and os.path.samefile(file, other)
    except OSError:
        folds = False
    return _folded if folds else _as_is


def _as_is(name: bytes) -> bytes:
    return name


def _folded(name: bytes) -> bytes:
    import unicodedata

    text = unicodedata.normalize("NFKD", os.fsdecode(name)).casefold()
    return os.fsencode("".join(one for one in text if unicodedata.category(one) != "Cf"))
