"""A task's newest head as of a checkpoint, proved by the note and some hashes; leaves that begin an epoch."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import pytest

from tallystick.errors import CheckFailedError, InputError, TallystickError
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.head_proof import HeadProof
from tallystick.proof.headmap import TILE_SIZE, HeadMap, MapProof, key_range, map_key, map_root, prove
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.proof.merkle import Edge, inclusion_proof, leaf_hash
from tallystick.proof.note import sign
from tallystick.proof.policy import Policy

Head = tuple[bytes, int, bytes]

ORIGIN = "tallystick/0123456789abcdef0123456789abcdef"
AT = "2026-01-01T00:00:00.000000Z"
KEY = SigningKey(ORIGIN, ED25519, b"\1" * 32)


def heads_of(count: int, position: int = 1) -> list[Head]:
    return [(map_key(f"t{n}"), position, sha256(b"%d/%d" % (n, position)).digest()) for n in range(count)]


class Log:
    """A log whose checkpoint n is about n tasks, each at position n."""

    def __init__(self, size: int) -> None:
        edge = Edge()
        self.leaves = [CheckpointLeaf(AT, n, map_root(heads_of(n, n))).encode() for n in range(1, size + 1)]
        self.nodes = [edge.append(leaf_hash(leaf)) for leaf in self.leaves]
        self.note = str(sign(Checkpoint(ORIGIN, size, edge.root()).text, [KEY.signer()]))
        self.size = size

    def leaf(self, index: int) -> bytes:
        return leaf_hash(self.leaves[index])

    def node(self, index: int) -> bytes:
        return self.nodes[index]

    def proof(self, task_id: str) -> HeadProof:
        heads = heads_of(self.size, self.size)
        key = map_key(task_id)
        found = next((head for head in heads if head[0] == key), None)
        path = inclusion_proof(self.size - 1, self.size, self)
        position, root = (found[1], found[2]) if found else (None, b"")
        return HeadProof(task_id, position, root, self.leaves[-1], prove(heads, key), path, self.note)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 20])
@pytest.mark.parametrize("task_id", ["t0", "absent"])
def test_an_honest_proof_holds(size: int, task_id: str) -> None:
    log = Log(size)
    proof = log.proof(task_id)
    assert proof.verify() == CheckpointLeaf(AT, size, map_root(heads_of(size, size)))
    assert proof.number == size
    endorsed = proof.tlog_proof().verify(leaf_hash(proof.leaf), Policy.parse(f"log {KEY.key}\nquorum none\n"))
    assert endorsed.checkpoint == proof.checkpoint()


FORGERIES = {
    "another task": {"task_id": "t1"},
    "a task that never was": {"task_id": "nobody"},
    "an older position": {"position": 4},
    "a newer position": {"position": 6},
    "another root": {"root": bytes(32)},
    "absence of what is there": {"position": None},
    "an older leaf": {"leaf": Log(4).leaves[-1]},
    "a leaf of our own": {"leaf": CheckpointLeaf(AT, 5, bytes(32)).encode()},
    "the map proof of another": {"map_proof": Log(5).proof("t1").map_proof},
    "the map proof of then": {"map_proof": Log(4).proof("t0").map_proof},
    "no map proof": {"map_proof": MapProof(())},
    "a path too short": {"path": ()},
    "a path too long": {"path": (bytes(32),) * 9},
    "another path": {"path": Log(4).proof("t0").path},
    "an older note": {"note": Log(4).note},
    "a newer note": {"note": Log(6).note},
    "no note": {"note": "x"},
    "a leaf that is none": {"leaf": b"x"},
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_proof_does_not(name: str) -> None:
    with pytest.raises((CheckFailedError, InputError)):
        Log(5).proof("t0").replace(**FORGERIES[name]).verify()


def test_a_presence_cannot_be_shown_as_an_absence() -> None:
    log = Log(5)
    absent = log.proof("absent")
    with pytest.raises(CheckFailedError):
        absent.replace(position=5, root=heads_of(1, 5)[0][2]).verify()
    with pytest.raises(CheckFailedError):
        absent.replace(task_id="t0").verify()


def test_an_empty_log_is_about_nothing() -> None:
    note = str(sign(Checkpoint(ORIGIN, 0, Edge().root()).text, [KEY.signer()]))
    with pytest.raises(InputError, match="empty log"):
        Log(1).proof("t0").replace(note=note, path=()).verify()


# --- epochs

CITED = Checkpoint(ORIGIN, 7, b"\5" * 32)


def test_the_bytes_of_a_leaf_that_begins_an_epoch() -> None:
    leaf = CheckpointLeaf(AT, 3, b"\xaa" * 32, 2, CITED)
    spelled = (
        '{"v":1,"kind":"checkpoint","at":"2026-01-01T00:00:00.000000Z","tasks":3,"heads":"' + "aa" * 32 + '",'
        f'"epoch":2,"after":{{"origin":"{ORIGIN}","size":7,"root":"' + "05" * 32 + '"}}'
    )
    assert leaf.encode().decode() == spelled
    assert CheckpointLeaf.decode(leaf.encode()) == leaf
    later = leaf.replace(epoch=12, after=CITED.replace(origin=f"{ORIGIN}/11"))
    assert CheckpointLeaf.decode(later.encode()) == later


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (',"epoch":2', ""),
        (',"epoch":2', ',"epoch":1'),
        (',"epoch":2', ',"epoch":0'),
        (',"epoch":2', ',"epoch":02'),
        (',"epoch":2', ',"epoch": 2'),
        (',"epoch":2', ',"epoch":1234567890'),
        ('"size":7', '"size":0'),
        ('"size":7', '"size":-7'),
        ("tallystick/0", "tallystick/0/"),
        ("tallystick/0", "tallystock/0"),
        ("05" * 32, "05" * 31),
        ("05" * 32, "0A" * 32),
        ('"}}', '"}'),
        ('"}}', '"},"x":1}'),
        ('"}}', '"}} '),
    ],
)
def test_other_spellings_are_refused(old: str, new: str) -> None:
    data = CheckpointLeaf(AT, 3, b"\xaa" * 32, 2, CITED).encode().decode()
    bent = data.replace(old, new, 1)
    assert bent != data
    with pytest.raises(InputError):
        CheckpointLeaf.decode(bent.encode())


@pytest.mark.parametrize(
    ("epoch", "after"),
    [(1, CITED), (0, CITED), (-1, CITED), (2, None), (2, CITED.replace(origin="example.com")), (10**9, CITED)],
)
def test_an_epoch_needs_a_number_and_what_came_before(epoch: int, after: Checkpoint | None) -> None:
    with pytest.raises(InputError):
        CheckpointLeaf(AT, 3, bytes(32), epoch, after)


# --- kept tiles, checked before they are built on


class Kept:
    def __init__(self, heads: Iterable[Head]) -> None:
        self.all = {head[0]: head for head in heads}
        self.tiles: dict[tuple[int, int], bytes] = {}

    def heads(self, depth: int, prefix: int) -> list[Head]:
        low, high = key_range(depth, prefix)
        return [self.all[key] for key in sorted(self.all) if low <= key <= high]

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        return self.tiles.get((depth, prefix))

    def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
        self.tiles[depth, prefix] = tile


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> tuple[Kept, bytes]:
    """1,100 heads with two levels of tiles, and the root of their map."""
    monkeypatch.setattr("tallystick.proof.headmap._SMALL_LEDGER", 64)
    store = Kept(heads_of(1100))
    return store, HeadMap(store, 1100).rebuild()


def test_what_is_kept_is_checked_against_the_root(kept: tuple[Kept, bytes]) -> None:
    store, root = kept
    assert {depth for depth, _ in store.tiles} == {0, 4}
    keys = [map_key(f"t{n}") for n in (1, 5, 9)] + [map_key("new")]
    HeadMap(store, 1100).check(keys, root)
    HeadMap(store, 1100).check([], root)
    with pytest.raises(CheckFailedError, match="not that of the map"):
        HeadMap(store, 1100).check(keys, bytes(32))
    del store.tiles[0, 0]
    HeadMap(store, 1100).check(keys, root)


def test_every_change_on_the_way_to_a_key_is_noticed(kept: tuple[Kept, bytes]) -> None:
    store, root = kept
    key = map_key("t3")
    number = int.from_bytes(key, "big")
    for depth in (0, 4):
        place = depth, number >> (256 - depth)
        good = store.tiles[place]
        for index in range(0, TILE_SIZE, 5):
            store.tiles[place] = good[:index] + bytes((good[index] ^ 1,)) + good[index + 1 :]
            if index % 33:
                with pytest.raises(TallystickError):
                    HeadMap(store, 1100).check([key], root)
        store.tiles[place] = good
    neighbours = store.heads(8, number >> 248)
    assert len(neighbours) > 1
    for head in neighbours:
        store.all[head[0]] = (head[0], 2, head[2])
        with pytest.raises(CheckFailedError):
            HeadMap(store, 1100).check([key], root)
        del store.all[head[0]]
        with pytest.raises(CheckFailedError):
            HeadMap(store, 1100).check([key], root)
        store.all[head[0]] = head
    HeadMap(store, 1100).check([key], root)
