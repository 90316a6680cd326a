"""A git index file without git: what hides changes in it, its submodules, the tree of all its entries.

The format is git's (gitformat-index), versions 2, 3 and 4. Nothing here writes the user's index: it is read, and a
changed copy is returned.
"""

from __future__ import annotations

import os
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_STAT_SIZE = 40
_ASSUME_VALID, _EXTENDED, _STAGE, _NAME_LENGTH = 0x80, 0x40, 0x30, 0x0FFF
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x40, 0x20
_SPECIAL = _ASSUME_VALID | _EXTENDED | _STAGE
_FILE, _GITLINK, _FOLDER = 0x81, 0xE0, 0x40  # the third byte of an entry's mode


class Index:
    """The entries of one index file, in its order, which is the byte order of their paths."""

    __slots__ = (
        "cached_tree", "data", "folders", "gitlinks", "hidden", "oid_size", "paths", "places", "split", "uncommitted",
    )  # fmt: skip

    def __init__(self, data: bytes, oid_size: int) -> None:
        """`oid_size` is 20, or 32 in a SHA-256 repository. Raises ValueError where it is not an index."""
        if data[:4] != b"DIRC" or len(data) < 12 + oid_size:
            raise ValueError("not an index file")
        version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
        if version not in (2, 3, 4):
            raise ValueError(f"unknown index version {version}")
        self.data = data
        self.oid_size = oid_size
        self.places: list[int] = []
        """Where each entry begins."""
        self.paths: list[bytes] = []
        """The path of each entry, from the root of the work tree."""
        self.gitlinks: list[int] = []
        """The numbers of the entries that are submodules."""
        self.folders: list[int] = []
        """The numbers of those that stand for all below a folder, in a sparse index."""
        self.hidden: list[int] = []
        """The numbers of those with a flag that may hide changes."""
        self.uncommitted: set[int] = set()
        """The numbers of those that a commit would not have: of an unresolved merge, or only intended."""
        self.split = False
        """Whether most entries lie in another file, a shared index."""
        self.cached_tree = b""
        """What git keeps of the trees of folders that did not change since it last wrote them."""
        try:
            end = self._read_compressed(count) if version == 4 else self._read(count)
            self._read_extensions(end)
        except IndexError:
            raise ValueError("the index file is cut short") from None

    @classmethod
    def empty(cls, oid_size: int) -> Self:
        """The index of a repository that has none yet."""
        header = b"DIRC" + (2).to_bytes(4, "big") + (0).to_bytes(4, "big")
        return cls(header + bytes(oid_size), oid_size)

    def mode(self, number: int) -> int:
        """The mode of an entry, as git has them."""
        place = self.places[number] + 24
        return int.from_bytes(self.data[place : place + 4], "big")

    def oid(self, number: int) -> bytes:
        """The object id of an entry."""
        place = self.places[number] + _STAT_SIZE
        return self.data[place : place + self.oid_size]

    def find(self, path: bytes) -> int:
        """The number of the entry with that path that a commit would have; -1 where there is none."""
        number = bisect_left(self.paths, path)
        while number < len(self.paths) and self.paths[number] == path:
            if number not in self.uncommitted:
                return number
            number += 1
        return -1

    def without_hiding(self, root: bytes, *, sparse: bool = True) -> bytes:
        """The file with assume-unchanged cleared, and skip-worktree too.

        In a `sparse` checkout a skipped file that is absent is not a deletion: it was left out, and git
        commits it as it was. Elsewhere somebody hid that it is gone. A folder that a sparse index has as
        one entry is left to git, which looks itself.
        """
        there = _presence(root)
        changed = bytearray(self.data)
        for number in self.hidden:
            place = self.places[number] + _STAT_SIZE + self.oid_size
            skipped = changed[place] & _EXTENDED and changed[place + 2] & _SKIP_WORKTREE
            changed[place] &= ~_ASSUME_VALID
            if skipped and number not in self.folders and (not sparse or there(self.paths[number])):
                changed[place + 2] &= ~_SKIP_WORKTREE
        if changed == self.data:
            return self.data
        body = bytes(changed[: -self.oid_size])
        return body + new_digest(self.oid_size, body)

    def _read(self, count: int) -> int:
        """Versions 2 and 3: each entry is padded to a multiple of 8 bytes. Where the entries end."""
        data, place, to_flags = self.data, 12, _STAT_SIZE + self.oid_size
        add_place, add_path = self.places.append, self.paths.append
        for number in range(count):
            add_place(place)
            flags = place + to_flags
            high = data[flags]
            start = flags + 2
            length = (high << 8 | data[flags + 1]) & _NAME_LENGTH
            if high & _SPECIAL:
                self._note_flags(number, flags)
                start += 2 if high & _EXTENDED else 0
            if length == _NAME_LENGTH:
                length = data.index(b"\0", start) - start
            if data[place + 26] != _FILE:
                self._note_kind(number, place)
            add_path(data[start : start + length])
            place += (start - place + length + 8) & ~7
        return place

    def _read_compressed(self, count: int) -> int:
        """Version 4: each path drops some bytes of the one before it and adds its own. Where the entries end."""
        data, place, to_flags, path = self.data, 12, _STAT_SIZE + self.oid_size, b""
        for number in range(count):
            flags = place + to_flags
            if data[flags] & _SPECIAL:
                self._note_flags(number, flags)
            if data[place + 26] != _FILE:
                self._note_kind(number, place)
            dropped, start = _varint(data, flags + (4 if data[flags] & _EXTENDED else 2))
            end = data.index(b"\0", start)
            path = path[: len(path) - dropped] + data[start:end]
            self.places.append(place)
            self.paths.append(path)
            place = end + 1
        return place

    def _note_flags(self, number: int, flags: int) -> None:
        high = self.data[flags]
        more = self.data[flags + 2] if high & _EXTENDED else 0
        if high & _ASSUME_VALID or more & _SKIP_WORKTREE:
            self.hidden.append(number)
        if high & _STAGE or more & _INTENT_TO_ADD:
            self.uncommitted.add(number)

    def _note_kind(self, number: int, place: int) -> None:
        kind = self.data[place + 26]
        if kind == _GITLINK:
            self.gitlinks.append(number)
        elif kind == _FOLDER:
            self.folders.append(number)

    def _read_extensions(self, place: int) -> None:
        end = len(self.data) - self.oid_size
        while place + 8 <= end:
            name, size = self.data[place : place + 4], int.from_bytes(self.data[place + 4 : place + 8], "big")
            if name == b"link":
                self.split = True
            elif name == b"TREE":
                self.cached_tree = self.data[place + 8 : place + 8 + size]
            place += 8 + size


def new_digest(oid_size: int, content: bytes) -> bytes:
    """The digest of a repository whose object ids have that size."""
    import hashlib

    digest = hashlib.sha1(content, usedforsecurity=False) if oid_size == 20 else hashlib.sha256(content)
    return digest.digest()


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number as version 4 writes it (the offset encoding of packs), and the place after it."""
    byte = data[place]
    value = byte & 0x7F
    while byte & 0x80:
        place += 1
        byte = data[place]
        value = (value + 1) << 7 | byte & 0x7F
    return value, place + 1


def _presence(root: bytes) -> Callable[[bytes], bool]:
    """Whether a path is there, not by way of a link; a folder that is not is looked for once."""
    folders: dict[bytes, bool] = {}

    def there(path: bytes) -> bool:
        place = path.find(b"/")
        while place >= 0:
            folder = path[:place]
            if folder not in folders:
                full = os.path.join(root, folder)
                folders[folder] = os.path.isdir(full) and not os.path.islink(full)
            if not folders[folder]:
                return False
            place = path.find(b"/", place + 1)
        return os.path.lexists(os.path.join(root, path))

    return there
