"""Head maps over what a store keeps: the next checkpoint's, proofs from the newest, and any old one made again.

Tiles and the index of tasks are a cache that no proof covers. What is made of them counts only where it leads to
the root that a checkpoint's leaf states; where it does not, the map is made again from the heads themselves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tallystick.errors import CheckFailedError, InputError, TamperedError
from tallystick.proof.headmap import HeadMap, key_range, map_key, map_root, prove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tallystick.proof.checkpoint import CheckpointLeaf
    from tallystick.proof.headmap import Head, MapProof
    from tallystick.stores.checkpoints import CheckpointLog, MovedHead, StoredCheckpoint


class NextMap:
    """What the next map was made of: its root, the number of its tasks, and the tiles to keep."""

    __slots__ = ("anew", "root", "tasks", "tiles")

    def __init__(self, root: bytes, tasks: int, tiles: dict[tuple[int, int], bytes], *, anew: bool) -> None:
        self.root = root
        self.tasks = tasks
        self.tiles = tiles
        self.anew = anew
        """Whether `tiles` are all there are, rather than those that differ from the kept ones."""


class _Kept:
    """The heads and tiles that a store keeps, as of one checkpoint. See `MapStore`."""

    def __init__(self, log: CheckpointLog, number: int) -> None:
        self._log = log
        self._number = number
        self._buckets: dict[tuple[int, int], list[Head]] = {}
        self._tiles: dict[tuple[int, int], bytes | None] = {}

    def heads(self, depth: int, prefix: int) -> Iterable[Head]:
        """The few heads below a prefix are read once; all of them are not kept in memory."""
        if not depth:
            return self._log.heads(self._number, *key_range(0, 0))
        known = self._buckets.get((depth, prefix))
        if known is None:
            known = self._buckets[depth, prefix] = list(self._log.heads(self._number, *key_range(depth, prefix)))
        return known

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        if (depth, prefix) not in self._tiles:
            self._tiles[depth, prefix] = self._log.tile(depth, prefix)
        return self._tiles[depth, prefix]

    def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
        del depth, prefix, tile
        raise AssertionError("the kept map is only read")


class _Listed:
    """Heads in memory, in the order of their keys, without tiles at first. See `MapStore`."""

    def __init__(self, heads: Sequence[Head]) -> None:
        self._heads = heads
        self.tiles: dict[tuple[int, int], bytes] = {}

    def heads(self, depth: int, prefix: int) -> Iterable[Head]:
        if not depth:
            return self._heads
        low, high = key_range(depth, prefix)
        start = bisect_left(self._heads, low, key=_key)
        return self._heads[start : bisect_right(self._heads, high, key=_key)]

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        return self.tiles.get((depth, prefix))

    def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
        self.tiles[depth, prefix] = tile


class _Overlaid(_Listed):
    """Heads that moved, over those that a store keeps."""

    def __init__(self, base: _Kept, moved: Sequence[Head]) -> None:
        super().__init__(moved)
        self._base = base

    def heads(self, depth: int, prefix: int) -> Iterable[Head]:
        return _merged(self._base.heads(depth, prefix), super().heads(depth, prefix))

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        return super().get_tile(depth, prefix) or self._base.get_tile(depth, prefix)


def next_map(log: CheckpointLog, last: CheckpointLeaf | None, number: int, moved: Sequence[MovedHead]) -> NextMap:
    """The map after checkpoint `number`, whose leaf is `last` (None: no checkpoint yet), with these heads moved.

    Raises TamperedError where the heads that the store has for that checkpoint are not those of its map.
    """
    fresh = sorted((map_key(one.task_id), one.position, one.root) for one in moved)
    tasks = (last.tasks if last else 0) + sum(one.before is None for one in moved)
    if last is None:
        return _from_list(fresh, tasks)
    if not fresh:
        return NextMap(last.heads, tasks, {}, anew=False)
    base = _Kept(log, number)
    overlaid = _Overlaid(base, fresh)
    keys = [head[0] for head in fresh]
    try:
        HeadMap(base, tasks).check(keys, last.heads)
        root = HeadMap(overlaid, tasks).update(keys)
    except (CheckFailedError, InputError):
        return _from_list(list(_merged(heads_as_of(log, number, last), fresh)), tasks)
    return NextMap(root, tasks, overlaid.tiles, anew=False)


def heads_as_of(log: CheckpointLog, number: int, leaf: CheckpointLeaf) -> list[Head]:
    """The heads that a checkpoint is about, in the order of their keys, found without any cache.

    Raises TamperedError where they are not those of its map.
    """
    heads = sorted((map_key(task_id), position, root) for task_id, position, root in log.all_heads(number))
    if len(heads) != leaf.tasks or map_root(heads) != leaf.heads:
        raise TamperedError(
            f"the {len(heads)} heads kept for checkpoint {number} are not those of the {leaf.tasks} tasks it is about",
            advice="notch verify tells more",
        )
    return heads


def prove_head(
    log: CheckpointLog, checkpoint: StoredCheckpoint, key: bytes, *, newest: bool
) -> tuple[tuple[int, bytes] | None, MapProof]:
    """((position, root) or None, proof) of what a checkpoint's map holds for a key; checked. Raises TamperedError."""
    leaf = checkpoint.statement()
    if newest:
        kept = _Kept(log, checkpoint.number)
        head = next((head[1:] for head in log.heads(checkpoint.number, key, key)), None)
        try:
            proof = HeadMap(kept, leaf.tasks).prove(key)
            _check(proof, key, head, leaf.heads)
            return head, proof
        except (CheckFailedError, InputError):
            pass  # the cache is behind, ahead or wrong
    heads = heads_as_of(log, checkpoint.number, leaf)
    place = bisect_left(heads, key, key=_key)
    found = heads[place][1:] if place < len(heads) and heads[place][0] == key else None
    return found, prove(heads, key)


def _check(proof: MapProof, key: bytes, head: tuple[int, bytes] | None, root: bytes) -> None:
    if head is None:
        proof.verify_absence(key, root)
    else:
        proof.verify_presence(key, *head, root)


def _from_list(heads: Sequence[Head], tasks: int) -> NextMap:
    listed = _Listed(heads)
    root = HeadMap(listed, tasks).rebuild()
    return NextMap(root, tasks, listed.tiles, anew=True)


def _merged(base: Iterable[Head], fresh: Iterable[Head]) -> Iterator[Head]:
    """Both in the order of their keys; of two with one key, the fresh one."""
    rest = iter(fresh)
    one = next(rest, None)
    for head in base:
        while one is not None and one[0] < head[0]:
            yield one
            one = next(rest, None)
        if one is not None and one[0] == head[0]:
            yield one
            one = next(rest, None)
        else:
            yield head
    if one is not None:
        yield one
        yield from rest


def _key(head: Head) -> bytes:
    return head[0]
