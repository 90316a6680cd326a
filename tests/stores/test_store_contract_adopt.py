"""What every store keeps: sessions of other ledgers, read-only, beside ours."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from support.checkpoints import all_faults
from support.contract import ENTRY, StoreUnderTest
from tallystick import Entry, InputError, Ledger
from tallystick.exchange.bundle import write_bundle
from tallystick.model.record import PARTS
from tallystick.stores.base import SessionKey
from tallystick.stores.bundle import open_bundle

LARGE = Entry(type="run", output=os.urandom(1_500_000))


@pytest.fixture
def foreign(tmp_path: Path) -> Ledger:
    """Another ledger, with a task of the same name."""
    ledger = Ledger.open(str(tmp_path / "foreign.db"))
    names = [Entry(type="note", criterion_id=f"ac{n}", phase_id=f"p{n % 3}") for n in range(45)]
    ledger.append("t", [ENTRY, LARGE, *names])
    ledger.append("u", ENTRY)
    ledger.erase("t", 1, ["text"], reason="leaked")
    return ledger


def kept(own: Ledger, foreign: Ledger, task_id: str = "t") -> int:
    fresh = own.store.adopt(foreign.store, key_of(foreign, task_id))  # type: ignore[attr-defined]
    assert isinstance(fresh, int)
    return fresh


def key_of(ledger: Ledger, task_id: str) -> SessionKey:
    key = ledger.store.find(task_id)
    assert key is not None
    return key


def test_it_is_kept_byte_for_byte_and_goes_on(store: StoreUnderTest, ledger: Ledger, foreign: Ledger) -> None:
    ledger.append("t", ENTRY)
    for fresh in (48, 0):
        assert kept(ledger, foreign) == fresh
        assert ledger.verify()[-1].ledger_id in (ledger.ledger_id, foreign.ledger_id)
    foreign.append("t", [ENTRY, Entry(type="note", criterion_id="ac3"), Entry(type="new", criterion_id="more")])
    assert kept(ledger, foreign) == 3
    assert kept(ledger, foreign, "u") == 1
    ledger = store.reopen()
    ledger.verify()
    there, here = foreign.session("t"), ledger.session("t", ledger_id=foreign.ledger_id)
    assert here == there
    assert ledger.output("t", 2, ledger_id=foreign.ledger_id) == LARGE.output_bytes
    assert ledger.state("t", ledger_id=foreign.ledger_id).criteria == foreign.state("t").criteria
    assert ledger.head("t", ledger_id=foreign.ledger_id) == foreign.head("t")
    assert ledger.head("t").position == 1
    assert ledger.store.ledgers() == [ledger.ledger_id, foreign.ledger_id]
    assert sorted((one.task_id, one.head.position) for one in ledger.tasks()) == [("t", 1), ("t", 51), ("u", 1)]
    assert [key.ledger_id for key in ledger.sessions_of("t")] == [ledger.ledger_id, foreign.ledger_id]
    assert ledger.append("t", ENTRY).position == 2


@pytest.mark.parametrize("by", ["ledger", "bundle"])
def test_what_its_own_ledger_erased_meanwhile_goes_here_too(
    store: StoreUnderTest, ledger: Ledger, foreign: Ledger, tmp_path: Path, by: str
) -> None:
    """The longer history names what was erased of entries that are kept already: its parts are cleared here as well."""

    def take() -> int:
        if by == "ledger":
            return kept(ledger, foreign)
        path = tmp_path / f"{foreign.head('t').position}.bundle"
        path.write_bytes(b"".join(write_bundle(foreign, "t", artifacts=True)))
        return kept(ledger, Ledger(open_bundle(str(path))))

    secret = Entry(type="note", reason="SECRET", details={"is": "SECRET"}, output="SECRET")
    foreign.append("t", [secret, secret, Entry(type="note", output=b"SECRET" * 20_000)])
    assert take() == 51
    ledger.append("t", [secret, secret])
    foreign.erase("t", 49, ["text", "details"], reason="leaked")
    foreign.append("t", [ENTRY] * 5)
    assert take() == 6
    foreign.append("t", secret)
    for position, parts in ((49, ["output"]), (50, PARTS), (51, ["output"]), (58, PARTS)):
        foreign.erase("t", position, parts, reason="leaked")
    assert take() == 5
    assert take() == 0
    ledger = store.reopen()
    ledger.finish_erasures()
    ledger.verify()
    assert all_faults(ledger) == []
    ours, theirs = (list(one.entries("t", ledger_id=foreign.ledger_id)) for one in (ledger, foreign))
    assert ours == theirs
    assert "SECRET" not in repr(ours)
    assert [ledger.entry("t", position).entry.reason for position in (1, 2)] == ["SECRET", "SECRET"]


def test_a_fork_is_refused(store: StoreUnderTest, ledger: Ledger, foreign: Ledger, tmp_path: Path) -> None:
    foreign.store.backup(str(tmp_path / "then.db"))  # type: ignore[attr-defined]
    foreign.append("t", Entry(type="note", reason="one way"))
    kept(ledger, foreign)
    with Ledger.open(str(tmp_path / "then.db")) as restored:
        restored.append("t", Entry(type="note", reason="another way"))
        with pytest.raises(InputError, match=r"a fork.*position 49"):
            kept(ledger, restored)
    assert ledger.head("t", ledger_id=foreign.ledger_id) == foreign.head("t")
    ledger.verify()


def test_a_session_of_our_own_is_refused(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    with pytest.raises(InputError, match="very ledger"):
        kept(ledger, store.open())


def test_many_keep_the_same_at_once(store: StoreUnderTest, ledger: Ledger, foreign: Ledger) -> None:
    ledgers = [store.open() for _ in range(3)]
    counts: list[int] = []
    sources = [Ledger.open(foreign.url) for _ in ledgers]
    threads = [
        threading.Thread(target=lambda one=one, source=source: counts.append(kept(one, source)))
        for one, source in zip(ledgers, sources, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 48]
    ledger.verify()
