"""What can be wrong with a PostgreSQL ledger beyond the sessions in it: schema, privileges, orphans."""

from __future__ import annotations

from tallystick.stores import postgres_schema as schema
from tallystick.stores import postgres_triggers as triggers
from tallystick.stores.postgres_function import called
from tallystick.stores.postgres_schema import (
    APPENDED,
    CALLED,
    COLUMNS,
    ERASER,
    PARTITIONED,
    PARTITIONS,
    PRIMARY_KEYS,
    SEALED,
    SEQUENCED,
    SEQUENCER,
    WRITER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Query = Callable[..., list[Any]]
    Fault = tuple[str, int | None, str]

SHOWN = 10
"""How many rows of a kind are named."""
_OURS = "relnamespace = 'tallystick'::regnamespace"


def faults(query: Query) -> Iterator[Fault]:
    """Everything wrong: (task id or "", position or None, what)."""
    yield from schema_faults(query)
    yield from row_faults(query)


def schema_faults(query: Query) -> Iterator[Fault]:
    """What differs between the schema and the one that this version makes."""
    for what in (
        *_tables(query),
        *_columns(query),
        *_constraints(query),
        *_functions(query),
        *_triggers(query),
        *_views(query),
        *_privileges(query),
        *_callers(query),
    ):
        yield "", None, what


def _tables(query: Query) -> Iterator[str]:
    expected = dict.fromkeys(COLUMNS, "")
    for digit in PARTITIONS:
        first, last = schema.bounds(digit)
        expected |= {f"{table}_{digit}": f"FOR VALUES FROM ({first}) TO ({last})" for table in PARTITIONED}
    rows = query(
        "SELECT relname, coalesce(pg_get_expr(relpartbound, oid), ''), relrowsecurity, relhasrules,"
        f" pg_get_userbyid(relowner), relpersistence FROM pg_class WHERE {_OURS} AND relkind IN ('r', 'p')"
    )
    found = {row[0]: row[1:] for row in rows}
    for table, bound in expected.items():
        if table not in found:
            yield f"table {table} is missing"
            continue
        holds, hidden, rules, owner, kept = found[table]
        if holds != bound:
            yield f"table {table} holds other keys than it should"
        if hidden:
            yield f"table {table} can hide rows (row-level security)"
        if rules:
            yield f"table {table} has rules that rewrite statements"
        if owner != schema.OWNER:
            yield f"table {table} belongs to {owner}"
        if kept != "p":
            yield f"table {table} does not survive a crash"


def _columns(query: Query) -> Iterator[str]:
    rows = query(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a"
        f" JOIN pg_class c ON c.oid = a.attrelid WHERE c.{_OURS} AND c.relkind IN ('r', 'p')"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, name, kind, required in rows:
        found.setdefault(table, []).append((name, kind, required))
    for table, columns in found.items():
        expected = COLUMNS.get(table.removesuffix(f"_{table[-1]}") if table[-2:-1] == "_" else table)
        if expected is not None and sorted(columns) != sorted(expected):
            yield f"table {table} has other columns than it should"


def _constraints(query: Query) -> Iterator[str]:
    expected = {table: PRIMARY_KEYS[table] for table in PRIMARY_KEYS}
    for digit in PARTITIONS:
        expected |= {f"{table}_{digit}": PRIMARY_KEYS[table] for table in PARTITIONED}
    rows = query(
        "SELECT c.relname, array_agg(a.attname ORDER BY k.at) FROM pg_constraint o"
        " JOIN pg_class c ON c.oid = o.conrelid, unnest(o.conkey) WITH ORDINALITY AS k (attnum, at), pg_attribute a"
        f" WHERE c.{_OURS} AND o.contype = 'p' AND a.attrelid = c.oid AND a.attnum = k.attnum GROUP BY 1"
    )
    found = {table: tuple(names) for table, names in rows}
    for table, key in expected.items():
        if found.get(table) != key:
            yield f"the primary key of table {table} is missing or another one"
    rows = query(
        "SELECT c.relname FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid"
        f" WHERE c.{_OURS} AND o.contype = 'c' AND o.convalidated"
        f" AND pg_get_constraintdef(o.oid) = '{schema.FIRST_POSITION}'"
    )
    checked = {table for (table,) in rows}
    for table in ("record", *(f"record_{digit}" for digit in PARTITIONS)):
        if table not in checked:
            yield f"table {table} does not check that positions begin at 1"


def _functions(query: Query) -> Iterator[str]:
    rows = query(
        "SELECT proname, prosrc, proconfig, prosecdef, lanname, pg_get_userbyid(proowner)"
        " FROM pg_proc JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'tallystick'::regnamespace"
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(tuple(row[1:]))
    for function in triggers.functions():
        settings = ["search_path=pg_catalog, pg_temp"] if function.pinned else None
        expected = (function.body, settings, function.secure, "plpgsql", schema.OWNER)
        if function.name not in found:
            yield f"function {function.name} is missing"
        elif found.pop(function.name) != [expected]:
            yield f"function {function.name} was changed"
    for name in sorted(found):
        yield f"function {name} does not belong to a ledger"


def _triggers(query: Query) -> Iterator[str]:
    rows = query(
        "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled FROM pg_trigger t"
        f" JOIN pg_class c ON c.oid = t.tgrelid WHERE c.{_OURS} AND NOT t.tgisinternal"
    )
    found = {(table, name): (definition, enabled) for table, name, definition, enabled in rows}
    for trigger in triggers.triggers():
        definition, enabled = found.pop((trigger.table, trigger.name), ("", ""))
        where = f"trigger {trigger.name} on {trigger.table}"
        if not definition:
            yield f"{where} is missing"
        elif definition != trigger.definition:
            yield f"{where} was changed"
        elif enabled not in ("A", b"A"):
            yield f"{where} is not always enabled"
    for table, name in sorted(found):
        yield f"trigger {name} on {table} does not belong to a ledger"


def _views(query: Query) -> Iterator[str]:
    for (name,) in query(f"SELECT relname FROM pg_class WHERE {_OURS} AND relkind IN ('v', 'm', 'f', 'S') ORDER BY 1"):
        yield f"{name} does not belong to a ledger"


def _allowed() -> set[tuple[str, str, str, str]]:
    """(table, column or "", privilege, role) of all that changes rows and was granted on purpose."""
    allowed = set()
    for table in SEQUENCED:
        allowed |= {(table, "", privilege, SEQUENCER) for privilege in ("INSERT", "UPDATE", "DELETE")}
    allowed |= {("checkpoint", "", "INSERT", SEQUENCER), ("record", "", "INSERT", WRITER)}
    for digit in PARTITIONS:
        allowed |= {(f"{table}_{digit}", "", "INSERT", WRITER) for table in APPENDED}
        allowed.add((f"head_history_{digit}", "", "INSERT", SEQUENCER))
        allowed |= {(f"record_{digit}", name, "UPDATE", ERASER) for name in SEALED}
        allowed |= {(f"local_idempotency_{digit}", name, "UPDATE", ERASER) for name in ("salt", "digest")}
        allowed |= {(f"{table}_{digit}", "", "DELETE", ERASER) for table in ("artifact", "local_proof")}
    return allowed


def _privileges(query: Query) -> Iterator[str]:
    rows = query(
        "SELECT c.relname, coalesce(a.attname, ''), x.privilege_type, coalesce(r.rolname, 'PUBLIC') FROM pg_class c"
        " CROSS JOIN LATERAL (SELECT NULL::name AS attname, c.relacl AS acl UNION ALL"
        " SELECT attname, attacl FROM pg_attribute WHERE attrelid = c.oid AND attacl IS NOT NULL) a"
        " CROSS JOIN LATERAL aclexplode(a.acl) x LEFT JOIN pg_roles r ON r.oid = x.grantee"
        f" WHERE c.{_OURS} AND x.grantee <> c.relowner"
        " AND x.privilege_type NOT IN ('SELECT', 'MAINTAIN', 'REFERENCES')"
    )
    for table, column, privilege, role in sorted(set(map(tuple, rows)) - _allowed()):
        yield f"{role} was granted {privilege} on {table}{f' ({column})' if column else ''}"
    for (role,) in query(
        "SELECT coalesce(r.rolname, 'PUBLIC') FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) x"
        " LEFT JOIN pg_roles r ON r.oid = x.grantee"
        " WHERE n.nspname = 'tallystick' AND x.privilege_type = 'CREATE' AND x.grantee <> n.nspowner ORDER BY 1"
    ):
        yield f"{role} was granted CREATE on the schema"


def _callers(query: Query) -> Iterator[str]:
    """Who may call functions that was not meant to: they run as the owner."""
    rows = query(
        "SELECT p.proname, coalesce(r.rolname, 'PUBLIC') FROM pg_proc p"
        " CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x"
        " LEFT JOIN pg_roles r ON r.oid = x.grantee"
        " WHERE p.pronamespace = 'tallystick'::regnamespace AND x.grantee <> p.proowner"
    )
    allowed = {(called(name, digit), WRITER) for name in CALLED for digit in PARTITIONS}
    for name, role in sorted(set(map(tuple, rows)) - allowed):
        yield f"{role} was granted EXECUTE on {name}"


# --- rows


def row_faults(query: Query, digits: Iterable[str] = PARTITIONS) -> Iterator[Fault]:
    """Rows that belong nowhere, in these partitions."""
    yield from _ledgers(query)
    for digit in digits:
        yield from _orphans(query, digit)


def _ledgers(query: Query) -> Iterator[Fault]:
    for table, column in (("ledger", "number"), ("migration", "version"), ("checkpoint", "number")):
        (count, highest) = query(f"SELECT count(*), coalesce(max({column}), 0) FROM tallystick.{table}")[0]
        if count != highest:
            yield "", None, f"{highest - count} of {highest} rows of table {table} are missing"
        if table == "migration" and highest != schema.SCHEMA_VERSION:
            yield "", None, f"table migration says schema {highest}, not {schema.SCHEMA_VERSION}"
    for (ledger_id,) in query(
        "SELECT ledger_id FROM tallystick.ledger l WHERE number > 1"
        " AND NOT EXISTS (SELECT FROM tallystick.session s WHERE s.ledger = l.number)"
    ):
        yield "", None, f"ledger {ledger_id} has no session"


def _orphans(query: Query, digit: str) -> Iterator[Fault]:
    for (task_id,) in query(
        f"SELECT s.task_id FROM tallystick.session_{digit} s LEFT JOIN tallystick.ledger l ON l.number = s.ledger"
        " WHERE s.key IS DISTINCT FROM substring(sha256(convert_to(l.ledger_id || ':' || s.task_id, 'UTF8')), 1, 16)"
        f" LIMIT {SHOWN}"
    ):
        yield task_id, None, "the session's key is not that of its ledger and task"
    known = f"SELECT FROM tallystick.session_{digit} s WHERE s.key = o.session"
    for session, position in query(
        f"SELECT encode(o.session, 'hex'), min(o.position) FROM tallystick.record_{digit} o"
        f" WHERE NOT EXISTS ({known}) GROUP BY 1 LIMIT {SHOWN}"
    ):
        yield "", position, f"a record belongs to no session ({session})"
    for session, key in query(
        f"SELECT encode(o.session, 'hex'), o.key FROM tallystick.state_{digit} o"
        f" WHERE NOT EXISTS ({known}) LIMIT {SHOWN}"
    ):
        yield "", None, f"a pointer ({key!r}) belongs to no session ({session})"
    for session, checkpoint in query(
        f"SELECT encode(o.session, 'hex'), o.checkpoint FROM tallystick.head_history_{digit} o"
        f" WHERE o.checkpoint < 1 LIMIT {SHOWN}"
    ):
        yield "", None, f"a head of a session ({session}) belongs to no checkpoint ({checkpoint})"
    for position, task_id in query(
        f"SELECT a.position, coalesce(s.task_id, '') FROM (SELECT DISTINCT session, position"
        f" FROM tallystick.artifact_{digit}) a LEFT JOIN tallystick.record_{digit} r"
        f" ON r.session = a.session AND r.position = a.position"
        f" LEFT JOIN tallystick.session_{digit} s ON s.key = a.session"
        f" WHERE r.session IS NULL OR r.output_salt IS NULL OR r.output IS NOT NULL LIMIT {SHOWN}"
    ):
        yield task_id, position, "an artifact belongs to no entry"
