"""Sequencers beside one another: one log, whoever leads, whoever dies, and whichever server is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from support.checkpoints import SignerUnderTest, all_faults, map_now
from support.contract import ENTRY
from support.postgres import PASSWORD, PostgresUnderTest, Server, Servers
from support.twins import Twin, require_one_log, stored_heads, wait_until
from support.twins import storm as random_storm
from tallystick import Ledger, StoreUnavailableError, TamperedError
from tallystick.stores.postgres_schema import SEQUENCER, WRITER
from tallystick.trust.sequencer import Sequencer
from tallystick.trust.signer import UnknownHistoryError


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


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
    require_one_log(ledger, last.notes)
    assert stored_heads(ledger) == map_now(ledger)


def test_twins_that_all_lead_while_they_are_killed(
    store: PostgresUnderTest, ledger: Ledger, signer: SignerUnderTest, storm: bool
) -> None:
    """The lease is over before anybody has used it: what keeps the log from forking is its unique number alone."""
    ledger.append("t0", ENTRY)
    ended = random_storm(
        ledger,
        lambda: Twin(store.url, signer),
        lambda chance: ledger.append(f"t{chance.randrange(30)}", ENTRY),
        lambda: store.sql("UPDATE local_lease SET until = now() - interval '1 second'"),
        seconds=60 if storm else 3,
    )
    require_one_log(ledger, [note for one in ended for note in one.notes])
    assert sum(bool(one.notes) for one in ended) > 1


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


def has_looked(server: Server) -> bool:
    """Whether a sequencer has taken the lead there and has asked for nothing since: it waits for its next look."""
    quiet = (
        "SELECT EXISTS (SELECT FROM tallystick.local_lease WHERE until > now()) AND bool_and("
        "state = 'idle' AND now() - state_change > interval '0.5 s') FROM pg_stat_activity"
        " WHERE application_name = 'tallystick'"
    )
    with server.connect() as connection:
        return bool(connection.execute(quiet).fetchall()[0][0])


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
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in (primary, standby))
    both = f"postgresql://postgres:{quote(PASSWORD, safe='')}@{hosts}/postgres"
    twin = Twin(both, signer, "3s")
    wait_until(lambda: has_looked(primary))
    primary.kill()
    standby.start()
    standby.promote()
    assert twin.wait() == 3
    (said,) = twin.complaints
    assert "signed checkpoint 2 of this ledger before" in said
    assert "it signs no second history" in said
    assert "hunter2" not in said
    with Ledger.open(standby.socket_url("postgres")) as ledger:
        assert ledger.store.log.size() == 1
        ledger.append("a", ENTRY.replace(reason="another history"))
        for one in (signer, follower):
            with pytest.raises(TamperedError, match="it signs no second history"):
                one.make(ledger)
        made = signer.make(ledger, new_epoch=True)
        assert made is not None
        assert made.signed
