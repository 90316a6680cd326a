"""Whatever rows are moved, removed or added with plain SQL, and the triggers put back, verification names it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Notch
from support.tampering import ANYWHERE, BITS, FULL, LENGTHS, MASK, TASKS, Case, Tamperer, flipped
from tallystick import Head, Ledger, TamperedError
from tallystick.proof.merkle import read_edge
from tallystick.recorded import StoredTree


def test_rows_swapped(case: Case) -> None:
    rows = [row for row in case.tamperer.rows("record") if row["id"] >> BITS == 1]
    columns = [name for name in rows[0] if name != "id"]
    together = ", ".join(f"{name} = ?" for name in columns)
    for n, one in enumerate(rows):
        for other in rows[n + 1 :]:
            for some in [columns, *([name] for name in columns)]:
                if all(one[name] == other[name] for name in some):
                    continue
                with case.tamperer.unguarded() as connection:
                    for target, source in ((one, other), (other, one)):
                        values = [(source if name in some else target)[name] for name in columns]
                        connection.execute(f"UPDATE record SET {together} WHERE id = ?", (*values, target["id"]))
                position = one["id"] & MASK
                whole = some is columns and position % 2 == 0
                case.expect({("a", position), ("a", position + 1)} if whole else {("a", position)}, f"{some} swapped")
                case.tamperer.undo()


def test_rows_removed(case: Case) -> None:
    for row in case.tamperer.rows("record"):
        place = {(TASKS[row["id"] >> BITS], row["id"] & MASK)}
        case.edit("DELETE FROM record WHERE id = ?", (row["id"],), at=place)
        with case.tamperer.unguarded() as connection:
            connection.execute("DELETE FROM record WHERE id = ?", (row["id"],))
            last = row["id"] >> BITS << BITS | MASK
            for (following,) in connection.execute(
                "SELECT id FROM record WHERE id > ? AND id <= ? ORDER BY id", (row["id"], last)
            ).fetchall():
                connection.execute("UPDATE record SET id = id - 1 WHERE id = ?", (following,))
        case.expect(place, "removed and closed up")
        case.tamperer.undo()
    for number, task in TASKS.items():
        case.edit("DELETE FROM session WHERE number = ?", (number,), at={("", None), ("", 1)})
        case.edit("DELETE FROM state WHERE session = ?", (number,), at=ANYWHERE)
        if LENGTHS[number]:
            case.edit("DELETE FROM record WHERE id >> ? = ?", (BITS, number), at={(task, 1), (task, None)})
    for number in (1, 2):
        case.edit("DELETE FROM ledger WHERE number = ?", (number,), at={("", None), ("a", None)})
    for row in case.tamperer.rows("state"):
        place = {(TASKS[row["session"]], row["position"]), (TASKS[row["session"]], LENGTHS[row["session"]])}
        case.edit("DELETE FROM state WHERE session = ? AND key = ?", (row["session"], row["key"]), at=place)


def test_rows_inserted(case: Case) -> None:
    rows = case.tamperer.rows("record")
    columns = ", ".join(name for name in rows[0] if name != "id")
    for row in rows:
        number = row["id"] >> BITS
        for target in (1, 2, 3, 4):
            new = (target << BITS) + LENGTHS[target] + 1
            statement = f"INSERT INTO record SELECT ?, {columns} FROM record WHERE id = ?"
            case.edit(statement, (new, row["id"]), at={(TASKS[target], LENGTHS[target] + 1)})
        for orphan in (number << BITS, 7, 0, -1, (5 << BITS) + 1, (number << BITS) + 99):
            where = ANYWHERE | {("", orphan & MASK)}
            case.edit(f"INSERT INTO record SELECT ?, {columns} FROM record WHERE id = ?", (orphan, row["id"]), at=where)
    for number in TASKS:
        for key in ("", "c", "cnew", "pnew", "tnew", "xnew", "cac1 "):
            for position in (0, 1, 5):
                case.edit(
                    "INSERT INTO state VALUES (?, ?, ?, NULL, NULL)",
                    (number, key, position),
                    at={(TASKS[number], position)},
                )
    case.edit("INSERT INTO state VALUES (9, 'cnew', 1, NULL, NULL)", at={("", None)})
    case.edit("INSERT INTO session SELECT 5, 1, 'other', header FROM session WHERE number = 1", at={("other", 0)})
    case.edit("INSERT INTO session SELECT 9, 1, 'other', header FROM session WHERE number = 1", at={("", None)})
    case.edit("INSERT INTO session SELECT 0, 1, 'other', header FROM session WHERE number = 1", at={("", None)})
    case.edit("INSERT INTO session SELECT -1, 1, 'other', header FROM session WHERE number = 1", at={("", None)})
    case.edit("INSERT INTO session SELECT 5, 7, task_id, header FROM session WHERE number = 1", at={("a", None)})
    for number in (3, 0, -1, 9):
        case.edit("INSERT INTO ledger VALUES (?, 'x')", (number,), at={("", None)})


def test_an_erasure_without_a_redaction_and_a_redaction_without_an_erasure(case: Case) -> None:
    for row in case.tamperer.rows("record"):
        for part in ("text", "details", "output"):
            if row[part] is not None:
                case.edit(
                    f"UPDATE record SET {part} = NULL, {part}_salt = NULL WHERE id = ?",
                    (row["id"],),
                    at={(TASKS[row["id"] >> BITS], row["id"] & MASK)},
                )
    erased = next(row for row in case.tamperer.rows("record") if row["id"] == (1 << BITS) + 3)
    assert erased["text"] is None
    case.tamperer.close()
    case.ledger.close()


def test_an_erased_part_put_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", [FULL, FULL])
        tamperer = Tamperer(path)
        (row, _) = tamperer.rows("record")
        ledger.erase("t", 1, ["text", "output"], reason="leaked")
        statement = "UPDATE record SET text = ?, text_salt = ? WHERE id = ?"
        tamperer.edit(statement, (row["text"], row["text_salt"], row["id"]))
        with pytest.raises(TamperedError, match="a redaction names its text, which is not erased") as caught:
            ledger.verify()
        assert caught.value.position == 1
        tamperer.close()


def test_a_truncation_behind_a_known_head(tmp_path: Path) -> None:
    """Without a head that somebody has seen, a consistent truncation cannot show; with one it does."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        entries = [FULL.replace(criterion_id=f"ac{n % 3}") for n in range(9)]
        ledger.append("a", entries)
    case = Case(path)
    seen = [case.ledger.root_at("a", position) for position in range(10)]
    for length in range(9):
        with case.tamperer.unguarded() as connection:
            _cut(case.ledger, connection, length)
        case.ledger.verify()
        case.ledger.verify("a", head=seen[length])
        for head in seen[length + 1 :]:
            with pytest.raises(TamperedError, match=f"a head at position {head.position} was seen") as caught:
                case.ledger.verify("a", head=head)
            assert (caught.value.task_id, caught.value.position) == ("a", length)
        case.tamperer.undo()
    for head in seen:
        with pytest.raises(TamperedError, match="differs from the head that was seen") as caught:
            case.ledger.verify("a", head=Head(head.position, "0" * 64))
        assert caught.value.position == head.position
    case.close()


def _cut(ledger: Ledger, connection: sqlite3.Connection, length: int) -> None:
    """Shorten the task as if it had never been longer."""
    key = ledger.store.find("a")
    assert key is not None
    edge = read_edge(length + 1, StoredTree(ledger.store, key)).pack()
    at = ledger.entry("a", 1).at
    pointers = {f"c{one.entry.criterion_id}": one.position for one in ledger.entries("a", 1, length)}
    connection.execute("DELETE FROM record WHERE id >> ? = 1 AND id > ?", (BITS, (1 << BITS) + length))
    connection.execute("DELETE FROM state WHERE session = 1")
    connection.execute("INSERT INTO state VALUES (1, '', ?, ?, ?)", (length, at, edge))
    if length:
        pointers["tcriterion"] = length
        connection.executemany("INSERT INTO state VALUES (1, ?, ?, NULL, NULL)", pointers.items())


@pytest.fixture
def long(tmp_path: Path) -> Iterator[Case]:
    path = tmp_path / "long.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", [FULL.replace(criterion_id=f"ac{n % 7}") for n in range(1600)])
    case = Case(path)
    yield case
    case.close()


POSITIONS = [1, 2, 510, 511, 512, 513, 1022, 1023, 1024, 1025, 1535, 1536, 1599, 1600]


def test_long_sessions_are_verified_chunk_by_chunk(long: Case) -> None:
    for position in POSITIONS:
        row = (1 << BITS) + position
        for column in ("record", "node", "text", "output"):
            (old,) = long.tamperer.connection.execute(f"SELECT {column} FROM record WHERE id = ?", (row,)).fetchone()
            statement = f"UPDATE record SET {column} = ? WHERE id = ?"
            long.edit(statement, (flipped(old, len(old) - 1), row), at={("a", position)})
        long.edit("DELETE FROM record WHERE id = ?", (row,), at={("a", position)})
        long.edit("UPDATE record SET type_before = type_before - 1 WHERE id = ?", (row,), at={("a", position)})


def test_all_that_is_wrong_is_counted(long: Case) -> None:
    wrong = [3, 700, 701, 1024, 1600]
    with long.tamperer.unguarded() as connection:
        for position in wrong:
            connection.execute("UPDATE record SET text = x'7b7d' WHERE id = ?", ((1 << BITS) + position,))
    assert [fault.position for fault in long.faults()] == wrong
    with pytest.raises(TamperedError, match=r"^a at position 3: its text was changed \(4 more faults\)$"):
        long.ledger.verify()
    long.tamperer.undo()
    with long.tamperer.unguarded() as connection:
        for position in wrong:
            connection.execute(
                "UPDATE record SET record = CAST(replace(record, 'pass', 'fail') AS BLOB) WHERE id = ?",
                ((1 << BITS) + position,),
            )
    changed = [fault.position for fault in long.faults() if "was changed" in fault.what]
    assert changed == wrong


RECORD = "UPDATE record SET record = CAST(replace(record, 'fail', 'pass') AS BLOB)"
HEADER = "UPDATE session SET header = CAST(replace(header, '2020', '2021') AS BLOB)"


@pytest.mark.parametrize(
    ("statement", "task", "position"),
    [
        (f"{RECORD} WHERE id & 255 = 5", "a", 5),
        ("UPDATE record SET output = x'00' WHERE id & 255 = 8 AND id >> 32 = 1", "a", 8),
        ("DELETE FROM record WHERE id & 255 = 9", "a", 9),
        ("UPDATE state SET position = 1 WHERE key = 'cac1' AND session = 1", "a", 5),
        (f"{HEADER} WHERE task_id = 'empty'", "empty", 0),
    ],
)
def test_notch_verify_names_it_and_exits_3(case: Case, notch: Notch, statement: str, task: str, position: int) -> None:
    path = notch.cwd / "ledger.db"
    notch("--ledger", path, "verify")
    assert case.tamperer.edit(statement)
    case.ledger.close()
    for arguments in ([], [task]):
        said = notch("--ledger", path, "verify", *arguments, code=3).stdout
        assert re.search(rf"^TAMPERED +{task}: .*\n +position {position}: ", said, re.MULTILINE), said


def test_notch_verify_with_a_head_finds_a_truncation(tmp_path: Path, notch: Notch) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", [FULL.replace(criterion_id=f"ac{n % 3}") for n in range(9)])
        head = ledger.head("a")
    case = Case(path)
    with case.tamperer.unguarded() as connection:
        _cut(case.ledger, connection, 4)
    case.close()
    notch("--ledger", path, "verify", "a")
    said = notch("--ledger", path, "verify", "a", "--head", str(head), code=3).stdout
    assert "position 4: a head at position 9 was seen here, the session ends at 4" in said
