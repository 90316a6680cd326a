"""Plain SQL cannot change the log of checkpoints, and with the triggers out of the way every change is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, all_faults
from support.tampering import BITS, FULL, Tamperer, make
from tallystick import Entry, Ledger, TamperedError

NOTE = Entry(type="note")


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


REFUSED = [
    "UPDATE checkpoint SET note = ''",
    "UPDATE checkpoint SET key = 'x' WHERE number = 1",
    "UPDATE checkpoint SET number = 9 WHERE number = 2",
    "DELETE FROM checkpoint WHERE number = 2",
    "DELETE FROM checkpoint",
    "INSERT OR REPLACE INTO checkpoint SELECT number, leaf, node, 'x', key FROM checkpoint",
    "INSERT INTO checkpoint SELECT 9, leaf, node, note, key FROM checkpoint WHERE number = 1",
    "INSERT INTO checkpoint SELECT 0, leaf, node, note, key FROM checkpoint WHERE number = 1",
    "UPDATE head_history SET position = position + 1",
    "UPDATE head_history SET root = zeroblob(32) WHERE session = 1",
    "DELETE FROM head_history WHERE checkpoint = 2",
    "DELETE FROM head_history",
    "INSERT OR REPLACE INTO head_history SELECT session, checkpoint, position, zeroblob(32) FROM head_history",
    "INSERT INTO head_history VALUES (1, 1, 9, zeroblob(32))",
    "INSERT INTO head_history VALUES (1, 2, 9, zeroblob(32))",
    "INSERT INTO head_history VALUES (1, 9, 9, zeroblob(32))",
    "INSERT INTO head_history VALUES (1, 3, 0, zeroblob(32))",
]


@pytest.fixture
def signed(tmp_path: Path, signer: SignerUnderTest) -> Path:
    """A ledger with one of everything, two checkpoints and a task that moved since."""
    path = tmp_path / "ledger.db"
    make(path)
    with Ledger.open(str(path)) as ledger:
        signer.sign(ledger)
        ledger.append("a", FULL)
        ledger.append("b", [NOTE, NOTE])
        signer.sign(ledger)
        ledger.append("imported", FULL)
    return path


@pytest.mark.parametrize("statement", REFUSED)
def test_a_change_is_refused(signed: Path, statement: str) -> None:
    connection = sqlite3.connect(signed, isolation_level=None)
    before = list(connection.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match="tallystick: "):
        connection.execute(statement)
    assert list(connection.iterdump()) == before
    connection.close()


# --- what verification finds


class Case:
    def __init__(self, path: Path) -> None:
        self.tamperer = Tamperer(path)
        self.ledger = Ledger.open(str(path), create=False)
        self.checked = 0
        assert all_faults(self.ledger) == []

    def edit(self, statement: str, arguments: Any = ()) -> str:
        """Tamper, let it be found, undo it; what was found first."""
        if not self.tamperer.edit(statement, arguments):
            return ""
        self.checked += 1
        try:
            self.ledger.verify()
        except TamperedError as error:
            return str(error)
        else:
            raise AssertionError(f"nothing was found: {statement} {arguments}")
        finally:
            self.tamperer.undo()

    def close(self) -> None:
        self.ledger.close()
        self.tamperer.close()


@pytest.fixture
def case(signed: Path) -> Iterator[Case]:
    case = Case(signed)
    yield case
    case.close()


def others(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1, value - 1, 0, -1, 2**40, 2**63 - 1, -(2**63)]
    if isinstance(value, str):
        middle = len(value) // 2
        swapped = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]
        return ["", f"{value}x", value[:-1], swapped, value.upper(), f"{value}\n", value.replace("\n", "\r\n", 1), None]
    ends = [bytes((value[0] ^ 1,)) + value[1:], value[:-1] + bytes((value[-1] ^ 1,))]
    return [*ends, b"", value[:-1], value + b"\0", value + value, None]


@pytest.mark.parametrize("table", ["checkpoint", "head_history"])
def test_every_column_of_every_row(case: Case, table: str) -> None:
    keys = {"checkpoint": ["number"], "head_history": ["session", "checkpoint"]}[table]
    for row in case.tamperer.rows(table):
        for column, value in row.items():
            for other in others(value):
                if other != value:
                    where = " AND ".join(f"{key} = ?" for key in keys)
                    statement = f"UPDATE {table} SET {column} = ? WHERE {where}"
                    case.edit(statement, (other, *(row[key] for key in keys)))
    assert case.checked > {"checkpoint": 50, "head_history": 80}[table]


def test_every_byte_of_a_checkpoint(case: Case, storm: bool) -> None:
    row = case.tamperer.rows("checkpoint")[0]
    for column in ("leaf", "node", "note", "key"):
        value = row[column].encode() if isinstance(row[column], str) else row[column]
        for index in range(0, len(value), 1 if storm else 3):
            changed: Any = value[:index] + bytes((value[index] ^ 1,)) + value[index + 1 :]
            if isinstance(row[column], str):
                changed = changed.decode("utf-8", "replace")
            case.edit(f"UPDATE checkpoint SET {column} = ? WHERE number = 1", (changed,))
    assert case.checked > 100


def test_rows_removed_inserted_and_swapped(case: Case) -> None:
    for number in (1, 2):
        case.edit("DELETE FROM checkpoint WHERE number = ?", (number,))
    for row in case.tamperer.rows("head_history"):
        case.edit("DELETE FROM head_history WHERE session = ? AND checkpoint = ?", (row["session"], row["checkpoint"]))
    for number in (0, -1, 3, 4, 99):
        case.edit("INSERT INTO head_history SELECT session, ?, position + 1, root FROM head_history LIMIT 1", (number,))
        case.edit("INSERT INTO checkpoint SELECT ?, leaf, node, note, key FROM checkpoint WHERE number = 1", (number,))
    case.edit("INSERT INTO head_history VALUES (77, 1, 1, zeroblob(32))")
    case.edit("INSERT INTO head_history VALUES (4, 1, 1, zeroblob(32))")
    for column in ("leaf", "node", "note"):
        case.edit(f"UPDATE checkpoint SET {column} = (SELECT {column} FROM checkpoint c WHERE c.number = 2)")
    assert case.checked > 20


def test_a_rewritten_shortened_or_dropped_task_is_named(case: Case) -> None:
    changed = "CAST(replace(record, 'pass', 'fail') AS BLOB)"
    found_first = case.edit(f"UPDATE record SET record = {changed} WHERE id = (1 << {BITS}) + 1")
    assert found_first.startswith("a at position 1: ")
    with case.tamperer.unguarded() as connection:
        rewrite(connection, session=5, upto=1)
    found = [str(fault) for fault in all_faults(case.ledger)]
    assert any(
        "b at position 1: a head at position 2 is in checkpoint 2, the session ends at 1" in one for one in found
    )
    case.tamperer.undo()
    with case.tamperer.unguarded() as connection:
        rewrite(connection, session=5, upto=2, change=True)
    found = [str(fault) for fault in all_faults(case.ledger)]
    assert found == ["b at position 2: the history differs from the head that is in checkpoint 2"]
    case.tamperer.undo()
    with case.tamperer.unguarded() as connection:
        for statement in (
            "DELETE FROM session WHERE number = 5",
            "DELETE FROM state WHERE session = 5",
            f"DELETE FROM record WHERE id >> {BITS} = 5",
        ):
            connection.execute(statement)
    found = [str(fault) for fault in all_faults(case.ledger)]
    assert found == ["b: checkpoint 2 is about it at position 2, and its session is gone"]
    case.tamperer.undo()


def rewrite(connection: sqlite3.Connection, session: int, upto: int, *, change: bool = False) -> None:
    """Shorten or change a session, with every node, pointer and head made to fit again."""
    from tallystick.proof.merkle import Edge, leaf_hash

    (header,) = connection.execute("SELECT header FROM session WHERE number = ?", (session,)).fetchone()
    connection.execute(f"DELETE FROM record WHERE id > ({session} << {BITS}) + ? AND id >> {BITS} = ?", (upto, session))
    edge = Edge()
    edge.append(leaf_hash(header))
    for position in range(1, upto + 1):
        row = (session << BITS) + position
        (record,) = connection.execute("SELECT record FROM record WHERE id = ?", (row,)).fetchone()
        if change:
            record = record.replace(b"entry-", b"entri-")
        node = edge.append(leaf_hash(record))
        connection.execute("UPDATE record SET record = ?, node = ? WHERE id = ?", (record, node, row))
    connection.execute(
        "UPDATE state SET position = ?, edge = ? WHERE session = ? AND key = ''", (upto, edge.pack(), session)
    )
    connection.execute("UPDATE state SET position = ? WHERE session = ? AND key LIKE 't%'", (upto, session))


def test_known_heads_inside_verified_chunks(tmp_path: Path, signer: SignerUnderTest) -> None:
    """Long sessions are hashed by the chunk; heads of checkpoints inside a chunk are compared all the same."""
    path = tmp_path / "long.db"
    with Ledger.open(str(path)) as ledger:
        for count in (1, 510, 1, 1, 300, 211, 1, 512, 3):
            ledger.append("a", [NOTE] * count)
            signer.sign(ledger)
        assert ledger.head("a").position == 1540
        ledger.verify()
    tamperer = Tamperer(path)
    with Ledger.open(str(path)) as ledger:
        for (number,) in tamperer.connection.execute("SELECT number FROM checkpoint").fetchall():
            tamperer.edit("UPDATE head_history SET root = zeroblob(32) WHERE checkpoint = ?", (number,))
            assert [one.position for one in all_faults(ledger) if one.task_id == "a"] != []
            assert any(
                f"differs from the head that is in checkpoint {number}" in str(one) for one in all_faults(ledger)
            )
            tamperer.undo()
        with tamperer.unguarded() as connection:
            rewrite(connection, session=1, upto=1540, change=True)
        expected = [1, 511, 512, 513, 813, 1024, 1025, 1537, 1540]
        assert [one.position for one in all_faults(ledger) if "differs from the head" in one.what] == expected
    tamperer.close()


def test_missing_tables_triggers_and_indexes_are_reported(case: Case) -> None:
    case.tamperer.connection.execute("DROP INDEX head_history_by_checkpoint")
    assert "index head_history_by_checkpoint is missing" in map(str, all_faults(case.ledger))
    case.tamperer.undo()
    for table in ("checkpoint", "head_history"):
        case.tamperer.connection.execute(f"ALTER TABLE {table} RENAME TO gone")
        with pytest.raises(TamperedError, match=f"table {table} is missing"):
            case.ledger.verify()
        case.tamperer.undo()


def test_an_older_schema_is_not_pretended(case: Case) -> None:
    case.tamperer.connection.execute("PRAGMA user_version = 2")
    with Ledger.open(case.ledger.url, read_only=True) as ledger:
        assert any("trigger checkpoint_append does not belong" in str(fault) for fault in all_faults(ledger))


def test_a_copy_has_the_log(tmp_path: Path, signed: Path) -> None:
    copyfile(signed, tmp_path / "copy.db")
    with Ledger.open(str(tmp_path / "copy.db")) as ledger:
        assert ledger.store.log.size() == 2
        assert ledger.head_proof("b").position == 2
