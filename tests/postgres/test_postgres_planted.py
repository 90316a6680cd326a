"""A schema that somebody else made is not touched: an administrator who looks into it would run that person's code."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from support.contract import ENTRY
from support.postgres import PostgresUnderTest, Shared
from tallystick import Ledger, StoreUnavailableError
from tallystick.stores.postgres_schema import OWNER
from tallystick.stores.postgres_setup import initialise

USER = "test_planter"
TRAP = f"""
CREATE FUNCTION {{schema}}.trap() RETURNS integer LANGUAGE plpgsql AS
    $$BEGIN EXECUTE 'ALTER ROLE {USER} SUPERUSER'; RETURN 1; END$$
"""
PLANTED = {
    "views": """
        CREATE VIEW tallystick.migration AS SELECT tallystick.trap() AS version;
        CREATE VIEW tallystick.ledger AS SELECT tallystick.trap() AS number, repeat('a', 32) AS ledger_id
    """,
    "a table and a view": """
        CREATE TABLE tallystick.migration (version integer); INSERT INTO tallystick.migration VALUES (2);
        CREATE VIEW tallystick.ledger AS SELECT tallystick.trap() AS number, repeat('a', 32) AS ledger_id
    """,
    "tables with a trigger": """
        CREATE TABLE tallystick.migration (version integer); INSERT INTO tallystick.migration VALUES (1);
        CREATE TABLE tallystick.ledger (number integer, ledger_id text);
        CREATE FUNCTION tallystick.trapped() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM tallystick.trap(); RETURN new; END';
        CREATE TRIGGER trap BEFORE INSERT ON tallystick.migration FOR EACH ROW EXECUTE FUNCTION tallystick.trapped()
    """,
    "nothing": "SELECT 1",
}


@pytest.fixture
def planter(shared: Shared, database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody who may make schemas in the database, and nothing else."""
    shared.make_user(USER, options="LOGIN NOSUPERUSER NOCREATEROLE")
    with shared.connect(database) as connection:
        connection.execute(sql.SQL(f"GRANT CREATE ON DATABASE {database} TO {USER}"))
    with psycopg.connect(shared.url(database, USER), autocommit=True) as connection:
        yield connection
    with shared.connect("postgres") as connection:
        connection.execute(f"ALTER ROLE {USER} NOSUPERUSER")


def is_superuser(shared: Shared) -> bool:
    with shared.connect("postgres") as connection:
        return bool(connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (USER,)).fetchone()[0])  # type: ignore[index]


@pytest.mark.parametrize("what", PLANTED)
def test_a_schema_of_somebody_elses(
    shared: Shared, database: str, planter: psycopg.Connection[tuple[object, ...]], what: str
) -> None:
    planter.execute("CREATE SCHEMA tallystick")
    planter.execute(sql.SQL(TRAP.format(schema="tallystick")))
    planter.execute(sql.SQL(PLANTED[what]))
    url = shared.url(database)
    for attempt in (
        lambda: initialise(url),
        lambda: Ledger.open(url),
        lambda: Ledger.open(url, create=False),
        lambda: Ledger.open(url, read_only=True),
    ):
        with pytest.raises(StoreUnavailableError, match=f"belongs to {USER}, so notch did not make it"):
            attempt()
    assert not is_superuser(shared)


KINDS = {
    "CREATE TABLE tallystick.more (a integer)": "more in the schema tallystick belongs to",
    "CREATE VIEW tallystick.more AS SELECT 1 AS a": "more in the schema tallystick",
    "CREATE SEQUENCE tallystick.more": "more in the schema tallystick",
    "CREATE MATERIALIZED VIEW tallystick.more AS SELECT 1 AS a": "more in the schema tallystick",
    "CREATE FUNCTION tallystick.more() RETURNS integer LANGUAGE sql AS 'SELECT 1'": "more() in the schema tallystick",
    "CREATE TYPE tallystick.more AS ENUM ('a')": "more in the schema tallystick belongs to",
    "CREATE OPERATOR tallystick.= (FUNCTION = int4eq, LEFTARG = integer, RIGHTARG = integer)": "an operator",
    "ALTER TABLE tallystick.migration OWNER TO test_planter": "the schema tallystick is not a ledger's",
    "ALTER FUNCTION tallystick.refuse() OWNER TO test_planter": "refuse() in the schema tallystick belongs to",
    "ALTER SCHEMA tallystick OWNER TO test_planter": "the schema tallystick belongs to test_planter",
    "ALTER TABLE tallystick.migration RENAME TO other": "the schema tallystick",
}


@pytest.mark.parametrize("statement", KINDS)
def test_what_is_in_the_schema_and_not_ours(shared: Shared, database: str, statement: str) -> None:
    shared.make_user(USER)
    url = shared.url(database)
    initialise(url)
    initialise(url)
    with shared.connect(database) as connection:
        connection.execute(sql.SQL(statement))
    with pytest.raises(StoreUnavailableError) as caught:
        initialise(url)
    assert KINDS[statement] in caught.value.what


def test_a_search_path_that_leads_elsewhere(store: PostgresUnderTest, ledger: Ledger) -> None:
    """The database's owner chooses it; what an administrator's connection says first must not be looked up there."""
    ledger.append("t", ENTRY)
    name = store.shared.make_user(USER, options="LOGIN NOSUPERUSER")
    with store.shared.connect(store.database) as connection:
        connection.execute(f"CREATE SCHEMA elsewhere AUTHORIZATION {name}")
        connection.execute(f"GRANT USAGE ON SCHEMA elsewhere TO {OWNER}")
        connection.execute(sql.SQL(TRAP.format(schema="elsewhere")))
        for function in (
            "current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT elsewhere.trap()::text'",
            "set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT elsewhere.trap()::text'",
            "clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now() + elsewhere.trap() * interval ''1h'''",
            "pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS 'SELECT elsewhere.trap()::text::name'",
        ):
            connection.execute(sql.SQL(f"CREATE FUNCTION elsewhere.{function}"))
        connection.execute(f"ALTER DATABASE {store.database} SET search_path = elsewhere, pg_catalog")
    try:
        initialise(store.url)
        with Ledger.open(store.url) as other:
            other.append("t", ENTRY)
            other.verify()
        assert not is_superuser(store.shared)
    finally:
        with store.shared.connect(store.database) as connection:
            connection.execute(f"ALTER DATABASE {store.database} RESET search_path")
            connection.execute("DROP SCHEMA elsewhere CASCADE")


def test_the_trap_works(store: PostgresUnderTest, ledger: Ledger, as_role: Callable[[str], str]) -> None:
    """So that the tests above test something: whoever runs it as a superuser makes its maker one."""
    name = store.shared.make_user(USER, options="LOGIN NOSUPERUSER")
    with store.shared.connect(store.database) as connection:
        connection.execute(f"CREATE SCHEMA elsewhere AUTHORIZATION {name}")
        connection.execute(sql.SQL(TRAP.format(schema="elsewhere")))
        connection.execute("SELECT elsewhere.trap()")
        assert is_superuser(store.shared)
        connection.execute(f"ALTER ROLE {USER} NOSUPERUSER")
        connection.execute("DROP SCHEMA elsewhere CASCADE")
