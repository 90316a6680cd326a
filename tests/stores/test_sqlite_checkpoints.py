"""The log of checkpoints in a SQLite ledger: what it holds, what it refuses, and what verification finds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, all_faults, map_now
from support.tampering import make
from tallystick import Entry, Ledger
from tallystick.proof import headmap
from tallystick.stores.checkpoints import newest, stored

DATA = Path(__file__).parents[1] / "data"
NOTE = Entry(type="note")


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        yield ledger


# --- what it holds


@pytest.fixture
def early_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are kept from 64 tasks on, where a real ledger begins at 512."""
    monkeypatch.setattr(headmap, "_SMALL_LEDGER", 64)


def test_a_map_with_tiles_is_that_of_a_map_made_at_once(
    tmp_path: Path, ledger: Ledger, signer: SignerUnderTest, early_tiles: None
) -> None:
    """Before there are tiles, with them, and while the tree of tiles grows deeper."""
    connection = sqlite3.connect(tmp_path / "ledger.db")
    depths = []
    for tasks in (60, 62, 70, 90, 1030, 1040):
        seed(ledger, tasks)
        ledger.append(f"t{tasks - 1}", NOTE)
        ledger.append("t7", NOTE)
        expected = map_now(ledger)
        signer.sign(ledger)
        statement = stored(ledger.store.log, ledger.store.log.size()).statement()
        assert (statement.tasks, statement.heads) == expected
        depths.append(connection.execute("SELECT max(depth) FROM local_tile").fetchone()[0])
    assert depths == [None, None, 0, 0, 4, 4]
    connection.close()
    assert all_faults(ledger) == []


def test_a_ledger_that_kept_no_tiles_goes_on_with_them(
    tmp_path: Path, ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier version left, which kept none for so few tasks: it proves without, and has them from then on."""
    monkeypatch.setattr(headmap, "_SMALL_LEDGER", 4096)
    seed(ledger, 600)
    signer.sign(ledger)
    monkeypatch.undo()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    for kept in (0, 1):
        assert connection.execute("SELECT count(*) FROM local_tile").fetchone() == (kept,)
        for task in ("t7", "t599", "none"):
            proof = ledger.head_proof(task)
            assert proof.verify().tasks == 600
            assert (proof.position is None) == (task == "none")
        ledger.append("t7", NOTE)
        expected = map_now(ledger)
        signer.sign(ledger)
        assert stored(ledger.store.log, ledger.store.log.size()).statement().heads == expected[1]
    connection.close()
    assert all_faults(ledger) == []


def test_a_ledger_of_thousands_keeps_tiles(tmp_path: Path, ledger: Ledger, signer: SignerUnderTest) -> None:
    seed(ledger, 4100)
    signer.sign(ledger)
    ledger.append("t7", NOTE)
    expected = map_now(ledger)
    signer.sign(ledger)
    assert stored(ledger.store.log, 2).statement().heads == expected[1]
    connection = sqlite3.connect(tmp_path / "ledger.db")
    assert connection.execute("SELECT count(*) FROM local_tile").fetchone() == (17,)
    connection.close()


def seed(ledger: Ledger, tasks: int) -> None:
    """Sessions t0 to t(tasks - 1), those that exist left alone: as many as an import would make at once."""
    from tallystick.model.record import SALTS_BYTES, seal
    from tallystick.stores.appending import Work
    from tallystick.stores.group_commit import Request

    store: Any = ledger.store
    draft = seal(NOTE, bytes(SALTS_BYTES))
    missing = [n for n in range(tasks) if store.find(f"t{n}") is None]
    requests = [Request(Work(f"t{n}", [draft])) for n in missing]
    store._transact(requests)
    assert all(request.error is None for request in requests)


def test_sessions_of_other_ledgers_are_not_in_the_map(tmp_path: Path, signer: SignerUnderTest) -> None:
    make(tmp_path / "ledger.db")
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        signer.sign(ledger)
        assert stored(ledger.store.log, 1).statement().tasks == 3
        assert (3, stored(ledger.store.log, 1).statement().heads) == map_now(ledger)
        assert all_faults(ledger) == []
        ledger.erase("a", 1, ["text"], reason="leaked")
        ledger.append("empty", NOTE)
        signer.sign(ledger)
        assert all_faults(ledger) == []


# --- proofs


@pytest.mark.parametrize("tasks", [1, 2, 50, 1100])
def test_proofs_of_presence_and_absence(ledger: Ledger, signer: SignerUnderTest, tasks: int, early_tiles: None) -> None:
    seed(ledger, tasks)
    signer.sign(ledger)
    ledger.append("t0", NOTE)
    first = ledger.head_proof("t0")
    assert (first.position, first.number) == (1, 1)
    checkpoint = signer.sign(ledger)
    for task_id in ("t0", f"t{tasks - 1}", "nobody", "t", ""):
        proof = ledger.head_proof(task_id)
        leaf = proof.verify()
        assert leaf.tasks == tasks
        assert proof.checkpoint() == checkpoint
        if task_id.startswith("t") and task_id != "t":
            head = ledger.head(task_id)
            assert (proof.position, proof.root.hex()) == (head.position, head.root)
        else:
            assert proof.position is None
    old = ledger.head_proof("t0", 1)
    assert old.verify() == first.verify()
    assert (old.position, old.root) == (first.position, first.root)


def test_a_wrong_cache_is_not_believed(tmp_path: Path, signer: SignerUnderTest, early_tiles: None) -> None:
    """Tiles and the index of tasks lie in local tables: with them wrong, proofs and maps come from the heads."""
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        seed(ledger, 1100)
        signer.sign(ledger)
        connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        for damage in (
            "UPDATE local_tile SET tile = zeroblob(528) WHERE depth = 4",
            "UPDATE local_tile SET tile = (SELECT tile FROM local_tile LIMIT 1)",
            "DELETE FROM local_tile WHERE depth = 4",
            "UPDATE local_tile SET tile = x'00'",
            "DELETE FROM local_tile",
            "DELETE FROM local_task WHERE session % 2",
            "UPDATE local_task SET session = 3",
            "DELETE FROM local_task",
        ):
            connection.execute(damage)
            assert ledger.head_proof("t77").verify().tasks == stored(ledger.store.log, 1).statement().tasks
            assert ledger.head_proof("nobody").position is None
            ledger.append("t77", NOTE)
            tasks, root = map_now(ledger)
            signer.sign(ledger)
            last = newest(ledger.store.log)
            assert last is not None
            assert (last.statement().tasks, last.statement().heads) == (tasks, root), damage
        connection.close()
        assert all_faults(ledger) == []
