"""What `git write-tree` and `git ls-tree -r` say of the entries of an index, found without them.

No tree object is written. (Git would also set the times of those below `.git` that it meets again.) The trees that
git has cached in the index are taken from there; the ids of the others are computed.
"""

from __future__ import annotations

from binascii import hexlify

from tallystick.workspace.index import Index, new_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = 0o040000
_GITLINK = 0o160000


class _Folder:
    """What the index caches of one folder: how many entries (-1: not known) its tree covers, and its id."""

    __slots__ = ("count", "folders", "oid")

    def __init__(self, count: int = -1, oid: bytes = b"") -> None:
        self.count = count
        self.oid = oid
        self.folders: dict[bytes, _Folder] = {}


class _Open:
    """A folder whose tree is being put together. Its `path` ends with `/`, but for the root's."""

    __slots__ = ("cached", "items", "path")

    def __init__(self, path: bytes, cached: _Folder) -> None:
        self.path = path
        self.cached = cached
        self.items: list[bytes] = []


def tree_id(index: Index) -> str:
    """The id of the tree of all entries that a commit would have."""
    root = _read_cache(index)
    if root.count >= 0:
        return root.oid.hex()
    folders, number = [_Open(b"", root)], 0
    while (number := _take_files(index, folders[-1], number)) < len(index.paths):
        path, folder = index.paths[number], folders[-1]
        if not path.startswith(folder.path):
            _close(folders, index.oid_size)
            continue
        name, _, below = path[len(folder.path) :].partition(b"/")
        if not below:  # a folder of a sparse index
            folder.items.append(b"%o %b\0%b" % (_DIRECTORY, name, index.oid(number)))
            number += 1
            continue
        inner = folder.cached.folders.get(name) or _Folder()
        if inner.count > 0:
            folder.items.append(b"40000 %b\0%b" % (name, inner.oid))
            number += inner.count
        else:
            folders.append(_Open(folder.path + name + b"/", inner))
    while len(folders) > 1:
        _close(folders, index.oid_size)
    return _digest(folders[0].items, index.oid_size).hex()


def _take_files(index: Index, folder: _Open, first: int) -> int:
    """Adds the files of the folder itself, from that entry on. The number of the first entry that is none of them."""
    data, places, paths, uncommitted = index.data, index.places, index.paths, index.uncommitted
    prefix, start, add, to_end = folder.path, len(folder.path), folder.items.append, 40 + index.oid_size
    modes: dict[bytes, bytes] = {}
    for number in range(first, len(paths)):
        path = paths[number]
        if path.find(b"/", start) >= 0 or not path.startswith(prefix):
            return number
        if number not in uncommitted:
            place = places[number]
            mode = data[place + 24 : place + 28]
            head = modes.get(mode) or modes.setdefault(mode, b"%o " % int.from_bytes(mode, "big"))
            add(head + path[start:] + b"\0" + data[place + 40 : place + to_end])
    return len(paths)


def _close(folders: list[_Open], oid_size: int) -> None:
    """Puts the tree of the innermost folder into the one around it; git has no tree without a file."""
    done = folders.pop()
    name = done.path[len(folders[-1].path) : -1]
    if done.items:
        folders[-1].items.append(b"40000 %b\0%b" % (name, _digest(done.items, oid_size)))


def _digest(items: list[bytes], oid_size: int) -> bytes:
    content = b"".join(items)
    return new_digest(oid_size, b"tree %d\0" % len(content) + content)


def tree_lines(index: Index, below: Callable[[str], list[bytes]]) -> list[bytes]:
    """A line for each entry that a commit would have, as `git ls-tree -r` prints it.

    `below` gives the lines of a tree by its id: a sparse index has whole folders as one entry.
    """
    data, size = index.data, index.oid_size
    modes = {mode: _head(mode) for mode in {data[place + 24 : place + 28] for place in index.places}}
    ids, start, end = hexlify(data), 80, 80 + 2 * size
    lines = [
        b"%b%b\t%b" % (modes[data[place + 24 : place + 28]], ids[2 * place + start : 2 * place + end], path)
        for place, path in zip(index.places, index.paths, strict=True)
    ]
    for number in sorted((*index.folders, *index.uncommitted), reverse=True):
        whole = number not in index.uncommitted
        inner = below(index.oid(number).hex()) if whole else []
        lines[number : number + 1] = [line.replace(b"\t", b"\t" + index.paths[number], 1) for line in inner]
    return lines


def _head(mode: bytes) -> bytes:
    number = int.from_bytes(mode, "big")
    return b"%06o %b " % (number, b"commit" if number == _GITLINK else b"blob")


def _read_cache(index: Index) -> _Folder:
    """What the index caches of the root; nothing where git kept nothing that can be read."""
    try:
        return _read_folder(index.cached_tree, 0, index.oid_size)[1] if index.cached_tree else _Folder()
    except (ValueError, RecursionError):
        return _Folder()


def _read_folder(data: bytes, place: int, oid_size: int) -> tuple[bytes, _Folder, int]:
    """One cached folder and all below it: its name, what is known of it, and the place after it.

    Each has its name and a NUL, the number of entries, a space, that of folders in it, a line feed, and (where the
    number of entries is not negative) the object id.
    """
    name_end = data.index(b"\0", place)
    line_end = data.index(b"\n", name_end)
    count, folders = map(int, data[name_end + 1 : line_end].split())
    after = line_end + 1 + (oid_size if count >= 0 else 0)
    found = _Folder(count, data[line_end + 1 : after])
    for _ in range(folders):
        name, inner, after = _read_folder(data, after, oid_size)
        found.folders[name] = inner
    return data[place:name_end], found, after
