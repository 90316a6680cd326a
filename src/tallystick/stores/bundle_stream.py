"""Verifying a bundle's file of any size: in blocks as far as it goes, line by line where something is out of the
ordinary, and in little memory.
"""

from __future__ import annotations

from tallystick.errors import NotFoundError
from tallystick.proof.subtrees import append_subtree
from tallystick.stores.bundle_file import BundleFile, checked_blocks
from tallystick.stores.bundle_reader import BundleReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.stores.bundle_blocks import Block
    from tallystick.stores.bundle_reader import BundleVerdict

MOST_REFUSED = 8
"""After how many blocks that had to be read line by line other processes no longer look ahead."""


class StreamReader(BundleReader):
    """Comes to what `BundleReader` comes to, and raises what it raises; for a verdict alone."""

    def __init__(self, file: BundleFile, *, where: str = "") -> None:
        self._file = file
        super().__init__(file, where=where)

    def verdict(self) -> BundleVerdict:
        """See `BundleReader.verdict`."""
        if self.head is not None and not self._done:
            self._read_entries(self.head.position)
        return super().verdict()

    def _read_entries(self, last: int) -> None:
        refused = 0
        while (position := self._edge.size) <= last:
            count = self._take_blocks(position, last, share=refused < MOST_REFUSED)
            refused += 1
            for position in range(self._edge.size, min(self._edge.size + count, last + 1)):
                self._entry(position)

    def _take_blocks(self, position: int, last: int, *, share: bool) -> int:
        """Take blocks to the end or to the first that is refused; returns how many entries to read one by one."""
        covered = self._proof.position if self._proof is not None else None
        stops = [*([covered] if covered is not None and covered < last else []), last]
        blocks = checked_blocks(self._file, position, stops, share=share)
        try:
            for offset, count, block in blocks:
                if block is None or block.count != count or block.first_at < self._at:
                    self._file.seek(offset)
                    return max(count, 1)
                self._take(block)
        finally:
            blocks.close()
        return 0

    def _take(self, block: Block) -> None:
        for width, root in block.subtrees:
            append_subtree(self._edge, root, width)
        self._check_covered(self._edge.size - 1)
        self._at = block.last_at
        self._missing.update(dict.fromkeys(block.missing))
        self._erased.update(block.erases)
        self._omitted += block.omitted
        self._lines.skipped(block.count)


def verify_bundle_file(path: str) -> BundleVerdict:
    """Verify the bundle in a file; returns what it shows.

    Raises NotFoundError, and what `verify_bundle` raises.
    """
    try:
        file = BundleFile(path)
    except FileNotFoundError:
        raise NotFoundError("no such file", where=path) from None
    with file:
        return StreamReader(file, where=path).verdict()
