"""What runs and editors leave behind: files that are no inputs while they are as those left them."""

from __future__ import annotations

from tallystick.workspace.paths import path_bytes, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.workspace import Snapshot

    Blobs = Mapping[str, frozenset[str]]
    """Path -> the blob ids that runs left there."""

PRODUCTS_KEPT = 5_000
"""More files than this are not named in one entry: whoever leaves so many has git ignore them."""


_NAMES = frozenset((b"4913", b".DS_Store", b"Thumbs.db"))  # the first is vim's, to see whether it can write
_AROUND = (
    (b"", b"~"),  # backups of many
    (b".#", b""), (b"#", b"#"),  # emacs: locks, and what is not saved yet
    (b".~lock.", b"#"), (b"", b"___jb_tmp___"), (b"", b"___jb_old___"), (b".nfs", b""), (b".fuse_hidden", b""),
)  # fmt: skip
_SWAP_LETTERS = b"abcdefghijklmnopx"


def is_editors(path: str | bytes) -> bool:
    """Whether a file is one that editors, desktops and file systems keep beside the files of others."""
    name = (path if isinstance(path, bytes) else path_bytes(path)).rpartition(b"/")[2]
    if name in _NAMES or (name[:1] == b"." and name[-4:-1] == b".sw" and len(name) > 5 and name[-1] in _SWAP_LETTERS):
        return True
    return any(
        name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end) for start, end in _AROUND
    )


class Products:
    """What recorded runs left, as far as it concerns the content in front of us, and what editors keep beside it.

    `own` are those of the task's own runs. `elsewhere` are those of other tasks in the same work tree; they count
    only for files that git does not know, since a file of that path on another branch is another file.
    """

    __slots__ = ("elsewhere", "own")

    def __init__(self, own: Blobs | None = None, elsewhere: Blobs | None = None) -> None:
        self.own = own or {}
        self.elsewhere = elsewhere or {}

    def left_out(self, snapshot: Snapshot) -> dict[str, frozenset[str]]:
        """What does not count as input in that content: path -> blob ids."""
        found = dict(self.own)
        untracked = snapshot.untracked()
        for path, blobs in self.elsewhere.items():
            if path_bytes(path) in untracked:
                found[path] = found.get(path, frozenset()) | blobs
        for name in filter(is_editors, untracked):
            path = path_text(name)
            found[path] = found.get(path, frozenset()) | {snapshot.blob(path)}
        return found


class Left:
    """What one run left, seen from the content before it, the one after it, and what earlier runs had left."""

    __slots__ = ("_after", "before", "made", "products")

    def __init__(self, before: Snapshot, after: Snapshot, known: Products) -> None:
        self.before = known.left_out(before)
        """What did not count as input before it: path -> blob ids."""
        self._after = known.left_out(after)
        self.made: dict[str, str] = {}
        """Its own: untracked files that first appeared, and products of earlier runs that it wrote anew."""
        self.products: dict[str, str] = {}
        """What is recorded of it: its own, and whatever else it found to be a product or makes one of."""
        if before.fingerprint() != after.fingerprint():
            from tallystick.workspace.changes import products

            self.made = {path: blob for path, blob in products(before, after).items() if not is_editors(path)}
            self._compare(before, after, known)
        self.products.update(self.made)
        untracked = after.untracked() if known.elsewhere else ()
        for path, blobs in known.elsewhere.items():
            blob = after.blob(path)
            if path_bytes(path) in untracked and blob in blobs - known.own.get(path, frozenset()):
                self.products.setdefault(path, blob)

    def _compare(self, before: Snapshot, after: Snapshot, known: Products) -> None:
        unknown = before.untracked() & after.untracked()
        for path in {*known.own, *known.elsewhere}:
            was, now = before.blob(path), after.blob(path)
            if not now or now == was:
                continue
            if was in self.before.get(path, ()):
                self.made[path] = now
            elif path_bytes(path) in unknown:
                # Somebody else wrote it in between. This run's inputs moved; from here on it is the run's again.
                self.products[path] = now

    def excused(self) -> dict[str, frozenset[str]]:
        """What may differ after the run without an input having moved: path -> blob ids."""
        found = dict(self.before)
        made = {path: frozenset((blob,)) for path, blob in self.made.items()}
        for path, blobs in (*self._after.items(), *made.items()):
            found[path] = found.get(path, frozenset()) | blobs
        return found

    def recorded(self) -> dict[str, str]:
        """The products by path, as many as an entry holds."""
        return dict(sorted(self.products.items())[:PRODUCTS_KEPT])
