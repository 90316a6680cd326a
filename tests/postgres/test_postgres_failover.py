"""The primary is lost under load: nothing acknowledged goes with it, and clients go on by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support.appenders import Appenders, acknowledged, check
from support.checkpoints import SignerUnderTest, all_faults
from support.contract import ENTRY
from support.postgres import PASSWORD, Server, Servers, servers
from tallystick import Ledger, StoreUnavailableError
from tallystick.proof.checkpoint import Checkpoint


class Pair:
    """A primary that acknowledges nothing that its standby has not got, and the standby."""

    def __init__(self, servers: Servers) -> None:
        self.primary = servers.create(settings={"synchronous_standby_names": "standby"})
        self.primary.configure({"synchronous_standby_names": ""})
        self.primary.start()
        Ledger.open(self.primary.url("postgres")).close()
        self.standby = servers.standby_of(self.primary, "standby")
        self.standby.configure({"hot_standby": "on"})
        self.standby.start()
        self.primary.configure({"synchronous_standby_names": "standby"})
        self.primary.reload()
        wait_until(lambda: self.state() == "sync")

    def state(self) -> str:
        """How the standby follows, as the primary sees it."""
        with self.primary.connect() as connection:
            rows = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
        return str(rows[0][0]) if rows else ""

    @property
    def url(self) -> str:
        """Both, the primary first."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://postgres:{quote(PASSWORD, safe='')}@{hosts}/postgres"


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """One pair for all tests here: each leaves both running, the last one kills the primary."""
    with servers() as made:
        yield Pair(made)


def waiting(server: Server) -> list[int]:
    """The backends that wait for a standby."""
    with server.connect() as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchall()
    return [pid for (pid,) in rows]


def cancel(server: Server) -> None:
    """Have every backend that waits for a standby wait no longer."""
    with server.connect() as connection:
        connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")


def test_a_commit_whose_standby_nobody_waited_for_is_not_done(pair: Pair) -> None:
    """PostgreSQL tells it by a warning and calls the commit done."""
    with Ledger.open(pair.url) as ledger:
        ledger.append("t", ENTRY)
        pair.standby.stop()
        heads: list[int] = []
        threads = [
            threading.Thread(target=lambda task=task: heads.append(ledger.append(task, ENTRY).position))
            for task in ("t", "new")
        ]
        for thread in threads:
            thread.start()
        for _ in range(3):
            wait_until(lambda: len(waiting(pair.primary)) == 2)
            cancel(pair.primary)
        wait_until(lambda: len(waiting(pair.primary)) == 2)
        assert heads == []
        pair.standby.start()
        for thread in threads:
            thread.join(60)
        assert sorted(heads) == [1, 2]
        assert [state.head.position for state in ledger.tasks()] == [2, 1]
        ledger.verify()


def test_a_checkpoint_whose_commits_nobody_waited_for_is_not_signed_twice(pair: Pair, tmp_path: Path) -> None:
    """Each of its transactions is done again until a standby has it; what it signs stays one."""
    signer = SignerUnderTest(tmp_path / "config")
    with Ledger.open(pair.url) as ledger:
        ledger.append("signed", ENTRY)
        pair.standby.stop()
        made: list[Checkpoint] = []
        signing = threading.Thread(target=lambda: made.append(signer.sign(ledger)), daemon=True)
        signing.start()
        for _ in range(3):
            wait_until(lambda: len(waiting(pair.primary)) == 1)
            cancel(pair.primary)
        wait_until(lambda: len(waiting(pair.primary)) == 1)
        assert made == []
        pair.standby.start()
        signing.join(60)
        (checkpoint,) = made
        assert ledger.store.log.size() == checkpoint.size
        assert signer.memory(ledger).pending() is None
        assert all_faults(ledger) == []


def test_nobody_confirms_for_too_long(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from tallystick.stores import postgres

    monkeypatch.setattr(postgres, "RETRY_SECONDS", 0.5)
    with Ledger.open(pair.url) as ledger:
        ledger.append("late", ENTRY, idempotency_key="first")
        pair.standby.stop()
        done = threading.Event()

        def keep_cancelling() -> None:
            while not done.is_set():
                cancel(pair.primary)
                time.sleep(0.05)

        canceller = threading.Thread(target=keep_cancelling)
        canceller.start()
        try:
            with pytest.raises(StoreUnavailableError, match="not known; append it again under the same") as caught:
                ledger.append("late", ENTRY, idempotency_key="k")
            assert "no standby confirmed the commit" in str(caught.value)
            with pytest.raises(StoreUnavailableError, match="an idempotency key would settle it"):
                ledger.append("late", ENTRY)
        finally:
            done.set()
            canceller.join()
        pair.standby.start()
        wait_until(lambda: pair.state() == "sync")
        assert ledger.append("late", ENTRY, idempotency_key="k").position == 2
        assert ledger.head("late").position == 3
        ledger.verify()


def test_a_reader_of_a_standby(pair: Pair) -> None:
    """A standby can be read and verified; who wants to write is told that it is none."""
    with Ledger.open(pair.url) as ledger:
        head = ledger.append("read", [ENTRY] * 3)
    with Ledger.open(pair.standby.url("postgres"), read_only=True) as reader:
        wait_until(lambda: reader.store.find("read") is not None)
        assert reader.verify("read")[0].head == head
        assert reader.verify()
    with pytest.raises(StoreUnavailableError, match="none of these servers takes writes"):
        Ledger.open(pair.standby.url("postgres"))


def test_a_primary_that_takes_no_writes_for_a_while(pair: Pair) -> None:
    with Ledger.open(pair.url) as ledger:
        ledger.append("paused", ENTRY)
        pair.primary.configure({"default_transaction_read_only": "on"})
        pair.primary.reload()
        time.sleep(0.3)
        heads: list[int] = []
        thread = threading.Thread(target=lambda: heads.append(ledger.append("paused", ENTRY).position))
        thread.start()
        time.sleep(0.3)
        assert heads == []
        pair.primary.configure({"default_transaction_read_only": "off"})
        pair.primary.reload()
        thread.join(30)
        assert heads == [2]


def test_the_primary_is_killed_under_load(pair: Pair, tmp_path: Path, storm: bool) -> None:
    running = [Appenders(pair.url, tmp_path / f"out{n}", n, threads=4, tasks=12) for n in range(2)]
    outs = [one.out for one in running]
    for one in running:
        one.wait_until_ready()
    with Ledger.open(pair.url) as ledger:
        ledger.append("watched", ENTRY)
        wait_until(lambda: len(acknowledged(outs)) > 100)
        pair.primary.kill()
        before = len(acknowledged(outs))
        time.sleep(5 if storm else 0.3)
        pair.standby.promote()
        assert ledger.append("watched", ENTRY).position == 2
        wait_until(lambda: len(acknowledged(outs)) > before + 100)
        Appenders.stop(running)
        found = check(ledger, outs)
        assert found["acknowledged"] > before + 100
