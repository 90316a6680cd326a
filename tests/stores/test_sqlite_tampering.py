"""Whatever value is changed with plain SQL, and the triggers put back, verification names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.tampering import ANYWHERE, BITS, LENGTHS, MASK, TASKS, Case, Place, flipped
from tallystick.model.record import SALT_BYTES


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


RECORDS = {(1, 1), (1, 2)}
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
    assert case.checked > 700


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
        for index in {*range(4), *range(size - 4, size), *range(8, size, 2_000 if storm else 300_000)}:
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
