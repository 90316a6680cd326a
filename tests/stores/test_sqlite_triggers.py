"""The database itself refuses to change or remove what was recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from support.tampering import BITS, Tamperer
from tallystick import Ledger, TamperedError

RECORD = (1 << BITS) + 2
NEXT = (1 << BITS) + 10
COPY = f"SELECT {NEXT}, record, node, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL FROM record WHERE id = {RECORD}"


@pytest.fixture
def ledger(tmp_path: Path, one_of_everything: Path) -> Iterator[Ledger]:
    copyfile(one_of_everything, tmp_path / "ledger.db")
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        yield ledger


@pytest.fixture
def sql(tmp_path: Path, ledger: Ledger) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    yield connection
    connection.close()


def dump(sql: sqlite3.Connection) -> list[str]:
    return list(sql.iterdump())


REFUSED = [
    "UPDATE ledger SET ledger_id = 'x'",
    "UPDATE ledger SET number = 7 WHERE number = 2",
    "UPDATE OR REPLACE ledger SET number = 1 WHERE number = 2",
    "DELETE FROM ledger",
    "DELETE FROM ledger WHERE number = 2",
    "INSERT OR REPLACE INTO ledger SELECT number, 'x' FROM ledger",
    "INSERT OR REPLACE INTO ledger SELECT 3, ledger_id FROM ledger WHERE number = 2",
    "INSERT INTO ledger VALUES (7, 'x')",
    "INSERT INTO ledger VALUES (0, 'x')",
    "INSERT INTO ledger VALUES (-1, 'x')",
    "UPDATE session SET header = x'00'",
    "UPDATE session SET task_id = 'z' WHERE number = 2",
    "UPDATE session SET ledger = 2 WHERE number = 3",
    "DELETE FROM session WHERE number = 4",
    "INSERT OR REPLACE INTO session SELECT number, ledger, task_id, x'00' FROM session",
    "INSERT OR REPLACE INTO session SELECT 5, ledger, task_id, header FROM session WHERE number = 1",
    "INSERT INTO session VALUES (9, 1, 'z', x'00')",
    "INSERT INTO session VALUES (0, 1, 'z', x'00')",
    f"UPDATE record SET record = x'00' WHERE id = {RECORD}",
    f"UPDATE record SET node = record WHERE id = {RECORD}",
    f"UPDATE record SET criterion_before = 1 WHERE id = {RECORD}",
    f"UPDATE record SET type_before = 1 WHERE id = {RECORD}",
    f"UPDATE record SET id = {NEXT} WHERE id = {RECORD}",
    f"UPDATE record SET rowid = {NEXT} WHERE id = {RECORD}",
    f"UPDATE OR REPLACE record SET id = id + 1 WHERE id = {RECORD}",
    f"UPDATE record SET text = x'00', text_salt = x'00' WHERE id = {RECORD}",
    f"UPDATE record SET text = x'00' WHERE id = {RECORD - 1}",
    f"UPDATE record SET text_salt = text WHERE id = {RECORD - 1}",
    f"UPDATE record SET output = x'00' WHERE id = {RECORD + 1}",
    f"DELETE FROM record WHERE id = {RECORD}",
    f"DELETE FROM record WHERE id = {NEXT - 1}",
    "DELETE FROM record",
    f"INSERT OR REPLACE INTO record {COPY.replace(str(NEXT), str(RECORD))}",
    f"INSERT OR REPLACE INTO record {COPY.replace(str(NEXT), str(NEXT - 1))}",
    f"REPLACE INTO record {COPY.replace(str(NEXT), str(RECORD))}",
    f"INSERT INTO record {COPY.replace(str(NEXT), str(NEXT + 1))}",
    f"INSERT INTO record {COPY.replace(str(NEXT), str(1 << BITS))}",
    f"INSERT INTO record {COPY.replace(str(NEXT), str((9 << BITS) + 1))}",
    f"INSERT INTO record {COPY.replace(str(NEXT), str((3 << BITS) + 2))}",
    f"INSERT INTO record {COPY.replace(str(NEXT), '-1')}",
    f"INSERT INTO record {COPY.replace(str(NEXT), '1')}",
    f"INSERT INTO record {COPY.replace(str(NEXT), 'NULL')}",
    f"INSERT INTO record {COPY.replace(str(NEXT), str(RECORD))} ON CONFLICT (id) DO UPDATE SET record = x'00'",
    "UPDATE state SET position = position - 1",
    "UPDATE state SET edge = x'00' WHERE key = ''",
    "UPDATE state SET at = 'x' WHERE key = ''",
    "UPDATE state SET key = 'cother' WHERE key = 'cac1'",
    "UPDATE state SET session = 3, position = 99 WHERE session = 1",
    "UPDATE OR REPLACE state SET key = 'cac2', position = 99 WHERE key = 'cac1'",
    "DELETE FROM state WHERE key = 'cac1'",
    "DELETE FROM state",
    "INSERT OR REPLACE INTO state SELECT session, key, position + 1, at, edge FROM state",
    "INSERT INTO state SELECT * FROM state WHERE 1 ON CONFLICT (session, key) DO UPDATE SET at = 'x'",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_a_change_is_refused(ledger: Ledger, sql: sqlite3.Connection, statement: str) -> None:
    before = dump(sql)
    with pytest.raises(sqlite3.IntegrityError, match="tallystick: "):
        sql.execute(statement)
    assert dump(sql) == before


@pytest.mark.parametrize("statement", [one for one in REFUSED if one.startswith("INSERT INTO")])
def test_an_insert_that_ignores_conflicts_changes_nothing(
    ledger: Ledger, sql: sqlite3.Connection, statement: str
) -> None:
    before = dump(sql)
    for way in ("IGNORE", "FAIL", "ABORT", "ROLLBACK"):
        if "ON CONFLICT" not in statement:
            with pytest.raises(sqlite3.IntegrityError, match="tallystick: "):
                sql.execute(statement.replace("INSERT", f"INSERT OR {way}"))
    assert dump(sql) == before


def test_artifacts_are_kept(tmp_path: Path, with_artifacts: Path) -> None:
    copyfile(with_artifacts, tmp_path / "big.db")
    sql = sqlite3.connect(tmp_path / "big.db", isolation_level=None)
    (erased,) = sql.execute("SELECT max(id) FROM record WHERE output_salt IS NULL AND id & 255 = 1").fetchone()
    before = dump(sql)
    for statement in (
        "UPDATE artifact SET data = x'00'",
        "UPDATE artifact SET digest = x'00'",
        "UPDATE artifact SET chunk = chunk + 10",
        f"UPDATE artifact SET record = {erased}",
        "DELETE FROM artifact",
        "DELETE FROM artifact WHERE chunk = 2",
        "INSERT OR REPLACE INTO artifact SELECT record, chunk, x'00', x'00' FROM artifact",
        "INSERT INTO artifact SELECT record, max(chunk) + 1, x'00', x'00' FROM artifact GROUP BY record",
        "INSERT INTO artifact SELECT record, -1, x'00', x'00' FROM artifact GROUP BY record",
        f"INSERT INTO artifact VALUES ({erased}, 0, x'00', x'00')",
        f"INSERT INTO artifact VALUES ({(1 << BITS) + 1}, 0, x'00', x'00')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="tallystick: "):
            sql.execute(statement)
    assert dump(sql) == before
    sql.close()


def test_a_sealed_part_can_be_cleared_and_never_set_again(ledger: Ledger, sql: sqlite3.Connection) -> None:
    sql.execute(f"UPDATE record SET text = NULL, text_salt = NULL WHERE id = {RECORD - 1}")
    with pytest.raises(sqlite3.IntegrityError, match="only sealed parts can be cleared"):
        sql.execute(f"UPDATE record SET text = x'00', text_salt = x'00' WHERE id = {RECORD - 1}")


def test_the_types_of_columns_are_strict(ledger: Ledger, sql: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in BLOB column"):
        sql.execute(f"INSERT INTO record {COPY.replace('record, node', 'hex(record), node')}")


@pytest.fixture
def tamperer(tmp_path: Path, ledger: Ledger) -> Iterator[Tamperer]:
    tamperer = Tamperer(tmp_path / "ledger.db")
    yield tamperer
    tamperer.close()


def faults(ledger: Ledger, task_id: str | None = None) -> list[str]:
    return [str(found) for found in ledger.inspect(task_id) if not hasattr(found, "head")]


def test_every_missing_trigger_is_reported(ledger: Ledger, tamperer: Tamperer) -> None:
    assert len(tamperer.triggers()) == 21
    for name, _ in tamperer.triggers():
        tamperer.connection.execute(f"DROP TRIGGER {name}")
        assert faults(ledger) == faults(ledger, "imported") == [f"trigger {name} is missing"]
        tamperer.undo()
    assert faults(ledger) == []


def test_every_changed_trigger_is_reported(ledger: Ledger, tamperer: Tamperer) -> None:
    for name, sql in tamperer.triggers():
        for changed in (sql.replace("BEGIN", "WHEN 0 BEGIN" if " WHEN " not in sql else "AND 0 BEGIN"), f"{sql} "):
            tamperer.connection.execute(f"DROP TRIGGER {name}")
            tamperer.connection.execute(changed)
            expected = [] if changed.strip() == sql else [f"trigger {name} was changed"]
            assert faults(ledger) == expected
            tamperer.undo()


def test_a_trigger_that_is_not_ours_is_reported(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer.connection.execute(
        "CREATE TRIGGER helpful AFTER INSERT ON record BEGIN UPDATE state SET position = position + 1; END"
    )
    assert faults(ledger) == ["trigger helpful does not belong to a ledger"]


@pytest.mark.parametrize(
    "table", ["ledger", "session", "record", "state", "artifact", "local_idempotency", "head_history"]
)
def test_a_changed_or_missing_table_is_reported(ledger: Ledger, tamperer: Tamperer, table: str) -> None:
    tamperer.connection.execute(f"ALTER TABLE {table} ADD COLUMN more TEXT")
    assert f"table {table} was changed" in faults(ledger)
    tamperer.undo()
    tamperer.connection.execute(f"ALTER TABLE {table} RENAME TO gone")
    assert f"table {table} is missing" in next(iter(map(str, ledger.inspect())))
    if table != "local_idempotency":
        with pytest.raises(TamperedError, match=f"table {table} is missing"):
            ledger.verify()
