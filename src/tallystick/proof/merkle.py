"""The append-only Merkle tree of RFC 6962 (hashes: section 2.1; verification: RFC 9162 section 2.1).

Beside leaf i a store keeps one hash: the root of the largest perfect subtree that ends at leaf i. Those
subtrees are the left children of the tree (and the leaves at even indexes); every right child follows from
the ones below it, so any proof reads O(log² n) of them and nothing is ever rewritten.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import CheckFailedError, InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Protocol

    class NodeReader(Protocol):
        """Where a tree's hashes are read from, by leaf index (0 is the first leaf)."""

        def leaf(self, index: int) -> bytes:
            """The leaf hash at `index`: 32 bytes."""

        def node(self, index: int) -> bytes:
            """The root of the largest perfect subtree that ends at leaf `index`: 32 bytes."""


EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf: SHA-256(0x00 ‖ data). RFC 6962 section 2.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 ‖ left ‖ right). RFC 6962 section 2.1."""
    return sha256(b"\x01" + left + right).digest()


class Edge:
    """The right edge of a tree: the roots of the perfect subtrees it is made of, largest first.

    It is all that appending needs, and it grows with the number of one bits of `size`.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if size < 0 or len(self.hashes) != size.bit_count():
            raise InputError(f"{len(self.hashes)} hashes cannot be the right edge of {size} leaves")

    def append(self, leaf: bytes) -> bytes:
        """Add a leaf hash; returns the root of the largest perfect subtree that ends at it."""
        node = leaf
        hashes = self.hashes
        trailing = self.size
        while trailing & 1:
            node = sha256(b"\x01" + hashes.pop() + node).digest()
            trailing >>= 1
        hashes.append(node)
        self.size += 1
        return node

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far: 32 bytes."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            root = sha256(b"\x01" + left + root).digest()
        return root

    def pack(self) -> bytes:
        """The hashes one after another: 32 bytes each."""
        return b"".join(self.hashes)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Edge:
        """The edge that `pack` wrote. Raises InputError where the length does not fit the size."""
        if len(packed) != 32 * size.bit_count():
            raise InputError(f"{len(packed)} bytes cannot be the right edge of {size} leaves")
        return cls(size, [packed[start : start + 32] for start in range(0, len(packed), 32)])

    def copy(self) -> Edge:
        """An edge that grows apart from this one."""
        return Edge(self.size, self.hashes)


def completed_subtree(index: int) -> tuple[int, int]:
    """(first leaf, number of leaves) of the largest perfect subtree that ends at leaf `index`."""
    width = (index + 1) & -(index + 1)
    return index + 1 - width, width


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The Merkle tree hash over these leaf hashes."""
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def read_edge(size: int, reader: NodeReader) -> Edge:
    """The right edge of the tree's first `size` leaves, from stored hashes."""
    hashes, end = [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            end += 1 << bit
            hashes.append(reader.node(end - 1))
    return Edge(size, hashes)


def read_root(size: int, reader: NodeReader) -> bytes:
    """The root of the tree's first `size` leaves, from stored hashes."""
    return read_edge(size, reader).root()


def _span(start: int, end: int, reader: NodeReader) -> bytes:
    """The Merkle tree hash over leaves [start, end), where the span is a subtree of the RFC's recursion."""
    width = end - start
    if width == 1:
        return reader.leaf(start)
    if width & (width - 1) == 0 and (start // width) % 2 == 0:
        return reader.node(end - 1)
    split = 1 << ((width - 1).bit_length() - 1)
    return node_hash(_span(start, start + split, reader), _span(start + split, end, reader))


def _require_size(size: int, name: str = "size") -> None:
    if size < 1:
        raise InputError(f"{name} {size} is not the size of a tree with leaves")


def inclusion_proof(index: int, size: int, reader: NodeReader) -> list[bytes]:
    """The audit path for leaf `index` in the tree of the first `size` leaves. RFC 6962 section 2.1.1.

    Raises InputError where the leaf is not in that tree.
    """
    _require_size(size)
    if not 0 <= index < size:
        raise InputError(f"leaf {index} is not in a tree of {size} leaves")
    path, start, end = [], 0, size
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            path.append(_span(split, end, reader))
            end = split
        else:
            path.append(_span(start, split, reader))
            start = split
    path.reverse()
    return path


def consistency_proof(old_size: int, size: int, reader: NodeReader) -> list[bytes]:
    """The proof that the first `size` leaves extend the first `old_size`. RFC 6962 section 2.1.2.

    Empty for equal sizes. Raises InputError unless 1 <= old_size <= size.
    """
    _require_size(old_size, "old size")
    if old_size > size:
        raise InputError(f"a tree of {old_size} leaves is not a prefix of one of {size}")
    path, start, end, whole = [], 0, size, True
    while end != old_size:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old_size <= split:
            path.append(_span(split, end, reader))
            end = split
        else:
            path.append(_span(start, split, reader))
            start, whole = split, False
    if not whole:
        path.append(_span(start, end, reader))
    path.reverse()
    return path


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to. RFC 9162 section 2.1.3.2.

    Raises InputError where the path has not the length that index and size give.
    """
    _require_size(size)
    if not 0 <= index < size:
        raise InputError(f"leaf {index} is not in a tree of {size} leaves")
    if len(leaf) != 32:
        raise InputError(f"a leaf hash of {len(leaf)} bytes cannot be in a tree")
    node, first, last = leaf, index, size - 1
    for sibling in proof:
        if len(sibling) != 32 or last == 0:
            raise InputError("the inclusion proof has not the length that index and size give")
        if first & 1 or first == last:
            node = node_hash(sibling, node)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        first >>= 1
        last >>= 1
    if last:
        raise InputError("the inclusion proof has not the length that index and size give")
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that `leaf` (a leaf hash) is leaf `index` of the tree with this size and root.

    Raises InputError for a malformed proof, CheckFailedError where it leads to another root.
    """
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise CheckFailedError(f"the inclusion proof of leaf {index} does not lead to the root of {size} leaves")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (size, root) extends the tree (old_size, old_root). RFC 9162 section 2.1.4.2.

    Raises InputError for a malformed proof, CheckFailedError where it does not hold.
    """
    _require_size(old_size, "old size")
    if old_size > size:
        raise InputError(f"a tree of {old_size} leaves is not a prefix of one of {size}")
    if old_size == size:
        if proof:
            raise InputError("the consistency proof between equal sizes must be empty")
        if old_root != root:
            raise CheckFailedError(f"two different roots are claimed for {size} leaves")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path or any(len(node) != 32 for node in path):
        raise InputError("the consistency proof has not the length that the sizes give")
    first, last = old_size - 1, size - 1
    while first & 1:
        first >>= 1
        last >>= 1
    old, new = path[0], path[0]
    for node in path[1:]:
        if last == 0:
            raise InputError("the consistency proof has not the length that the sizes give")
        if first & 1 or first == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            new = node_hash(new, node)
        first >>= 1
        last >>= 1
    if last:
        raise InputError("the consistency proof has not the length that the sizes give")
    if old != old_root or new != root:
        raise CheckFailedError(f"the history of {size} leaves does not extend the one of {old_size}")
