"""A ledger of an older schema is brought up to date with all that is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from support.checkpoints import SignerUnderTest, all_faults
from support.contract import ENTRY
from support.postgres import PostgresUnderTest, Shared
from tallystick import Entry, Ledger, StoreUnavailableError
from tallystick.stores import postgres_schema as schema
from tallystick.stores.postgres_faults import schema_faults
from tallystick.stores.postgres_setup import initialise
from tallystick.stores.postgres_track import INLINE_POINTERS

OLD = Path(__file__).parents[1] / "data" / "schema" / "postgres-1.sql"
MANY = INLINE_POINTERS + 10


def statements_of_schema_1() -> Iterator[str]:
    lines = [line for line in OLD.read_text("utf-8").splitlines() if not line.startswith("-- ")]
    for statement in "\n".join(lines).split("\n--"):
        if "{x}" not in statement:
            yield statement
            continue
        for digit in schema.PARTITIONS:
            first, last = schema.bounds(digit)
            yield statement.replace("{x}", digit).replace("{first}", first).replace("{last}", last)


def make_old(connection: psycopg.Connection[Any]) -> None:
    """An empty schema as version 1 made it, but for the rows that name ledger and version."""
    connection.execute(sql.SQL(f"CREATE SCHEMA tallystick AUTHORIZATION {schema.OWNER}"))
    connection.execute(sql.SQL(f"SET ROLE {schema.OWNER}"))
    for statement in filter(str.strip, statements_of_schema_1()):
        connection.execute(sql.SQL(statement))
    connection.execute("RESET ROLE")
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'tallystick'::regnamespace AND relkind IN ('r', 'p')"
    ).fetchall()
    for (table,) in tables:
        connection.execute(sql.SQL(f"ALTER TABLE tallystick.{table} DISABLE TRIGGER USER"))
    connection.execute("INSERT INTO tallystick.migration VALUES (1)")


def move_back(source: psycopg.Connection[Any], target: psycopg.Connection[Any]) -> None:
    """Every row of a ledger of today, as version 1 would have kept it."""
    for table in schema.COLUMNS:
        if table == "migration":
            continue
        names = [name for name, *_ in schema.COLUMNS[table]]
        rows = source.execute(sql.SQL(f"SELECT {', '.join(names)} FROM tallystick.{table} ORDER BY 1, 2")).fetchall()
        if table == "state":
            kept = ["session", "key", "position", "at", "edge", "moved"]
            columns = [dict(zip(names, row, strict=True)) for row in rows]
            rows = [(*map(row.get, kept), _pointers(row["names"], row["places"], row["more"])) for row in columns]
            names = [*kept, "pointers"]
        marks = ", ".join(["%s"] * len(names))
        statement = f"INSERT INTO tallystick.{table} ({', '.join(names)}) VALUES ({marks})"
        target.cursor().executemany(statement.encode(), rows)


def _pointers(names: list[str] | None, places: list[int] | None, more: bool | None) -> str | None:
    if names is None or places is None:
        return None
    kept = dict(sorted(zip(names, places, strict=True)))
    return json.dumps(({"": 1} if more else {}) | kept, separators=(",", ":"))


@pytest.fixture
def today(store: PostgresUnderTest, tmp_path: Path) -> Ledger:
    """A ledger with one of everything."""
    ledger = store.open()
    ledger.append("a", [ENTRY, ENTRY.replace(output=b"x" * 90_000, details={"n": 1})], idempotency_key="k")
    ledger.append("a", Entry(type="note", reason="ééé", criterion_id="ü", phase_id='"quoted"'))
    ledger.append("many", [Entry(type="note", criterion_id=f"ac{n:02}") for n in range(MANY)])
    SignerUnderTest(tmp_path / "config").sign(ledger)
    ledger.append("many", Entry(type="note", criterion_id="ac00"))
    ledger.erase("a", 1, ["text"], reason="leaked")
    with Ledger.open(str(tmp_path / "foreign.db")) as foreign:
        foreign.append("a", [ENTRY, ENTRY])
        key = foreign.store.find("a")
        assert key is not None
        ledger.store.adopt(foreign.store, key)  # type: ignore[attr-defined]
    return ledger


def test_a_ledger_of_schema_1_is_brought_up_to_date(shared: Shared, database: str, today: Ledger) -> None:
    with psycopg.connect(today.url, autocommit=True) as source, shared.connect(database) as target:
        make_old(target)
        move_back(source, target)
    url = shared.url(database)
    with pytest.raises(StoreUnavailableError, match="the ledger has schema 1, this version needs 2"):
        Ledger.open(url, read_only=True)
    assert initialise(url) == today.ledger_id
    with Ledger.open(url) as ledger:
        assert all_faults(ledger) == []
        for task in ("a", "many"):
            assert ledger.head(task) == today.head(task)
            assert ledger.state(task).criteria == today.state(task).criteria
            assert list(ledger.entries(task)) == list(today.entries(task))
        assert [key.ledger_id for key in ledger.sessions_of("a")] == [key.ledger_id for key in today.sessions_of("a")]
        for criterion in ("ac00", f"ac{MANY - 1:02}", "new"):
            ledger.append("many", Entry(type="note", criterion_id=criterion))
        ledger.append("a", [ENTRY] * 40)
        ledger.append("b", ENTRY)
        assert all_faults(ledger) == []
    with shared.connect(database) as connection:

        def query(statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            return connection.execute(sql.SQL(statement), arguments).fetchall()

        assert list(schema_faults(query)) == []
        assert query("SELECT version FROM tallystick.migration ORDER BY 1") == [(1,), (2,)]
