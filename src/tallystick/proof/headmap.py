"""The map from every task of a ledger to its newest head: a binary Merkle tree over SHA-256(task_id).

Bits of a key count from the most significant. An empty subtree is 32 zero bytes; a lone leaf stands at the
smallest depth where it is alone, so the map of one task is that leaf. Leaf = SHA-256(0x02 ‖ key ‖ position as
8 bytes big-endian ‖ root), node = SHA-256(0x03 ‖ left ‖ right). The order of insertion leaves no trace.

A subtree is written here as its hash behind the byte that tells what it is: 0x02 for a lone leaf, 0x03 for a
node, 0x00 where it is empty. A lone leaf has to be told apart, as it may still rise. A large ledger keeps the
upper part of the tree in tiles: the sixteen subtrees four levels below one, 33 bytes each.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from itertools import groupby

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.encoding import HASH_SIZE, require_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol, TypeAlias

    Head: TypeAlias = tuple[bytes, int, bytes]
    """A task's key (32 bytes), the position of its newest entry, and its root there (32 bytes)."""

    class MapStore(Protocol):
        """Where heads are read from, and where tiles are kept.

        `prefix` is the number that the first `depth` bits of a key make. The heads are those that the map is
        about: as of a checkpoint, not what was appended since. Tiles are a cache: one that is gone is made
        again from the heads, but one that is there is believed.
        """

        def heads(self, depth: int, prefix: int) -> Iterable[Head]:
            """Every head whose key starts with this prefix, in the order of the keys (see `key_range`)."""

        def get_tile(self, depth: int, prefix: int) -> bytes | None:
            """What `put_tile` was last given there: 528 bytes. None where nothing is kept."""

        def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
            """Keep a tile in place of an older one."""


KEY_BITS = 256
EMPTY = bytes(HASH_SIZE)
TILE_SIZE = 16 * (1 + HASH_SIZE)

_TILE_HEIGHT = 4
_SMALL_LEDGER = 512
_SUBTREE_SIZE = 1 + HASH_SIZE
_NOTHING = bytes(_SUBTREE_SIZE)
_NODE_TAG = 0x03


def map_key(task_id: str) -> bytes:
    """The key of a task: SHA-256 of its id in UTF-8, 32 bytes. Raises InputError."""
    try:
        return sha256(task_id.encode("utf-8")).digest()
    except UnicodeEncodeError:
        raise InputError("the task id is not valid Unicode") from None


def leaf_hash(key: bytes, position: int, root: bytes) -> bytes:
    """The hash of one task's head: SHA-256(0x02 ‖ key ‖ position ‖ root). Raises InputError."""
    if len(key) != HASH_SIZE or len(root) != HASH_SIZE:
        raise InputError(f"a head with key {key.hex()} and root {root.hex()} is not made of two hashes")
    try:
        return sha256(b"\x02" + key + position.to_bytes(8, "big") + root).digest()
    except OverflowError:
        raise InputError(f"the position {position} is not between 0 and 2^64 - 1") from None


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees: SHA-256(0x03 ‖ left ‖ right)."""
    return sha256(b"\x03" + left + right).digest()


def map_root(heads: Iterable[Head]) -> bytes:
    """The root of the map of these heads, given in any order: 32 bytes.

    Raises InputError where a key stands twice.
    """
    return _subtree(sorted(heads), 0)[1:]


def prove(heads: Iterable[Head], key: bytes) -> MapProof:
    """What these heads, given in any order, say about `key`: its presence or its absence."""
    siblings: list[bytes] = []
    return _finish(sorted(heads), 0, require_hash(key, "the key"), siblings)


def key_range(depth: int, prefix: int) -> tuple[bytes, bytes]:
    """The least and the greatest key whose first `depth` bits make the number `prefix`."""
    low = prefix << (KEY_BITS - depth)
    high = low | ((1 << (KEY_BITS - depth)) - 1)
    return low.to_bytes(HASH_SIZE, "big"), high.to_bytes(HASH_SIZE, "big")


def kept_depth(tasks: int) -> int:
    """The depth down to which a ledger of this many tasks keeps tiles.

    It is a multiple of 4 below which some 4 to 64 heads are left, and 0 for a small ledger, which makes the
    whole map anew each time.
    """
    depth = 0
    if tasks >= _SMALL_LEDGER:
        while tasks >> (depth + 2) >= 1 << _TILE_HEIGHT:
            depth += _TILE_HEIGHT
    return depth


class MapProof(Frozen):
    """What a map holds for one key, provable against its root.

    The key's path ends at its own leaf (then it is present), at another's, or at an empty subtree.
    """

    __slots__ = FIELDS = ("siblings", "other")

    siblings: tuple[bytes, ...]
    """The hashes beside the path, from the root down."""
    other: Head | None
    """The other leaf that the path ends at."""

    def __init__(self, siblings: Iterable[bytes], other: Head | None = None) -> None:
        set_once(self, "siblings", tuple(require_hash(sibling, "a sibling in the map proof") for sibling in siblings))
        set_once(self, "other", other)
        if other is not None:
            leaf_hash(*other)
        if len(self.siblings) > KEY_BITS or self.siblings[-1:] == (EMPTY,):
            raise InputError("the map proof does not end where a lone leaf or an empty subtree can stand")

    def verify_presence(self, key: bytes, position: int, root: bytes, map_root: bytes) -> None:
        """Check that the map's head for `key` is (position, root). Raises CheckFailedError, InputError."""
        if self.other is not None:
            raise CheckFailedError("the map proof is about the absence of the task")
        self._check(key, leaf_hash(key, position, root), map_root, "does not hold this head of the task")

    def verify_absence(self, key: bytes, map_root: bytes) -> None:
        """Check that the map holds no head for `key`. Raises CheckFailedError, InputError."""
        require_hash(key, "the key")
        end = EMPTY
        if self.other is not None:
            end = leaf_hash(*self.other)
            shared = KEY_BITS - (_number(self.other[0]) ^ _number(key)).bit_length()
            if shared == KEY_BITS or shared < len(self.siblings):
                raise CheckFailedError("the other task in the map proof does not stand on the path of this one")
        self._check(key, end, map_root, "does not show the absence of the task")

    def to_json(self) -> dict[str, object]:
        """A JSON object: `siblings` in hex and, where the path ends at another leaf, that as `other`."""
        document: dict[str, object] = {"siblings": [sibling.hex() for sibling in self.siblings]}
        if self.other is not None:
            key, position, root = self.other
            document["other"] = {"key": key.hex(), "position": position, "root": root.hex()}
        return document

    @classmethod
    def from_json(cls, document: object) -> MapProof:
        """The proof that `to_json` wrote. Raises InputError for anything else."""
        if not isinstance(document, dict) or not {"siblings"} <= document.keys() <= {"siblings", "other"}:
            raise InputError("a map proof is an object of siblings and, at most, other")
        siblings, other = document["siblings"], document.get("other")
        if not isinstance(siblings, list) or len(siblings) > KEY_BITS:
            raise InputError(f"the siblings in a map proof are a list of at most {KEY_BITS} hashes")
        if "other" not in document:
            return cls([_from_hex(sibling) for sibling in siblings])
        if not isinstance(other, dict) or other.keys() != {"key", "position", "root"}:
            raise InputError("the other leaf in a map proof has key, position and root")
        if type(other["position"]) is not int:
            raise InputError("the position in a map proof is not a number")
        head = (_from_hex(other["key"]), other["position"], _from_hex(other["root"]))
        return cls([_from_hex(sibling) for sibling in siblings], head)

    def _check(self, key: bytes, end: bytes, map_root: bytes, otherwise: str) -> None:
        path = _number(key) >> (KEY_BITS - len(self.siblings))
        node = end
        for sibling in reversed(self.siblings):
            node = node_hash(sibling, node) if path & 1 else node_hash(node, sibling)
            path >>= 1
        if node != require_hash(map_root, "the root of the map"):
            raise CheckFailedError(f"the map with root {map_root.hex()} {otherwise}")


class HeadMap:
    """The map of a ledger with `tasks` tasks. The number never falls: older tiles are not looked after."""

    def __init__(self, store: MapStore, tasks: int) -> None:
        self._store = store
        self._depth = kept_depth(tasks)

    def rebuild(self) -> bytes:
        """Make every tile from the heads, which are read once; returns the root of the map."""
        shift = KEY_BITS - self._depth
        values: dict[int, bytes] = {}
        previous = -1
        for prefix, heads in groupby(self._store.heads(0, 0), lambda head: _number(head[0]) >> shift):
            if prefix <= previous:
                raise InputError("the heads for the map are not in the order of their keys")
            previous = prefix
            values[prefix] = _subtree(sorted(heads), self._depth)
        for depth in range(self._depth - _TILE_HEIGHT, -1, -_TILE_HEIGHT):
            values = dict(self._write_tiles(depth, values))
        return values.get(0, _NOTHING)[1:]

    def update(self, moved: Iterable[bytes]) -> bytes:
        """The root of the map, where since the last update no heads changed or came but those of `moved`.

        It costs, for each of these keys, the few heads beside it and a tile of each level.
        """
        if not self._depth or self._store.get_tile(0, 0) is None:
            return self.rebuild()
        shift = KEY_BITS - self._depth
        touched = {_number(require_hash(key, "the key")) >> shift for key in moved} or {0}
        values = {prefix: self._from_heads(self._depth, prefix) for prefix in touched}
        for depth in range(self._depth - _TILE_HEIGHT, -1, -_TILE_HEIGHT):
            values = dict(self._update_tiles(depth, values))
        return values[0][1:]

    def check(self, keys: Iterable[bytes], root: bytes) -> None:
        """Check that the tiles and heads on the way to each of `keys` are those of the map with this root.

        So an update of these keys starts from that map, whoever kept its tiles. Raises CheckFailedError.
        """
        shift = KEY_BITS - self._depth
        below = {_number(require_hash(key, "the key")) >> shift for key in keys}
        expected = {0: root}
        for depth in range(0, self._depth, _TILE_HEIGHT):
            found: dict[int, bytes] = {}
            for prefix in {child >> (self._depth - depth) for child in below}:
                children = self._tile(depth, prefix)
                _require_root(_levels(children)[-1][0], expected[prefix])
                found.update({prefix << _TILE_HEIGHT | child: children[child] for child in range(16)})
            expected = found
        for prefix in below:
            _require_root(self._from_heads(self._depth, prefix), expected[prefix])

    def prove(self, key: bytes) -> MapProof:
        """What the map holds for `key`, as of the last update."""
        number = _number(require_hash(key, "the key"))
        siblings: list[bytes] = []
        depth = 0
        while depth < self._depth:
            levels = _levels(self._tile(depth, number >> (KEY_BITS - depth)))
            steps = _walk(levels, number >> (KEY_BITS - depth - _TILE_HEIGHT) & 15, siblings)
            depth += steps
            if steps < _TILE_HEIGHT:
                break
        return _finish(sorted(self._store.heads(depth, number >> (KEY_BITS - depth))), depth, key, siblings)

    def _from_heads(self, depth: int, prefix: int) -> bytes:
        return _subtree(sorted(self._store.heads(depth, prefix)), depth)

    def _tile(self, depth: int, prefix: int) -> list[bytes]:
        """The sixteen subtrees four levels below this one: the kept ones, else made from the heads."""
        tile = self._store.get_tile(depth, prefix)
        if tile is not None:
            if len(tile) != TILE_SIZE:
                raise InputError(f"a kept tile of the map is {len(tile)} bytes long instead of {TILE_SIZE}")
            return [tile[start : start + _SUBTREE_SIZE] for start in range(0, TILE_SIZE, _SUBTREE_SIZE)]
        below = depth + _TILE_HEIGHT
        shift = KEY_BITS - below
        children = [_NOTHING] * 16
        for child, heads in groupby(self._store.heads(depth, prefix), lambda head: _number(head[0]) >> shift):
            children[child & 15] = _subtree(sorted(heads), below)
        return children

    def _update_tiles(self, depth: int, changed: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Put the subtrees `changed`, by their prefixes, into their tiles; yields the subtrees over these."""
        for prefix, group in groupby(sorted(changed), lambda child: child >> _TILE_HEIGHT):
            children = self._tile(depth, prefix)
            for child in group:
                children[child & 15] = changed[child]
            yield prefix, self._put(depth, prefix, children)

    def _write_tiles(self, depth: int, values: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """The same where `values`, in the order of their prefixes, are all there is."""
        for prefix, group in groupby(values, lambda child: child >> _TILE_HEIGHT):
            children = [_NOTHING] * 16
            for child in group:
                children[child & 15] = values[child]
            yield prefix, self._put(depth, prefix, children)

    def _put(self, depth: int, prefix: int, children: list[bytes]) -> bytes:
        self._store.put_tile(depth, prefix, b"".join(children))
        return _levels(children)[-1][0]


def _require_root(subtree: bytes, expected: bytes) -> None:
    """The map's own root is known without the byte that tells what it is."""
    if subtree[-len(expected) :] != expected:
        raise CheckFailedError("what is kept of the map is not that of the map with its root")


def _from_hex(text: object) -> bytes:
    if isinstance(text, str) and len(text) == 2 * HASH_SIZE and not text.strip("0123456789abcdef"):
        return bytes.fromhex(text)
    raise InputError("a hash in a map proof is not 64 lower-case hex digits")


def _number(key: bytes) -> int:
    return int.from_bytes(key, "big")


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def _subtree(heads: Sequence[Head], depth: int) -> bytes:
    """The subtree over heads that are sorted and share the first `depth` bits of their keys."""
    if not heads:
        return _NOTHING
    leaves = [leaf_hash(*head) for head in heads]
    if len(leaves) == 1:
        return b"\x02" + leaves[0]
    return b"\x03" + _node([_number(head[0]) for head in heads], leaves, 0, len(leaves), depth)


def _node(keys: list[int], leaves: list[bytes], start: int, end: int, depth: int) -> bytes:
    """The hash at `depth` over the leaves [start, end), two or more, which share their bits down to there."""
    differing = (keys[start] ^ keys[end - 1]).bit_length()
    if not differing:
        raise InputError(f"the map has two heads for the key {keys[start]:064x}")
    bit = differing - 1
    split = bisect_left(keys, keys[end - 1] >> bit << bit, start, end)
    below = KEY_BITS - bit
    left = leaves[start] if split - start == 1 else _node(keys, leaves, start, split, below)
    right = leaves[split] if end - split == 1 else _node(keys, leaves, split, end, below)
    node = sha256(b"\x03" + left + right).digest()
    for level in range(differing, KEY_BITS - depth):
        node = node_hash(EMPTY, node) if keys[start] >> level & 1 else node_hash(node, EMPTY)
    return node


def _join(left: bytes, right: bytes) -> bytes:
    """The subtree over two: a lone leaf rises, whatever else there is makes a node."""
    if left[0] != _NODE_TAG and right == _NOTHING:
        return left
    if right[0] != _NODE_TAG and left == _NOTHING:
        return right
    return b"\x03" + sha256(b"\x03" + left[1:] + right[1:]).digest()


def _levels(children: list[bytes]) -> list[list[bytes]]:
    """The subtrees of a tile from its sixteen up to the one over all of them."""
    levels = [children]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([_join(below[i], below[i + 1]) for i in range(0, len(below), 2)])
    return levels


def _walk(levels: list[list[bytes]], path: int, siblings: list[bytes]) -> int:
    """Follow the four bits of `path` down a tile as long as there are nodes; returns the steps taken."""
    steps = 0
    subtree = levels[-1][0]
    while subtree[0] == _NODE_TAG and steps < _TILE_HEIGHT:
        steps += 1
        level = levels[_TILE_HEIGHT - steps]
        index = path >> (_TILE_HEIGHT - steps)
        siblings.append(level[index ^ 1][1:])
        subtree = level[index]
    return steps


def _finish(heads: Sequence[Head], depth: int, key: bytes, siblings: list[bytes]) -> MapProof:
    """The proof for `key` whose path down to `depth` has these siblings, from the heads below it."""
    while len(heads) > 1:
        if depth == KEY_BITS:
            raise InputError(f"the map has two heads for the key {key.hex()}")
        split = bisect_left(heads, 1, key=lambda head: _bit(head[0], depth))
        inside, outside = (heads[split:], heads[:split]) if _bit(key, depth) else (heads[:split], heads[split:])
        depth += 1
        siblings.append(_subtree(outside, depth)[1:])
        heads = inside
    return MapProof(siblings, heads[0] if heads and heads[0][0] != key else None)
