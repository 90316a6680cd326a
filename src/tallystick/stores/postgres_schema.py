"""The PostgreSQL tables, the triggers and roles that make them append-only, and how older ones are brought up to date.

A session is known by a key that follows from its ledger's and its task's names, so that nothing is numbered
across tasks. Keys are SHA-256 digests: tables are cut into ranges of them, and a range of digests is a hash
partition whose number the client reads off the key's first hex digit. Statements name the partition itself.

Everything lies in the schema `tallystick` and belongs to the role `tallystick_owner`. Writers insert records, and
where a session stands is moved by the database itself (`postgres_moving`), never by them. Triggers are `ALWAYS`
ones, which `session_replication_role` does not turn off.
"""

from __future__ import annotations

from hashlib import sha256

SCHEMA_VERSION = 2
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
MOVED_STATE = "TS004"
"""SQLSTATE of our own: the session does not stand where the client thought."""

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
        ("moved", "boolean", False),
        ("places", "bigint[]", False),
        ("more", "boolean", False),
        ("until", "text", False),
        ("names", "text[]", False),
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
    "head_history": (
        ("session", "bytea", True),
        ("checkpoint", "integer", True),
        ("position", "bigint", True),
        ("root", "bytea", True),
    ),
    "checkpoint": (
        ("number", "integer", True),
        ("leaf", "bytea", True),
        ("node", "bytea", True),
        ("note", "text", True),
        ("key", "text", True),
    ),
    "local_task": (("key", "bytea", True), ("session", "bytea", True), ("task_id", "text", True)),
    "local_tile": (("depth", "integer", True), ("prefix", "bigint", True), ("tile", "bytea", True)),
    "local_lease": (("name", "text", True), ("holder", "text", True), ("until", "timestamp with time zone", True)),
}
"""Each table's columns: name, type as `format_type` prints it, whether it is NOT NULL.

What an append leaves as it is comes last in a head's row: PostgreSQL then logs the part before it alone.
"""

PRIMARY_KEYS = {
    "ledger": ("number",),
    "migration": ("version",),
    "session": ("key",),
    "record": ("session", "position"),
    "state": ("session", "key"),
    "artifact": ("session", "position", "chunk"),
    "local_idempotency": ("session", "key"),
    "local_proof": ("session", "position", "digest"),
    "head_history": ("session", "checkpoint"),
    "checkpoint": ("number",),
    "local_task": ("key",),
    "local_tile": ("depth", "prefix"),
    "local_lease": ("name",),
}
FIRST_POSITION = 'CHECK (("position" > 0))'
"""Of records, as `pg_get_constraintdef` prints it."""
PARTITIONED = ("record", "session", "state", "artifact", "local_idempotency", "local_proof", "head_history")
APPENDED = ("artifact", "local_proof")
"""What a writer adds rows to, besides records."""
CALLED = ("append", "append_keyed", "extend", "begin", "hold")
"""The functions that a writer calls, one of each for a partition; see `postgres_moving`."""
SEQUENCED = ("local_task", "local_tile", "local_lease")
"""What a sequencer keeps for itself."""
SEALED = ("text_salt", "text", "details_salt", "details", "output_salt", "output")
ORDER_OF_MAKING = "substring(header, 1, 62)"
"""What sessions are listed by: a header begins with its fixed fields and the time at which it was made."""


def session_key(ledger_id: str, task_id: str) -> bytes:
    """The key of a task's session: the first 16 bytes of SHA-256(ledger id ‖ `:` ‖ task id)."""
    return sha256(f"{ledger_id}:{task_id}".encode()).digest()[:16]


def number_of(key: bytes) -> int:
    """The key as a number; one of another length is not ours, which verification says, and must not end it."""
    return int.from_bytes(key[:16].ljust(16, b"\0"))


def bounds(digit: str) -> tuple[str, str]:
    """Where a partition begins and where the next one does, as PostgreSQL prints bounds."""
    value = int(digit, 16)
    first = f"'\\x{value:x}0'" if value else "MINVALUE"
    return first, f"'\\x{value + 1:x}0'" if value < 15 else "MAXVALUE"


def partition_of(number: int) -> str:
    """The hex digit of the partition that holds the session with this key, read as a number."""
    return PARTITIONS[number >> PARTITION_SHIFT]


def tables() -> list[str]:
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
        made.append(
            f"CREATE INDEX head_history_{digit}_by_checkpoint ON tallystick.head_history_{digit} (checkpoint, session)"
        )
        made.append(f"CREATE INDEX session_{digit}_made ON tallystick.session_{digit} (({ORDER_OF_MAKING}), key)")
    return made


_COLLATED = {"text": 'text COLLATE "C"', "text[]": 'text[] COLLATE "C"'}


def _create_table(table: str) -> str:
    columns = ", ".join(
        f"{name} {_COLLATED.get(kind, kind)}{' NOT NULL' if required else ''}"
        for name, kind, required in COLUMNS[table]
    )
    unique = {"ledger": ", UNIQUE (ledger_id)", "record": f", {FIRST_POSITION}"}.get(table, "")
    split = f" PARTITION BY RANGE ({PRIMARY_KEYS[table][0]})" if table in PARTITIONED else ""
    return f"CREATE TABLE tallystick.{table} ({columns}, PRIMARY KEY ({', '.join(PRIMARY_KEYS[table])}){unique}){split}"


def grants() -> list[str]:
    """Who may do what with tables and functions, whatever was granted before, but for what writers call.

    Only the owner may update, delete or truncate anything else.
    """
    made = [
        f"REVOKE ALL ON ALL TABLES IN SCHEMA tallystick FROM PUBLIC, {READER}, {WRITER}, {ERASER}, {SEQUENCER}",
        "REVOKE ALL ON SCHEMA tallystick FROM PUBLIC",
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tallystick FROM PUBLIC, {READER}, {WRITER}, {ERASER}, {SEQUENCER}",
        f"GRANT USAGE ON SCHEMA tallystick TO {READER}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA tallystick TO {READER}",
    ]
    made += [f"GRANT INSERT, UPDATE, DELETE ON tallystick.{table} TO {SEQUENCER}" for table in SEQUENCED]
    made.append(f"GRANT INSERT ON tallystick.checkpoint TO {SEQUENCER}")
    made.append(f"GRANT INSERT ON tallystick.record TO {WRITER}")
    for digit in PARTITIONS:
        made += [f"GRANT INSERT ON tallystick.{table}_{digit} TO {WRITER}" for table in APPENDED]
        made.append(f"GRANT UPDATE ({', '.join(SEALED)}) ON tallystick.record_{digit} TO {ERASER}")
        made.append(f"GRANT UPDATE (salt, digest) ON tallystick.local_idempotency_{digit} TO {ERASER}")
        made.append(f"GRANT DELETE ON tallystick.artifact_{digit}, tallystick.local_proof_{digit} TO {ERASER}")
        made.append(f"GRANT INSERT ON tallystick.head_history_{digit} TO {SEQUENCER}")
    return made
