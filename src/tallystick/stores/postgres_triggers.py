"""The triggers that keep a PostgreSQL ledger append-only, and the functions they run."""

from __future__ import annotations

from tallystick.stores import postgres_moving as moving
from tallystick.stores.postgres_function import Function
from tallystick.stores.postgres_schema import COLUMNS, OWNER, PARTITIONED, PARTITIONS, REFUSED_STATE, SEALED


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
_MOVED_BY_OTHERS = (
    'BEFORE UPDATE OF session, key, "position", at, until, edge, names, places, more, moved ON {table}'
    f" FOR EACH STATEMENT WHEN ((CURRENT_USER <> '{OWNER}'::name))"
)
"""Where a session stands is moved by functions that run as the owner. Appends pay for a trigger for each row: old and
new are fetched once more for it; one before the update would lock the row first, which is written ahead as well."""
_KEY_CHANGED = (
    "BEFORE UPDATE ON {table} FOR EACH ROW WHEN (((new.salt IS NOT NULL) OR (new.digest IS NOT NULL)"
    " OR (new.session <> old.session) OR (new.key <> old.key) OR (new.first <> old.first) OR (new.last <> old.last)))"
)
"""What does more to an idempotency key than to make it forget whose input it stands for."""


def triggers() -> list[Trigger]:
    """Every trigger of a ledger."""
    made = [Trigger(table, f"{table}_no_truncate", _TRUNCATE, "refuse") for table in COLUMNS]
    for table in ("ledger", "migration", "checkpoint"):
        made.append(Trigger(table, f"{table}_no_update", _UPDATE, "refuse"))
        made.append(Trigger(table, f"{table}_no_delete", _DELETE, "refuse"))
        made.append(Trigger(table, f"{table}_append", _INSERT, f"{table}_append"))
    made += [Trigger(table, f"{table}_by_partition", _THROUGH_PARENT, "refuse") for table in PARTITIONED[1:]]
    made.append(Trigger("record", "record_append", _APPENDED, "record_append"))
    # An update through the parent does not set off what its partitions do once for each statement.
    made.append(Trigger("state", "state_moved_by_others", _MOVED_BY_OTHERS, "refuse"))
    for digit in PARTITIONS:
        made += _partition_triggers(digit)
    return made


def _partition_triggers(digit: str) -> list[Trigger]:
    made = [Trigger(f"{table}_{digit}", f"{table}_no_truncate", _TRUNCATE, "refuse") for table in PARTITIONED]
    for table, name, when, function in (
        ("session", "session_append", _INSERT, "session_append"),
        ("session", "session_no_update", _UPDATE, "refuse"),
        ("session", "session_no_delete", _DELETE, "refuse"),
        ("record", "record_only_erased", _UPDATE, "record_only_erased"),
        ("record", "record_no_delete", _DELETE, "refuse"),
        ("state", "state_moved_by_others", _MOVED_BY_OTHERS, "refuse"),
        ("state", "state_no_delete", _DELETE, "refuse"),
        ("head_history", "head_history_append", _APPENDED, f"head_history_append_{digit}"),
        ("head_history", "head_history_no_update", _UPDATE, "refuse"),
        ("head_history", "head_history_no_delete", _DELETE, "refuse"),
        ("local_idempotency", "local_idempotency_only_erased", _KEY_CHANGED, "refuse"),
        ("artifact", "artifact_no_update", _UPDATE, "refuse"),
        ("artifact", "artifact_only_erased", _DELETE, "artifact_only_erased"),
        ("artifact", "artifact_append", _APPENDED, f"artifact_append_{digit}"),
        ("local_proof", "local_proof_append", _APPENDED, f"local_proof_append_{digit}"),
    ):
        made.append(Trigger(f"{table}_{digit}", name, when, function))
    return made


def functions() -> list[Function]:
    """Every function of a ledger: what its triggers run, and what writers call."""
    return [Function(name, body, secure=False) for name, body in _guarding().items()] + moving.functions()


def _guarding() -> dict[str, str]:
    """The bodies of the trigger functions that refuse, by name."""
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
        "checkpoint_append": f"""
BEGIN
    IF new.number IS DISTINCT FROM (SELECT coalesce(max(number), 0) + 1 FROM tallystick.checkpoint) THEN
        RAISE EXCEPTION 'tallystick: checkpoints are only appended' {raising};
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
    for digit in PARTITIONS:
        made[f"head_history_append_{digit}"] = _head_history_append(digit, raising)
        made[f"artifact_append_{digit}"] = _artifact_append(digit, raising)
        made[f"local_proof_append_{digit}"] = _proof_append(digit, raising)
    return made


def _head_history_append(digit: str, raising: str) -> str:
    other = f"FROM tallystick.head_history_{digit} AS other WHERE other.session = fresh.session AND other.checkpoint"
    return f"""
BEGIN
    PERFORM FROM fresh WHERE fresh.checkpoint IS DISTINCT FROM
        (SELECT coalesce(max(number), 0) + 1 FROM tallystick.checkpoint);
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: heads go to the next checkpoint' {raising};
    END IF;
    PERFORM FROM fresh WHERE (SELECT 1 {other} > fresh.checkpoint LIMIT 1) IS NOT NULL
        OR (SELECT position {other} < fresh.checkpoint ORDER BY other.checkpoint DESC LIMIT 1) >= fresh.position;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: heads in checkpoints only move forward' {raising};
    END IF;
    RETURN NULL;
END"""


def _artifact_append(digit: str, raising: str) -> str:
    """An artifact comes with its record, in one transaction, and never beside another one."""
    return f"""
BEGIN
    PERFORM FROM fresh LEFT JOIN tallystick.record_{digit} AS r
        ON r.session = fresh.session AND r.position = fresh.position
    WHERE r.output_salt IS NULL OR r.output IS NOT NULL OR r.xmin <> pg_current_xact_id()::xid;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: an artifact is stored with its record' {raising};
    END IF;
    RETURN NULL;
END"""


def _proof_append(digit: str, raising: str) -> str:
    return f"""
BEGIN
    PERFORM FROM fresh WHERE NOT EXISTS (
        SELECT FROM tallystick.record_{digit} AS r WHERE r.session = fresh.session AND r.position = fresh.position
    );
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a result is one of the entries' {raising};
    END IF;
    RETURN NULL;
END"""


def function_statements() -> list[str]:
    """What makes the functions, or replaces them by those of this version."""
    return [function.statement for function in functions()]


def statements() -> list[str]:
    """What makes the functions and the triggers, run as the owner."""
    made = function_statements()
    for trigger in triggers():
        made.append(trigger.definition)
        made.append(f"ALTER TABLE tallystick.{trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}")
    return made
