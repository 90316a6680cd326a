"""Whatever is changed behind the ledger's back, with plain SQL and the triggers put back, verification names it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from support.tampering import BITS, FULL, Tamperer
from tallystick import Head, Ledger, TamperedError
from tallystick.ledger import StoredTree
from tallystick.model.record import SALT_BYTES
from tallystick.proof.merkle import read_edge
from tallystick.verification import Fault

Place = tuple[str, int | None]
MASK = (1 << BITS) - 1
TASKS = {1: "a", 2: "imported", 3: "empty", 4: "a"}
LENGTHS = {1: 9, 2: 3, 3: 0, 4: 2}
ANYWHERE: set[Place] = {("", MASK)} | {
    (task, place) for task in ("", "b", *TASKS.values()) for place in (None, *range(11))
}
"""Where a row can be missed, or found, that has gone to another session."""


class Case:
    """A copy of a ledger, open, and the one who edits it."""

    def __init__(self, path: Path) -> None:
        self.tamperer = Tamperer(path)
        self.ledger = Ledger.open(str(path), create=False)
        self.checked = 0
        assert self.faults() == []

    def faults(self) -> list[Fault]:
        found: list[Fault] = []
        for one in self.ledger.inspect():
            found += [one] if isinstance(one, Fault) else one.faults
        return found

    def edit(self, statement: str, arguments: Any = (), *, at: set[Place]) -> None:
        """Tamper, look whether one of these places is named first, and undo it."""
        if self.tamperer.edit(statement, arguments):
            self.expect(at, f"{statement} {arguments}")
            self.tamperer.undo()

    def expect(self, at: set[Place], what: str) -> None:
        self.checked += 1
        with pytest.raises(TamperedError) as caught:
            self.ledger.verify()
        assert (caught.value.task_id, caught.value.position) in at, f"{what}: {caught.value}"

    def close(self) -> None:
        self.ledger.close()
        self.tamperer.close()


@pytest.fixture
def case(tmp_path: Path, one_of_everything: Path) -> Iterator[Case]:
    copyfile(one_of_everything, tmp_path / "ledger.db")
    case = Case(tmp_path / "ledger.db")
    yield case
    case.close()


@pytest.fixture
def big(tmp_path: Path, with_artifacts: Path) -> Iterator[Case]:
    copyfile(with_artifacts, tmp_path / "ledger.db")
    case = Case(tmp_path / "ledger.db")
    yield case
    case.close()


def flipped(data: bytes, index: int, mask: int = 1) -> bytes:
    return data[:index] + bytes([data[index] ^ mask]) + data[index + 1 :]


def others(value: Any, column: str) -> list[Any]:
    """Values that a column could be changed to."""
    if value is None:
        return [bytes(SALT_BYTES), b"", "x", 0]
    if isinstance(value, int):
        return [value + 1, value - 1, 0, -1, 2**40, 2**63 - 1, -(2**63), value + (1 << BITS), value - (1 << BITS)]
    if isinstance(value, str):
        return ["", f"{value}x", value.upper() + "Y", value[:-1], None]
    ends = [flipped(value, 0), flipped(value, len(value) - 1)] if value else [b"x"]
    return [*ends, b"", value[:-1], value + b"\0", value + value, None]


def places(table: str, row: dict[str, Any], column: str) -> set[Place]:
    """Where a change to this column of this row may be said to be."""
    if table == "ledger":
        return {("", None), ("a", 0), ("a", None), ("imported", 0), ("empty", 0)}
    if table == "session":
        task = TASKS[row["number"]]
        if column == "header":
            return {(task, 0), (task, 1)}
        return {("", None), ("", 1)} | ANYWHERE | {(other, 0) for other in _all_names(row)}
    if table == "record":
        number, position = row["id"] >> BITS, row["id"] & MASK
        return {(TASKS[number], position)} | (ANYWHERE if column == "id" else set())
    if table == "state":
        task, last = TASKS[row["session"]], LENGTHS[row["session"]]
        if column in ("session", "key"):
            return ANYWHERE
        if row["key"] == "" and column in ("at", "edge"):
            return {(task, last), (task, None)}
        moved = {(task, value) for value in others(row["position"], "position")}
        return {(task, position) for position in range(last + 2)} | {(task, None)} | moved
    raise AssertionError(table)


def _all_names(row: dict[str, Any]) -> set[str]:
    return {str(value) for value in others(row["task_id"], "task_id")}


@pytest.mark.parametrize("table", ["ledger", "session", "record", "state"])
def test_every_column_of_every_row(case: Case, table: str) -> None:
    names = {"ledger": ["number"], "session": ["number"], "record": ["id"], "state": ["session", "key"]}[table]
    for row in case.tamperer.rows(table):
        where = " AND ".join(f"{name} = ?" for name in names)
        for column, value in row.items():
            for other in others(value, column):
                if other == value:
                    continue
                statement = f"UPDATE {table} SET {column} = ? WHERE {where}"
                case.edit(statement, (other, *(row[name] for name in names)), at=places(table, row, column))
    assert case.checked > {"ledger": 10, "session": 50, "record": 700, "state": 250}[table]


def test_every_column_of_every_piece_of_an_artifact(big: Case) -> None:
    for row in big.tamperer.rows("artifact"):
        at = {("a", row["record"] & MASK)}
        for column, value in row.items():
            beside = ANYWHERE
            for other in others(value, column):
                if other != value:
                    where = (other, row["record"], row["chunk"])
                    big.edit(
                        f"UPDATE artifact SET {column} = ? WHERE record = ? AND chunk = ?",
                        where,
                        at=at | (beside if column == "record" else set()),
                    )
    assert big.checked > 60


RECORDS = {(1, 1), (1, 2), (1, 9), (2, 2)}
"""Session and position of the records whose every byte is changed; all of them in a storm."""


def test_every_byte_of_records_and_parts(case: Case, storm: bool) -> None:
    for row in case.tamperer.rows("record"):
        number, position = row["id"] >> BITS, row["id"] & MASK
        if not storm and (number, position) not in RECORDS:
            continue
        columns = ["record", "text", "details", "output"]
        if storm or (number, position) == (1, 1):
            columns += ["text_salt", "details_salt", "output_salt", "node"]
        for column in columns:
            for index in range(len(row[column] or b"")):
                for mask in (1, 0x80) if storm else (1 if index % 2 else 0x80,):
                    changed = flipped(row[column], index, mask)
                    at: set[Place] = {(TASKS[number], position)}
                    case.edit(f"UPDATE record SET {column} = ? WHERE id = ?", (changed, row["id"]), at=at)
    assert case.checked > 1200


def test_every_byte_of_headers(case: Case, storm: bool) -> None:
    for row in case.tamperer.rows("session"):
        task = TASKS[row["number"]]
        for index in range(0, len(row["header"]), 1 if storm or task == "imported" else 5):
            changed = flipped(row["header"], index, 1 if index % 2 else 0x80)
            at: set[Place] = {(task, 0)} if task == "empty" else {(task, 0), (task, 1)}
            case.edit("UPDATE session SET header = ? WHERE number = ?", (changed, row["number"]), at=at)


def test_bytes_of_artifacts(big: Case, storm: bool) -> None:
    for row in big.tamperer.rows("artifact"):
        at: set[Place] = {("a", row["record"] & MASK)}
        where = (row["record"], row["chunk"])
        size = len(row["data"])
        for index in {*range(8), *range(size - 8, size), *range(8, size, 2_000 if storm else 100_000)}:
            changed = flipped(row["data"], index)
            big.edit("UPDATE artifact SET data = ? WHERE record = ? AND chunk = ?", (changed, *where), at=at)


def _repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], tuple[bytes, bytes]]:
    import zlib
    from hashlib import sha256

    def repack(data: bytes) -> tuple[bytes, bytes]:
        packed = zlib.compress(change(zlib.decompress(data)))
        return sha256(packed).digest(), packed

    return repack


@pytest.mark.parametrize(
    "repack",
    [
        _repacked(lambda piece: flipped(piece, 1000)),
        _repacked(lambda piece: piece[:-1]),
        _repacked(lambda piece: piece + b"x"),
        _repacked(lambda piece: piece * 2),
        _repacked(lambda _: b""),
    ],
)
def test_pieces_with_the_right_digest_and_another_content(
    big: Case, repack: Callable[[bytes], tuple[bytes, bytes]]
) -> None:
    for row in big.tamperer.rows("artifact"):
        at: set[Place] = {("a", row["record"] & MASK)}
        arguments = (*repack(row["data"]), row["record"], row["chunk"])
        big.edit("UPDATE artifact SET digest = ?, data = ? WHERE record = ? AND chunk = ?", arguments, at=at)


def test_pieces_removed_added_and_moved(big: Case) -> None:
    for row in big.tamperer.rows("artifact"):
        at: set[Place] = {("a", row["record"] & MASK)}
        where = (row["record"], row["chunk"])
        big.edit("DELETE FROM artifact WHERE record = ? AND chunk = ?", where, at=at)
        for chunk in (-(2**63), -1, 3, 7, 2**63 - 1):
            big.edit(
                "INSERT INTO artifact SELECT record, ?, digest, data FROM artifact WHERE record = ? AND chunk = ?",
                (chunk, *where),
                at=at,
            )
        digest, empty = _repacked(lambda _: b"")(row["data"])
        for chunk in (1, 3):
            big.edit("INSERT INTO artifact VALUES (?, ?, ?, ?)", (where[0], chunk, digest, empty), at=at)
    first = (1 << BITS) + 2
    big.edit(
        "UPDATE artifact SET chunk = CASE chunk WHEN 0 THEN 1 ELSE 0 END WHERE record = ? AND chunk < 2",
        (first,),
        at={("a", 2)},
    )
    for orphan in (first + 99, (9 << BITS) + 1, (2 << BITS) + 1, (1 << BITS) + 1, 5, -5):
        big.edit(
            "INSERT INTO artifact SELECT ?, chunk, digest, data FROM artifact WHERE record = ?",
            (orphan, first),
            at={("a", orphan & MASK), ("b", orphan & MASK), ("", orphan & MASK)},
        )


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
