"""What is not copied: other histories, other ledgers, and what does not verify."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.checkpoints import SignerUnderTest, all_faults
from support.contract import ENTRY, StoreUnderTest, nothing_written
from support.copying import fill, move
from tallystick import (
    Entry,
    InputError,
    Ledger,
    StoreUnavailableError,
    TamperedError,
)
from tallystick.exchange import copy_session


def test_another_ledger_is_refused(source: Ledger, target: StoreUnderTest) -> None:
    fill(source)
    there = target.open()
    there.append("t", ENTRY)
    with nothing_written(target), pytest.raises(InputError, match=r"another ledger is there .*--beside"):
        move(source, there)
    with pytest.raises(InputError, match="the same ledger"):
        move(there, there)


def test_beside_its_own_sessions(source: Ledger, target: StoreUnderTest, tmp_path: Path) -> None:
    fill(source, SignerUnderTest(tmp_path / "home"))
    there = target.open()
    there.append("t", ENTRY)
    for fresh, position in ((708 - 1, 1), (1, 2)):
        done = move(source, there, beside=True)
        assert (done.ledger_id, done.entries, done.checkpoints) == (there.ledger_id, fresh, 0)
        assert all_faults(there) == []
        assert there.session("t", ledger_id=source.ledger_id) == source.session("t")
        assert there.head("t").position == position
        there.append("t", ENTRY)
        source.append("t", ENTRY)
    source.store.adopt(there.store, there.store.find("t"))  # type: ignore[attr-defined]
    assert move(source, there, beside=True).moved == 1
    with pytest.raises(InputError, match="this very ledger"):
        move(there, other_copy(there, tmp_path), beside=True)


def other_copy(ledger: Ledger, folder: Path) -> Ledger:
    copied = Ledger.open(str(folder / "other.db"))
    move(ledger, copied)
    return copied


def test_two_histories_are_not_joined(source: Ledger, target: StoreUnderTest) -> None:
    source.append("a", [ENTRY] * 3)
    source.append("b", [ENTRY] * 3)
    there = target.open()
    move(source, there)
    for ledger in (source, there):
        ledger.append("b", Entry(type="note", reason="one of two"))
    source.append("a", ENTRY)
    with (
        nothing_written(target),
        pytest.raises(TamperedError, match=r"b at position 4: another history: .* position 4 .*nothing was written"),
    ):
        move(source, there)
    with pytest.raises(TamperedError, match="b at position 4"):
        move(there, source)
    assert move(source, there, "a").entries == 1


def test_two_logs_are_not_joined(source: Ledger, target: StoreUnderTest, tmp_path: Path) -> None:
    source.append("a", ENTRY)
    there = target.open()
    move(source, there)
    SignerUnderTest(tmp_path / "one").sign(source)
    SignerUnderTest(tmp_path / "two").sign(there)
    source.append("a", ENTRY)
    with nothing_written(target), pytest.raises(TamperedError, match="checkpoint 1 of the target is not the one"):
        move(source, there)


def tamper(ledger: Ledger, statement: str) -> None:
    """Change a file behind its triggers' backs."""
    with sqlite3.connect(ledger.store.path) as connection:  # type: ignore[attr-defined]
        for name in ("record_only_erased", "record_no_delete", "head_history_no_update", "state_forward"):
            connection.execute(f"DROP TRIGGER IF EXISTS {name}")
        connection.execute(statement)
    connection.close()


DAMAGE = {
    "a record": "UPDATE record SET record = CAST(replace(CAST(record AS TEXT), 'note', 'nope') AS BLOB)"
    " WHERE id & 4294967295 = 700",
    "a part": "UPDATE record SET text = x'00' WHERE id & 4294967295 = 700",
    "a missing part": "UPDATE record SET text = NULL, text_salt = NULL WHERE id & 4294967295 = 700",
    "a node": "UPDATE record SET node = zeroblob(32) WHERE id & 4294967295 = 700",
    "a link": "UPDATE record SET type_before = 3 WHERE id & 4294967295 = 700",
    "a dropped record": "DELETE FROM record WHERE id & 4294967295 = 700",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_nothing_damaged_is_copied(
    source: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(copy_session, "PIECE_ROWS", 1)
    source.append("t", [Entry(type="note", reason=f"{n}") for n in range(1200)])
    tamper(source, DAMAGE[damage])
    with Ledger.open(str(tmp_path / "target.db")) as there:
        with pytest.raises(TamperedError) as caught:
            move(source, there)
        assert (caught.value.task_id, caught.value.position) == ("t", 700)
        assert there.head("t").position == 511
        assert all_faults(there) == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE state SET position = position + 1 WHERE key = 'tnote'", "pointer 'tnote' stands at 21"),
        ("UPDATE state SET edge = zeroblob(length(edge)) WHERE key = ''", "the head's root is not"),
        ("UPDATE head_history SET root = zeroblob(32)", "the head that is in checkpoint|the 1 heads kept"),
    ],
)
def test_a_head_that_does_not_fit_is_not_copied(
    source: Ledger, target: StoreUnderTest, tmp_path: Path, statement: str, words: str
) -> None:
    source.append("t", [Entry(type="note", reason=f"{n}") for n in range(20)])
    SignerUnderTest(tmp_path / "home").sign(source)
    tamper(source, statement)
    there = target.open()
    with pytest.raises(TamperedError, match=words):
        move(source, there)
    assert target.sql("SELECT count(*) FROM session") == [(0,)]


def test_a_prefix_that_was_damaged_since_is_named(source: Ledger, target: StoreUnderTest) -> None:
    source.append("t", [Entry(type="note", reason=f"{n}") for n in range(20)])
    there = target.open()
    move(source, there)
    source.append("t", ENTRY)
    tamper(source, "UPDATE record SET node = zeroblob(32) WHERE id & 4294967295 = 15")
    with nothing_written(target), pytest.raises(TamperedError, match=r"t at position 15: .*tree node was changed"):
        move(source, there)


def test_a_ledger_that_was_open_while_its_file_became_another_one(source: Ledger, tmp_path: Path) -> None:
    source.append("t", ENTRY)
    path = str(tmp_path / "empty.db")
    with Ledger.open(path) as open_before, Ledger.open(path) as there:
        move(source, there)
        with pytest.raises(StoreUnavailableError, match="another ledger was copied into"):
            open_before.append("new", ENTRY)
        assert all_faults(there) == []
