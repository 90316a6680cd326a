"""Proofs from large ledgers, checkpoints over many tasks, and a bundle of a million entries; beside pymerkle.

`pymerkle` does part of the same job: it keeps leaves in SQLite (or in memory), and proves inclusion and consistency.
It keeps no inner nodes there, so that its first proof after opening hashes every leaf's; later ones use what it cached.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from measure import Figure, entry, folder, interleaved, long_session, many_tasks, median, ratios, timed
from tallystick import Ledger
from tallystick.exchange.bundle import write_bundle
from tallystick.proof import merkle
from tallystick.recorded import StoredTree
from tallystick.trust.keys import KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import Made, sign_checkpoint

try:
    import pymerkle
except ImportError:
    pymerkle = None

PROOFS = 50


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from _in_memory(scale)
    yield from _long_session(scale)
    yield from _many_tasks(scale)
    yield from _few_moved(scale)


def _million(scale: float) -> int:
    return int(1_000_000 * scale)


# --- the tree alone


def _in_memory(scale: float) -> Iterator[Figure]:
    if pymerkle is None:
        print("  pymerkle is not installed: nothing is compared with it", file=sys.stderr)
        return
    leaves, rounds = [b"%d" % n + b"x" * 376 for n in range(20_000)], max(3, int(9 * scale))

    def ours() -> bytes:
        edge = merkle.Edge()
        for leaf in leaves:
            edge.append(merkle.leaf_hash(leaf))
        return edge.root()

    def theirs() -> bytes:
        tree = pymerkle.InmemoryTree(algorithm="sha256")
        for leaf in leaves:
            tree.append_entry(leaf)
        root: bytes = tree.get_root()
        return root

    assert ours() == theirs()
    found = ratios(interleaved(theirs, ours, rounds))
    yield Figure(
        "append to a tree in memory, with its root at the end ÷ pymerkle, speed", median(found), ">= 1", "", found
    )


# --- a session of a million entries


def _long_session(scale: float) -> Iterator[Figure]:
    total = _million(scale)
    with folder() as place:
        path = long_session(total)
        yield from _proofs(place, path, total)
        yield from _bundle(place, path, total, scale)


def _proofs(place: Path, path: str, total: int) -> Iterator[Figure]:
    peer = _Peer(place / "pymerkle.db", total) if pymerkle is not None else None
    for what, prove in (("inclusion", _prove_inclusion), ("consistency", _prove_consistency)):
        first, later = _ours(path, total, prove)
        detail = f"the first after opening {first:.2f} ms"
        yield Figure(f"{what} proof in a session of {total:,} entries, ms", later, "<= 20", detail)
        if peer is not None:
            cold, warm = peer.proofs(what)
            detail = f"the first after opening {cold:,.0f} ms, then from its cache in memory"
            yield Figure(f"  peer: pymerkle's SqliteTree, {what} proof, ms", warm, "", detail)
    if peer is not None:
        yield peer.appends(place)


def _prove_inclusion(tree: StoredTree, size: int, root: bytes, index: int) -> None:
    proof = merkle.inclusion_proof(index, size, tree)
    merkle.verify_inclusion(tree.leaf(index), index, size, proof, root)


def _prove_consistency(tree: StoredTree, size: int, root: bytes, old: int) -> None:
    proof = merkle.consistency_proof(old, size, tree)
    merkle.verify_consistency(old, merkle.read_root(old, tree), size, root, proof)


def _ours(path: str, total: int, prove: Callable[[StoredTree, int, bytes, int], None]) -> tuple[float, float]:
    """Milliseconds of the first proof after opening and of later ones (medians), each verified."""
    chance = random.Random(1)
    first: list[float] = []
    later: list[float] = []
    for _ in range(7):
        with Ledger.open(path, read_only=True) as ledger:
            (key,), head = ledger.sessions_of("big"), ledger.head("big")
            tree, root = StoredTree(ledger.store, key), bytes.fromhex(head.root)
            work = partial(prove, tree, head.position + 1, root)
            times = [timed(partial(work, chance.randrange(1, total))) for _ in range(PROOFS)]
        first.append(times[0])
        later += times[1:]
    return median(first) * 1000, median(later) * 1000


class _Peer:
    """pymerkle's tree in SQLite, with as many entries."""

    def __init__(self, path: Path, total: int) -> None:
        self._path, self._total = str(path), total
        with self._open() as tree:
            tree.append_entries(b"%d" % n + b"x" * 376 for n in range(total))

    def _open(self) -> Any:
        return pymerkle.SqliteTree(self._path, algorithm="sha256")

    def proofs(self, what: str) -> tuple[float, float]:
        """Milliseconds of the first proof after opening, and of later ones (median), each verified."""
        chance = random.Random(1)
        with self._open() as tree:
            times = [timed(lambda: self._prove(tree, what, chance.randrange(1, self._total))) for _ in range(PROOFS)]
        return times[0] * 1000, median(times[1:]) * 1000

    def _prove(self, tree: Any, what: str, index: int) -> None:
        if what == "inclusion":
            proof = tree.prove_inclusion(index)
            pymerkle.verify_inclusion(tree.get_leaf(index), tree.get_root(), proof)
        else:
            proof = tree.prove_consistency(index)
            pymerkle.verify_consistency(tree.get_root(index), tree.get_root(), proof)

    def appends(self, place: Path) -> Figure:
        """Durable appends of one entry: both keep it in SQLite, where a power cut leaves it."""
        rounds, count = 7, 50
        with self._open() as tree, Ledger.open(str(place / "ledger.db")) as ledger:
            numbers = iter(range(10**9))
            ledger.append("big", entry(0))

            def theirs() -> None:
                for _ in range(count):
                    tree.append_entry(b"%d" % next(numbers) + b"x" * 376)

            def ours() -> None:
                for _ in range(count):
                    ledger.append("big", entry(next(numbers)))

            found = ratios(interleaved(theirs, ours, rounds))
        return Figure("durable append of one entry ÷ pymerkle's SqliteTree, speed", median(found), ">= 1", "", found)


# --- its bundle

VERIFY = """import sys, time
from tallystick.stores.bundle_stream import verify_bundle_file
began = time.perf_counter()
found = verify_bundle_file(sys.argv[1])
print(time.perf_counter() - began, found.head.position)
"""
HASH_LINES = """import sys, time
from hashlib import sha256
began = time.perf_counter()
with open(sys.argv[1], "rb") as file:
    for line in file:
        sha256(line).digest()
print(time.perf_counter() - began)
"""
HASH_PARTS = """import json, sys, time
from base64 import b64decode as bytes_of
from hashlib import sha256
spent = 0.0
with open(sys.argv[1], "rb") as file:
    while True:
        began = time.perf_counter()
        lines = file.readlines(1 << 20)
        spent += time.perf_counter() - began
        if not lines:
            break
        fields = [one for one in map(json.loads, lines) if "record" in one]
        records = [b"\\0" + bytes_of(one.pop("record")) for one in fields]
        parts = [bytes_of(part["salt"]) + bytes_of(part["data"]) for one in fields for part in one.values()]
        began = time.perf_counter()
        leaves = [sha256(record).digest() for record in records]
        found = [sha256(part).hexdigest() for part in parts]
        nodes = [sha256(b"\\1" + leaf + leaf).digest() for leaf in leaves]
        spent += time.perf_counter() - began
print(spent)
"""
PEAK = """import os, resource
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")),
    resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _bundle(place: Path, path: str, total: int, scale: float) -> Iterator[Figure]:
    bundle, cores = place / "big.bundle", os.cpu_count() or 1
    with Ledger.open(path, read_only=True) as ledger, bundle.open("wb") as file:
        took = timed(lambda: file.writelines(write_bundle(ledger, "big")))
    size = bundle.stat().st_size / 1e6
    (parts,) = _program(HASH_PARTS, bundle)
    pairs, peaks = [], []
    for _ in range(max(3, int(5 * scale))):
        seconds, position, own, worker = _program(VERIFY + PEAK, bundle)
        assert position >= total
        pairs.append((_program(HASH_LINES, bundle)[0], seconds))
        peaks.append((own + cores * worker) / 1024)
    found, seconds = ratios(pairs), median([ours for _, ours in pairs])
    what = f"verifying a bundle of {total:,} entries ÷ reading and hashing"
    detail = f"{size:,.0f} MB in {seconds:.1f} s on {cores} cores"
    yield Figure(f"{what} its lines alone, speed", median(found), ">= 0.50", detail, found)
    what = "  the same ÷ reading it and hashing what verifying has to hash, alone, speed"
    yield Figure(what, parts / seconds, ">= 0.50", "records, parts and nodes")
    yield Figure("  memory of that, MB", max(peaks), "<= 150", "the process and its workers")
    yield Figure("  writing it, entries a second", total / took, "")


def _program(text: str, bundle: Path) -> list[float]:
    done = subprocess.run([sys.executable, "-c", text, str(bundle)], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


# --- many tasks


class _Signer:
    """A key in the folder of the measurement, which signs checkpoints of a ledger."""

    def __init__(self, place: Path) -> None:
        self._folder = KeyFolder({"XDG_CONFIG_HOME": str(place / "config")})
        self._key = self._folder.new()

    def sign(self, ledger: Ledger) -> tuple[Made, float, float]:
        """The checkpoint, and the wall and processor seconds that making it took."""
        began, busy = time.perf_counter(), time.process_time()
        made = sign_checkpoint(ledger, self._key, Memory(self._folder, self._key, ledger.ledger_id))
        assert made is not None
        return made, time.perf_counter() - began, time.process_time() - busy


def _many_tasks(scale: float) -> Iterator[Figure]:
    tasks, each = _million(scale) // 10, 10
    with folder() as place:
        path, signer = many_tasks(tasks, each), _Signer(place)
        with Ledger.open(path) as ledger:
            _, seconds, busy = signer.sign(ledger)
            yield Figure(f"first checkpoint, over {tasks:,} tasks, s", seconds, "", f"{busy:.1f} s by processor time")
            ledger.append("task7", entry(1))
            _, seconds, busy = signer.sign(ledger)
            yield Figure(
                "  the next one, one task moved, ms", seconds * 1000, "", f"{busy * 1000:.1f} ms by processor time"
            )
        chance, times, cpu = random.Random(1), [], []
        for _ in range(PROOFS):
            with Ledger.open(path, read_only=True) as ledger:
                task, began = f"task{chance.randrange(tasks)}", time.process_time()
                times.append(timed(partial(ledger.head_proof, task)) * 1000)
                cpu.append((time.process_time() - began) * 1000)
                proof = ledger.head_proof(task)
                proof.verify()
                assert proof.position is not None
        what = f"newest-head proof, {tasks * each:,} entries in {tasks:,} tasks, first after opening, ms"
        yield Figure(what, median(times), "<= 20", f"{median(cpu):.1f} ms by processor time", times)


def _few_moved(scale: float) -> Iterator[Figure]:
    tasks, moved = _million(scale), 1_000
    with folder() as place, Ledger.open(many_tasks(tasks)) as ledger:
        signer = _Signer(place)
        _, seconds, busy = signer.sign(ledger)
        yield Figure(f"first checkpoint, over {tasks:,} tasks, s", seconds, "", f"{busy:.1f} s by processor time")
        chance, times, cpu = random.Random(1), [], []
        for _ in range(5):
            for number in chance.sample(range(tasks), moved):
                ledger.append(f"task{number}", entry(number))
            made, seconds, busy = signer.sign(ledger)
            assert made.signed
            times.append(seconds)
            cpu.append(busy)
    what = f"checkpoint over {tasks:,} tasks of which {moved:,} moved, s"
    yield Figure(what, median(times), "<= 1", f"{median(cpu):.2f} s by processor time", times)
