"""Sequencers beside one another: one log, whoever leads, whoever dies, and whichever server is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.checkpoints import SignerUnderTest, Witness, all_faults, map_now
from support.command import notch_argv
from support.contract import ENTRY
from support.postgres import PostgresUnderTest, Servers
from tallystick import Ledger, StoreUnavailableError, TamperedError
from tallystick.stores.checkpoints import checkpoints, stored
from tallystick.stores.postgres_schema import SEQUENCER, WRITER
from tallystick.trust.sequencer import Sequencer
from tallystick.trust.signer import UnknownHistoryError


class Twin:
    """`notch checkpoint --every` in a process of its own, with a configuration folder of its own."""

    def __init__(self, url: str, signer: SignerUnderTest, every: str = "0.1s") -> None:
        self.process = subprocess.Popen(
            notch_argv("--ledger", url, "checkpoint", "--every", every, "--json"),
            env={**os.environ, **signer.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.notes: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.notes += [json.loads(line)["note"] for line in self.process.stdout]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        self._reader.join(10)
        return code


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_twins_make_one_log_and_the_next_goes_on(
    store: PostgresUnderTest, ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("t0", ENTRY)
    twins = [Twin(store.url, signer) for _ in range(3)]
    log = ledger.store.log
    for turn in range(3):
        reached = log.size() + 3

        def moves(reached: int = reached) -> bool:
            ledger.append(f"t{time.monotonic_ns() % 7}", ENTRY)
            return log.size() >= reached

        wait_until(moves)
        leader = max(twins, key=lambda twin: len(twin.notes))
        if turn < 2:
            leader.end(signal.SIGKILL)
            twins.remove(leader)
            store.sql("UPDATE local_lease SET until = now() - interval '1 second'")
    (last,) = twins
    assert last.end(signal.SIGTERM) == 0
    signer.make(ledger)
    witness = Witness()
    for one in checkpoints(log):
        witness.see(one.note)
    statement = stored(log, log.size()).statement()
    assert (statement.tasks, statement.heads) == map_now(ledger)
    assert all_faults(ledger) == []


def test_one_leads_until_its_lease_is_over(store: PostgresUnderTest, ledger: Ledger, signer: SignerUnderTest) -> None:
    one, other = (Sequencer(opened, signer.key, signer.memory(opened), 60) for opened in (ledger, store.open()))
    ledger.append("a", ENTRY)
    made = one.once()
    assert made is not None
    assert made.signed
    ledger.append("a", ENTRY)
    assert other.once() is None
    assert ledger.store.log.size() == 1
    store.sql("UPDATE local_lease SET until = now() - interval '1 second'")
    made = other.once()
    assert made is not None
    assert made.number == 2
    assert one.once() is None


def test_the_sequencers_role_is_enough(ledger: Ledger, signer: SignerUnderTest, as_role: Callable[[str], str]) -> None:
    for n in range(3):
        ledger.append(f"t{n}", ENTRY)
    with Ledger.open(as_role(SEQUENCER)) as sequencer:
        made = Sequencer(sequencer, signer.key, signer.memory(sequencer), 10).once()
        assert made is not None
        with pytest.raises(StoreUnavailableError, match="GRANT tallystick_writer"):
            sequencer.append("t0", ENTRY)
    with Ledger.open(as_role(WRITER)) as writer:
        writer.append("t0", ENTRY)
        with pytest.raises(StoreUnavailableError, match="permission denied"):
            signer.make(writer)
    assert all_faults(ledger) == []


def test_a_store_that_is_away_is_asked_again(store: PostgresUnderTest, ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", ENTRY)
    complaints: list[str] = []
    delivered: list[int] = []
    sequencer = Sequencer(ledger, signer.key, signer.memory(ledger), 0.1)
    real, failing = sequencer.once, iter([True, True])

    def once(against: object = None) -> object:
        if next(failing, False):
            raise StoreUnavailableError("away", where="url")
        return real()

    sequencer.once = once  # type: ignore[method-assign,assignment]
    sequencer.run(lambda made: delivered.append(made.number), complain=complaints.append, stop=lambda: bool(delivered))
    assert (complaints, delivered) == (["url: away"] * 2, [1])


def test_a_lagging_standby_gets_no_second_history(
    own_servers: Servers, signer: SignerUnderTest, tmp_path: Path
) -> None:
    primary = own_servers.create()
    primary.start()
    with Ledger.open(primary.socket_url("postgres")) as ledger:
        ledger.append("a", ENTRY)
        signer.sign(ledger)
        standby = own_servers.standby_of(primary, "standby")
        ledger.append("a", ENTRY)
        signer.sign(ledger)
        follower = SignerUnderTest(tmp_path / "follower")
        (tmp_path / "follower" / "tallystick" / "keys" / "k").write_bytes(
            (tmp_path / "config" / "tallystick" / "keys" / "k").read_bytes()
        )
        follower.key = follower.folder.load("k")
        leading = Sequencer(ledger, signer.key, signer.memory(ledger), 60)
        assert leading.once() is not None
        looking = Sequencer(ledger, follower.key, follower.memory(ledger), 60)
        with pytest.raises(UnknownHistoryError):
            looking.once()
        given = signer.memory(ledger).last()
        assert looking.once(given) is None
        assert follower.memory(ledger).last() == given
    primary.kill()
    standby.start()
    standby.promote()
    with Ledger.open(standby.socket_url("postgres")) as ledger:
        assert ledger.store.log.size() == 1
        ledger.append("a", ENTRY.replace(reason="another history"))
        for one in (signer, follower):
            with pytest.raises(TamperedError, match="it signs no second history"):
                one.make(ledger)
        made = signer.make(ledger, new_epoch=True)
        assert made is not None
        assert made.signed
