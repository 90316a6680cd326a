"""Many leaves at once: whole perfect subtrees of an RFC 6962 tree, appended to its right edge."""

from __future__ import annotations

from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.proof.merkle import Edge


def perfect_root(level: list[bytes], stored: Sequence[bytes]) -> bytes | None:
    """The root over a perfect subtree's leaves, hashed level by level.

    `stored` are the nodes beside them; None where one inside the subtree (all but the last) is another.
    """
    step = 1
    while len(level) > 1:
        if level[::2] != list(stored[step - 1 :: 2 * step]):
            return None
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
        step *= 2
    return level[0]


def end_node(edge: Edge, root: bytes, width: int) -> bytes:
    """The largest perfect subtree that would end with this one of `width` leaves, were it appended."""
    node, trailing, depth = root, edge.size // width, len(edge.hashes)
    while trailing & 1:
        depth -= 1
        node = sha256(b"\x01" + edge.hashes[depth] + node).digest()
        trailing >>= 1
    return node


def append_subtree(edge: Edge, root: bytes, width: int) -> None:
    """Append a perfect subtree of `width` leaves to an edge whose size is a multiple of it."""
    node = end_node(edge, root, width)
    trailing = edge.size // width
    while trailing & 1:
        edge.hashes.pop()
        trailing >>= 1
    edge.hashes.append(node)
    edge.size += width


def perfect_subtrees(start: int, leaves: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """(number of leaves, root) of the largest perfect subtrees that the leaves from index `start` on make up.

    Appended in order to an edge of `start` leaves, they give the edge that the leaves would give. `start` is above 0.
    """
    found, taken = [], 0
    while taken < len(leaves):
        index, left = start + taken, len(leaves) - taken
        width = min(index & -index, 1 << (left.bit_length() - 1))
        level = leaves[taken : taken + width]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [sha256(b"\x01" + left_node + right_node).digest() for left_node, right_node in pairs]
        found.append((width, level[0]))
        taken += width
    return found
