"""Watching a PostgreSQL ledger: who looks, who is told, and what is found all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.contract import ENTRY, Clock
from support.postgres import PostgresUnderTest
from tallystick import Ledger
from tallystick.stores import postgres_watching
from tallystick.stores.postgres_schema import READER
from tallystick.stores.postgres_watching import CHANNEL, Watcher


class Watching:
    """A watcher in a thread of its own."""

    def __init__(self, ledger: Ledger, interval: float = 0.1) -> None:
        self.seen: list[tuple[str, int]] = []
        self.failed: list[BaseException] = []
        self._stopped = threading.Event()
        self._entries = ledger.watch(interval=interval, stop=self._stopped.is_set)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for one in self._entries:
                self.seen.append((one.task_id, one.position))
        except BaseException as error:
            self.failed.append(error)

    def wait_for(self, one: tuple[str, int], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while one not in self.seen:
            assert time.monotonic() < deadline, (one, self.seen[-3:], self.failed)
            time.sleep(0.01)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(30)
        assert self.failed == []


@pytest.fixture
def watch(store: PostgresUnderTest, ledger: Ledger) -> Iterator[Callable[..., Watching]]:
    made: list[Watching] = []

    def start(url: str = "", **options: Any) -> Watching:
        opened = store.open() if not url else Ledger.open(url, read_only=True)
        made.append(Watching(opened, **options))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_one_looks_and_the_others_are_told(
    ledger: Ledger, watch: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Watcher] = []
    scan = Watcher._scan

    def counted(self: Watcher, link: Any, since: str) -> Any:
        looks.append(self)
        return scan(self, link, since)

    monkeypatch.setattr(Watcher, "_scan", counted)
    ledger.append("t", ENTRY)
    watchers = [watch() for _ in range(3)]
    for one in watchers:
        one.wait_for(("t", 1))
    looks.clear()
    for n in range(2, 12):
        ledger.append("t", ENTRY)
        for one in watchers:
            one.wait_for(("t", n))
    assert len(set(map(id, looks))) == 1


def test_appends_themselves_notify_nobody(store: PostgresUnderTest, ledger: Ledger) -> None:
    with store.shared.connect(store.database) as connection:
        connection.execute(f"LISTEN {CHANNEL}")
        ledger.append("t", ENTRY)
        ledger.append("t", [ENTRY] * 50)
        assert list(connection.notifies(timeout=0.3)) == []


def test_polling_alone_is_enough(
    ledger: Ledger, watch: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no notification ever arrives."""
    monkeypatch.setattr(Watcher, "_tell", lambda *_: None)
    monkeypatch.setattr(postgres_watching, "FULL_SECONDS", 0.3)
    one, other = watch(), watch()
    for n in range(1, 6):
        ledger.append("t", ENTRY)
        one.wait_for(("t", n))
        other.wait_for(("t", n))


def test_a_commit_that_comes_late_is_found(
    store: PostgresUnderTest, watch: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waited so long that records made after it have been seen for minutes."""
    monkeypatch.setattr(postgres_watching, "FULL_SECONDS", 0.5)
    early, late = store.open(clock=Clock(0)), store.open(clock=Clock(60))
    late.append("a", ENTRY)
    watching = watch()
    watching.wait_for(("a", 1))
    early.append("b", ENTRY)
    watching.wait_for(("b", 1))
    late.append("b", ENTRY)
    early.append("c", ENTRY)
    watching.wait_for(("c", 1))
    watching.wait_for(("b", 2))


def test_a_lie_in_a_notification_is_only_a_hint(
    store: PostgresUnderTest, ledger: Ledger, watch: Callable[..., Watching]
) -> None:
    ledger.append("t", ENTRY)
    leader, told = watch(), watch()
    for one in (leader, told):
        one.wait_for(("t", 1))
    with store.shared.connect(store.database) as connection:
        for payload in ("", "x", "00" * 16, "zz " * 100, "00" * 16 + ":99"):
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
    ledger.append("t", ENTRY)
    told.wait_for(("t", 2))


def test_a_watcher_whose_connection_is_cut_goes_on(
    store: PostgresUnderTest, ledger: Ledger, watch: Callable[..., Watching]
) -> None:
    leader, told = watch(), watch()
    for n in range(1, 4):
        ledger.append("t", ENTRY)
        for one in (leader, told):
            one.wait_for(("t", n))
        with store.shared.connect("postgres") as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND application_name = 'tallystick'",
                (store.database,),
            )
    ledger.append("t", ENTRY)
    for one in (leader, told):
        one.wait_for(("t", 4))
        assert len(one.seen) == len(set(one.seen)) == 4


def test_a_reader_may_watch(ledger: Ledger, watch: Callable[..., Watching], as_role: Callable[[str], str]) -> None:
    watching = watch(as_role(READER))
    ledger.append("t", ENTRY)
    watching.wait_for(("t", 1))
