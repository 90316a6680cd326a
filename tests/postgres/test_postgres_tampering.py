"""Whatever a superuser changes behind the ledger's back, with the triggers put back, verification names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import sql

from support.checkpoints import SignerUnderTest
from support.contract import ENTRY
from support.postgres import PostgresUnderTest, Shared
from tallystick import Entry, Ledger, Session, TamperedError
from tallystick.model import Origin, Rules
from tallystick.stores.base import SessionKey
from tallystick.stores.log_faults import log_faults
from tallystick.stores.postgres_checkpoints import PostgresLog
from tallystick.stores.postgres_faults import row_faults, schema_faults
from tallystick.stores.postgres_reader import PostgresReader
from tallystick.stores.postgres_schema import COLUMNS, PARTITIONED, partition_of, session_key
from tallystick.stores.postgres_track import INLINE_POINTERS
from tallystick.verification import Fault, iterate_store, raise_first

Place = tuple[str, int | None]
FULL = ENTRY.replace(exit_code=2, output="printed\n", details={"run": {"exit_code": 2}})
MANY = INLINE_POINTERS + 10


class Peek(PostgresReader):
    """A store that reads in somebody else's transaction."""

    read_only = True

    def __init__(self, connection: psycopg.Connection[Any], ledger_id: str) -> None:
        self._connection = connection
        self.ledger_id = ledger_id
        self.url = ""
        self.digits: set[str] = set()
        self._log = PostgresLog(self._query, lambda _: False)

    @property
    def log(self) -> PostgresLog:
        return self._log

    def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:
        """What guards the ledger is looked at elsewhere: here its triggers are off."""
        yield from row_faults(self._query, sorted(self.digits))
        yield from log_faults(self.log, self.ledger_id)

    def _query(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.cursor(binary=True).execute(sql.SQL(statement), arguments).fetchall()


class Case:
    """A ledger with one of everything, and a superuser's transaction that is never committed."""

    def __init__(self, connection: psycopg.Connection[Any], ledger_id: str, other_id: str) -> None:
        self.connection = connection
        self.ledger_id = ledger_id
        self.keys = {session_key(ledger_id, task): task for task in ("a", "imported", "empty", "many")} | {
            session_key(other_id, "a"): "a"
        }
        self.checked = 0
        self._peek = Peek(connection, ledger_id)
        self._peek.digits = {partition_of(int.from_bytes(key)) for key in self.keys} | {"0"}
        assert self.faults() == []
        tables = [f"{table}_{digit}" for table in PARTITIONED for digit in self._peek.digits]
        for one in (*tables, *PARTITIONED, "ledger", "migration", "checkpoint"):
            connection.execute(sql.SQL(f"ALTER TABLE tallystick.{one} DISABLE TRIGGER USER"))

    def faults(self) -> list[Fault]:
        found: list[Fault] = []
        for one in iterate_store(self._peek):  # type: ignore[arg-type]
            found += [one] if isinstance(one, Fault) else one.faults
        return found

    def rows(self, table: str) -> list[dict[str, Any]]:
        cursor = self.connection.execute(sql.SQL(f"SELECT * FROM tallystick.{table}"))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def edit(self, statement: str, arguments: Sequence[Any] = (), *, at: set[Place]) -> None:
        """Tamper, look whether one of these places is named first, and undo it."""
        self.connection.execute("SAVEPOINT before")
        try:
            self.connection.execute(sql.SQL(statement), arguments)
        except psycopg.IntegrityError:
            self.connection.execute("ROLLBACK TO before")
            return
        self.checked += 1
        with pytest.raises(TamperedError) as caught:
            raise_first(self.faults())
        place = caught.value.task_id, caught.value.position
        gone = place[0].startswith("session ")
        assert place in at or gone, f"{statement} {arguments}: {caught.value}"
        self.connection.execute("ROLLBACK TO before")


def entries() -> list[Entry]:
    return [
        FULL,
        Entry(type="note"),
        FULL.replace(criterion_id="ac2", reason="secret", output="secret"),
        Entry(type="phase", phase_id="p1", status="done"),
        FULL.replace(status="fail", phase_id="p2"),
        Entry(type="run", output=bytes(range(256)) * 400),
        Entry(type="note", output="only output"),
    ]


@pytest.fixture(scope="module")
def prepared(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """(database, our ledger's id, another ledger's id, one of whose sessions is kept beside ours)."""
    database, other = shared.new_database(), shared.new_database()
    with Ledger.open(shared.url(database)) as ledger, Ledger.open(shared.url(other)) as foreign:
        signer = SignerUnderTest(tmp_path_factory.mktemp("signer"))
        for n, entry in enumerate(entries()):
            ledger.append("a", entry, idempotency_key=str(n) if n % 2 else None)
            if n == 3:
                signer.sign(ledger)
        ledger.erase("a", 3, ["text", "output"], reason="leaked", actor="me")
        origin = Origin(format="scafld", dialect="2.3", schema_version=1)
        ledger.import_session(
            Session(task_id="imported", created_at="2020", rules=Rules.V2, origin=origin, entries=[Entry(), FULL])
        )
        ledger.import_session(Session(task_id="empty", created_at="2020"))
        ledger.append("many", [Entry(type="note", criterion_id=f"ac{n:02}") for n in range(MANY)])
        signer.sign(ledger)
        foreign.append("a", [FULL, Entry(type="note")])
        kept = foreign.store.find("a")
        assert kept is not None
        ledger.store.adopt(foreign.store, kept)  # type: ignore[attr-defined]
        assert ledger.verify()
        yield database, ledger.ledger_id, foreign.ledger_id
    for name in (database, other):
        shared.drop(name)


@pytest.fixture
def case(shared: Shared, prepared: tuple[str, str, str]) -> Iterator[Case]:
    database, ledger_id, other_id = prepared
    with psycopg.connect(shared.url(database)) as connection:
        connection.execute("SET synchronous_commit = on")
        yield Case(connection, ledger_id, other_id)
        connection.rollback()


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def changes(value: Any) -> list[Any]:
    """Other values that a column could be made to hold."""
    if isinstance(value, bytes):
        return [flipped(value, 0), flipped(value, len(value) - 1), value[:-1], value + b"x", b""] if value else [b"x"]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, list):
        return [[*value, *value[:1]], value[1:], [*value[:-1], changes(value[-1])[0]], None] if value else [None]
    if isinstance(value, int):
        return [value + 1, value - 1, 0, -1]
    if isinstance(value, str):
        return [value + " ", value[:-1], "", value.swapcase()]
    return []


SOMETHING = {"text[]": ["x"], "bigint[]": [1], "boolean": True}
"""What a column of that type could be made to hold that holds nothing."""


def some(values: list[Any], turn: int, storm: bool) -> list[Any]:
    """All of them for the first row (for every row under `--storm`), then one at a time in turn."""
    return values if storm or not turn else values[turn % max(1, len(values)) :][:1]


def test_every_column_of_every_record(case: Case, storm: bool) -> None:
    for turn, row in enumerate(case.rows("record")):
        task, position = case.keys[row["session"]], row["position"]
        if task == "many" and position not in (1, 2, MANY):
            continue
        where = "WHERE session = %s AND position = %s"
        for column, kind, required in COLUMNS["record"][2:]:
            values = [value for value in changes(row[column]) if value != row[column]]
            values += [None] if row[column] is not None and not required else []
            values += [b"x"] if row[column] is None else []
            for value in some(values, turn, storm):
                statement = f"UPDATE tallystick.record SET {column} = %s::{kind} {where}"
                case.edit(statement, (value, row["session"], position), at={(task, position)})
    assert case.checked > 150, case.checked


def test_every_column_of_sessions_heads_and_pointers(case: Case, storm: bool) -> None:
    for turn, row in enumerate(case.rows("session")):
        task = case.keys[row["key"]]
        anywhere: set[Place] = {(task, 0), (task, None), ("", None), ("", 1)}
        for column, kind, _ in COLUMNS["session"]:
            for value in some(changes(row[column]), turn, storm):
                statement = f"UPDATE tallystick.session SET {column} = %s::{kind} WHERE key = %s"
                at = anywhere | {(str(value), None), (str(value), 0)}
                if value != row[column]:
                    case.edit(statement, (value, row["key"]), at=at)
        for index in range(turn, len(row["header"]), 7 if storm else 21):
            at = anywhere | {(task, 1)}
            changed = flipped(row["header"], index)
            case.edit("UPDATE tallystick.session SET header = %s WHERE key = %s", (changed, row["key"]), at=at)
    for turn, row in enumerate(case.rows("state")):
        task = case.keys[row["session"]]
        for column, kind, _ in COLUMNS["state"]:
            if column in ("until", "moved"):  # no part of the history: whose it is, and when appends were looked at
                continue
            values = [*changes(row[column]), None if row[column] is not None else SOMETHING.get(kind, "x")]
            for value in some(values, turn, storm):
                if value == row[column] or (column == "edge" and value == "x"):
                    continue
                places: set[Place] = {(task, place) for place in (None, *range(-1, MANY + 2))} | {("", None)}
                statement = f"UPDATE tallystick.state SET {column} = %s::{kind} WHERE session = %s AND key = %s"
                case.edit(statement, (value, row["session"], row["key"]), at=places)
    assert case.checked > 100, case.checked


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (None, None),
        ([], []),
        (["cac1"], [5]),
        (["cac1", "cac1"], [5, 5]),
        (["cac1"], [None]),
        ([None], [5]),
        (["cac1"], []),
        ([], [5]),
        (["cac1", "cac2"], [5]),
        ([["cac1"], ["cac2"]], [[5], [3]]),
        ([""], [1]),
    ],
)
def test_pointers_in_a_head_are_what_the_database_left(case: Case, names: Any, places: Any) -> None:
    at: set[Place] = {("a", place) for place in (None, *range(12))}
    key = session_key(case.ledger_id, "a")
    statement = "UPDATE tallystick.state SET names = %s, places = %s WHERE session = %s AND key = ''"
    case.edit(statement, (names, places, key), at=at)
    assert case.checked == 1


def test_pointers_kept_twice_moved_or_marked(case: Case) -> None:
    key, many = session_key(case.ledger_id, "a"), session_key(case.ledger_id, "many")
    marked = {row["session"]: row["more"] for row in case.rows("state") if not row["key"]}
    places: set[Place] = {(task, place) for task in ("a", "many") for place in (None, *range(MANY + 1))}
    insert = "INSERT INTO tallystick.state (session, key, position, at, names, more) VALUES (%s, %s, %s, %s, %s, %s)"
    for name, position, at, names, more in (
        ("cac1", 5, None, None, None), ("cac1", 1, None, None, None), ("cnew", 1, None, None, None),
        ("x", 1, None, None, None), ("cnew", 1, None, [], None), ("cnew", 1, "x", None, None),
        ("cnew", 1, None, None, False),
    ):  # fmt: skip
        case.edit(insert, (key, name, position, at, names, more), at=places)
    assert (marked[key], marked[many]) == (False, True)
    update = "UPDATE tallystick.state SET more = %s WHERE session = %s AND key = ''"
    case.edit(update, (False, many), at=places)
    case.edit(update, (True, key), at=places)
    case.edit(update, (None, many), at=places)
    assert case.checked == 10


def test_rows_removed(case: Case) -> None:
    for row in case.rows("record"):
        task, position = case.keys[row["session"]], row["position"]
        if task != "many":
            statement = "DELETE FROM tallystick.record WHERE session = %s AND position = %s"
            at: set[Place] = {(one, n) for one in (task, "a") for n in (position, position - 1)}
            case.edit(statement, (row["session"], position), at=at)
    for key, task in case.keys.items():
        places: set[Place] = {(task, place) for place in (None, 0, 1)} | {("", 1), ("", None)}
        case.edit("DELETE FROM tallystick.session WHERE key = %s", (key,), at=places)
        case.edit(
            "DELETE FROM tallystick.state WHERE session = %s", (key,), at=places | {(task, n) for n in range(MANY + 1)}
        )
        if task != "empty":
            case.edit("DELETE FROM tallystick.record WHERE session = %s", (key,), at=places | {("a", 6)})
    for row in case.rows("state"):
        task = case.keys[row["session"]]
        statement = "DELETE FROM tallystick.state WHERE session = %s AND key = %s"
        at = {(task, place) for place in (None, *range(MANY + 1))}
        case.edit(statement, (row["session"], row["key"]), at=at)
    for table in ("ledger", "migration"):
        for row in case.rows(table):
            number = next(iter(row.values()))
            column = next(iter(row))
            at = {("", None)} | {(task, place) for task in case.keys.values() for place in (None, 0)}
            case.edit(f"DELETE FROM tallystick.{table} WHERE {column} = %s", (number,), at=at)


def test_rows_inserted_and_moved(case: Case) -> None:
    ours = [key for key, task in case.keys.items() if task != "empty"]
    names = ", ".join(name for name, *_ in COLUMNS["record"][2:])
    for key in ours:
        task = case.keys[key]
        last = max(row["position"] for row in case.rows("record") if row["session"] == key)
        copy = (
            f"INSERT INTO tallystick.record SELECT session, %s, {names} FROM tallystick.record"
            " WHERE session = %s AND position = 1"
        )
        for position in (last + 1, last + 2, 0, -1, 2**62):
            case.edit(copy, (position, key), at={(task, place) for place in (position, last, last + 1, 0, -1)})
        for target in (*ours, b"\x00" * 16):
            if target != key:
                statement = "UPDATE tallystick.record SET session = %s WHERE session = %s AND position = %s"
                places: set[Place] = {(one, place) for one in case.keys.values() for place in range(MANY + 2)}
                case.edit(statement, (target, key, last), at=places | {("", last)})
    for one, other in pairwise(ours):
        swap = (
            "UPDATE tallystick.session s SET header = o.header FROM tallystick.session o"
            " WHERE (s.key, o.key) IN ((%s, %s), (%s, %s))"
        )
        case.edit(swap, (one, other, other, one), at={(task, 0) for task in case.keys.values()})
    a = session_key(case.ledger_id, "a")
    for first, second in ((1, 3), (1, 2), (5, 7)):
        swap = (
            "UPDATE tallystick.record r SET (record, node) = (o.record, o.node) FROM tallystick.record o WHERE"
            " r.session = %s AND o.session = %s AND (r.position, o.position) IN ((%s, %s), (%s, %s))"
        )
        case.edit(swap, (a, a, first, second, second, first), at={("a", first), ("a", first + 1)})
    case.edit("INSERT INTO tallystick.ledger VALUES (3, 'x')", at={("", None)})
    case.edit("INSERT INTO tallystick.ledger VALUES (9, 'x')", at={("", None)})
    case.edit("INSERT INTO tallystick.migration VALUES (9)", at={("", None)})
    case.edit(
        "UPDATE tallystick.ledger SET ledger_id = ledger_id || 'x' WHERE number = 1",
        at={("a", None), ("a", 0), ("empty", None), ("imported", None), ("many", None)},
    )
    key = session_key(case.ledger_id, "forged")
    case.edit(
        "INSERT INTO tallystick.session SELECT %s, 1, 'forged', header FROM tallystick.session WHERE key = %s",
        (key, a),
        at={("forged", 0)},
    )
    assert case.checked > 30


def test_checkpoints_and_the_heads_they_are_about(case: Case, storm: bool) -> None:
    places: set[Place] = {("", None)} | {(task, n) for task in case.keys.values() for n in (None, *range(-1, MANY + 2))}
    for turn, row in enumerate(case.rows("checkpoint")):
        for column, kind, _ in COLUMNS["checkpoint"]:
            for value in some(changes(row[column]), turn, storm):
                if value != row[column]:
                    statement = f"UPDATE tallystick.checkpoint SET {column} = %s::{kind} WHERE number = %s"
                    case.edit(statement, (value, row["number"]), at=places)
        case.edit("DELETE FROM tallystick.checkpoint WHERE number = %s", (row["number"],), at=places)
    for turn, row in enumerate(case.rows("head_history")):
        where = "WHERE session = %s AND checkpoint = %s"
        place = (row["session"], row["checkpoint"])
        for column, kind, _ in COLUMNS["head_history"]:
            for value in some(changes(row[column]), turn, storm):
                if value != row[column]:
                    statement = f"UPDATE tallystick.head_history SET {column} = %s::{kind} {where}"
                    case.edit(statement, (value, *place), at=places)
        case.edit(f"DELETE FROM tallystick.head_history {where}", place, at=places)
        source = f"SELECT session, %s, position, root FROM tallystick.head_history {where}"
        copy = f"INSERT INTO tallystick.head_history {source}"
        for checkpoint in (0, 3, 9):
            case.edit(copy, (checkpoint, *place), at=places)
    assert case.checked > 50


def test_artifacts(case: Case) -> None:
    a = session_key(case.ledger_id, "a")
    rows = case.rows("artifact")
    assert {(row["session"], row["position"]) for row in rows} == {(a, 6)}
    at: set[Place] = {("a", 6)}
    for row in rows:
        where = "WHERE session = %s AND position = %s AND chunk = %s"
        place = (row["session"], row["position"], row["chunk"])
        for column in ("digest", "data"):
            for value in changes(row[column]):
                case.edit(f"UPDATE tallystick.artifact SET {column} = %s {where}", (value, *place), at=at)
        case.edit(f"DELETE FROM tallystick.artifact {where}", place, at=at)
        for chunk in (-1, 1, 7):
            source = f"SELECT session, position, %s, digest, data FROM tallystick.artifact {where}"
            copy = f"INSERT INTO tallystick.artifact {source}"
            case.edit(copy, (chunk, *place), at=at)
            case.edit(f"UPDATE tallystick.artifact SET chunk = %s {where}", (chunk, *place), at=at)
        for position in (1, 5, 99):
            case.edit(
                f"UPDATE tallystick.artifact SET position = %s {where}", (position, *place), at=at | {("a", position)}
            )
        for session in (session_key(case.ledger_id, "empty"), b"\x00" * 16):
            case.edit(
                f"UPDATE tallystick.artifact SET session = %s {where}",
                (session, *place),
                at=at | {("", 6), ("empty", 6)},
            )


NO_CHECK = "ALTER TABLE tallystick.record DROP CONSTRAINT record_position_check"
SCHEMA = [
    "DROP TRIGGER record_append ON tallystick.record",
    "DROP TRIGGER artifact_append ON tallystick.artifact_7",
    "DROP TRIGGER local_proof_append ON tallystick.local_proof_7",
    "DROP FUNCTION tallystick.append2_0",
    "ALTER FUNCTION tallystick.append2_0 SECURITY INVOKER",
    "ALTER FUNCTION tallystick.begin_0 RESET search_path",
    "ALTER FUNCTION tallystick.append2_0 OWNER TO postgres",
    "CREATE FUNCTION tallystick.append2_0() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE FUNCTION tallystick.more() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE VIEW tallystick.append_0 AS SELECT * FROM tallystick.record_0",
    "GRANT EXECUTE ON FUNCTION tallystick.move_0 TO tallystick_writer",
    "GRANT EXECUTE ON FUNCTION tallystick.append2_0 TO tallystick_reader",
    "GRANT EXECUTE ON FUNCTION tallystick.hold_3 TO PUBLIC",
    "GRANT UPDATE ON tallystick.state_0 TO tallystick_writer",
    "GRANT INSERT ON tallystick.session_0 TO tallystick_writer",
    "DROP TRIGGER state_no_truncate ON tallystick.state_f",
    "ALTER TABLE tallystick.record_0 DISABLE TRIGGER record_no_delete",
    "ALTER TABLE tallystick.record_0 ENABLE TRIGGER record_no_delete",
    "ALTER TABLE tallystick.session_3 DISABLE TRIGGER ALL",
    "CREATE TRIGGER more BEFORE INSERT ON tallystick.record_1 FOR EACH ROW EXECUTE FUNCTION tallystick.refuse()",
    "CREATE OR REPLACE FUNCTION tallystick.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
    "CREATE OR REPLACE FUNCTION tallystick.record_append() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION tallystick.refuse() SET search_path = public",
    "ALTER FUNCTION tallystick.refuse() SECURITY DEFINER",
    "ALTER FUNCTION tallystick.refuse() RENAME TO other",
    "ALTER FUNCTION tallystick.refuse() OWNER TO postgres",
    "GRANT UPDATE ON tallystick.record_4 TO tallystick_writer",
    "GRANT UPDATE (task_id) ON tallystick.session_4 TO PUBLIC",
    "GRANT DELETE ON tallystick.record TO tallystick_eraser",
    "GRANT TRUNCATE ON tallystick.state_0 TO tallystick_reader",
    "GRANT INSERT ON tallystick.record_0 TO tallystick_writer",
    "GRANT INSERT (key) ON tallystick.session_0 TO PUBLIC",
    "GRANT CREATE ON SCHEMA tallystick TO tallystick_writer",
    "GRANT TRIGGER ON tallystick.state_0 TO tallystick_writer",
    "ALTER TABLE tallystick.record_9 OWNER TO tallystick_writer",
    "ALTER TABLE tallystick.record_9 ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE tallystick.record ENABLE ROW LEVEL SECURITY",
    "CREATE RULE keep AS ON DELETE TO tallystick.record_2 DO INSTEAD NOTHING",
    "ALTER TABLE tallystick.record DETACH PARTITION tallystick.record_8",
    "DROP TABLE tallystick.local_proof_0",
    NO_CHECK,
    "ALTER TABLE tallystick.record_5 ADD CHECK (position > 0) NOT VALID; " + NO_CHECK,
    "ALTER TABLE tallystick.state DROP CONSTRAINT state_pkey CASCADE",
    "ALTER TABLE tallystick.ledger DROP CONSTRAINT ledger_pkey",
    "ALTER TABLE tallystick.record ALTER COLUMN node DROP NOT NULL",
    "ALTER TABLE tallystick.record ADD COLUMN more text",
    "ALTER TABLE tallystick.artifact ALTER COLUMN chunk TYPE bigint",
    "ALTER TABLE tallystick.record_6 SET UNLOGGED",
]


@pytest.mark.parametrize("statement", SCHEMA)
def test_what_guards_the_ledger_is_looked_at(shared: Shared, prepared: tuple[str, str, str], statement: str) -> None:
    with psycopg.connect(shared.url(prepared[0])) as connection:

        def query(text: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            return connection.cursor(binary=True).execute(sql.SQL(text), arguments).fetchall()

        assert list(schema_faults(query)) == []
        connection.execute(sql.SQL(statement))
        assert list(schema_faults(query)) != []
        connection.rollback()


def test_one_task_is_verified_with_what_guards_it(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    ledger.verify("t")
    with store.shared.connect(store.database) as connection:
        connection.execute("ALTER TABLE tallystick.record_0 DISABLE TRIGGER ALL")
    with pytest.raises(TamperedError, match=r"trigger record_.* on record_0 is not always enabled"):
        ledger.verify("t")
