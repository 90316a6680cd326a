"""Processes that append to a ledger from many threads and write down what was acknowledged.

Run as a script: appenders.py URL OUT SEED THREADS TASKS, until a line comes on standard input or it is killed.
Each line of OUT is JSON: what was asked for before it was asked, then what was acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tallystick import Entry, Head, Ledger, StoreUnavailableError

SCRIPT = Path(__file__)


class Appenders:
    """One such process, as the test that started it sees it."""

    def __init__(self, url: str, out: Path, seed: int, threads: int, tasks: int) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), url, str(out), str(seed), str(threads), str(tasks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Until the ledger is open there."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def stop(running: Sequence[Appenders]) -> None:
        """Have all finish what is under way; fails where one met an error of another kind than it may."""
        for one in running:
            assert one.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended: what it said is read below
                one.process.stdin.write("stop\n")
                one.process.stdin.flush()
        for one in running:
            _, said = one.process.communicate(timeout=150)
            if one.process.returncode or said:
                raise AssertionError(f"exit {one.process.returncode}\n{said}")


def acknowledged(outs: Iterable[Path]) -> list[dict[str, Any]]:
    """What was acknowledged: task, head, ids."""
    lines = [line for out in outs if out.exists() for line in out.read_text().splitlines() if line.endswith("}")]
    return [one for one in map(json.loads, lines) if "head" in one]


def check(ledger: Ledger, outs: Iterable[Path]) -> Counter[str]:
    """Nothing acknowledged is lost or doubled, there is no gap, everything verifies; how much there was."""
    said = acknowledged(outs)
    held: dict[str, list[str]] = {}
    for state in ledger.tasks():
        entries = list(ledger.entries(state.task_id))
        assert [one.position for one in entries] == list(range(1, len(entries) + 1))
        held[state.task_id] = [one.entry.id for one in entries]
        twice = [name for name, count in Counter(held[state.task_id]).items() if count > 1]
        assert twice == [], f"{state.task_id}: {twice[:5]}"
    for one in said:
        head = Head.parse(one["head"])
        found = held[one["task"]][head.position - len(one["ids"]) : head.position]
        assert found == one["ids"], one
    for one in said[:: max(1, len(said) // 200)]:
        head = Head.parse(one["head"])
        assert ledger.root_at(one["task"], head.position) == head, one
    ledger.verify()
    return Counter({"acknowledged": len(said), "held": sum(map(len, held.values())), "tasks": len(held)})


def _open(url: str) -> Ledger:
    """The ledger, as soon as its server is there: opening says at once that it is not."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return Ledger.open(url)
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class _Work:
    def __init__(self, url: str, out: str, seed: int, tasks: int) -> None:
        self.ledger = _open(url)
        self.out = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.seed, self.tasks = seed, tasks
        self.stopped = threading.Event()
        self.failed: list[BaseException] = []

    def say(self, **what: Any) -> None:
        os.write(self.out, f"{json.dumps(what)}\n".encode())

    def run(self, thread: int) -> None:
        chance = random.Random(f"{self.seed}.{thread}")
        turn = 0
        try:
            while not self.stopped.is_set():
                turn += 1
                self.one(chance, f"{self.seed}.{thread}.{turn}")
        except BaseException as error:
            self.failed.append(error)
            self.stopped.set()

    def one(self, chance: random.Random, name: str) -> None:
        task = f"task {min(chance.randrange(self.tasks), chance.randrange(self.tasks))}"
        count = chance.choice((1, 1, 1, 1, 2, 5, 40 if chance.random() < 0.1 else 1))
        salted = chance.random() < 0.7
        ids = [f"{name}.{n}" for n in range(count)]
        entries = [
            Entry(type="note", id=one, criterion_id=f"ac{chance.randrange(50)}", reason="because" if salted else "")
            for one in ids
        ]
        key = name if chance.random() < 0.3 else None
        while not self.stopped.is_set():
            try:
                head = self.ledger.append(task, entries, idempotency_key=key)
            except StoreUnavailableError:
                if key is None:
                    return
                time.sleep(0.1)
            else:
                self.say(task=task, head=str(head), ids=ids)
                return


def _stop_when_told(work: _Work) -> None:
    sys.stdin.readline()
    work.stopped.set()


def main(url: str, out: str, seed: int, threads: int, tasks: int) -> None:
    work = _Work(url, out, seed, tasks)
    running = [threading.Thread(target=work.run, args=(n,), daemon=True) for n in range(threads)]
    for one in running:
        one.start()
    print("ready", flush=True)
    threading.Thread(target=_stop_when_told, args=(work,), daemon=True).start()
    for one in running:
        one.join()
    if work.failed:
        raise work.failed[0]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
