"""The SQLite tables, the triggers that make them append-only, and how older files are brought up to date.

A record's rowid packs the session's number and the position (`session << 32 | position`), so that an append
goes to the end of one B-tree and a session reads as one range of it.
"""

from __future__ import annotations

from tallystick.errors import StoreUnavailableError, TamperedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

APPLICATION_ID = 0x74616C79
"""`taly`: what the file's header says it is."""
SCHEMA_VERSION = 4
POSITION_BITS = 32
POSITION_MASK = (1 << POSITION_BITS) - 1
MINIMUM = (3, 37, 0)
"""STRICT tables came with SQLite 3.37."""

TABLES = {
    "ledger": "CREATE TABLE ledger (number INTEGER PRIMARY KEY, ledger_id TEXT NOT NULL UNIQUE) STRICT",
    "session": (
        "CREATE TABLE session (number INTEGER PRIMARY KEY, ledger INTEGER NOT NULL, task_id TEXT NOT NULL,"
        " header BLOB NOT NULL, UNIQUE (ledger, task_id)) STRICT"
    ),
    "record": (
        "CREATE TABLE record (id INTEGER PRIMARY KEY, record BLOB NOT NULL, node BLOB NOT NULL,"
        " criterion_before INTEGER NOT NULL, type_before INTEGER NOT NULL,"
        " text_salt BLOB, text BLOB, details_salt BLOB, details BLOB, output_salt BLOB, output BLOB) STRICT"
    ),
    "state": (
        "CREATE TABLE state (session INTEGER NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL,"
        " at TEXT, edge BLOB, PRIMARY KEY (session, key)) STRICT, WITHOUT ROWID"
    ),
    "artifact": (
        "CREATE TABLE artifact (record INTEGER NOT NULL, chunk INTEGER NOT NULL, digest BLOB NOT NULL,"
        " data BLOB NOT NULL, PRIMARY KEY (record, chunk)) STRICT, WITHOUT ROWID"
    ),
    "local_idempotency": (
        "CREATE TABLE local_idempotency (session INTEGER NOT NULL, key TEXT NOT NULL,"
        " first INTEGER NOT NULL, last INTEGER NOT NULL, salt BLOB, digest BLOB,"
        " PRIMARY KEY (session, key)) STRICT, WITHOUT ROWID"
    ),
    "local_proof": (
        "CREATE TABLE local_proof (digest BLOB NOT NULL, record INTEGER NOT NULL,"
        " PRIMARY KEY (digest, record)) STRICT, WITHOUT ROWID"
    ),
}

TABLES |= {
    "checkpoint": (
        "CREATE TABLE checkpoint (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL, node BLOB NOT NULL,"
        " note TEXT NOT NULL, key TEXT NOT NULL) STRICT"
    ),
    "head_history": (
        "CREATE TABLE head_history (session INTEGER NOT NULL, checkpoint INTEGER NOT NULL,"
        " position INTEGER NOT NULL, root BLOB NOT NULL, PRIMARY KEY (session, checkpoint)) STRICT, WITHOUT ROWID"
    ),
    "local_moved": "CREATE TABLE local_moved (session INTEGER PRIMARY KEY) STRICT",
    "local_pending": "CREATE TABLE local_pending (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT",
    "local_task": (
        "CREATE TABLE local_task (key BLOB NOT NULL PRIMARY KEY, session INTEGER NOT NULL, task_id TEXT NOT NULL)"
        " STRICT, WITHOUT ROWID"
    ),
    "local_tile": (
        "CREATE TABLE local_tile (depth INTEGER NOT NULL, prefix INTEGER NOT NULL, tile BLOB NOT NULL,"
        " PRIMARY KEY (depth, prefix)) STRICT, WITHOUT ROWID"
    ),
    "local_erasing": ("CREATE TABLE local_erasing (record INTEGER PRIMARY KEY, rewritten INTEGER NOT NULL) STRICT"),
}
"""`local_erasing` has the redactions whose erased bytes may still lie in the file; `rewritten`: in its log at most."""
INDEXES = {
    "head_history_by_checkpoint": "CREATE INDEX head_history_by_checkpoint ON head_history (checkpoint)",
}

_CLEARED_OR_KEPT = " AND ".join(
    f"(new.{column} IS old.{column} OR new.{column} IS NULL)"
    for column in ("text_salt", "text", "details_salt", "details", "output_salt", "output")
)


def _refuse(table: str, event: str) -> str:
    name = f"{table}_no_{event.lower()}"
    return (
        f"CREATE TRIGGER {name} BEFORE {event} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, 'tallystick: {table} rows are never changed'); END"
    )


TRIGGERS = {
    "ledger_no_update": _refuse("ledger", "UPDATE"),
    "ledger_no_delete": _refuse("ledger", "DELETE"),
    "ledger_append": (
        "CREATE TRIGGER ledger_append BEFORE INSERT ON ledger"
        " WHEN new.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM ledger)"
        " OR EXISTS (SELECT 1 FROM ledger WHERE ledger_id = new.ledger_id)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: ledgers are only appended'); END"
    ),
    "session_no_update": _refuse("session", "UPDATE"),
    "session_no_delete": _refuse("session", "DELETE"),
    "session_append": (
        "CREATE TRIGGER session_append BEFORE INSERT ON session"
        " WHEN new.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM session)"
        " OR EXISTS (SELECT 1 FROM session WHERE ledger = new.ledger AND task_id = new.task_id)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: sessions are only appended'); END"
    ),
    "record_no_delete": _refuse("record", "DELETE"),
    "record_only_erased": (
        "CREATE TRIGGER record_only_erased BEFORE UPDATE ON record"
        " WHEN NOT (new.id IS old.id AND new.record IS old.record AND new.node IS old.node"
        " AND new.criterion_before IS old.criterion_before AND new.type_before IS old.type_before"
        f" AND {_CLEARED_OR_KEPT})"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: of a record only sealed parts can be cleared'); END"
    ),
    "record_append": (
        "CREATE TRIGGER record_append BEFORE INSERT ON record"
        f" WHEN new.id & {POSITION_MASK} = 0"
        " OR EXISTS (SELECT 1 FROM record WHERE id = new.id)"
        f" OR NOT CASE WHEN new.id & {POSITION_MASK} = 1"
        f" THEN EXISTS (SELECT 1 FROM session WHERE number = new.id >> {POSITION_BITS})"
        " ELSE EXISTS (SELECT 1 FROM record WHERE id = new.id - 1) END"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: a record goes to its head + 1'); END"
    ),
    "state_no_delete": _refuse("state", "DELETE"),
    "state_forward": (
        "CREATE TRIGGER state_forward BEFORE UPDATE ON state"
        " WHEN new.session IS NOT old.session OR new.key IS NOT old.key OR new.position <= old.position"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: a pointer only moves forward'); END"
    ),
    "state_append": (
        "CREATE TRIGGER state_append BEFORE INSERT ON state"
        " WHEN EXISTS (SELECT 1 FROM state WHERE session = new.session AND key = new.key)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: a pointer only moves forward'); END"
    ),
    "artifact_no_update": _refuse("artifact", "UPDATE"),
    "artifact_append": (
        "CREATE TRIGGER artifact_append BEFORE INSERT ON artifact"
        " WHEN EXISTS (SELECT 1 FROM artifact WHERE record = new.record AND chunk = new.chunk)"
        " OR EXISTS (SELECT 1 FROM record WHERE id = new.record)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: an artifact is stored before its record, and then kept'); END"
    ),
    "artifact_only_erased": (
        "CREATE TRIGGER artifact_only_erased BEFORE DELETE ON artifact"
        " WHEN (SELECT output_salt FROM record WHERE id = old.record) IS NOT NULL"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: an artifact goes only with its erased salt'); END"
    ),
}


_NEWEST = "(SELECT position FROM head_history WHERE session = new.session ORDER BY checkpoint DESC LIMIT 1)"

TRIGGERS |= {
    "checkpoint_no_update": _refuse("checkpoint", "UPDATE"),
    "checkpoint_no_delete": _refuse("checkpoint", "DELETE"),
    "checkpoint_append": (
        "CREATE TRIGGER checkpoint_append BEFORE INSERT ON checkpoint"
        " WHEN new.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM checkpoint)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: checkpoints are only appended'); END"
    ),
    "head_history_no_update": _refuse("head_history", "UPDATE"),
    "head_history_no_delete": _refuse("head_history", "DELETE"),
    "head_history_append": (
        "CREATE TRIGGER head_history_append BEFORE INSERT ON head_history"
        " WHEN new.checkpoint IS NOT (SELECT coalesce(max(number), 0) + 1 FROM checkpoint)"
        " OR EXISTS (SELECT 1 FROM head_history WHERE session = new.session AND checkpoint >= new.checkpoint)"
        f" OR new.position <= coalesce({_NEWEST}, -1)"
        " BEGIN SELECT RAISE(ABORT, 'tallystick: heads go to the next checkpoint, and only forward'); END"
    ),
    "state_moved": (
        "CREATE TRIGGER state_moved AFTER UPDATE ON state"
        f" WHEN new.key = '' AND old.position IS {_NEWEST}"
        " BEGIN INSERT OR IGNORE INTO local_moved VALUES (new.session); END"
    ),
    "state_begun": (
        "CREATE TRIGGER state_begun AFTER INSERT ON state"
        " WHEN new.key = '' AND EXISTS (SELECT 1 FROM head_history)"
        " AND (SELECT ledger FROM session WHERE number = new.session) = 1"
        " BEGIN INSERT OR IGNORE INTO local_moved VALUES (new.session); END"
    ),
}

SINCE = (
    {"local_proof": 2}
    | dict.fromkeys(
        (
            *("checkpoint", "head_history", "local_moved", "local_pending", "local_task", "local_tile"),
            *("checkpoint_no_update", "checkpoint_no_delete", "checkpoint_append"),
            *("head_history_no_update", "head_history_no_delete", "head_history_append", "head_history_by_checkpoint"),
            *("state_moved", "state_begun"),
        ),
        3,
    )
    | {"local_erasing": 4}
)
"""The schema version that a table, index or trigger came with; 1 if it is not named."""
UNTIL = dict.fromkeys(("local_moved", "local_pending", "state_moved", "state_begun"), 3)
"""The last schema version that had it. They told a signer what to sign, and nobody signed for what they said."""


def made_by(version: int) -> dict[tuple[str, str], str]:
    """What that schema version has: (`table`, `index` or `trigger`, name) to the statement that makes it."""
    kinds = {"table": TABLES, "index": INDEXES, "trigger": TRIGGERS}
    return {
        (kind, name): sql
        for kind, statements in kinds.items()
        for name, sql in statements.items()
        if SINCE.get(name, 1) <= version <= UNTIL.get(name, SCHEMA_VERSION)
    }


def create(connection: sqlite3.Connection, ledger_id: str) -> None:
    """Make all tables and triggers, and the row that names the ledger. In the caller's transaction."""
    for statement in made_by(SCHEMA_VERSION).values():
        connection.execute(statement)
    connection.execute("INSERT INTO ledger (number, ledger_id) VALUES (1, ?)", (ledger_id,))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def version(connection: sqlite3.Connection, where: str) -> int:
    """The schema version of the file; 0 for an empty one.

    Raises StoreUnavailableError for a database that is not a ledger, or one from a later version, and
    TamperedError for a version that never was.
    """
    found, application, objects = _identity(connection)
    if application != APPLICATION_ID:
        if objects or found:
            raise StoreUnavailableError("this SQLite database is not a ledger", where=where, advice="name another file")
        return 0
    if found > SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"the ledger has schema {found}, this version knows {SCHEMA_VERSION}",
            where=where,
            advice="upgrade tallystick",
        )
    if found < 1:
        raise TamperedError(f"the ledger's schema version is {found}", where=where)
    return int(found)


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """(schema version, application id, number of objects) as of one moment: others may make the ledger meanwhile."""
    within = connection.in_transaction
    if not within:
        connection.execute("BEGIN")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        if not within and connection.in_transaction:
            connection.execute("COMMIT")
    return version, application, objects


def _add_what_is_new(connection: sqlite3.Connection, version: int) -> None:
    older = made_by(version - 1)
    for name, statement in made_by(version).items():
        if name not in older:
            connection.execute(statement)


REDACTIONS = f"SELECT (session << {POSITION_BITS}) + position AS record FROM state WHERE key = 'tredaction'"
"""The newest redaction of each session: until schema 4 nobody made sure that what they erase is gone."""


def _to_schema_4(connection: sqlite3.Connection) -> None:
    _add_what_is_new(connection, 4)
    connection.execute(f"INSERT INTO local_erasing SELECT record, 0 FROM ({REDACTIONS})")
    connection.execute("DROP TRIGGER head_history_no_delete")
    connection.execute("DELETE FROM head_history WHERE checkpoint > (SELECT coalesce(max(number), 0) FROM checkpoint)")
    connection.execute(TRIGGERS["head_history_no_delete"])
    for kind, name in sorted(made_by(3).keys() - made_by(4).keys(), reverse=True):  # triggers before their tables
        connection.execute(f"DROP {kind} {name}")


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: lambda connection: _add_what_is_new(connection, 2),
    2: lambda connection: _add_what_is_new(connection, 3),
    3: _to_schema_4,
}
"""From which version: the step to the next one, in the caller's transaction."""


def migrate(connection: sqlite3.Connection, found: int) -> None:
    """Bring an older file up to this version. In the caller's transaction."""
    for step in range(found, SCHEMA_VERSION):
        MIGRATIONS[step](connection)
        connection.execute(f"PRAGMA user_version = {step + 1}")


def read_ledger_id(connection: sqlite3.Connection, where: str) -> str:
    """The ledger's own id. Raises TamperedError where the row that names it is gone."""
    row = connection.execute("SELECT ledger_id FROM ledger WHERE number = 1").fetchone()
    if row is None:
        raise TamperedError("the row that names the ledger is missing", where=where)
    return str(row[0])
