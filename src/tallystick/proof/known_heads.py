"""Heads of one tree that were seen before, compared with the tree as it is read again from its first leaf."""

from __future__ import annotations

from bisect import bisect_left

from tallystick.proof.subtrees import append_subtree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tallystick.proof.merkle import Edge

    Fault = tuple[int, str]
    """(position, what is wrong there)."""


class KnownHeads:
    """The heads: each (position, root in hex, where it was seen, in words). One that was compared is done with."""

    def __init__(self, heads: Iterable[tuple[int, str, str]]) -> None:
        self.waiting: dict[int, list[tuple[str, str]]] = {}
        """By position, those that were not compared yet."""
        for position, root, where in sorted(heads):
            self.waiting.setdefault(position, []).append((root, where))
        self._positions = list(self.waiting)

    def compare(self, position: int, edge: Edge) -> Iterator[Fault]:
        """What differs at this position, where `edge` is the tree's right edge."""
        if position in self.waiting:
            found = edge.root().hex()
            for root, where in self.waiting.pop(position):
                if root != found:
                    yield position, f"the history differs from the head that {where}"

    def compare_before(self, start: int, nodes: Sequence[bytes], edge: Edge) -> Iterator[Fault]:
        """What differs among the next leaves but for the last of them: `nodes` are those that stand beside each.

        The nodes are verified, their number is a power of two and `start`, where `edge` ends, a multiple of it.
        """
        first, end = (bisect_left(self._positions, bound) for bound in (start, start + len(nodes) - 1))
        for position in self._positions[first:end]:
            inner = edge.copy()
            inside = position + 1 - start
            for bit in reversed(range(inside.bit_length())):
                if inside >> bit & 1:
                    append_subtree(inner, nodes[inner.size + (1 << bit) - 1 - start], 1 << bit)
            yield from self.compare(position, inner)

    def left(self, last: int) -> Iterator[Fault]:
        """What is wrong where the tree ends at position `last`: heads that no leaf was read for."""
        for position, heads in self.waiting.items():
            for where in dict.fromkeys(where for _, where in heads):
                yield last, f"a head at position {position} {where}, the session ends at {last}"
