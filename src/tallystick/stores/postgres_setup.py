"""Making a ledger in a PostgreSQL database, with its roles, and bringing an older one up to date."""

from __future__ import annotations

import os

import psycopg
from psycopg import sql

from tallystick.errors import StoreUnavailableError
from tallystick.stores import postgres_moving as moving
from tallystick.stores import postgres_schema as schema
from tallystick.stores import postgres_triggers as triggers
from tallystick.stores.postgres_connection import Link, planted
from tallystick.stores.postgres_errors import store_error
from tallystick.stores.postgres_url import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.stores.postgres_url import Target

    Connection = psycopg.Connection[tuple[object, ...]]

LOCK = 0x74616C79
"""The advisory lock that making and migrating take; appends never take any."""
ATTEMPTS = 5
_COLLISIONS = ("42710", "23505", "XX000", "42P06", "40P01")
"""What another process that makes roles in the same cluster, at the same time, can cause."""

MIGRATIONS: dict[int, Callable[[Connection], None]] = {1: lambda connection: _have_the_database_move_heads(connection)}
"""From which version: the step to the next one, run as the owner in a transaction that no append can run beside.

After the steps the functions are those of this version, and they refuse what older clients append."""


def initialise(url: str, *, random: Callable[[int], bytes] = os.urandom) -> str:
    """Make the roles and an empty ledger where there is none, else bring it up to date. Returns the ledger's id.

    The user has to be a superuser, or have CREATEROLE (where the roles are missing) and CREATE on the database.
    Raises StoreUnavailableError, InputError.
    """
    target = parse(url, read_only=False)
    link = Link.open(target, read_only=False)
    try:
        make_or_migrate(link, random)
        ((ledger_id,),) = link.query("SELECT ledger_id FROM tallystick.ledger WHERE number = 1")
    except psycopg.Error as error:
        raise store_error(error, target) from None
    finally:
        link.close()
    return str(ledger_id)


def make_or_migrate(link: Link, random: Callable[[int], bytes]) -> None:
    """See `initialise`. Any number of processes may come here at once."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with link.connection.transaction():
                _make_or_migrate(link, random)
        except psycopg.Error as error:
            if attempt == ATTEMPTS or error.sqlstate not in _COLLISIONS:
                raise _explained(error, link.target) from None
        else:
            return


def _make_or_migrate(link: Link, random: Callable[[int], bytes]) -> None:
    connection = link.connection
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    ((exists,),) = link.query("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'tallystick')")
    if exists:
        require_ours(link)
        ((found,),) = link.query("SELECT coalesce(max(version), 0) FROM tallystick.migration")
        migrate(connection, found, link.target)
        return
    _make_roles(link)
    connection.execute(f"CREATE SCHEMA tallystick AUTHORIZATION {schema.OWNER}")
    connection.execute(f"SET LOCAL ROLE {schema.OWNER}")
    # One string, sent at once: as many statements one by one take as long again.
    made = (*schema.tables(), *triggers.statements(), *schema.grants(), *moving.grants())
    connection.execute(sql.SQL("; ").join(map(sql.SQL, made)))
    for version in range(1, schema.SCHEMA_VERSION + 1):
        connection.execute("INSERT INTO tallystick.migration VALUES (%s)", (version,))
    connection.execute("INSERT INTO tallystick.ledger VALUES (1, %s)", (random(16).hex(),))
    connection.execute("RESET ROLE")


def _make_roles(link: Link) -> None:
    connection = link.connection
    there = {
        name for (name,) in link.query("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(schema.ROLES),))
    }
    for role in schema.ROLES:
        if role not in there:
            connection.execute(f"CREATE ROLE {role} NOLOGIN")
    for granted, to in schema.MEMBERS:
        if to not in there or granted not in there:
            connection.execute(f"GRANT {granted} TO {to}")
    ((superuser, member),) = link.query(
        "SELECT rolsuper, pg_has_role(%s, 'USAGE') FROM pg_roles WHERE rolname = current_user", (schema.OWNER,)
    )
    if not superuser and not member:
        connection.execute(f"GRANT {schema.OWNER} TO CURRENT_USER")


def migrate(connection: Connection, found: int, target: Target) -> None:
    """Bring an older schema up to this version. In the caller's transaction, under the lock."""
    if found > schema.SCHEMA_VERSION:
        raise newer_schema(found, target)
    if found == schema.SCHEMA_VERSION:
        return
    if found < 1:
        raise StoreUnavailableError("the schema tallystick is not a ledger's", where=target.shown)
    try:
        connection.execute(f"SET LOCAL ROLE {schema.OWNER}")
    except psycopg.errors.InsufficientPrivilege:
        raise older_schema(found, target) from None
    # Appends that are under way end first; those that come later meet the new functions. Locks are taken in the
    # order in which appends take theirs.
    if found == 1:
        views = ", ".join(f"tallystick.append_{digit}" for digit in schema.PARTITIONS)
        connection.execute(sql.SQL(f"LOCK TABLE {views} IN ACCESS EXCLUSIVE MODE"))
    connection.execute("LOCK TABLE tallystick.record, tallystick.state IN SHARE ROW EXCLUSIVE MODE")
    for step in range(found, schema.SCHEMA_VERSION):
        MIGRATIONS[step](connection)
        connection.execute("INSERT INTO tallystick.migration VALUES (%s)", (step + 1,))
    for statement in (*triggers.function_statements(), *_drop_others(connection), *schema.grants(), *moving.grants()):
        connection.execute(sql.SQL(statement))
    connection.execute("RESET ROLE")


def _drop_others(connection: Connection) -> list[str]:
    """What drops the functions that older clients call."""
    rows = connection.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'tallystick'::regnamespace").fetchall()
    known = {function.name for function in triggers.functions()}
    return [f"DROP FUNCTION tallystick.{name}" for (name,) in rows if name not in known]


_POINTERS = "FROM json_each_text(pointers::json) AS p (name, place) WHERE p.name <> ''"
_ORDER = 'ORDER BY p.name COLLATE "C"'

_ADD_COLUMNS = (
    "ALTER TABLE tallystick.state ADD COLUMN places bigint[], ADD COLUMN more boolean,"
    ' ADD COLUMN until text COLLATE "C", ADD COLUMN names text[] COLLATE "C"'
)
_FILL_COLUMNS = (
    "UPDATE tallystick.state SET until = '', more = (pointers::json->>'') IS NOT NULL,"
    f" names = coalesce((SELECT array_agg(p.name {_ORDER}) {_POINTERS}), '{{}}'),"
    f" places = coalesce((SELECT array_agg(p.place::bigint {_ORDER}) {_POINTERS}), '{{}}') WHERE key = ''"
)
_DROP_UNSIGNED_HEADS = (
    "DELETE FROM tallystick.head_history WHERE checkpoint >"
    " (SELECT coalesce(max(number), 0) FROM tallystick.checkpoint)"
)


def _have_the_database_move_heads(connection: Connection) -> None:
    """Until schema 2 clients wrote where a session stands, in the columns of its head and in JSON."""
    rows = connection.execute(
        "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = 'tallystick'::regnamespace AND NOT t.tgisinternal"
    ).fetchall()
    statements = [f"DROP TRIGGER {trigger} ON tallystick.{table}" for table, trigger in rows]
    statements += [f"DROP VIEW tallystick.append_{digit}" for digit in schema.PARTITIONS]
    statements += [
        _ADD_COLUMNS,
        _FILL_COLUMNS,
        "ALTER TABLE tallystick.state DROP COLUMN pointers",
        "DROP TABLE tallystick.local_pending",
        _DROP_UNSIGNED_HEADS,
        *(f"DROP INDEX tallystick.state_{digit}_moved" for digit in schema.PARTITIONS),
        *triggers.statements(),
    ]
    for statement in statements:
        connection.execute(sql.SQL(statement))


_NOT_OURS = f"""
WITH here AS (SELECT oid, nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'tallystick')
SELECT 'the schema tallystick belongs to ' || pg_get_userbyid(nspowner) FROM here
WHERE pg_get_userbyid(nspowner) <> '{schema.OWNER}'
UNION ALL SELECT relname || ' in the schema tallystick belongs to ' || pg_get_userbyid(relowner)
FROM pg_class, here WHERE relnamespace = here.oid AND relowner <> nspowner
UNION ALL SELECT relname || ' in the schema tallystick is no table of a ledger'
FROM pg_class, here WHERE relnamespace = here.oid
    AND NOT (relkind IN ('r', 'p', 'i', 'I') OR (relkind = 'v' AND relname ~ '^append_[0-9a-f]$'))
UNION ALL SELECT proname || '() in the schema tallystick belongs to ' || pg_get_userbyid(proowner)
FROM pg_proc, here WHERE pronamespace = here.oid AND proowner <> nspowner
UNION ALL SELECT typname || ' in the schema tallystick belongs to ' || pg_get_userbyid(typowner)
FROM pg_type, here WHERE typnamespace = here.oid AND typowner <> nspowner
UNION ALL SELECT 'an operator in the schema tallystick belongs to ' || pg_get_userbyid(oprowner)
FROM pg_operator, here WHERE oprnamespace = here.oid
UNION ALL SELECT 'the schema tallystick has no table ' || name
FROM here, unnest(ARRAY['ledger', 'migration']) AS name WHERE NOT EXISTS
    (SELECT FROM pg_class WHERE relnamespace = here.oid AND relname = name AND relkind = 'r')
"""
"""What in the schema was not made by us. Only catalogues are read: what lies there might be anybody's code."""


def require_ours(link: Link) -> None:
    """Raises StoreUnavailableError where somebody else made the schema, or something in it."""
    if found := link.query(_NOT_OURS):
        raise planted(str(found[0][0]), link.target)


def newer_schema(found: int, target: Target) -> StoreUnavailableError:
    """The error for a ledger that a later version made or migrated."""
    return StoreUnavailableError(
        f"the ledger has schema {found}, this version knows {schema.SCHEMA_VERSION}",
        where=target.shown,
        advice="upgrade tallystick",
    )


def older_schema(found: int, target: Target) -> StoreUnavailableError:
    """The error for a ledger that has to be migrated by somebody else."""
    return StoreUnavailableError(
        f"the ledger has schema {found}, this version needs {schema.SCHEMA_VERSION}",
        where=target.shown,
        advice=f"have a member of {schema.OWNER} run notch init --ledger with that URL",
    )


def _explained(error: psycopg.Error, target: Target) -> Exception:
    if error.sqlstate == "42501":
        return StoreUnavailableError(
            f"this user may not make a ledger here ({error.diag.message_primary})",
            where=target.shown,
            advice="use one with CREATEROLE and CREATE on the database, or have an administrator run notch init",
        )
    return store_error(error, target)
