"""What a writing connection remembers between its commits, and that nothing it did not see is lost on it."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.contract import ENTRY
from tallystick import ConcurrencyError, Entry, InputError, Ledger, TamperedError
from tallystick.stores import sqlite_connection, sqlite_memory

WARM = sqlite_memory.VIEW_AFTER + 2
"""After so many appends to a session the next takes one statement."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(path)) as ledger:
        for _ in range(WARM):
            ledger.append("t", ENTRY)
        yield ledger


def statements(ledger: Ledger, entry: Entry, task: str = "t") -> set[str]:
    """What an append executes, triggers left out: the kinds of statements."""
    seen: list[str] = []
    connection = ledger.store._writer  # type: ignore[attr-defined]
    connection.set_trace_callback(seen.append)
    ledger.append(task, entry)
    connection.set_trace_callback(None)
    return {statement.split()[0] for statement in seen if not statement.startswith("--")}


def edit(path: Path, trigger: str, statement: str) -> None:
    """Change something behind a trigger's back."""
    connection = sqlite3.connect(path, isolation_level=None)
    ((guard,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (trigger,))
    connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.execute(guard)
    connection.close()


def test_one_more_entry_takes_one_statement(ledger: Ledger) -> None:
    assert statements(ledger, ENTRY) == {"INSERT"}
    assert statements(ledger, Entry(type=ENTRY.type)) == {"INSERT"}
    assert statements(ledger, ENTRY.replace(criterion_id="another")) >= {"BEGIN", "INSERT", "UPDATE", "COMMIT"}
    assert statements(ledger, ENTRY.replace(criterion_id="another")) == {"INSERT"}
    assert ledger.append("t", ENTRY) == ledger.head("t")
    assert ledger.head("t").position == WARM + 5
    ledger.verify()


def test_what_the_entry_holds_is_recorded_whole(ledger: Ledger) -> None:
    full = Entry(
        type=ENTRY.type,
        criterion_id=ENTRY.criterion_id,
        status="fail",
        reason="because",
        command="make",
        exit_code=2,
        output="printed\n",
        path="a/b",
        details={"run": {"exit_code": 2}},
    )
    large = full.replace(output="x" * 100_000)
    for entry in (full, large, full):
        ledger.append("t", entry)
    recorded = [one.entry for one in ledger.entries("t", WARM + 1)]
    assert [one.replace(id="", recorded_at="") for one in recorded] == [full, large, full]
    assert [one.id for one in recorded] == [f"entry-{WARM + n}" for n in (1, 2, 3)]
    ledger.verify()


def test_entries_of_others_are_seen(ledger: Ledger, path: Path) -> None:
    chance = random.Random(7)
    with Ledger.open(str(path)) as other:
        for turn in range(200):
            one = chance.choice((ledger, other))
            criterion = f"ac{chance.randrange(5)}"
            head = one.append("t", Entry(type="criterion", criterion_id=criterion, phase_id=chance.choice(("", "p"))))
            assert head.position == WARM + turn + 1
        assert other.head("t") == ledger.head("t") == head
    ledger.verify()


def test_expectations_are_held_against_the_true_head(ledger: Ledger, path: Path) -> None:
    with Ledger.open(str(path)) as other:
        other.append("t", ENTRY)
    for _ in range(2):
        with pytest.raises(ConcurrencyError, match=f"{WARM + 1}"):
            ledger.append("t", ENTRY, expected_position=WARM)
    assert ledger.append("t", ENTRY, expected_position=WARM + 1).position == WARM + 2


def test_a_refused_entry_leaves_no_trace(ledger: Ledger) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="over 65535"):
            ledger.append("t", ENTRY.replace(status="x" * 70_000))
        ledger.append("t", ENTRY)
    assert ledger.head("t").position == WARM + 2
    ledger.verify()


def test_an_erasure_is_followed(ledger: Ledger) -> None:
    ledger.append("t", ENTRY.replace(reason="secret"))
    ledger.erase("t", WARM + 1, ["text"], reason="leaked")
    for _ in range(3):
        ledger.append("t", ENTRY)
    assert ledger.head("t").position == WARM + 5
    ledger.verify()


@pytest.mark.parametrize(
    ("trigger", "statement", "finding"),
    [
        ("state_forward", "UPDATE state SET edge = zeroblob(length(edge)) WHERE key = ''", "tree node"),
        ("record_only_erased", f"UPDATE record SET record = x'7b7d' WHERE id & 255 = {WARM}", "cannot be|tree node"),
    ],
)
def test_appends_do_not_cover_up_an_edit(
    ledger: Ledger, path: Path, trigger: str, statement: str, finding: str
) -> None:
    edit(path, trigger, statement)
    for _ in range(3):
        try:
            ledger.append("t", ENTRY)
        except TamperedError:
            break
    with pytest.raises(TamperedError, match=finding):
        ledger.verify("t")


def test_a_missing_head_is_not_made_again(ledger: Ledger, path: Path) -> None:
    edit(path, "state_no_delete", "DELETE FROM state WHERE key = ''")
    for _ in range(2):
        with pytest.raises(TamperedError, match="head is missing"):
            ledger.append("t", ENTRY)


def test_more_sessions_and_pointers_than_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_memory, "SESSIONS", 3)
    monkeypatch.setattr(sqlite_memory, "POINTERS", 4)
    chance = random.Random(8)
    with Ledger.open(str(path)) as ledger:
        for _ in range(300):
            criterion = f"ac{chance.randrange(8)}"
            ledger.append(f"t{chance.randrange(6)}", Entry(type="criterion", criterion_id=criterion))
        ledger.verify()


def test_threads_append_to_sessions_known_and_new(ledger: Ledger) -> None:
    """One transaction takes all there are: entries at known heads, several to one session, new pointers, keys."""
    chance = random.Random(9)
    plans = [
        [(f"t{chance.randrange(20)}", f"ac{chance.randrange(chance.choice((2, 30)))}", turn) for turn in range(30)]
        for _ in range(24)
    ]
    done: list[tuple[str, int]] = []

    def work(plan: list[tuple[str, str, int]]) -> None:
        for task, criterion, turn in plan:
            key = f"{threading.get_ident()}.{turn}" if turn % 5 == 0 else None
            entries = [Entry(type="criterion", criterion_id=criterion)] * (1 + turn % 3)
            done.append((task, ledger.append(task, entries, idempotency_key=key).position))

    threads = [threading.Thread(target=work, args=(plan,), daemon=True) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 24 * 30 == len(set(done))
    ledger.verify()


def log_size(path: Path) -> int:
    return os.stat(f"{path}-wal").st_size


def test_the_log_stops_growing_early(path: Path) -> None:
    with Ledger.open(str(path)) as ledger:
        for _ in range(sqlite_memory.GROW_AFTER - 1):
            ledger.append("t", ENTRY)
        assert log_size(path) < sqlite_connection.LOG_BYTES / 2
        ledger.append("t", ENTRY)
        size = log_size(path)
        assert size >= sqlite_connection.LOG_BYTES
        for _ in range(600):
            ledger.append("t", ENTRY)
        assert log_size(path) == size
        assert ledger.head("t").position == sqlite_memory.GROW_AFTER + 600
        ledger.verify()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM artifact").fetchall() == [(0,)]
    connection.close()


def test_a_disk_with_little_room_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connection, "SPARE_BYTES", 1 << 62)
    with Ledger.open(str(path)) as ledger:
        for _ in range(sqlite_memory.GROW_AFTER + 1):
            ledger.append("t", ENTRY)
        assert log_size(path) < sqlite_connection.LOG_BYTES / 2
