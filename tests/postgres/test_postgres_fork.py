"""Threads share a store, and a forked child takes nothing of the parent's with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.contract import ENTRY
from support.postgres import PostgresUnderTest
from tallystick import Entry, Ledger, StoreUnavailableError
from tallystick.stores import postgres_connection, postgres_pool
from tallystick.stores.postgres_connection import Link
from tallystick.stores.postgres_pool import Pool
from tallystick.stores.postgres_schema import WRITER
from tallystick.stores.postgres_url import parse


def in_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child that does this and ends as a process ends."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def backends(store: PostgresUnderTest) -> set[int]:
    with store.shared.connect("postgres") as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'tallystick'", (store.database,)
        ).fetchall()
    return {pid for (pid,) in rows}


def test_parent_and_child_append_to_one_task(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    before = backends(store)

    def work() -> None:
        for n in range(20):
            ledger.append("t", Entry(type="note", id=f"child {n}", reason="because"))
        assert ledger.head("t").position >= 21

    context = multiprocessing.get_context("fork")
    process = context.Process(target=work)
    process.start()
    for n in range(20):
        ledger.append("t", Entry(type="note", id=f"parent {n}", reason="because"))
    process.join(60)
    assert process.exitcode == 0
    assert before <= backends(store)
    assert ledger.append("t", ENTRY).position == 42
    ledger.verify()


def test_a_child_that_does_nothing_leaves_the_parents_connections(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    before = backends(store)
    assert in_child(lambda: None) == 0
    assert in_child(lambda: ledger.close()) == 0
    pid = os.fork()
    if not pid:
        del ledger
        os._exit(0)
    os.waitpid(pid, 0)
    assert backends(store) == before
    assert ledger.append("t", ENTRY).position == 2
    assert backends(store) == before


def test_a_child_of_a_closed_ledger_finds_it_closed(store: PostgresUnderTest) -> None:
    ledger = store.open()
    ledger.close()

    def work() -> None:
        with pytest.raises(StoreUnavailableError, match="closed"):
            ledger.append("t", ENTRY)

    assert in_child(work) == 0


def test_a_fork_while_other_threads_append(ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    stopped = threading.Event()
    counts: list[int] = []

    def work(name: str) -> None:
        count = 0
        while not stopped.is_set():
            ledger.append(name, ENTRY)
            ledger.append("t", ENTRY)
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=work, args=(f"own {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    codes = [in_child(lambda n=n: ledger.append("t", Entry(id=f"child {n}")) and None) for n in range(8)]
    stopped.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 8
    assert ledger.head("t").position == 1 + sum(counts) + 8
    ledger.verify()


def test_more_threads_than_connections(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "SIZE", 3)
    ledger = store.open()
    start = threading.Barrier(24)
    positions: list[int] = []

    def work(thread: int) -> None:
        start.wait()
        positions.extend(ledger.append(f"task {thread}", ENTRY).position for _ in range(5))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(positions) == sorted([1, 2, 3, 4, 5] * 24)
    assert len(backends(store)) <= 3
    ledger.verify()


def test_a_server_that_grants_fewer_connections(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    user = store.shared.make_user("test_limited", member_of=WRITER, options="LOGIN CONNECTION LIMIT 3")
    start = threading.Barrier(12)
    positions: list[int] = []
    with Ledger.open(store.shared.url(store.database, user)) as limited:

        def work(thread: int) -> None:
            start.wait()
            positions.extend(limited.append(f"task {thread}", ENTRY).position for _ in range(5))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(positions) == sorted([1, 2, 3, 4, 5] * 12)
        taken = [limited.store._pool.take() for _ in range(3)]  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailableError, match="too many connections"):
            Ledger.open(store.shared.url(store.database, user))
        for link in taken:
            limited.store._pool.give_back(link)  # type: ignore[attr-defined]


def test_the_pool_lends_and_takes_back(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    store.open().close()
    monkeypatch.setattr(postgres_pool, "WAIT_SECONDS", 0.2)
    target = parse(store.url, read_only=False)
    pool = Pool(lambda: Link.open(target, read_only=False), "url", size=2)
    one, two = pool.take(), pool.take()
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="all 2 connections were in use"):
        pool.take()
    assert 0.1 < time.monotonic() - began < 5
    pool.give_back(one)
    assert pool.take() is one
    one.connection.execute("BEGIN")
    pool.give_back(one)
    assert one.connection.closed
    three = pool.take()
    assert three not in (one, two)
    pool.give_back(two)
    pool.drop_idle()
    assert two.connection.closed
    pool.close()
    pool.give_back(three)
    assert three.connection.closed
    with pytest.raises(StoreUnavailableError, match="closed"):
        pool.take()


def test_an_old_connection_is_replaced(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is checked on connecting is checked again."""
    monkeypatch.setattr(postgres_connection, "LIFETIME_SECONDS", 0.0)
    ledger = store.open()
    for _ in range(3):
        ledger.append("t", ENTRY)
        assert backends(store) == set()


def test_a_failed_connection_takes_no_place() -> None:
    def connect() -> Any:
        raise StoreUnavailableError("no")

    pool = Pool(connect, "url", size=1)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError, match="no"):
            pool.take()
