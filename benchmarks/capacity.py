"""How one PostgreSQL server fares as tasks, writers and entries grow: a table, step by step.

    python benchmarks/capacity.py --tasks 1000,10000,100000,1000000 --entries 5 --folder DIR

The server's data stays in DIR, so that a run which was interrupted goes on where it ended; delete it afterwards.
A million tasks with five entries each take about 8 GB. Every figure is also a ratio to the same on a ledger of
1,000 tasks on the same server, measured in turns, since wall times of a busy machine say little.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from bench_postgres import SETTINGS
from capacity_fill import CHUNK, Filler, name_of
from measure import entry, machine, median, notch
from postgres_server import Server, Servers
from postgres_writers import Writers
from tallystick import Ledger

SMALL = 1_000
WRITERS = (1, 16, 64)
MOVED = 1_000


class Run:
    """One server with two ledgers: the one that grows, and the small one that it is compared with."""

    def __init__(self, server: Server, entries: int, options: argparse.Namespace) -> None:
        self.server, self.entries, self.options = server, entries, options
        self.urls = {name: server.socket_url(name) for name in ("large", "small")}
        with server.connect() as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in sorted(self.urls.keys() - there):
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        for url in self.urls.values():
            Ledger.open(url).close()
        self.fill("small", SMALL)

    def count(self, name: str) -> int:
        """How many tasks there are."""
        with psycopg.connect(self.urls[name]) as connection:
            ((found,),) = connection.execute("SELECT count(*) FROM tallystick.session WHERE task_id LIKE 'build-%'")
        return int(found)

    def fill(self, name: str, tasks: int) -> None:
        """Add tasks until there are so many."""
        done, began = self.count(name), time.monotonic()
        start = done
        with psycopg.connect(self.urls[name], autocommit=True) as connection:
            filler = Filler(connection, self.entries)
            while done < tasks:
                after = min(tasks, done + CHUNK)
                filler.fill(done, after)
                done = after
                rate = (done - start) / (time.monotonic() - began)
                bar = "#" * (30 * done // tasks)
                left = (tasks - done) / rate
                print(f"\r[{bar:<30}] {done:,} of {tasks:,} tasks, {left:.0f} s left ", end="", file=sys.stderr)
            if start < tasks:
                print(file=sys.stderr)
                connection.execute("VACUUM (ANALYZE) ")
                connection.execute("CHECKPOINT")

    # --- what is measured

    def latencies(self, tasks: int, count: int) -> dict[str, Any]:
        """Milliseconds of appends to tasks picked at random: the first here, then a second to the same."""
        found: dict[str, dict[str, list[float]]] = {name: {"first": [], "next": []} for name in self.urls}
        chance = random.Random(tasks)
        sizes = {"large": tasks, "small": SMALL}
        ledgers = {name: Ledger.open(url) for name, url in self.urls.items()}
        for number in range(count):
            for name, ledger in ledgers.items():
                task = name_of(chance.randrange(sizes[name]))
                for kind in ("first", "next"):
                    began = time.perf_counter()
                    ledger.append(task, entry(number))
                    found[name][kind].append((time.perf_counter() - began) * 1000)
            if number % 200 == 199:
                ledgers = {name: self._again(name, ledger) for name, ledger in ledgers.items()}
        for ledger in ledgers.values():
            ledger.close()
        return {
            kind: {
                "median_ms": median(found["large"][kind]),
                "p99_ms": _p99(found["large"][kind]),
                "ratio": median(found["large"][kind]) / median(found["small"][kind]),
                "p99_ratio": _p99(found["large"][kind]) / _p99(found["small"][kind]),
            }
            for kind in ("first", "next")
        }

    def _again(self, name: str, ledger: Ledger) -> Ledger:
        ledger.close()
        again = Ledger.open(self.urls[name])
        again.append(name_of(0), entry(0))
        return again

    def rates(self, tasks: int, seconds: float) -> dict[str, Any]:
        """Appends a second to tasks picked at random, by writer counts, over those on the small ledger."""
        sizes, found = {"large": tasks, "small": SMALL}, {}
        writers = {name: Writers(url, 8) for name, url in self.urls.items()}
        for count in WRITERS:
            pairs = []
            for _ in range(3):
                done = {
                    name: sum(one.counts("spread", count, seconds, sizes[name])) / seconds
                    for name, one in writers.items()
                }
                pairs.append((done["large"], done["large"] / done["small"]))
            found[f"{count}"] = {"rate": median([a for a, _ in pairs]), "ratio": median([b for _, b in pairs])}
        for one in writers.values():
            one.close()
        return found

    def sizes(self) -> dict[str, Any]:
        """Bytes on disk of the large ledger, indexes included, by table; rows of records and of tasks."""
        with psycopg.connect(self.urls["large"]) as connection:
            rows = connection.execute(
                "SELECT regexp_replace(c.relname, '_[0-9a-f]$', ''), sum(pg_total_relation_size(c.oid))::bigint"
                " FROM pg_class c WHERE c.relnamespace = 'tallystick'::regnamespace AND c.relkind = 'r' GROUP BY 1"
            ).fetchall()
            ((entries,),) = connection.execute("SELECT count(*) FROM tallystick.record")
            ((tasks,),) = connection.execute("SELECT count(*) FROM tallystick.session")
        by_table = dict(rows)
        return {
            "total_bytes": sum(by_table.values()),
            "record_bytes_per_entry": by_table["record"] / entries,
            "session_and_head_bytes_per_task": (by_table["session"] + by_table["state"]) / tasks,
        }

    def commands(self, tasks: int) -> dict[str, Any]:
        """Seconds of whole commands: open and status, a first checkpoint over all, one with 1,000 tasks moved."""
        found: dict[str, Any] = {}
        for name in ("small", "large"):
            size = tasks if name == "large" else SMALL
            found[name] = {
                "status": median([self._command(name, "status", "-t", name_of(size // 2)) for _ in range(5)])
            }
            if not self.options.no_checkpoint:
                found[name]["checkpoint"] = self._command(name, "checkpoint")
                with Ledger.open(self.urls[name]) as ledger:
                    for number in range(MOVED):
                        ledger.append(name_of(number * (size // MOVED)), entry(number))
                found[name]["checkpoint_1000_moved"] = self._command(name, "checkpoint")
        return found

    def _command(self, name: str, *arguments: str) -> float:
        home = self.server.folder.parent / "home"
        home.mkdir(exist_ok=True)
        env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "TALLYSTICK_LEDGER": self.urls[name]}
        if not (home / "tallystick" / "keys").exists():
            subprocess.run([notch(), "key", "new"], env=env, cwd=home, check=True, capture_output=True)
        began = time.perf_counter()
        done = subprocess.run([notch(), *arguments], env=env, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"notch {' '.join(arguments)}: {done.stderr}")
        return time.perf_counter() - began

    def verify(self, tasks: int) -> None:
        """A few tasks picked at random verify."""
        with Ledger.open(self.urls["large"]) as ledger:
            for number in random.Random(0).sample(range(tasks), 20):
                ledger.verify(name_of(number))

    def watching(self, tasks: int) -> dict[str, float]:
        """Milliseconds from an append's return until a watcher tells of it: one task's, and one of all."""
        one = self._watch(tasks, only=True)
        every = self._watch(tasks, only=False)
        return {"one_task_ms": median(one), "all_tasks_ms": median(every), "all_tasks_worst_ms": max(every)}

    def _watch(self, tasks: int, *, only: bool) -> list[float]:
        task, seen, ready = name_of(tasks // 3), threading.Event(), threading.Event()
        stop, found = threading.Event(), []
        with Ledger.open(self.urls["large"]) as ledger, Ledger.open(self.urls["large"]) as watching:

            def follow() -> None:
                for moved in _changes(watching, task if only else None):
                    if not moved:
                        ready.set()
                    elif ready.is_set() and any(key.task_id == task for key, _ in moved):
                        seen.set()
                    if stop.is_set():
                        return

            thread = threading.Thread(target=follow, daemon=True)
            thread.start()
            ready.wait(600)
            for number in range(7):
                seen.clear()
                ledger.append(task, entry(number))
                began = time.perf_counter()
                seen.wait(120)
                found.append((time.perf_counter() - began) * 1000)
                time.sleep(random.random())
            stop.set()
            thread.join(60)
        return found


def _changes(ledger: Ledger, task: str | None) -> Iterator[Any]:
    return ledger.store.changes({}, only=None if task is None else [task], interval=0.5)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def main() -> None:
    """Measure step by step, and print each as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="1000,10000,100000,1000000", help="sizes, rising")
    parser.add_argument("--entries", type=int, default=5, help="entries of each task to begin with")
    parser.add_argument("--folder", required=True, help="where the server's data lies, a short path")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long rates are measured")
    parser.add_argument("--appends", type=int, default=1_000, help="how many latencies are measured")
    parser.add_argument("--no-checkpoint", action="store_true", help="sign nothing")
    options = parser.parse_args()
    print(machine(), flush=True)
    server = _server(Path(options.folder))
    try:
        run = Run(server, options.entries, options)
        for tasks in map(int, options.tasks.split(",")):
            run.fill("large", tasks)
            measures: dict[str, Callable[[], Any]] = {
                "sizes": run.sizes,
                "append": lambda tasks=tasks: run.latencies(tasks, options.appends),
                "rates": lambda tasks=tasks: run.rates(tasks, options.seconds),
                "watch": lambda tasks=tasks: run.watching(tasks),
                "commands": lambda tasks=tasks: run.commands(tasks),
                "verified": lambda tasks=tasks: run.verify(tasks),
            }
            for name, measure in measures.items():
                began = time.monotonic()
                found = measure()
                took = round(time.monotonic() - began)
                print(json.dumps({"tasks": tasks, "measure": name, "found": found, "seconds": took}), flush=True)
    finally:
        server.stop()


def _server(folder: Path) -> Server:
    """The server whose data lies in the folder, started; made where there is none."""
    kept = folder / "server"
    folder.mkdir(parents=True, exist_ok=True)
    servers = Servers(str(folder))
    server = servers.create(settings=SETTINGS) if not kept.exists() else None
    if server is None:
        from postgres_server import Binaries

        server = Server(Binaries.find(18, servers.folder), kept)
    else:
        server.folder.rename(kept)
        server = Server(server.binaries, kept)
    server.start()
    return server


if __name__ == "__main__":
    main()
