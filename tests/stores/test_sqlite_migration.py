"""A ledger of an older schema is read and verified as it is, and brought up to date when it is written to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.checkpoints import SignerUnderTest, all_faults
from tallystick import Entry, Ledger
from tallystick.stores import sqlite_schema

NOTE = Entry(type="note")

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


def older(path: Path) -> None:
    """A ledger as schema 1 had it, with one of everything."""
    connection = sqlite3.connect(path)
    connection.executescript((DATA / "schema" / "sqlite-1.sql").read_text("ascii"))
    connection.close()


def test_a_ledger_of_schema_1_is_read_verified_and_brought_up_to_date(tmp_path: Path, signer: SignerUnderTest) -> None:
    path = tmp_path / "ledger.db"
    older(path)
    with Ledger.open(str(path), read_only=True) as ledger:
        heads = {one.task_id: one.head for one in ledger.tasks() if one.ledger_id == ledger.ledger_id}
        assert all_faults(ledger) == []
        assert ledger.store.log.size() == 0
        key = ledger.store.find("a")
        assert key is not None
        assert ledger.store.log.heads_of(key) == []
    assert version(path) == 1
    with Ledger.open(str(path)) as ledger:
        assert all_faults(ledger) == []
        assert version(path) == 1
        checkpoint = signer.sign(ledger)
        assert version(path) == sqlite_schema.SCHEMA_VERSION
        assert checkpoint.size == 1
        assert {one.task_id: one.head for one in ledger.tasks() if one.ledger_id == ledger.ledger_id} == heads
        assert all_faults(ledger) == []
        ledger.append("a", NOTE)
        assert [one.task_id for one in ledger.store.log.moved(1).heads] == ["a"]


def test_what_is_brought_up_to_date_is_what_is_made_new(tmp_path: Path) -> None:
    older(tmp_path / "old.db")
    with Ledger.open(str(tmp_path / "old.db")) as ledger:
        ledger.append("a", NOTE)
    with Ledger.open(str(tmp_path / "new.db")) as ledger:
        ledger.append("a", NOTE)
    assert schema_of(tmp_path / "old.db") == schema_of(tmp_path / "new.db")


def test_two_stores_bring_a_file_up_to_date_at_once(tmp_path: Path) -> None:
    older(tmp_path / "ledger.db")
    one, other = (Ledger.open(str(tmp_path / "ledger.db")) for _ in range(2))
    one.append("a", NOTE)
    other.append("a", NOTE)
    assert version(tmp_path / "ledger.db") == sqlite_schema.SCHEMA_VERSION
    assert all_faults(one) == all_faults(other) == []
    one.close()
    other.close()


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def schema_of(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    connection.close()
    return found
