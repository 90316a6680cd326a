"""Durable appends: over bare appends, at a million entries, among a million tasks, by threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from measure import BareAppends, Figure, entry, folder, interleaved, long_session, many_tasks, median, ratios, timed
from tallystick import Ledger

ROUND = 200


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file; `scale` 1 is the full size, less a quicker run."""
    yield from _single(scale)
    yield from _late(scale)
    yield from _many_tasks(scale)
    yield from _threads(scale)
    yield from _processes(scale)


def _single(scale: float) -> Iterator[Figure]:
    with folder() as place, Ledger.open(str(place / "ledger.db")) as ledger:
        bare = BareAppends(place / "bare")
        ledger.append("t", [entry(n) for n in range(2_000)])
        numbers = iter(range(10**9))
        pairs = interleaved(
            lambda: bare(ROUND),
            lambda: [ledger.append("t", entry(next(numbers))) for _ in range(ROUND)],
            max(5, int(21 * scale)),
        )
        found = ratios(pairs)
        rate = ROUND / median([ours for _, ours in pairs])
        yield Figure(
            "durable append, single writer ÷ bare append + fdatasync", median(found), ">= 0.70", f"{rate:,.0f}/s", found
        )
        yield from _eventsourcing(place, bare, scale)
        bare.close()


def _eventsourcing(place: Path, bare: BareAppends, scale: float) -> Iterator[Figure]:
    try:
        from eventsourcing.persistence import StoredEvent
        from eventsourcing.sqlite import SQLiteAggregateRecorder, SQLiteDatastore
    except ImportError:
        print("  eventsourcing is not installed: nothing is compared with it", file=sys.stderr)
        return
    from uuid import uuid4

    store = SQLiteDatastore(str(place / "events.db"))
    recorder = SQLiteAggregateRecorder(store)
    recorder.create_table()
    task, numbers = uuid4(), iter(range(10**9))
    state = b"x" * 380

    def insert() -> None:
        for _ in range(ROUND):
            recorder.insert_events([StoredEvent(task, next(numbers), "Entry", state)])

    found = ratios(interleaved(lambda: bare(ROUND), insert, max(3, int(9 * scale))))
    yield Figure(
        "  peer: eventsourcing's SQLite recorder ÷ bare append",
        median(found),
        "",
        "its own pragmas, nothing hashed",
        found,
    )


def _late(scale: float) -> Iterator[Figure]:
    total = int(1_000_000 * scale)
    with folder() as place, Ledger.open(long_session(total)) as ledger:
        bare = BareAppends(place / "bare")
        ledger.append("small", [entry(n) for n in range(1_000)])
        early, late = [], []
        for _ in range(11):
            floor = timed(lambda: bare(ROUND))
            early.append(timed(lambda: [ledger.append("small", entry(n)) for n in range(ROUND)]) / floor)
            late.append(timed(lambda: [ledger.append("big", entry(n)) for n in range(ROUND)]) / floor)
        bare.close()
    found = [one / other for one, other in zip(late, early, strict=True)]
    yield Figure(f"append number {total:,} ÷ append number 1,000", median(late) / median(early), "<= 1.15", "", found)


def _many_tasks(scale: float) -> Iterator[Figure]:
    import random

    total = int(1_000_000 * scale)
    with folder() as place, Ledger.open(many_tasks(total)) as ledger:
        bare = BareAppends(place / "bare")
        ledger.append("small", [entry(n) for n in range(1_000)])
        chance = random.Random(1)
        one, many = [], []
        for _ in range(11):
            floor = timed(lambda: bare(ROUND))
            one.append(timed(lambda: [ledger.append("small", entry(n)) for n in range(ROUND)]) / floor)
            picked = [f"task{chance.randrange(total)}" for _ in range(ROUND)]
            many.append(timed(lambda picked=picked: [ledger.append(task, entry(0)) for task in picked]) / floor)
        bare.close()
    yield Figure(f"append to one of {total:,} tasks ÷ append to a small task", median(many) / median(one), "<= 1.8")


def _threads(scale: float) -> Iterator[Figure]:
    with folder() as place, Ledger.open(str(place / "ledger.db")) as ledger:

        def rate(threads: int, total: int, *, shared: bool) -> float:
            def work(k: int) -> None:
                for n in range(total // threads):
                    ledger.append("shared" if shared else f"task{k}", entry(n))

            pool = [threading.Thread(target=work, args=(k,)) for k in range(threads)]

            def run() -> None:
                for thread in pool:
                    thread.start()
                for thread in pool:
                    thread.join()

            return total / timed(run)

        rate(64, 640, shared=False)
        rounds = max(3, int(5 * scale))
        found = [
            (rate(1, 800, shared=False), rate(64, 6_400, shared=False), rate(64, 6_400, shared=True))
            for _ in range(rounds)
        ]
    apart, same = [many / one for one, many, _ in found], [shared / one for one, _, shared in found]
    yield Figure(
        "64 threads on 64 tasks ÷ one thread",
        median(apart),
        ">= 3",
        f"{median([m for _, m, _ in found]):,.0f}/s",
        apart,
    )
    yield Figure(
        "64 threads on one task ÷ one thread", median(same), ">= 5", f"{median([s for _, _, s in found]):,.0f}/s", same
    )


WRITER = """import sys, time
sys.path.insert(0, sys.argv[4])
from measure import entry
from tallystick import Ledger
ledger = Ledger.open(sys.argv[1]); done = 0; sys.stdin.readline()
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    ledger.append(sys.argv[2], entry(done)); done += 1
print(done)
"""


def _processes(scale: float) -> Iterator[Figure]:
    seconds = 4 * max(scale, 0.5)
    with folder() as place:
        url = str(place / "ledger.db")
        Ledger.open(url).close()
        one = _run_writers(url, 1, seconds)[0] / seconds
        counts = _run_writers(url, 8, seconds)
        again = _run_writers(url, 1, seconds)[0] / seconds
    total = sum(counts) / seconds
    yield Figure("8 processes ÷ one process", total / median([one, again]), ">= 0.7", f"{total:,.0f}/s in all")
    yield Figure("  slowest ÷ fastest of the 8", min(counts) / max(counts), ">= 0.7")


def _run_writers(url: str, number: int, seconds: float) -> list[int]:
    here = os.path.dirname(os.path.abspath(__file__))
    argv = [sys.executable, "-c", WRITER, url]
    writers = [
        subprocess.Popen([*argv, f"t{k}", str(seconds), here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for k in range(number)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    return [int(writer.communicate()[0]) for writer in writers]
