"""What every store keeps: whoever watches misses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from support.contract import ENTRY, StoreUnderTest
from tallystick import Entry, Ledger
from tallystick.recorded import Watched


class Watching:
    """A thread that watches, and what it saw."""

    def __init__(self, ledger: Ledger, tasks: str | list[str] | None = None, **options: object) -> None:
        self.seen: list[tuple[str, int]] = []
        self.failed: list[BaseException] = []
        self._stopped = threading.Event()
        self._entries: Iterator[Watched] = ledger.watch(tasks, interval=0.2, stop=self._stopped.is_set, **options)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for one in self._entries:
                self.seen.append((one.task_id, one.position))
        except BaseException as error:
            self.failed.append(error)

    def wait_for(self, expected: set[tuple[str, int]]) -> None:
        deadline = time.monotonic() + 30
        while not expected <= set(self.seen):
            assert time.monotonic() < deadline, sorted(expected - set(self.seen))[:5]
            assert not self.failed, self.failed
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self.failed == []


def everything(*counts: tuple[str, int]) -> set[tuple[str, int]]:
    return {(task, position) for task, count in counts for position in range(1, count + 1)}


def test_what_is_there_comes_first_then_what_is_appended(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("a", [ENTRY] * 3)
    ledger.append("b", Entry(type="run", output=b"x" * 100_000))
    watching = Watching(store.open())
    watching.wait_for(everything(("a", 3), ("b", 1)))
    ledger.append("a", ENTRY)
    ledger.append("new", [ENTRY] * 2)
    store.open().append("b", ENTRY)
    watching.wait_for(everything(("a", 4), ("b", 2), ("new", 2)))
    watching.stop()
    assert len(watching.seen) == len(set(watching.seen))
    for task in ("a", "b", "new"):
        own = [position for name, position in watching.seen if name == task]
        assert own == sorted(own)


def test_entries_come_as_they_are_recorded(store: StoreUnderTest, ledger: Ledger) -> None:
    large = Entry(type="run", output=b"x" * 100_000)
    ledger.append("t", [ENTRY, large])
    for outputs in (True, False):
        watched = []
        for one in store.open().watch("t", outputs=outputs, interval=0.1):
            watched.append(one)
            if len(watched) == 2:
                break
        assert [one.task_id for one in watched] == ["t", "t"]
        recorded = list(ledger.entries("t", outputs=outputs))
        assert [(one.position, one.at, one.entry, one.erased) for one in watched] == [
            (one.position, one.at, one.entry, one.erased) for one in recorded
        ]


def test_it_goes_on_where_it_was_left(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("a", [ENTRY] * 5)
    ledger.append("b", [ENTRY] * 2)
    watching = Watching(store.open(), after={"a": 3, "b": 2, "never": 7})
    watching.wait_for({("a", 4), ("a", 5)})
    ledger.append("b", ENTRY)
    ledger.append("c", ENTRY)
    watching.wait_for({("b", 3), ("c", 1)})
    watching.stop()
    assert sorted(watching.seen) == [("a", 4), ("a", 5), ("b", 3), ("c", 1)]


@pytest.mark.parametrize("tasks", ["b", ["b", "later"]])
def test_some_tasks_alone(store: StoreUnderTest, ledger: Ledger, tasks: str | list[str]) -> None:
    ledger.append("a", ENTRY)
    ledger.append("b", ENTRY)
    watching = Watching(store.open(), tasks)
    for task in ("a", "b", "later"):
        ledger.append(task, ENTRY)
    expected = everything(("b", 2)) | ({("later", 1)} if isinstance(tasks, list) else set())
    watching.wait_for(expected)
    time.sleep(0.3)
    watching.stop()
    assert set(watching.seen) == expected


def test_many_watchers_and_writers_at_once(store: StoreUnderTest, ledger: Ledger) -> None:
    watchers = [Watching(store.open()) for _ in range(3)]
    writers = [store.open() for _ in range(3)]

    def work(n: int) -> None:
        for turn in range(15):
            writers[n].append("shared", ENTRY)
            writers[n].append(f"own {n}", [ENTRY] * (1 + turn % 3))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = everything(("shared", 45), ("own 0", 30), ("own 1", 30), ("own 2", 30))
    for watching in watchers:
        watching.wait_for(expected)
        watching.stop()
        assert sorted(watching.seen) == sorted(expected)


def test_when_the_first_watcher_is_gone_another_looks_on(store: StoreUnderTest, ledger: Ledger) -> None:
    first, second = Watching(store.open()), Watching(store.open())
    ledger.append("t", ENTRY)
    first.wait_for({("t", 1)})
    second.wait_for({("t", 1)})
    first.stop()
    ledger.append("t", ENTRY)
    second.wait_for({("t", 2)})
    second.stop()


def test_a_quiet_ledger_can_be_left(ledger: Ledger) -> None:
    began = time.monotonic()
    assert list(ledger.watch(interval=0.1, stop=lambda: True)) == []
    assert time.monotonic() - began < 5
