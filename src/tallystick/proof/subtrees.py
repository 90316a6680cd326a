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
