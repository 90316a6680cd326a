"""proof/merkle.py against RFC 6962: published vectors, the recursive definition, and bent proofs."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError, TallystickError
from tallystick.proof.merkle import (
    EMPTY_ROOT,
    Edge,
    completed_subtree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    read_edge,
    read_root,
    root_from_inclusion,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves and their roots that Certificate Transparency implementations have shared since RFC 6962.
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Tree:
    """A tree whose stored hashes are kept in lists, as a store keeps them in rows."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = [leaf_hash(leaf) for leaf in leaves]
        edge = Edge()
        self.nodes = [edge.append(leaf) for leaf in self.leaves]
        self.reads = 0

    def leaf(self, index: int) -> bytes:
        self.reads += 1
        return self.leaves[index]

    def node(self, index: int) -> bytes:
        self.reads += 1
        return self.nodes[index]


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def numbered(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert tree_root(leaf_hash(leaf) for leaf in CT_LEAVES[:size]).hex() == CT_ROOTS[size]
    if size:
        assert read_root(size, Tree(CT_LEAVES)).hex() == CT_ROOTS[size]


def test_published_hashes() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT
    assert leaf_hash(b"").hex() == CT_ROOTS[1]
    assert node_hash(b"N123", b"N456").hex() == ("aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb")


def test_example_of_the_rfc() -> None:
    """RFC 9162 section 2.1.5: which nodes make which proof in the tree of seven leaves."""
    tree = Tree(numbered(7))
    a, b, c, d, e, f, j = tree.leaves
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, left = node_hash(i, j), node_hash(g, h)
    assert inclusion_proof(0, 7, tree) == [b, h, k]
    assert inclusion_proof(3, 7, tree) == [c, g, k]
    assert inclusion_proof(4, 7, tree) == [f, j, left]
    assert inclusion_proof(6, 7, tree) == [i, left]
    assert consistency_proof(3, 7, tree) == [c, d, g, k]
    assert consistency_proof(4, 7, tree) == [k]
    assert consistency_proof(6, 7, tree) == [i, j, left]


def test_every_proof_of_small_trees() -> None:
    tree = Tree(numbered(40))
    roots = [naive_root(tree.leaves[:size]) for size in range(41)]
    for size in range(1, 41):
        assert read_root(size, tree) == roots[size]
        for index in range(size):
            proof = inclusion_proof(index, size, tree)
            assert proof == naive_path(index, tree.leaves[:size])
            verify_inclusion(tree.leaves[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = consistency_proof(old, size, tree)
            assert proof == naive_proof(old, tree.leaves[:size])
            verify_consistency(old, roots[old], size, roots[size], proof)


def test_stored_hash_is_the_root_of_the_subtree_that_ends_there() -> None:
    tree = Tree(numbered(300))
    for index, node in enumerate(tree.nodes):
        start, width = completed_subtree(index)
        assert start + width == index + 1
        assert start % width == 0
        assert start % (2 * width) == 0 or start == 0
        assert node == naive_root(tree.leaves[start : start + width])


def test_a_proof_from_a_large_tree_reads_few_hashes() -> None:
    tree = Tree(numbered(100_003))
    root = read_root(100_003, tree)
    for index in (0, 1, 65_535, 65_536, 100_001, 100_002):
        tree.reads = 0
        verify_inclusion(tree.leaves[index], index, 100_003, inclusion_proof(index, 100_003, tree), root)
        assert tree.reads <= 160
    for old in (1, 65_536, 65_537, 99_999, 100_002):
        tree.reads = 0
        proof = consistency_proof(old, 100_003, tree)
        verify_consistency(old, read_root(old, tree), 100_003, root, proof)
        assert tree.reads <= 180


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_edge_follows_the_definition(leaves: list[bytes]) -> None:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    edge = Edge()
    for count, leaf in enumerate(hashes, 1):
        edge.append(leaf)
        assert edge.size == count
        assert len(edge.hashes) == count.bit_count()
    assert edge.root() == tree_root(hashes) == naive_root(hashes)
    again = Edge.unpack(edge.size, edge.pack())
    assert (again.size, again.hashes) == (edge.size, edge.hashes)
    assert read_edge(edge.size, Tree(leaves)).hashes == edge.hashes


def test_a_copy_of_an_edge_grows_apart() -> None:
    edge = Edge()
    edge.append(leaf_hash(b"a"))
    copy = edge.copy()
    copy.append(leaf_hash(b"b"))
    assert (edge.size, copy.size) == (1, 2)
    assert edge.root() == leaf_hash(b"a")


@pytest.mark.parametrize(
    ("size", "packed"), [(3, b""), (3, bytes(32)), (0, bytes(32)), (2, bytes(31)), (-1, bytes(32))]
)
def test_edges_that_cannot_be(size: int, packed: bytes) -> None:
    with pytest.raises(InputError):
        Edge.unpack(size, packed)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (3, 3), (0, -1)])
def test_leaves_that_are_not_in_the_tree(index: int, size: int) -> None:
    with pytest.raises(InputError):
        inclusion_proof(index, size, Tree(numbered(8)))
    with pytest.raises(InputError):
        verify_inclusion(bytes(32), index, size, [], bytes(32))


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3), (-1, 3), (0, 0)])
def test_sizes_that_cannot_be_consistent(old: int, size: int) -> None:
    with pytest.raises(InputError):
        consistency_proof(old, size, Tree(numbered(8)))
    with pytest.raises(InputError):
        verify_consistency(old, bytes(32), size, bytes(32), [])


def test_a_leaf_hash_of_another_length_is_refused() -> None:
    with pytest.raises(InputError):
        root_from_inclusion(bytes(31), 0, 1, [])
    with pytest.raises(InputError):
        root_from_inclusion(bytes(64), 1, 2, [bytes(32)])


def test_proofs_of_another_shape_are_malformed_rather_than_wrong() -> None:
    tree = Tree(numbered(7))
    root, old_root = read_root(7, tree), read_root(3, tree)
    path, proof = inclusion_proof(3, 7, tree), consistency_proof(3, 7, tree)
    for bent in (path[:-1], [*path, root], [path[0][:31], *path[1:]], [*path[:-1], path[-1] + b"\0"]):
        with pytest.raises(InputError):
            verify_inclusion(tree.leaves[3], 3, 7, bent, root)
    for bent in ([], proof[:-1], [*proof, root], [proof[0][:31], *proof[1:]], [*proof[:-1], proof[-1] + b"\0"]):
        with pytest.raises(InputError):
            verify_consistency(3, old_root, 7, root, bent)


def test_an_inner_node_cannot_pass_as_a_leaf() -> None:
    """The second-preimage attack that the two prefixes are there for."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    root = node_hash(left, right)
    with pytest.raises(CheckFailedError):
        verify_inclusion(leaf_hash(left + right), 0, 1, [], root)


def test_equal_sizes() -> None:
    root = leaf_hash(b"a")
    verify_consistency(5, root, 5, root, [])
    with pytest.raises(CheckFailedError):
        verify_consistency(5, root, 5, leaf_hash(b"b"), [])
    with pytest.raises(InputError):
        verify_consistency(5, root, 5, root, [root])


def bent_proofs(proof: list[bytes], rng: random.Random) -> list[list[bytes]]:
    """What a forger may try: flips, drops, swaps, repeats, additions, nodes of another length."""
    other = rng.randbytes(32)
    bent = [proof[1:], proof[:-1], [*proof, other], [other, *proof], [*proof, *proof[-1:]], proof[::-1]]
    for place in range(len(proof)):
        flipped = bytearray(proof[place])
        flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
        bent.append([*proof[:place], bytes(flipped), *proof[place + 1 :]])
        bent.append([*proof[:place], proof[place][:-1], *proof[place + 1 :]])
        bent.append([*proof[:place], proof[place] + b"\0", *proof[place + 1 :]])
    return [one for one in bent if one != proof]


@given(st.integers(1, 80), st.data())
def test_bent_inclusion_proofs_are_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    tree = Tree(numbered(size))
    root = read_root(size, tree)
    proof = inclusion_proof(index, size, tree)
    rng = random.Random(data.draw(st.integers(0, 1000)))
    for bent in bent_proofs(proof, rng):
        with pytest.raises((CheckFailedError, InputError)):
            verify_inclusion(tree.leaves[index], index, size, bent, root)
    for wrong in {*range(size), size + 5} - {index}:
        with pytest.raises((CheckFailedError, InputError)):
            verify_inclusion(tree.leaves[index], wrong, size, proof, root)
    for leaf in (root, leaf_hash(b"never")):
        if leaf != tree.leaves[index]:
            with pytest.raises(CheckFailedError):
                verify_inclusion(leaf, index, size, proof, root)


@given(st.integers(2, 80), st.data())
def test_bent_consistency_proofs_are_refused(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    tree = Tree(numbered(size))
    old_root, root = read_root(old, tree), read_root(size, tree)
    proof = consistency_proof(old, size, tree)
    rng = random.Random(data.draw(st.integers(0, 1000)))
    for bent in bent_proofs(proof, rng):
        with pytest.raises((CheckFailedError, InputError)):
            verify_consistency(old, old_root, size, root, bent)
    for wrong in set(range(1, size)) - {old}:
        with pytest.raises((CheckFailedError, InputError)):
            verify_consistency(wrong, old_root, size, root, proof)
    with pytest.raises(CheckFailedError):
        verify_consistency(old, root, size, root, proof)
    with pytest.raises(CheckFailedError):
        verify_consistency(old, old_root, size, old_root, proof)


@given(
    st.integers(-2, 2**70),
    st.integers(-2, 2**70),
    st.lists(st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=40)), max_size=80),
)
def test_random_proofs_raise_nothing_of_their_own(first: int, second: int, proof: list[bytes]) -> None:
    with pytest.raises(TallystickError):
        verify_inclusion(bytes(32), first, second, proof, b"\1" * 32)
    with pytest.raises(TallystickError):
        verify_consistency(first, bytes(32), second, b"\1" * 32, proof)


def test_a_history_that_was_rewritten_is_not_consistent() -> None:
    honest, forged = Tree(numbered(50)), Tree([*numbered(20), b"another", *numbered(50)[21:]])
    for old in range(21, 50):
        with pytest.raises(CheckFailedError):
            verify_consistency(
                old, read_root(old, honest), 50, read_root(50, forged), consistency_proof(old, 50, forged)
            )
