"""What a git index file tells without git: flags that hide changes, submodules, the cached tree.

The format is git's (gitformat-index), versions 2, 3 and 4. Nothing here writes the user's index: it is read,
and a changed copy is returned.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STAT_SIZE = 40
_ASSUME_VALID, _EXTENDED, _NAME_LENGTH = 0x80, 0x40, 0x0FFF
_SKIP_WORKTREE = 0x40
_GITLINK, _DIRECTORY = 0xE0, 0x40  # the high byte of the lower half of an entry's mode


class IndexFacts:
    """What one index file says. Paths are bytes, from the root of the work tree."""

    __slots__ = ("assume_unchanged", "gitlinks", "skipped", "split", "tree")

    def __init__(self) -> None:
        self.assume_unchanged: list[int] = []
        """Places of the flag bytes of entries that git was told to assume unchanged."""
        self.skipped: list[tuple[int, bytes]] = []
        """Files not wanted in the work tree: the place of the flag byte, and the path."""
        self.gitlinks: list[bytes] = []
        """Submodules."""
        self.split = False
        """Whether most entries lie in another file, a shared index."""
        self.tree = ""
        """The id of the tree of all entries, where git has kept it."""


def read_index(data: bytes, oid_size: int) -> IndexFacts:
    """What the index file's bytes say; `oid_size` is 20 or 32 (SHA-256). Raises ValueError: not an index."""
    if data[:4] != b"DIRC" or len(data) < 12 + oid_size:
        raise ValueError("not an index file")
    version, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    if version not in (2, 3, 4):
        raise ValueError(f"unknown index version {version}")
    facts = IndexFacts()
    try:
        place = (
            _compressed_entries(data, count, oid_size, facts)
            if version == 4
            else _entries(data, count, oid_size, facts)
        )
        _extensions(data, place, oid_size, facts)
    except IndexError:
        raise ValueError("the index file is cut short") from None
    return facts


def _entries(data: bytes, count: int, oid_size: int, facts: IndexFacts) -> int:
    """Versions 2 and 3: each entry is padded to a multiple of 8 bytes."""
    header = _STAT_SIZE + oid_size + 2
    to_flags, place = header - 2, 12
    for _ in range(count):
        high = data[place + to_flags]
        length = (high << 8 | data[place + to_flags + 1]) & _NAME_LENGTH
        start = place + header + 2 if high & _EXTENDED else place + header
        if length == _NAME_LENGTH:
            length = data.index(b"\0", start) - start
        kind = data[place + 26]
        if kind == _GITLINK or high & (_ASSUME_VALID | _EXTENDED):
            _note(data, place, to_flags, data[start : start + length], facts)
        place += (start - place + length + 8) & ~7
    return place


def _compressed_entries(data: bytes, count: int, oid_size: int, facts: IndexFacts) -> int:
    """Version 4: each path drops some bytes of the one before it and adds its own."""
    header = _STAT_SIZE + oid_size + 2
    to_flags, place, path = header - 2, 12, b""
    for _ in range(count):
        high = data[place + to_flags]
        start = place + header + 2 if high & _EXTENDED else place + header
        dropped, start = _varint(data, start)
        end = data.index(b"\0", start)
        path = path[: len(path) - dropped] + data[start:end]
        if data[place + 26] == _GITLINK or high & (_ASSUME_VALID | _EXTENDED):
            _note(data, place, to_flags, path, facts)
        place = end + 1
    return place


def _note(data: bytes, place: int, to_flags: int, path: bytes, facts: IndexFacts) -> None:
    kind, high = data[place + 26], data[place + to_flags]
    if kind == _GITLINK:
        facts.gitlinks.append(path)
    if high & _ASSUME_VALID:
        facts.assume_unchanged.append(place + to_flags)
    # A directory stands for all below it in a sparse index; git itself looks whether it is there.
    if high & _EXTENDED and data[place + to_flags + 2] & _SKIP_WORKTREE and kind != _DIRECTORY:
        facts.skipped.append((place + to_flags + 2, path))


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number as version 4 writes it (the offset encoding of packs), and the place after it."""
    byte = data[place]
    value = byte & 0x7F
    while byte & 0x80:
        place += 1
        byte = data[place]
        value = (value + 1) << 7 | byte & 0x7F
    return value, place + 1


def _extensions(data: bytes, place: int, oid_size: int, facts: IndexFacts) -> None:
    end = len(data) - oid_size
    while place + 8 <= end:
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "big")
        if name == b"link":
            facts.split = True
        elif name == b"TREE":
            facts.tree = _root_tree(data[place + 8 : place + 8 + size], oid_size)
        place += 8 + size


def _root_tree(cached: bytes, oid_size: int) -> str:
    """The first entry is the root: an empty path, the number of entries (-1: not known), of subtrees, the id."""
    line_end = cached.find(b"\n")
    numbers = cached[1:line_end].split()
    if cached[:1] != b"\0" or line_end < 0 or len(numbers) != 2 or numbers[0].startswith(b"-"):
        return ""
    return cached[line_end + 1 : line_end + 1 + oid_size].hex()


def without_hiding(data: bytes, facts: IndexFacts, root: bytes, oid_size: int) -> bytes:
    """The index with assume-unchanged cleared, and skip-worktree where the file is there after all.

    A skipped file that is absent is not a deletion: a sparse checkout leaves it out, and git commits it as it
    was. Returns `data` itself where nothing hides.
    """
    there = _presence(root)
    flags = [(place, _ASSUME_VALID) for place in facts.assume_unchanged]
    flags += [(place, _SKIP_WORKTREE) for place, path in facts.skipped if there(path)]
    if not flags:
        return data
    import hashlib

    changed = bytearray(data)
    for place, flag in flags:
        changed[place] &= ~flag & 0xFF
    body = changed[:-oid_size]
    digest = hashlib.sha1(body, usedforsecurity=False) if oid_size == 20 else hashlib.sha256(body)
    return bytes(body + digest.digest())


def _presence(root: bytes) -> Callable[[bytes], bool]:
    """Whether a path is there; a folder that is not is looked for once."""
    folders: dict[bytes, bool] = {b"": True}

    def folder_there(folder: bytes) -> bool:
        if folder not in folders:
            folders[folder] = folder_there(os.path.dirname(folder)) and os.path.isdir(os.path.join(root, folder))
        return folders[folder]

    return lambda path: folder_there(os.path.dirname(path)) and os.path.lexists(os.path.join(root, path))
