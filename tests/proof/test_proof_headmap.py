"""proof/headmap.py against its recursive definition, whole and in tiles, with proofs honest and forged."""

from __future__ import annotations

import json
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import CheckFailedError, InputError, TallystickError
from tallystick.proof.headmap import (
    EMPTY,
    TILE_SIZE,
    HeadMap,
    MapProof,
    kept_depth,
    key_range,
    leaf_hash,
    map_key,
    map_root,
    node_hash,
    prove,
)

Head = tuple[bytes, int, bytes]


def naive(heads: list[Head], depth: int = 0) -> bytes:
    """The map as DESIGN.md defines it, without any cleverness."""
    if not heads:
        return bytes(32)
    if len(heads) == 1:
        key, position, root = heads[0]
        return sha256(b"\x02" + key + position.to_bytes(8, "big") + root).digest()
    sides: tuple[list[Head], list[Head]] = ([], [])
    for head in heads:
        sides[int(f"{int.from_bytes(head[0], 'big'):0256b}"[depth])].append(head)
    return sha256(b"\x03" + naive(sides[0], depth + 1) + naive(sides[1], depth + 1)).digest()


def head(number: int, position: int = 1) -> Head:
    return map_key(f"task-{number}"), position, sha256(b"%d/%d" % (number, position)).digest()


def heads_of(count: int) -> list[Head]:
    return [head(number) for number in range(count)]


def key_of_bits(bits: str) -> bytes:
    return int(bits.ljust(256, "0"), 2).to_bytes(32, "big")


class MemoryStore:
    """Heads in the order of their keys, and tiles, as a store keeps them."""

    def __init__(self, heads: Iterable[Head] = ()) -> None:
        self.by_key = {key: (key, position, root) for key, position, root in heads}
        self.sorted = sorted(self.by_key)
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.read = 0

    def record(self, moved: Iterable[Head]) -> list[bytes]:
        moved = list(moved)
        self.by_key.update({one[0]: one for one in moved})
        self.sorted = sorted(self.by_key)
        return [one[0] for one in moved]

    def heads(self, depth: int, prefix: int) -> Iterable[Head]:
        low, high = key_range(depth, prefix)
        found = self.sorted[bisect_left(self.sorted, low) : bisect_right(self.sorted, high)]
        self.read += len(found)
        return (self.by_key[key] for key in found)

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        return self.tiles.get((depth, prefix))

    def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
        assert len(tile) == TILE_SIZE
        self.tiles[depth, prefix] = tile


class DeepMap(HeadMap):
    """A map that keeps tiles although its ledger is small."""

    def __init__(self, store: MemoryStore, depth: int) -> None:
        super().__init__(store, 0)
        self._depth = depth


# Keys that share long prefixes are where the lone-leaf rule bites; hashed ones never would.
close_keys = st.integers(0, 2**12 - 1).map(lambda number: (number << 200 | number % 7).to_bytes(32, "big"))
some_heads = st.dictionaries(
    st.one_of(st.binary(min_size=32, max_size=32), close_keys),
    st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32)),
    max_size=40,
).map(lambda table: [(key, *value) for key, value in table.items()])


def test_the_smallest_maps() -> None:
    assert map_root([]) == EMPTY == bytes(32)
    only = head(1)
    assert map_root([only]) == leaf_hash(*only)
    left, right = (key_of_bits("0"), 1, bytes(32)), (key_of_bits("1"), 2, bytes(32))
    assert map_root([right, left]) == node_hash(leaf_hash(*left), leaf_hash(*right))


def test_keys_that_part_late_stand_below_a_chain_of_nodes() -> None:
    low, high = (key_of_bits("1" * 255 + "0"), 1, bytes(32)), (key_of_bits("1" * 256), 2, bytes(32))
    expected = node_hash(leaf_hash(*low), leaf_hash(*high))
    for _ in range(255):
        expected = node_hash(EMPTY, expected)
    assert map_root([low, high]) == expected == naive([low, high])
    proof = prove([low, high], low[0])
    assert len(proof.siblings) == 256
    proof.verify_presence(*low, expected)


def test_the_leaf_has_the_bytes_of_the_format() -> None:
    key = map_key("add-cache")
    assert key == sha256(b"add-cache").digest()
    written = b"\x02" + key + (258).to_bytes(8, "big") + b"r" * 32
    assert leaf_hash(key, 258, b"r" * 32) == sha256(written).digest()


@given(some_heads, st.randoms())
def test_root_follows_the_definition_in_any_order(heads: list[Head], rng: random.Random) -> None:
    expected = naive(heads)
    rng.shuffle(heads)
    assert map_root(iter(heads)) == expected


@given(some_heads, st.sampled_from([4, 8, 12]), st.data())
def test_tiles_give_the_same_root_and_proofs(heads: list[Head], depth: int, data: st.DataObject) -> None:
    store = MemoryStore()
    tiled = DeepMap(store, depth)
    taken: dict[bytes, Head] = {}
    while heads:
        count = data.draw(st.integers(1, len(heads)))
        batch, heads = heads[:count], heads[count:]
        if taken and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(sorted(taken)))
            batch.append((key, 7, bytes(32)))
        taken.update({one[0]: one for one in batch})
        assert tiled.update(store.record(batch)) == naive(list(taken.values()))
        if data.draw(st.booleans()) and store.tiles:
            del store.tiles[data.draw(st.sampled_from(sorted(store.tiles)))]
    absent = data.draw(close_keys)
    for key in [*taken, absent]:
        assert tiled.prove(key) == prove(taken.values(), key)


@given(some_heads, some_heads)
def test_a_map_that_gets_deeper_keeps_its_root(first: list[Head], second: list[Head]) -> None:
    store = MemoryStore()
    DeepMap(store, 4).update(store.record(first))
    taken = {one[0]: one for one in [*first, *second]}
    assert DeepMap(store, 8).update(store.record(second)) == naive(list(taken.values()))
    assert DeepMap(store, 16).update([]) == naive(list(taken.values()))


@given(some_heads, st.one_of(st.binary(min_size=32, max_size=32), close_keys))
def test_presence_and_absence_exclude_each_other(heads: list[Head], key: bytes) -> None:
    root = map_root(heads)
    for present in heads:
        proof = prove(heads, present[0])
        proof.verify_presence(*present, root)
        with pytest.raises(CheckFailedError):
            proof.verify_absence(present[0], root)
    if all(key != present[0] for present in heads):
        proof = prove(heads, key)
        proof.verify_absence(key, root)
        with pytest.raises(CheckFailedError):
            proof.verify_presence(key, 1, bytes(32), root)


@given(some_heads, st.data())
def test_forged_absence_is_refused(heads: list[Head], data: st.DataObject) -> None:
    """Whatever honest pieces of the map are put together, a task in it is never shown to be absent."""
    if not heads:
        return
    root = map_root(heads)
    victim = data.draw(st.sampled_from(heads))
    honest = prove(heads, victim[0])
    for other in [None, *heads]:
        for cut in range(len(honest.siblings) + 1):
            with pytest.raises((CheckFailedError, InputError)):
                MapProof(honest.siblings[:cut], other).verify_absence(victim[0], root)
    for other in heads:
        siblings = prove(heads, other[0]).siblings
        with pytest.raises((CheckFailedError, InputError)):
            MapProof(siblings, other).verify_absence(victim[0], root)


@given(some_heads, st.data())
def test_another_head_is_refused(heads: list[Head], data: st.DataObject) -> None:
    if not heads:
        return
    root = map_root(heads)
    key, position, tree = data.draw(st.sampled_from(heads))
    proof = prove(heads, key)
    for wrong_position, wrong_tree in (((position + 1) % 2**64, tree), (position, sha256(tree).digest())):
        with pytest.raises(CheckFailedError):
            proof.verify_presence(key, wrong_position, wrong_tree, root)
    with pytest.raises(CheckFailedError):
        proof.verify_presence(key, position, tree, sha256(root).digest())
    for other in heads:
        if other[0] != key:
            with pytest.raises(CheckFailedError):
                proof.verify_presence(other[0], position, tree, root)


@given(some_heads, st.data())
def test_bent_siblings_are_refused(heads: list[Head], data: st.DataObject) -> None:
    if len(heads) < 2:
        return
    root = map_root(heads)
    present = data.draw(st.sampled_from(heads))
    siblings = list(prove(heads, present[0]).siblings)
    place = data.draw(st.integers(0, len(siblings) - 1))
    flipped = bytes((siblings[place][0] ^ 1, *siblings[place][1:]))
    for bent in (
        siblings[:-1],
        siblings[1:],
        [*siblings, EMPTY],
        [*siblings, siblings[0]],
        [EMPTY, *siblings],
        [*siblings[:place], flipped, *siblings[place + 1 :]],
        [*siblings[:place], siblings[place][:31], *siblings[place + 1 :]],
    ):
        with pytest.raises((CheckFailedError, InputError)):
            MapProof(bent).verify_presence(*present, root)


def test_a_lone_leaf_at_a_greater_depth_is_refused() -> None:
    """A map that lets a lone leaf sink has another root, and no proof against that root is taken."""
    only = (key_of_bits("0"), 1, bytes(32))
    sunk = node_hash(leaf_hash(*only), EMPTY)
    with pytest.raises(InputError, match="lone leaf"):
        MapProof([EMPTY]).verify_presence(*only, sunk)
    with pytest.raises(InputError, match="lone leaf"):
        MapProof([leaf_hash(*only), EMPTY], only)


def test_the_other_leaf_must_stand_on_the_path() -> None:
    left, right = (key_of_bits("00"), 1, bytes(32)), (key_of_bits("10"), 2, bytes(32))
    root = map_root([left, right])
    absent = key_of_bits("01")
    MapProof([leaf_hash(*right)], left).verify_absence(absent, root)
    with pytest.raises(CheckFailedError, match="path"):
        MapProof([leaf_hash(*left)], right).verify_absence(absent, root)
    with pytest.raises(CheckFailedError):
        MapProof([leaf_hash(*right)], left).verify_absence(left[0], root)


def test_a_proof_of_presence_carries_no_other_leaf() -> None:
    """Else one could be attached to an honest proof, and it would have two spellings."""
    heads = heads_of(5)
    root = map_root(heads)
    honest = prove(heads, heads[0][0])
    with pytest.raises(CheckFailedError, match="absence"):
        MapProof(honest.siblings, heads[1]).verify_presence(*heads[0], root)


def test_two_heads_for_a_key_are_refused() -> None:
    twice = [head(1), head(2), head(1, position=2)]
    with pytest.raises(InputError, match="two heads"):
        map_root(twice)
    with pytest.raises(InputError, match="two heads"):
        prove(twice, head(1)[0])


def test_heads_out_of_order_are_refused() -> None:
    class Unordered(MemoryStore):
        def heads(self, depth: int, prefix: int) -> Iterable[Head]:
            return reversed(list(super().heads(depth, prefix)))

    with pytest.raises(InputError, match="order"):
        DeepMap(Unordered(heads_of(40)), 4).rebuild()


def test_a_broken_tile_is_refused() -> None:
    store = MemoryStore(heads_of(40))
    DeepMap(store, 4).rebuild()
    store.tiles[0, 0] = store.tiles[0, 0][:-1]
    with pytest.raises(InputError, match="tile"):
        DeepMap(store, 4).prove(head(1)[0])


@pytest.mark.parametrize(
    ("key", "position", "root"),
    [
        (bytes(31), 1, bytes(32)),
        (bytes(32), -1, bytes(32)),
        (bytes(32), 2**64, bytes(32)),
        (bytes(32), 1, b""),
    ],
)
def test_heads_that_cannot_be(key: bytes, position: int, root: bytes) -> None:
    with pytest.raises(InputError):
        leaf_hash(key, position, root)
    with pytest.raises(InputError):
        MapProof([], (key, position, root))


def test_a_task_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError):
        map_key("\ud800")


@given(some_heads, st.binary(min_size=32, max_size=32))
def test_json_round_trip(heads: list[Head], key: bytes) -> None:
    proof = prove(heads, key)
    document = json.loads(json.dumps(proof.to_json()))
    assert MapProof.from_json(document) == proof


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["siblings", "other", "key"]), inner),
    max_leaves=10,
)


@given(JUNK)
def test_junk_documents_raise_only_input_errors(document: object) -> None:
    try:
        proof = MapProof.from_json(document)
    except InputError:
        return
    assert proof.to_json() == document


GOOD_HASH = "0f" * 32


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"siblings": "0f"},
        {"siblings": [GOOD_HASH], "extra": 1},
        {"siblings": [GOOD_HASH.upper()]},
        {"siblings": [GOOD_HASH + "0f"]},
        {"siblings": [" " + GOOD_HASH[1:]]},
        {"siblings": [bytes(32).hex()]},
        {"siblings": [GOOD_HASH] * 257},
        {"siblings": [], "other": None},
        {"siblings": [], "other": {"key": GOOD_HASH, "position": True, "root": GOOD_HASH}},
        {"siblings": [], "other": {"key": GOOD_HASH, "position": 1.0, "root": GOOD_HASH}},
        {"siblings": [], "other": {"key": GOOD_HASH, "position": -1, "root": GOOD_HASH}},
        {"siblings": [], "other": {"key": GOOD_HASH, "position": 2**64, "root": GOOD_HASH}},
        {"siblings": [], "other": {"key": GOOD_HASH, "position": 1}},
    ],
)
def test_documents_that_are_no_proof(document: object) -> None:
    with pytest.raises(InputError):
        MapProof.from_json(document)


@given(st.lists(st.binary(max_size=33), max_size=6), st.binary(max_size=33), st.binary(max_size=33))
def test_random_proofs_raise_nothing_of_their_own(siblings: list[bytes], key: bytes, root: bytes) -> None:
    with pytest.raises(TallystickError):
        MapProof(siblings).verify_presence(key, 1, bytes(32), root)
    with pytest.raises(TallystickError):
        MapProof(siblings, (bytes(32), 1, bytes(32))).verify_absence(key, root)


def test_how_deep_tiles_go() -> None:
    assert [kept_depth(tasks) for tasks in (0, 1, 511, 512, 1_023, 1_024, 16_383, 16_384, 262_143, 262_144, 10**6)] == [
        0,
        0,
        0,
        4,
        4,
        8,
        8,
        12,
        12,
        16,
        16,
    ]
    depths = [kept_depth(tasks) for tasks in range(0, 300_000, 997)]
    assert depths == sorted(depths)


def test_an_update_reads_little_and_costs_little() -> None:
    """The bound for 1,000,000 tasks is a second; a tenth of the tasks is enough to see that it is local."""
    store = MemoryStore(heads_of(100_000))
    whole = HeadMap(store, 100_000)
    whole.rebuild()
    store.read = 0
    moved = store.record(head(number, position=2) for number in range(0, 100_000, 100))
    started = time.perf_counter()
    root = whole.update(moved)
    assert time.perf_counter() - started < 1
    assert store.read < 60_000
    assert root == map_root(store.by_key.values())
    started = time.perf_counter()
    whole.prove(moved[0]).verify_presence(*store.by_key[moved[0]], root)
    assert time.perf_counter() - started < 0.02


@pytest.mark.storm
def test_a_checkpoint_over_a_million_tasks_takes_under_a_second() -> None:
    store = MemoryStore(heads_of(1_000_000))
    whole = HeadMap(store, 1_000_000)
    before = whole.update([])
    moved = store.record(head(number, position=2) for number in range(0, 1_000_000, 1_000))
    started = time.perf_counter()
    root = whole.update(moved)
    assert time.perf_counter() - started < 1
    assert root != before
    assert root == map_root(store.by_key.values())
