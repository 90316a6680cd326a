"""The index of passing results in files of an earlier schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from support.contract import ENTRY
from tallystick import Ledger

DIGEST = bytes(32)


DATA = Path(__file__).parents[1] / "data"


def first_schema(path: Path) -> None:
    """A ledger as schema 1 had it, with a task `a`."""
    connection = sqlite3.connect(path)
    connection.executescript((DATA / "schema" / "sqlite-1.sql").read_text("ascii"))
    connection.close()


def test_an_older_file_verifies_and_reads(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first_schema(path)
    with Ledger.open(str(path), read_only=True) as ledger:
        ledger.verify()
        assert ledger.store.proofs(DIGEST) == []


def test_the_first_that_writes_brings_it_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first_schema(path)
    with Ledger.open(str(path)) as ledger:
        key = ledger.store.find("a")
        assert key is not None
        ledger.store.remember_proofs([(DIGEST, key, 1)])
        assert [position for _, position in ledger.store.proofs(DIGEST)] == [1]
        ledger.append("a", ENTRY)
        ledger.erase("a", 1, ["text"], reason="leaked")
        assert ledger.store.proofs(DIGEST) == []
        ledger.verify()
