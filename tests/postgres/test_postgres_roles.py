"""Who may do what: tested as the roles themselves, and as a superuser where triggers have to hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from support.contract import ENTRY
from support.postgres import PostgresUnderTest, Shared
from tallystick import Entry, Ledger, StoreUnavailableError
from tallystick.model import Session
from tallystick.stores.postgres_schema import (
    COLUMNS,
    ERASER,
    OWNER,
    PARTITIONED,
    READER,
    ROLES,
    SCHEMA_VERSION,
    SEQUENCER,
    WRITER,
    partition_of,
    session_key,
)

FULL = ENTRY.replace(output="printed", details={"a": 1})


@pytest.fixture
def digit(ledger: Ledger) -> str:
    """The partition of task `t`, which gets two entries and an artifact."""
    ledger.append("t", [FULL, Entry(type="run", output=b"x" * 70_000)], idempotency_key="k")
    return partition_of(int.from_bytes(session_key(ledger.ledger_id, "t")))


def attempt(url: str, statement: str) -> str:
    """The SQLSTATE of what the server says to the statement; empty where it does it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = tallystick")
        connection.execute("SELECT set_config('tallystick.schema', %s, false)", (str(SCHEMA_VERSION),))
        try:
            connection.execute(sql.SQL(statement))
        except psycopg.Error as error:
            return error.sqlstate or "?"
    return ""


DENIED = "42501"
REFUSED = "TS003"

CHANGES = [
    "UPDATE {t}_{x} SET {column} = {column}",
    "DELETE FROM {t}_{x}",
    "TRUNCATE {t}_{x}",
    "UPDATE {t} SET {column} = {column}",
    "DELETE FROM {t}",
    "TRUNCATE {t}",
    "DROP TABLE {t}_{x}",
    "ALTER TABLE {t}_{x} DISABLE TRIGGER ALL",
    "ALTER TABLE {t}_{x} ADD COLUMN more text",
    "CREATE RULE r AS ON INSERT TO {t}_{x} DO INSTEAD NOTHING",
    "CREATE TRIGGER r BEFORE INSERT ON {t}_{x} FOR EACH ROW EXECUTE FUNCTION refuse()",
]
COLUMN = {"session": "task_id", "state": "session", "local_proof": "digest", "local_idempotency": "last"}


@pytest.mark.parametrize("role", [READER, WRITER, SEQUENCER, ERASER])
def test_nobody_but_the_owner_changes_anything(
    store: PostgresUnderTest, ledger: Ledger, digit: str, as_role: Callable[[str], str], role: str
) -> None:
    url = as_role(role)
    allowed = {f"DELETE FROM {table}_{digit}" for table in ("artifact", "local_proof")} if role == ERASER else set()
    for table in PARTITIONED:
        for change in CHANGES:
            statement = change.format(t=table, x=digit, column=COLUMN.get(table, "position"))
            if table == "record" and "SET position" in statement:
                statement = statement.replace("position", "record")
            if statement not in allowed:
                assert attempt(url, statement) == DENIED, statement
    for table in ("ledger", "migration"):
        for change in (
            "UPDATE {t} SET {c} = {c}",
            "DELETE FROM {t}",
            "TRUNCATE {t}",
            "INSERT INTO {t} SELECT * FROM {t}",
        ):
            statement = change.format(t=table, c="ledger_id" if table == "ledger" else "version")
            assert attempt(url, statement) == DENIED, statement
    for statement in (
        "CREATE TABLE mine (a int)",
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
        "SET session_replication_role = replica",
        f"SET ROLE {OWNER}",
        "DROP SCHEMA tallystick CASCADE",
    ):
        assert attempt(url, statement) == DENIED, statement
    # Who may grant nothing gets a warning, and verification finds that nothing was granted.
    assert attempt(url, f"GRANT UPDATE ON record_{digit} TO PUBLIC") in ("", DENIED)
    ledger.verify()


def test_what_each_role_is_for(
    store: PostgresUnderTest, ledger: Ledger, digit: str, as_role: Callable[[str], str]
) -> None:
    with Ledger.open(as_role(WRITER)) as writer:
        assert writer.append("t", FULL, idempotency_key="w").position == 3
        assert writer.append("new", [FULL] * 50).position == 50
        assert writer.append("t", [Entry(criterion_id=f"ac{n}") for n in range(40)]).position == 43
        writer.import_session(Session(task_id="imported", created_at="2020", entries=[FULL]))
        with pytest.raises(StoreUnavailableError, match="permission denied"):
            writer.erase("t", 1, ["text"], reason="x")
        writer.verify()
    with Ledger.open(as_role(ERASER)) as eraser:
        assert eraser.erase("t", 1, reason="leaked").position == 44
        assert eraser.erase("t", 2, ["output"], reason="leaked").position == 45
        assert eraser.append("t", FULL).position == 46
        eraser.verify()
    with Ledger.open(as_role(READER), read_only=True) as reader:
        assert reader.verify()[0].erased == 4
        assert len(list(reader.tasks())) == 3
    assert store.sql("SELECT salt, digest FROM local_idempotency WHERE key = 'k'") == [(None, None)]


def test_a_longer_history_that_erased_something_takes_the_eraser(
    store: PostgresUnderTest, ledger: Ledger, as_role: Callable[[str], str], tmp_path: Path
) -> None:
    with Ledger.open(str(tmp_path / "foreign.db")) as foreign:
        foreign.append("t", [FULL, FULL])
        key = foreign.store.find("t")
        assert key is not None
        with Ledger.open(as_role(WRITER)) as writer:
            assert writer.store.adopt(foreign.store, key) == 2  # type: ignore[attr-defined]
            foreign.erase("t", 1, reason="leaked")
            with pytest.raises(StoreUnavailableError, match=r"permission denied.*tallystick_eraser"):
                writer.store.adopt(foreign.store, key)  # type: ignore[attr-defined]
            assert writer.head("t", ledger_id=foreign.ledger_id).position == 2
        with Ledger.open(as_role(ERASER)) as eraser:
            assert eraser.store.adopt(foreign.store, key) == 1  # type: ignore[attr-defined]
            eraser.verify()


def test_a_part_can_be_cleared_and_nothing_else(
    store: PostgresUnderTest, ledger: Ledger, digit: str, as_role: Callable[[str], str]
) -> None:
    url = as_role(ERASER)
    for statement in (
        f"UPDATE record_{digit} SET text = '\\x00' WHERE position = 1",
        f"UPDATE record_{digit} SET text = details WHERE position = 1",
        f"UPDATE record_{digit} SET output = '\\x00', output_salt = '\\x00' WHERE position = 1",
        f"DELETE FROM artifact_{digit}",
    ):
        assert attempt(url, statement) == REFUSED, statement
    assert attempt(url, f"UPDATE record_{digit} SET text = NULL, text_salt = NULL WHERE position = 1") == ""
    assert attempt(url, f"UPDATE record_{digit} SET text = '\\x00' WHERE position = 1") == REFUSED
    for change in ("salt = '\\x00', digest = '\\x00'", "salt = NULL", "digest = NULL", "salt = salt"):
        assert attempt(url, f"UPDATE local_idempotency_{digit} SET {change}") == REFUSED, change
    assert attempt(url, f"UPDATE local_idempotency_{digit} SET salt = NULL, digest = NULL") == ""


BESIDE = "record, node, criterion_before, type_before"


NOT_THROUGH = (REFUSED, "TS004", "23505", "23514")


@pytest.mark.parametrize("role", [WRITER, ERASER, "superuser"])
def test_a_record_goes_to_its_head_plus_one(
    store: PostgresUnderTest, ledger: Ledger, digit: str, as_role: Callable[[str], str], role: str
) -> None:
    url = store.url if role == "superuser" else as_role(role)
    insert = f"INSERT INTO record (session, position, {BESIDE})"
    for batch in ("", "SET LOCAL tallystick.batch = '{}';", "SET LOCAL tallystick.batch = '{\"place\":2}';"):
        for position in (-1, 0, 1, 2, 3, 4, 5):
            for session in ("session", f"'\\x{digit}0112233445566778899aabbccddeeff'"):
                statement = f"{insert} SELECT {session}, {position}, {BESIDE} FROM record_{digit} WHERE position = 1"
                assert attempt(url, f"BEGIN; {batch}{statement}; COMMIT") in NOT_THROUGH, statement
    both = f"SELECT session, n, {BESIDE} FROM record_{digit}, unnest(ARRAY[{{}}]) n WHERE position = 1"
    for positions in ("3, 5", "4, 5", "5, 4, 3, 1"):
        assert attempt(url, f"{insert} {both.format(positions)}") in NOT_THROUGH, positions
    statement = f"{insert} SELECT session, 3, {BESIDE} FROM record_{digit} WHERE position = 1"
    for setting in ("synchronous_commit = off", "synchronous_commit = local"):
        assert attempt(url, f"SET {setting}; {statement}") == "TS002", setting
    for setting in ("SET tallystick.schema = '1'", "RESET tallystick.schema"):
        assert attempt(url, f"{setting}; {statement}") == "TS001", setting
    again = f"{insert} SELECT session, 2, {BESIDE} FROM record_{digit} WHERE position = 1"
    conflict = "ON CONFLICT (session, position) DO UPDATE SET record = ''"
    assert attempt(url, f"{again} {conflict}") in (DENIED, *NOT_THROUGH)
    ledger.verify()


def test_records_go_nowhere_else(ledger: Ledger, digit: str, as_role: Callable[[str], str]) -> None:
    for role in (WRITER, ERASER, SEQUENCER, READER):
        statement = f"INSERT INTO record_{digit} (session, position, {BESIDE}) SELECT session, 3, {BESIDE} FROM record"
        assert attempt(as_role(role), statement) == DENIED


def test_a_batch_holds_one_task(ledger: Ledger, digit: str, as_role: Callable[[str], str]) -> None:
    ledger.append("other", FULL)
    statement = (
        f"INSERT INTO record (session, position, {BESIDE}) SELECT DISTINCT ON (session) session,"
        f" max(position) OVER (PARTITION BY session) + 1, {BESIDE} FROM record"
    )
    assert attempt(as_role(WRITER), statement) == REFUSED


EVIL = """
CREATE FUNCTION evil.yes(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR evil.= (FUNCTION = evil.yes, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION evil.no(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR evil.<> (FUNCTION = evil.no, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$SELECT '2'$$;
CREATE FUNCTION evil.same(bytea, bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = bytea, RIGHTARG = bytea);
CREATE FUNCTION evil.alike(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR evil.= (FUNCTION = evil.alike, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.<= (FUNCTION = evil.alike, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION evil.length(bytea) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 32';
SET search_path = evil, pg_catalog, tallystick;
"""


EVIL_TYPE = """
CREATE TYPE pg_temp.bytea AS ENUM ('x');
CREATE FUNCTION pg_temp.into(pg_catalog.bytea) RETURNS pg_temp.bytea LANGUAGE sql IMMUTABLE AS
    $$SELECT 'x'::pg_temp.bytea$$;
CREATE FUNCTION pg_temp.out(pg_temp.bytea) RETURNS pg_catalog.bytea LANGUAGE sql IMMUTABLE AS
    $$SELECT NULL::pg_catalog.bytea$$;
CREATE CAST (pg_catalog.bytea AS pg_temp.bytea) WITH FUNCTION pg_temp.into(pg_catalog.bytea) AS ASSIGNMENT;
CREATE CAST (pg_temp.bytea AS pg_catalog.bytea) WITH FUNCTION pg_temp.out(pg_temp.bytea) AS IMPLICIT;
CREATE TABLE pg_temp.fresh (session pg_catalog.bytea, position bigint);
CREATE TABLE pg_temp.state (session pg_catalog.bytea, key text, position bigint);
"""
"""What a client may make for itself alone, and what names are looked up in first."""


def insertion(digit: str) -> str:
    """A record far beyond the head of the first session there is."""
    return (
        f"INSERT INTO tallystick.record (session, position, {BESIDE})"
        f" SELECT session, 9, {BESIDE} FROM tallystick.record_{digit} r LIMIT 1"
    )


def call(digit: str) -> str:
    """The function that takes one entry, asked to append what is no entry to that session."""
    return (
        f"DO $do$ BEGIN IF (SELECT tallystick.append{SCHEMA_VERSION}_{digit}(s.session, s.position, s.edge, 'no entry',"
        f" s.edge, s.edge, s.places, 0, 0, {', '.join(['NULL'] * 6)})"
        f" FROM tallystick.state_{digit} s WHERE s.key = '' LIMIT 1)"
        " THEN RAISE EXCEPTION 'it did' USING ERRCODE = 'XX999'; ELSE RAISE EXCEPTION 'no' USING ERRCODE = 'TS003';"
        " END IF; END $do$"
    )


@pytest.mark.parametrize("through", [insertion, call])
def test_a_type_of_ones_own_does_not_get_around_it(
    ledger: Ledger, digit: str, as_role: Callable[[str], str], through: Callable[[str], str]
) -> None:
    assert attempt(as_role(WRITER), f"{EVIL_TYPE} {through(digit)}") == REFUSED
    ledger.verify()


@pytest.mark.parametrize("through", [insertion, call])
def test_an_operator_of_ones_own_does_not_get_around_it(
    store: PostgresUnderTest,
    ledger: Ledger,
    digit: str,
    as_role: Callable[[str], str],
    through: Callable[[str], str],
) -> None:
    """A search path of the client's is not what the check looks operators up in."""
    user = store.shared.make_user(f"test_{WRITER}")
    with store.shared.connect(store.database) as connection:
        connection.execute(f"CREATE SCHEMA evil AUTHORIZATION {user}")
        try:
            assert attempt(as_role(WRITER), f"{EVIL} {through(digit)}") == REFUSED
            ledger.verify()
        finally:
            connection.execute("DROP SCHEMA evil CASCADE")


def test_heads_and_pointers_only_move_forward(
    store: PostgresUnderTest, ledger: Ledger, digit: str, as_role: Callable[[str], str]
) -> None:
    for url, refused, twice in ((as_role(WRITER), DENIED, DENIED), (store.url, REFUSED, "23505")):
        for change in ("position = position", "position = position - 1", "position = 1"):
            assert attempt(url, f"UPDATE state_{digit} SET {change}") == refused
        assert attempt(url, f"INSERT INTO state_{digit} SELECT * FROM state_{digit}") == twice
    for table in ("state", f"state_{digit}"):
        for change in ("position = 9", "key = 'x', position = 9", "session = '\\x00', position = 9", "moved = false"):
            assert attempt(store.url, f"UPDATE {table} SET {change}") in (REFUSED, "23514"), table


SETS = {
    "ledger": "ledger_id = 'x'",
    "migration": "version = version + 1",
    "session": "task_id = 'x'",
    "record": "position = position + 1",
    "state": "position = position + 1",
    "artifact": "position = position + 1",
}


def test_triggers_stop_a_superuser(store: PostgresUnderTest, ledger: Ledger, digit: str) -> None:
    names = {table: (table, f"{table}_{digit}") if table in PARTITIONED else (table,) for table in COLUMNS}
    for both in names.values():
        for name in both:
            assert attempt(store.url, f"TRUNCATE {name} CASCADE") == REFUSED, name
    for table, change in SETS.items():
        for name in names[table]:
            assert attempt(store.url, f"DELETE FROM {name}") == REFUSED, name
            for prefix in ("", "SET session_replication_role = replica; "):
                statement = f"{prefix}UPDATE {name} SET {change}"
                assert attempt(store.url, statement) in (REFUSED, "23514"), statement
        if table in PARTITIONED:
            assert attempt(store.url, f"INSERT INTO {table} SELECT * FROM {table}_{digit}") in (REFUSED, "23505")
    for number in (0, 1, 3):
        assert attempt(store.url, f"INSERT INTO ledger VALUES ({number}, 'x{number}')") in (REFUSED, "23505")
    for number in (0, 1, SCHEMA_VERSION, SCHEMA_VERSION + 2):
        assert attempt(store.url, f"INSERT INTO migration VALUES ({number})") in (REFUSED, "23505")
    made = f"INSERT INTO session_{digit} SELECT key, ledger, 'other', header FROM session_{digit}"
    assert attempt(store.url, made) == REFUSED
    ledger.verify()


def test_durability_that_the_role_or_the_database_turned_off(
    store: PostgresUnderTest, ledger: Ledger, as_role: Callable[[str], str]
) -> None:
    """Our own transactions wait all the same, and say so."""
    url = as_role(WRITER)
    with store.shared.connect(store.database) as connection:
        connection.execute(f"ALTER ROLE test_{WRITER} SET synchronous_commit = off")
        connection.execute(f"ALTER ROLE test_{WRITER} SET client_min_messages = error")
        connection.execute(f"ALTER ROLE test_{WRITER} SET default_transaction_isolation = serializable")
    try:
        with psycopg.connect(url) as connection:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
        with Ledger.open(url) as writer:
            for count in (1, 2, 40):
                writer.append("t", [ENTRY] * count)
                writer.append(f"new {count}", [ENTRY] * count)
            link = writer.store._pool.take()
            assert link.query(
                "SELECT current_setting('synchronous_commit'), current_setting('client_min_messages')"
            ) == [("on", "warning")]
            # Somebody weakens the very session that we use: the next append restores it for its transaction.
            link.query("SELECT set_config('synchronous_commit', 'off', false)")
            writer.store._pool.give_back(link)
            for count in (1, 2, 40):
                writer.append("t", [ENTRY] * count)
            writer.verify()
    finally:
        with store.shared.connect(store.database) as connection:
            connection.execute(f"ALTER ROLE test_{WRITER} RESET ALL")


def test_waiting_for_the_standby_to_show_it_is_kept(store: PostgresUnderTest, ledger: Ledger) -> None:
    with store.shared.connect(store.database) as connection:
        connection.execute(f"ALTER DATABASE {store.database} SET synchronous_commit = remote_apply")
    try:
        with store.open() as other:
            other.append("t", ENTRY)
            link = other.store._pool.take()
            assert link.query("SELECT current_setting('synchronous_commit')") == [("remote_apply",)]
            other.store._pool.give_back(link)
    finally:
        with store.shared.connect(store.database) as connection:
            connection.execute(f"ALTER DATABASE {store.database} RESET synchronous_commit")


def test_the_roles_themselves_can_do_nothing_else(shared: Shared, ledger: Ledger) -> None:
    with shared.connect("postgres") as connection:
        able = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)"
            " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolbypassrls OR rolreplication)",
            (list(ROLES),),
        )
        assert able.fetchall() == []
