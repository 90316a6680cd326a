"""Threads share commits: each gets its own outcome, whatever becomes of the one that leads."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.contract import ENTRY
from tallystick import Entry, InputError, Ledger, StoreUnavailableError, TamperedError
from tallystick.stores.group_commit import BATCH_LIMIT, GroupCommit, Request


def run(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread waits for ever"


class Recorder:
    """Does what it is told to each request, and remembers what went together."""

    def __init__(self, commits: Callable[[list[Any]], None] = lambda _: None) -> None:
        self.batches: list[list[Any]] = []
        self._commits = commits

    def __call__(self, requests: list[Request]) -> None:
        self.batches.append([request.work for request in requests])
        for request in requests:
            if isinstance(request.work, Exception):
                request.error = request.work
            else:
                request.result = -request.work
        try:
            self._commits(self.batches[-1])
        except BaseException:
            for request in requests:
                request.result = None
            raise


def test_one_caller_leads_at_once() -> None:
    recorder = Recorder()
    commits = GroupCommit(recorder)
    assert [commits.submit(n) for n in (1, 2, 3)] == [-1, -2, -3]
    assert recorder.batches == [[1], [2], [3]]


def test_those_who_wait_ride_along_in_order() -> None:
    opened = threading.Event()
    recorder = Recorder(lambda _: opened.wait(10) and None)
    commits = GroupCommit(recorder)
    results: dict[int, int] = {}

    def work(n: int) -> None:
        time.sleep(n * 0.02)
        if n == 7:
            opened.set()
        results[n] = commits.submit(n + 1)

    run(8, work)
    assert results == {n: -n - 1 for n in range(8)}
    assert recorder.batches[0] == [1]
    assert [one for batch in recorder.batches for one in batch] == list(range(1, 9))
    assert len(recorder.batches) <= 3


def test_a_batch_has_a_limit() -> None:
    opened = threading.Event()
    recorder = Recorder(lambda _: opened.wait(30) and None)
    commits = GroupCommit(recorder)
    count = BATCH_LIMIT + 50

    def release() -> None:
        while len(commits._waiting) < count - 1:
            time.sleep(0.01)
        opened.set()

    threading.Thread(target=release, daemon=True).start()
    run(count, lambda n: commits.submit(n + 1))
    assert max(map(len, recorder.batches)) == BATCH_LIMIT
    assert sorted(one for batch in recorder.batches for one in batch) == list(range(1, count + 1))


def test_a_request_that_fails_fails_alone() -> None:
    recorder = Recorder(lambda _: time.sleep(0.005))
    commits = GroupCommit(recorder)
    outcomes: dict[int, object] = {}

    def work(n: int) -> None:
        try:
            outcomes[n] = commits.submit(n + 1 if n % 3 else ValueError(n))
        except ValueError as error:
            outcomes[n] = error.args

    run(30, work)
    assert outcomes == {n: -n - 1 if n % 3 else (n,) for n in range(30)}
    assert max(map(len, recorder.batches)) > 1


def test_a_commit_that_fails_fails_for_all_in_it_and_no_others() -> None:
    def commit(batch: list[int]) -> None:
        time.sleep(0.005)
        if 5 in batch:
            raise OSError("disk")

    recorder = Recorder(commit)
    commits = GroupCommit(recorder)
    failed: list[int] = []

    def work(n: int) -> None:
        try:
            assert commits.submit(n + 1) == -n - 1
        except OSError:
            failed.append(n + 1)

    run(20, work)
    (batch,) = [batch for batch in recorder.batches if 5 in batch]
    assert sorted(failed) == sorted(batch)


@contextmanager
def interrupts(seed: int, pause: float) -> Iterator[list[int]]:
    """Raises KeyboardInterrupt in this thread at random moments while the list is not empty."""
    chance = random.Random(seed)
    armed: list[int] = []
    ended = threading.Event()
    target = threading.get_ident()

    def interrupt() -> None:
        while not ended.wait(chance.random() * pause):
            signal.pthread_kill(target, signal.SIGUSR1)

    def handle(*_: object) -> None:
        if armed:
            armed.clear()
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        yield armed
    finally:
        armed.clear()
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.serial
def test_an_interrupted_leader_hurts_nobody_else(storm: bool) -> None:
    """Ctrl-C at any moment: the others get their results, nothing is done twice, nobody waits for ever."""
    done: list[int] = []

    def perform(requests: list[Request]) -> None:
        kept = len(done)
        try:
            for request in requests:
                done.append(request.work)
                request.result = True
            time.sleep(0)
        except BaseException:
            del done[kept:]
            for request in requests:
                request.result = None
            raise

    commits = GroupCommit(perform)
    stop = threading.Event()
    acknowledged: list[int] = []
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        turn = 0
        while not stop.is_set():
            try:
                commits.submit(thread * 10_000_000 + turn)
                acknowledged.append(thread * 10_000_000 + turn)
            except BaseException as error:
                failures.append(error)
            turn += 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    interrupted, own = 0, 0
    with interrupts(random.randrange(1 << 20), 0.0005) as armed:
        end = time.monotonic() + (60 if storm else 4)
        while time.monotonic() < end:
            try:
                armed.append(1)
                commits.submit(-own)
                armed.clear()
                acknowledged.append(-own)
            except KeyboardInterrupt:
                interrupted += 1
            own += 1
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a thread waits for ever"
    assert failures == []
    assert interrupted > 100
    assert len(set(done)) == len(done)
    assert set(acknowledged) <= set(done)
    assert set(done) - set(acknowledged) <= {-n for n in range(own)}


# --- the same with a store


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        yield ledger


def test_one_threads_bad_entry_does_not_hurt_the_others(ledger: Ledger) -> None:
    refused: list[int] = []

    def work(n: int) -> None:
        for turn in range(10):
            bad = n % 4 == 0 and turn % 2
            try:
                ledger.append("t", Entry(type="note", id=f"{n}.{turn}", status="x" * (70_000 if bad else 1)))
            except InputError:
                refused.append(n)

    run(16, work)
    assert len(refused) == 4 * 5
    assert ledger.head("t").position == 16 * 10 - len(refused)
    ledger.verify()


def test_a_damaged_session_does_not_hurt_the_others(ledger: Ledger, tmp_path: Path) -> None:
    """What the database refuses for one session fails there alone, also in a shared commit."""
    ledger.append("damaged", [ENTRY, ENTRY])
    ledger.append("whole", ENTRY)
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    ((guard,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'state_forward'")
    connection.execute("DROP TRIGGER state_forward")
    connection.execute("UPDATE state SET position = 1, edge = zeroblob(32) WHERE session = 1 AND key = ''")
    connection.execute(guard)
    connection.close()
    outcomes: list[str] = []

    def work(n: int) -> None:
        for _ in range(5):
            try:
                ledger.append(("damaged", "whole")[n % 2], ENTRY)
                outcomes.append("recorded")
            except TamperedError:
                outcomes.append("refused")

    run(16, work)
    assert outcomes.count("recorded") == outcomes.count("refused") == 40
    assert ledger.head("whole").position == 41
    ledger.verify("whole")


@pytest.mark.serial
def test_an_interrupted_append_is_whole_or_absent(ledger: Ledger, storm: bool) -> None:
    stop = threading.Event()
    acknowledged: list[str] = []
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        turn = 0
        while not stop.is_set():
            entry_id = f"{thread}.{turn}"
            try:
                ledger.append("t", Entry(type="note", id=entry_id))
                acknowledged.append(entry_id)
            except BaseException as error:
                failures.append(error)
            turn += 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    interrupted, turn = 0, 0
    with interrupts(random.randrange(1 << 20), 0.004) as armed:
        end = time.monotonic() + (60 if storm else 4)
        while time.monotonic() < end:
            try:
                armed.append(1)
                ledger.append("t", [Entry(type="note", id=f"main.{turn}")] * 2)
                armed.clear()
                acknowledged.append(f"main.{turn}")
            except KeyboardInterrupt:
                interrupted += 1
            turn += 1
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "a thread waits for ever"
    assert failures == []
    assert interrupted > 20
    found = Counter(recorded.entry.id for recorded in ledger.entries("t"))
    assert set(acknowledged) <= set(found)
    assert {entry_id[:4] for entry_id in set(found) - set(acknowledged)} <= {"main"}
    assert {entry_id for entry_id, count in found.items() if count != (2 if entry_id[0] == "m" else 1)} == set()
    ledger.verify()


def append_until_closed(ledger: Ledger, task: str, acknowledged: list[int], refused: list[str]) -> None:
    try:
        while True:
            acknowledged.append(ledger.append(task, ENTRY).position)
            ledger.head(task)
    except StoreUnavailableError as error:
        refused.append(error.what)


def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for turn in range(10):
        ledger = Ledger.open(str(tmp_path / "ledger.db"))
        refused: list[str] = []
        arguments = [(ledger, f"t{n}", acknowledged, refused) for n in range(4)]
        threads = [threading.Thread(target=append_until_closed, args=one) for one in arguments]
        for thread in threads:
            thread.start()
        time.sleep(0.01 * turn)
        ledger.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert refused == ["the ledger was closed"] * 4
        with Ledger.open(str(tmp_path / "ledger.db"), create=False) as again:
            assert sum(state.head.position for state in again.tasks()) == len(acknowledged)
            again.verify()
