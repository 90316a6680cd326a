"""Writers for the PostgreSQL benchmarks: threads in processes, the same for whatever is compared.

Each process opens what it needs once, then takes a job a line on standard input and answers with the count of each
of its threads.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from capacity_fill import name_of
from measure import entry
from tallystick import Entry, Ledger
from tallystick.model.record import seal

BARE = """CREATE TABLE IF NOT EXISTS public.bare
    (task bytea NOT NULL, position bigint NOT NULL, data bytea NOT NULL, PRIMARY KEY (task, position))"""
INSERT = "INSERT INTO public.bare (task, position, data) VALUES (%b, %b, %b)"
ENTRIES = [entry(number) for number in range(700)]
NODE_BYTES = 32


def row_bytes(one: Entry) -> bytes:
    """As many bytes as the ledger stores for the entry: record, node, salts, sealed parts."""
    draft = seal(one, os.urandom(48))
    sealed = draft.sealed
    parts = (sealed.text_salt, sealed.text, sealed.details_salt, sealed.details, sealed.output_salt, sealed.output)
    record: bytes = draft.record("2026-01-01T00:00:00.000000Z", 12345, defaults=True)
    return os.urandom(len(record) + NODE_BYTES + sum(len(part) for part in parts if part))


class Worker:
    """One process: threads that append to a ledger, or insert rows with psycopg."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._ledger = Ledger.open(url)
        self._links: list[list[Any]] = []
        self._rows = [row_bytes(one) for one in ENTRIES]

    def prepare(self, kind: str, threads: int, tasks: int) -> list[Callable[[int], object]]:
        """What each of so many threads is to do, everything done that comes once."""
        self._tasks = tasks
        make: Callable[[int], Callable[[int], object]] = getattr(self, f"_{kind}")
        return [make(number) for number in range(threads)]

    def job(self, works: list[Callable[[int], object]], start: float, seconds: float) -> list[int]:
        """How often each thread got its work done, from a moment of the monotonic clock on."""
        counts = [0] * len(works)

        def run(number: int) -> None:
            work, count, end = works[number], 0, start + seconds
            time.sleep(max(0.0, start - time.monotonic()))
            while time.monotonic() < end:
                work(count)
                count += 1
            counts[number] = count

        pool = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
        return counts

    def _appending(self, task: str) -> Callable[[int], object]:
        append = self._ledger.append
        append(task, ENTRIES[0])
        return lambda count: append(task, ENTRIES[count % 700])

    def _ours(self, number: int) -> Callable[[int], object]:
        return self._appending(f"{self._name}-{number}")

    def _contended(self, number: int) -> Callable[[int], object]:  # noqa: ARG002
        return self._appending("contended")

    def _spread(self, number: int) -> Callable[[int], object]:
        """Appends to tasks picked at random, among those that `capacity_fill` made."""
        chance, append, tasks = random.Random(f"{self._name}{number}{time.time()}"), self._ledger.append, self._tasks
        return lambda count: append(name_of(chance.randrange(tasks)), ENTRIES[count % 700])

    def _bare(self, number: int) -> Callable[[int], object]:
        while len(self._links) <= number:
            connection = psycopg.connect(self._url, autocommit=True)
            self._links.append([connection, 0])
        link, rows = self._links[number], self._rows
        task = f"{self._name}-{number}".encode().ljust(16)
        execute = link[0].cursor().execute

        def insert(count: int) -> None:
            link[1] += 1
            execute(INSERT, (task, link[1], rows[count % 700]), prepare=True)

        return insert


def main() -> None:
    """Serve jobs until standard input ends."""
    worker = Worker(*sys.argv[1:3])
    print("ready", flush=True)
    for line in sys.stdin:
        works = worker.prepare(*json.loads(line))
        print("prepared", flush=True)
        print(json.dumps(worker.job(works, *json.loads(sys.stdin.readline()))), flush=True)


class Writers:
    """Processes with threads in them."""

    def __init__(self, url: str, processes: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(BARE)
        here = Path(__file__)
        self._running = [
            subprocess.Popen(
                [sys.executable, str(here), url, f"w{number}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here.parent,
            )
            for number in range(processes)
        ]  # fmt: skip
        for one in self._running:
            self._answer(one)

    def _answer(self, one: subprocess.Popen[str]) -> str:
        assert one.stdout is not None
        line = one.stdout.readline()
        if not line:
            raise RuntimeError("a writer ended")
        return line

    def counts(self, kind: str, writers: int, seconds: float, tasks: int = 0) -> list[int]:
        """What each of so many writers got done: one writer, or as many threads in each process."""
        processes = self._running[: min(writers, len(self._running))]
        for one in processes:
            self._send(one, [kind, writers // len(processes), tasks])
        for one in processes:
            self._answer(one)
        start = time.monotonic() + 0.2
        for one in processes:
            self._send(one, [start, seconds])
        return [count for one in processes for count in json.loads(self._answer(one))]

    def _send(self, one: subprocess.Popen[str], order: list[Any]) -> None:
        assert one.stdin is not None
        one.stdin.write(json.dumps(order) + "\n")
        one.stdin.flush()

    def close(self) -> None:
        """End them."""
        for one in self._running:
            one.communicate()


if __name__ == "__main__":
    main()
