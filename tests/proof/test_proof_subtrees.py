"""proof/subtrees.py: appending whole subtrees comes to the same as appending their leaves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallystick.proof.merkle import Edge, leaf_hash, tree_root
from tallystick.proof.subtrees import append_subtree, end_node, perfect_root, perfect_subtrees


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % number) for number in range(count)]


def nodes_beside(leaves: list[bytes], edge: Edge) -> list[bytes]:
    return [edge.append(leaf) for leaf in leaves]


@given(st.integers(0, 5), st.integers(0, 40))
def test_a_subtree_appended_at_once(height: int, before: int) -> None:
    width = 1 << height
    leaves = leaves_of((before + 1) * width)
    slow, fast = Edge(), Edge()
    nodes_beside(leaves[: before * width], slow)
    fast.size, fast.hashes = slow.size, list(slow.hashes)
    nodes = nodes_beside(leaves[before * width :], slow)
    root = perfect_root(leaves[before * width :], nodes)
    assert root == tree_root(leaves[before * width :])
    assert end_node(fast, root, width) == nodes[-1]
    append_subtree(fast, root, width)
    assert (fast.size, fast.hashes) == (slow.size, slow.hashes)
    assert fast.root() == tree_root(leaves)


@given(st.integers(0, 5), st.data())
def test_a_stored_node_that_is_another_is_noticed(height: int, data: st.DataObject) -> None:
    """All but the last: that one may reach back before the subtree, so `end_node` is for it."""
    leaves = leaves_of(1 << height)
    nodes = nodes_beside(leaves, Edge())
    place = data.draw(st.integers(0, len(nodes) - 1))
    nodes[place] = leaf_hash(nodes[place])
    if place == len(nodes) - 1:
        assert perfect_root(leaves, nodes) == tree_root(leaves)
    else:
        assert perfect_root(leaves, nodes) is None


@given(st.integers(1, 300), st.integers(0, 200))
def test_leaves_from_anywhere_as_subtrees(before: int, count: int) -> None:
    leaves = leaves_of(before + count)
    slow, fast = Edge(), Edge()
    nodes_beside(leaves[:before], slow)
    fast.size, fast.hashes = slow.size, list(slow.hashes)
    nodes_beside(leaves[before:], slow)
    for width, root in perfect_subtrees(before, leaves[before:]):
        append_subtree(fast, root, width)
    assert (fast.size, fast.hashes) == (slow.size, slow.hashes)
