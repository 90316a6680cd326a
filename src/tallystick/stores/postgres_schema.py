"""The PostgreSQL tables, the triggers and roles that make them append-only, and how older ones are brought up to date.

A session is known by a key that follows from its ledger's and its task's names, so that nothing is numbered
across tasks. Keys are SHA-256 digests: tables are cut into ranges of them, and a range of digests is a hash
partition whose number the client reads off the key's first hex digit. Statements name the partition itself.

Everything lies in the schema `tallystick` and belongs to the role `tallystick_owner`. Triggers are `ALWAYS` ones,
which `session_replication_role` does not turn off.
"""

from __future__ import annotations

from hashlib import sha256

SCHEMA_VERSION = 1
MINIMUM = 140_000
"""`server_version_num` of the oldest server: what is used here came with PostgreSQL 14."""
PARTITIONS = "0123456789abcdef"
"""The first hex digit of the session keys that each partition holds."""
PARTITION_SHIFT = 124

OWNER, WRITER, READER, ERASER, SEQUENCER = ROLES = (
    "tallystick_owner",
    "tallystick_writer",
    "tallystick_reader",
    "tallystick_eraser",
    "tallystick_sequencer",
)
MEMBERS = ((READER, WRITER), (WRITER, ERASER), (READER, SEQUENCER))
"""Each role on the left is granted to the one on the right."""

VERSION_STATE = "TS001"
"""SQLSTATE of our own: the client is of another version than the schema."""
DURABILITY_STATE = "TS002"
"""SQLSTATE of our own: `synchronous_commit` is off."""
REFUSED_STATE = "TS003"
"""SQLSTATE of our own: what the ledger's rules forbid."""

COLUMNS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "ledger": (("number", "integer", True), ("ledger_id", "text", True)),
    "migration": (("version", "integer", True),),
    "session": (
        ("key", "bytea", True),
        ("ledger", "integer", True),
        ("task_id", "text", True),
        ("header", "bytea", True),
    ),
    "record": (
        ("session", "bytea", True),
        ("position", "bigint", True),
        ("record", "bytea", True),
        ("node", "bytea", True),
        ("criterion_before", "bigint", True),
        ("type_before", "bigint", True),
        ("text_salt", "bytea", False),
        ("text", "bytea", False),
        ("details_salt", "bytea", False),
        ("details", "bytea", False),
        ("output_salt", "bytea", False),
        ("output", "bytea", False),
    ),
    "state": (
        ("session", "bytea", True),
        ("key", "text", True),
        ("position", "bigint", True),
        ("at", "text", False),
        ("edge", "bytea", False),
        ("pointers", "text", False),
    ),
    "artifact": (
        ("session", "bytea", True),
        ("position", "bigint", True),
        ("chunk", "integer", True),
        ("digest", "bytea", True),
        ("data", "bytea", True),
    ),
    "local_idempotency": (
        ("session", "bytea", True),
        ("key", "text", True),
        ("first", "bigint", True),
        ("last", "bigint", True),
        ("salt", "bytea", False),
        ("digest", "bytea", False),
    ),
    "local_proof": (("session", "bytea", True), ("position", "bigint", True), ("digest", "bytea", True)),
}
"""Each table's columns: name, type as `format_type` prints it, whether it is NOT NULL."""

PRIMARY_KEYS = {
    "ledger": ("number",),
    "migration": ("version",),
    "session": ("key",),
    "record": ("session", "position"),
    "state": ("session", "key"),
    "artifact": ("session", "position", "chunk"),
    "local_idempotency": ("session", "key"),
    "local_proof": ("session", "position", "digest"),
}
FIRST_POSITION = 'CHECK (("position" > 0))'
"""Of records, as `pg_get_constraintdef` prints it."""
PARTITIONED = tuple(table for table, (first, *_) in PRIMARY_KEYS.items() if first in ("session", "key"))
SEALED = ("text_salt", "text", "details_salt", "details", "output_salt", "output")
ORDER_OF_MAKING = "substring(header, 1, 62)"
"""What sessions are listed by: a header begins with its fixed fields and the time at which it was made."""


def session_key(ledger_id: str, task_id: str) -> bytes:
    """The key of a task's session: the first 16 bytes of SHA-256(ledger id ‖ `:` ‖ task id)."""
    return sha256(f"{ledger_id}:{task_id}".encode()).digest()[:16]


def bounds(digit: str) -> tuple[str, str]:
    """Where a partition begins and where the next one does, as PostgreSQL prints bounds."""
    value = int(digit, 16)
    first = f"'\\x{value:x}0'" if value else "MINVALUE"
    return first, f"'\\x{value + 1:x}0'" if value < 15 else "MAXVALUE"


def partition_of(number: int) -> str:
    """The hex digit of the partition that holds the session with this key, read as a number."""
    return PARTITIONS[number >> PARTITION_SHIFT]


class Trigger:
    """One trigger on one table, and the text that `pg_get_triggerdef` prints for it."""

    __slots__ = ("definition", "name", "table")

    def __init__(self, table: str, name: str, when: str, function: str) -> None:
        self.table = table
        self.name = name
        self.definition = (
            f"CREATE TRIGGER {name} {when.format(table=f'tallystick.{table}')} EXECUTE FUNCTION tallystick.{function}()"
        )


_UPDATE, _DELETE, _INSERT = (f"BEFORE {event} ON {{table}} FOR EACH ROW" for event in ("UPDATE", "DELETE", "INSERT"))
_THROUGH_PARENT = "BEFORE INSERT ON {table} FOR EACH STATEMENT"
_TRUNCATE = "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
_APPENDED = "AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT"
_BACKWARD = (
    'BEFORE UPDATE ON {table} FOR EACH ROW WHEN (((new."position" <= old."position")'
    " OR (new.session <> old.session) OR (new.key <> old.key)))"
)


def triggers() -> list[Trigger]:
    """Every trigger of a ledger."""
    made = [Trigger(table, f"{table}_no_truncate", _TRUNCATE, "refuse") for table in COLUMNS]
    for table in ("ledger", "migration"):
        made.append(Trigger(table, f"{table}_no_update", _UPDATE, "refuse"))
        made.append(Trigger(table, f"{table}_no_delete", _DELETE, "refuse"))
        made.append(Trigger(table, f"{table}_append", _INSERT, f"{table}_append"))
    made += [Trigger(table, f"{table}_by_partition", _THROUGH_PARENT, "refuse") for table in PARTITIONED]
    for digit in PARTITIONS:
        made += _partition_triggers(digit)
    return made


def _partition_triggers(digit: str) -> list[Trigger]:
    made = [Trigger(f"{table}_{digit}", f"{table}_no_truncate", _TRUNCATE, "refuse") for table in PARTITIONED]
    for table, name, when, function in (
        ("session", "session_append", _INSERT, "session_append"),
        ("session", "session_no_update", _UPDATE, "refuse"),
        ("session", "session_no_delete", _DELETE, "refuse"),
        ("record", "record_append", _APPENDED, f"record_append_{digit}"),
        ("record", "record_only_erased", _UPDATE, "record_only_erased"),
        ("record", "record_no_delete", _DELETE, "refuse"),
        ("state", "state_forward", _BACKWARD, "refuse"),
        ("state", "state_no_delete", _DELETE, "refuse"),
        ("artifact", "artifact_no_update", _UPDATE, "refuse"),
        ("artifact", "artifact_only_erased", _DELETE, "artifact_only_erased"),
    ):
        made.append(Trigger(f"{table}_{digit}", name, when, function))
    return made


def functions() -> dict[str, str]:
    """The trigger functions' bodies, by name."""
    raising = f"USING ERRCODE = '{REFUSED_STATE}'"
    kept = " AND ".join(
        f"new.{name} IS NOT DISTINCT FROM old.{name}" for name, *_ in COLUMNS["record"] if name not in SEALED
    )
    cleared = " AND ".join(f"(new.{name} IS NULL OR new.{name} IS NOT DISTINCT FROM old.{name})" for name in SEALED)
    made = {
        "refuse": f"""
BEGIN
    RAISE EXCEPTION 'tallystick: % on % is never done', TG_OP, TG_TABLE_NAME {raising};
END""",
        "ledger_append": f"""
BEGIN
    IF new.number IS DISTINCT FROM (SELECT coalesce(max(number), 0) + 1 FROM tallystick.ledger) THEN
        RAISE EXCEPTION 'tallystick: ledgers are only appended' {raising};
    END IF;
    RETURN new;
END""",
        "migration_append": f"""
BEGIN
    IF new.version IS DISTINCT FROM (SELECT coalesce(max(version), 0) + 1 FROM tallystick.migration) THEN
        RAISE EXCEPTION 'tallystick: migrations are only appended' {raising};
    END IF;
    RETURN new;
END""",
        "session_append": f"""
BEGIN
    IF new.key IS DISTINCT FROM (
        SELECT substring(sha256(convert_to(ledger_id || ':' || new.task_id, 'UTF8')), 1, 16)
        FROM tallystick.ledger WHERE number = new.ledger
    ) THEN
        RAISE EXCEPTION 'tallystick: a session has the key of its ledger and task' {raising};
    END IF;
    RETURN new;
END""",
        "record_only_erased": f"""
BEGIN
    IF NOT ({kept} AND {cleared}) THEN
        RAISE EXCEPTION 'tallystick: of a record only sealed parts can be cleared' {raising};
    END IF;
    RETURN new;
END""",
        "artifact_only_erased": f"""
BEGIN
    IF EXISTS (
        SELECT FROM tallystick.record
        WHERE session = old.session AND position = old.position AND output_salt IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'tallystick: an artifact goes only with its erased salt' {raising};
    END IF;
    RETURN old;
END""",
    }
    return made | {f"record_append_{digit}": _record_append(digit) for digit in PARTITIONS}


def _record_append(digit: str) -> str:
    """What every append runs: operators are named in full, since a search path could put others in their place."""
    return f"""
BEGIN
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'on'
        AND pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.<>) 'remote_apply' THEN
        RAISE EXCEPTION 'tallystick: synchronous_commit is %', pg_catalog.current_setting('synchronous_commit')
            USING ERRCODE = '{DURABILITY_STATE}';
    END IF;
    IF pg_catalog.current_setting('tallystick.schema', true) IS NULL
        OR pg_catalog.current_setting('tallystick.schema', true) OPERATOR(pg_catalog.<>) '{SCHEMA_VERSION}' THEN
        RAISE EXCEPTION 'tallystick: the schema is {SCHEMA_VERSION}, the client says %',
            coalesce(pg_catalog.current_setting('tallystick.schema', true), 'nothing')
            USING ERRCODE = '{VERSION_STATE}';
    END IF;
    PERFORM FROM fresh WHERE
        CASE WHEN fresh.position OPERATOR(pg_catalog.<>) 1::bigint THEN NOT EXISTS (
            SELECT FROM tallystick.record_{digit} AS before
            WHERE before.session OPERATOR(pg_catalog.=) fresh.session
                AND before.position OPERATOR(pg_catalog.=) (fresh.position OPERATOR(pg_catalog.-) 1::bigint)
        ) ELSE NOT EXISTS (
            SELECT FROM tallystick.session_{digit} AS known WHERE known.key OPERATOR(pg_catalog.=) fresh.session
        ) END;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a record goes to its head + 1' USING ERRCODE = '{REFUSED_STATE}';
    END IF;
    RETURN NULL;
END"""


def unpinned(name: str) -> bool:
    """Whether a function runs under the caller's search path, since setting one would slow every append down."""
    return name.startswith("record_append_")


def statements() -> list[str]:
    """What makes an empty ledger's tables, run as the owner in an empty schema."""
    made = [_create_table(table) for table in COLUMNS]
    for digit in PARTITIONS:
        first, last = bounds(digit)
        for table in PARTITIONED:
            options = " WITH (fillfactor = 50)" if table == "state" else ""
            made.append(
                f"CREATE TABLE tallystick.{table}_{digit} PARTITION OF tallystick.{table}"
                f" FOR VALUES FROM ({first}) TO ({last}){options}"
            )
        made.append(f"ALTER TABLE tallystick.artifact_{digit} ALTER COLUMN data SET STORAGE EXTERNAL")
        made.append(f"CREATE INDEX local_proof_{digit}_digest ON tallystick.local_proof_{digit} (digest)")
        made.append(f"CREATE INDEX session_{digit}_made ON tallystick.session_{digit} (({ORDER_OF_MAKING}), key)")
    made += function_statements()
    for trigger in triggers():
        made.append(trigger.definition)
        made.append(f"ALTER TABLE tallystick.{trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}")
    return made + grants()


_COLLATED = {"text": 'text COLLATE "C"'}


def _create_table(table: str) -> str:
    columns = ", ".join(
        f"{name} {_COLLATED.get(kind, kind)}{' NOT NULL' if required else ''}"
        for name, kind, required in COLUMNS[table]
    )
    unique = {"ledger": ", UNIQUE (ledger_id)", "record": f", {FIRST_POSITION}"}.get(table, "")
    split = f" PARTITION BY RANGE ({PRIMARY_KEYS[table][0]})" if table in PARTITIONED else ""
    return f"CREATE TABLE tallystick.{table} ({columns}, PRIMARY KEY ({', '.join(PRIMARY_KEYS[table])}){unique}){split}"


def function_statements() -> list[str]:
    """What makes the trigger functions, or replaces them by those of this version."""
    return [
        f"CREATE OR REPLACE FUNCTION tallystick.{name}() RETURNS trigger LANGUAGE plpgsql"
        f"{'' if unpinned(name) else ' SET search_path = pg_catalog, pg_temp'} AS $body${body}$body$"
        for name, body in functions().items()
    ]


def grants() -> list[str]:
    """Who may do what. Nobody but the owner may update, delete or truncate anything else."""
    made = [
        "REVOKE ALL ON SCHEMA tallystick FROM PUBLIC",
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tallystick FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA tallystick TO {READER}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA tallystick TO {READER}",
    ]
    for digit in PARTITIONS:
        made += [f"GRANT INSERT ON tallystick.{table}_{digit} TO {WRITER}" for table in PARTITIONED]
        made.append(f"GRANT UPDATE (position, at, edge, pointers) ON tallystick.state_{digit} TO {WRITER}")
        made.append(f"GRANT UPDATE ({', '.join(SEALED)}) ON tallystick.record_{digit} TO {ERASER}")
        made.append(f"GRANT UPDATE (salt, digest) ON tallystick.local_idempotency_{digit} TO {ERASER}")
        made.append(f"GRANT DELETE ON tallystick.artifact_{digit}, tallystick.local_proof_{digit} TO {ERASER}")
    return made
