"""What can be wrong with a SQLite ledger beyond the sessions in it: schema, orphans, gaps."""

from __future__ import annotations

from tallystick.stores.sqlite_moved import is_moved_trigger
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK, SINCE, made_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Query = Callable[..., list[Any]]
    Fault = tuple[str, int | None, str]


def faults(query: Query) -> Iterator[Fault]:
    """Everything wrong: (task id or "", position or None, what)."""
    yield from schema_faults(query)
    yield from _numbers(query)
    yield from _orphans(query)
    tables = ["ledger", "session", "state"]
    if _version(query) >= SINCE["checkpoint"]:
        yield from _log(query)
        tables += ["checkpoint", "head_history"]
    for table in tables:
        for (line,) in query(f"PRAGMA integrity_check('{table}')"):
            if line != "ok":
                yield "", None, f"table {table}: {line}"


def schema_faults(query: Query) -> Iterator[Fault]:
    """What differs between the file's tables, indexes and triggers and those that its schema version has."""
    rows = query("SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index', 'trigger')")
    found = {(kind, name): sql for kind, name, sql in rows}
    expected = made_by(_version(query))
    for (kind, name), sql in expected.items():
        if (kind, name) not in found:
            yield "", None, f"{kind} {name} is missing"
        elif found[kind, name] != sql:
            yield "", None, f"{kind} {name} was changed"
    for kind, name in sorted(found.keys() - expected.keys()):
        if kind == "trigger" and not is_moved_trigger(name, found[kind, name]):
            yield "", None, f"trigger {name} does not belong to a ledger"


def _version(query: Query) -> int:
    return int(query("PRAGMA user_version")[0][0])


def _missing_numbers(query: Query, table: str) -> Iterator[Fault]:
    """What is numbered without gaps has a hole where a row was dropped."""
    (count, highest) = query(f"SELECT count(*), coalesce(max(number), 0) FROM {table}")[0]
    if count != highest:
        yield "", None, f"{highest - count} of {highest} rows of table {table} are missing"


def _numbers(query: Query) -> Iterator[Fault]:
    for table in ("ledger", "session"):
        yield from _missing_numbers(query, table)
    for number, task_id in query("SELECT number, task_id FROM session WHERE ledger NOT IN (SELECT number FROM ledger)"):
        yield task_id, None, f"session {number} belongs to no ledger"
    for (ledger_id,) in query(
        "SELECT ledger_id FROM ledger WHERE number > 1 AND number NOT IN (SELECT ledger FROM session)"
    ):
        yield "", None, f"ledger {ledger_id} has no session"


def _orphans(query: Query) -> Iterator[Fault]:
    for bounds in (
        f"< {1 << POSITION_BITS}",
        f"> (SELECT ((coalesce(max(number), 0) + 1) << {POSITION_BITS}) - 1 FROM session)",
    ):
        for (record,) in query(f"SELECT id FROM record WHERE id {bounds} LIMIT 10"):
            yield "", record & POSITION_MASK, f"a record belongs to no session ({record >> POSITION_BITS})"
    for session, key in query(
        "SELECT session, key FROM state WHERE session NOT IN (SELECT number FROM session) LIMIT 10"
    ):
        yield "", None, f"a pointer ({key!r}) belongs to no session ({session})"
    for record, task_id in query(
        "SELECT a.record, coalesce(s.task_id, '') FROM (SELECT DISTINCT record FROM artifact) a"
        " LEFT JOIN record r ON r.id = a.record LEFT JOIN session s ON s.number = a.record >> ?"
        " WHERE r.id IS NULL OR r.output_salt IS NULL OR r.output IS NOT NULL LIMIT 10",
        (POSITION_BITS,),
        kinds="it",
    ):
        yield task_id, record & POSITION_MASK, "an artifact belongs to no entry"


def _log(query: Query) -> Iterator[Fault]:
    """What the log's own verification does not look at: the numbers."""
    yield from _missing_numbers(query, "checkpoint")
    for session, checkpoint in query("SELECT session, checkpoint FROM head_history WHERE checkpoint < 1 LIMIT 10"):
        yield "", None, f"a head of session {session} belongs to no checkpoint ({checkpoint})"
