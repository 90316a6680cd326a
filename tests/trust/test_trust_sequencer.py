"""Sequencers beside one another on SQLite, where nobody leads: each signs what moved, and the log stays one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from support.checkpoints import SignerUnderTest, map_now
from support.twins import Twin, require_one_log, stored_heads, storm, wait_until
from tallystick import Entry, Ledger

ENTRY = Entry(type="note", reason="because")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        opened.append("t0", ENTRY)
        yield opened


def test_twins_on_one_machine(ledger: Ledger, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One key and one memory; killed at random, none signs a second history, and what moved is signed in the end."""
    signer = SignerUnderTest(tmp_path / "config")
    ended = storm(
        ledger,
        lambda: Twin(ledger.url, signer),
        lambda chance: ledger.append(f"t{chance.randrange(30)}", ENTRY),
        lambda: None,
        seconds=60 if request.config.getoption("--storm") else 2,
    )
    require_one_log(ledger, [note for one in ended for note in one.notes])


def test_a_key_whose_memories_do_not_know_of_each_other(ledger: Ledger, tmp_path: Path) -> None:
    """Both began with the log, so each checks what the other signed; one that knows nothing of it is turned away."""
    signer = SignerUnderTest(tmp_path / "config")
    signer.sign(ledger)
    copies = []
    for name in ("a", "b"):
        copytree(tmp_path / "config", tmp_path / name)
        copies.append(Twin(ledger.url, SignerUnderTest(tmp_path / name)))
    for n in range(3):
        ledger.append(f"t{n}", ENTRY)
        wait_until(lambda: stored_heads(ledger) == map_now(ledger))
    assert [one.end(signal.SIGTERM) for one in copies] == [0, 0]
    require_one_log(ledger, [note for one in copies for note in one.notes])
    stranger = SignerUnderTest(tmp_path / "stranger")
    turned_away = Twin(ledger.url, stranger)
    assert turned_away.wait() == 2
    (said,) = turned_away.complaints
    assert "has no memory of this ledger" in said
    assert "--against CHECKPOINT" in said
