"""A SQLite ledger with one of everything, and somebody who edits it with plain SQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.contract import Chance, Clock
from tallystick import Entry, Ledger, Session, TamperedError
from tallystick.model import Origin, Rules
from tallystick.stores.sqlite_schema import POSITION_BITS
from tallystick.verification import Fault

BITS = POSITION_BITS
_TABLE = re.compile(r"(?:UPDATE|INTO|FROM) (\w+)")
FULL = Entry(
    type="criterion",
    criterion_id="ac1",
    status="pass",
    reason="because",
    command="make",
    exit_code=2,
    output="printed\n",
    details={"run": {"exit_code": 2}},
)


def make(path: Path, *, artifacts: bool = False) -> None:
    """A ledger with four sessions, one of them another ledger's (two with `artifacts`)."""
    clock = Clock()
    with Ledger.open(str(path), clock=clock, random=Chance(b"ledger")) as ledger:
        if artifacts:
            _with_artifacts(ledger)
            return
        for n, entry in enumerate(_entries()):
            clock.minute = n
            ledger.append("a", entry)
        ledger.erase("a", 3, ["text", "output"], reason="leaked", actor="me")
        ledger.import_session(
            Session(
                task_id="imported",
                created_at="2020",
                rules=Rules.V2,
                origin=Origin(format="scafld", dialect="2.3", schema_version=1),
                entries=[Entry(), FULL.replace(id="x", recorded_at="2021"), Entry(type="phase", phase_id="p1")],
            )
        )
        ledger.import_session(Session(task_id="empty", created_at="2020"))
    _add_foreign(path)


def _entries() -> list[Entry]:
    return [
        FULL,
        Entry(type="note"),
        FULL.replace(criterion_id="ac2", reason="secret", output="secret"),
        Entry(type="phase", phase_id="p1", status="done"),
        FULL.replace(status="fail", phase_id="p2"),
        Entry(type="note", reason="only text"),
        Entry(type="note", details={"only": "details"}),
        Entry(type="note", output="only output"),
    ]


def _with_artifacts(ledger: Ledger) -> None:
    noise = Chance(b"output")
    ledger.append("a", FULL)
    ledger.append("a", FULL.replace(output=noise(2_500_000)))
    ledger.append("a", [FULL.replace(output=noise(70_000)), FULL])
    ledger.append("b", FULL.replace(output=b"x" * (1 << 20)))
    ledger.erase("b", 1, ["output"], reason="leaked")


def _add_foreign(path: Path) -> None:
    """A session of another ledger, kept beside ours under its own ledger's id."""
    other = path.with_name("other.db")
    with Ledger.open(str(other), clock=Clock(), random=Chance(b"other")) as ledger:
        ledger.append("a", [FULL, Entry(type="note")])
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("ATTACH ? AS other", (str(other),))
    connection.execute("BEGIN")
    connection.execute("INSERT INTO ledger SELECT 2, ledger_id FROM other.ledger")
    connection.execute("INSERT INTO session SELECT 4, 2, task_id, header FROM other.session")
    columns = "record, node, criterion_before, type_before, text_salt, text, details_salt, details, output_salt, output"
    connection.execute(f"INSERT INTO record SELECT (4 << {BITS}) + (id & 255), {columns} FROM other.record ORDER BY id")
    connection.execute("INSERT INTO state SELECT 4, key, position, at, edge FROM other.state")
    connection.execute("COMMIT")
    connection.close()
    for suffix in ("", "-wal", "-shm", "-lock"):
        path.with_name(f"other.db{suffix}").unlink(missing_ok=True)


class Tamperer:
    """Edits a ledger's file with the triggers out of the way, puts them back, and can undo it all."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA synchronous = OFF")
        self._pristine = sqlite3.connect(":memory:")
        self.connection.backup(self._pristine)

    def triggers(self) -> list[tuple[str, str]]:
        """Name and SQL of every trigger."""
        rows = self.connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return [(name, sql) for name, sql in rows]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table, by column."""
        cursor = self.connection.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextmanager
    def unguarded(self, table: str = "") -> Iterator[sqlite3.Connection]:
        """One transaction without (the table's) triggers; they are back at its end."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            triggers = [(name, sql) for name, sql in self.triggers() if f" ON {table}" in sql]
            for name, _ in triggers:
                self.connection.execute(f"DROP TRIGGER {name}")
            yield self.connection
            for _, sql in triggers:
                self.connection.execute(sql)
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def edit(self, statement: str, arguments: Sequence[Any] = ()) -> bool:
        """Run one statement unguarded. False where the database refuses it even so (a UNIQUE, a NOT NULL)."""
        try:
            with self.unguarded(_TABLE.findall(statement)[0]) as connection:
                connection.execute(statement, arguments)
        except sqlite3.IntegrityError:
            return False
        return True

    def undo(self) -> None:
        """Make the file what it was when the tamperer first saw it."""
        self._pristine.backup(self.connection)

    def close(self) -> None:
        """Give the connections back."""
        self.connection.close()
        self._pristine.close()


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


def flipped(data: bytes, index: int, mask: int = 1) -> bytes:
    return data[:index] + bytes([data[index] ^ mask]) + data[index + 1 :]
