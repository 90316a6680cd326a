"""A SQLite ledger that went on elsewhere: it is read as before, takes nothing more, and says where it went."""

from __future__ import annotations

from tallystick.errors import StoreUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

_SAYS = "tallystick: this ledger moved to "
_TRIGGER = "CREATE TRIGGER moved_{0} BEFORE INSERT ON {0} BEGIN SELECT RAISE(ABORT, '{1}'); END"
_TABLES = ("session", "record", "head_history", "checkpoint")


def close_for(connection: sqlite3.Connection, url: str) -> None:
    """Have the ledger take nothing more, since it goes on at `url`. In the caller's transaction."""
    says = f"{_SAYS}{url}".replace("'", "''")
    for table in _TABLES:
        connection.execute(f"DROP TRIGGER IF EXISTS moved_{table}")
        connection.execute(_TRIGGER.format(table, says))


def is_moved_trigger(name: str, sql: str) -> bool:
    """Whether a trigger is one of those, and does nothing else."""
    for table in _TABLES:
        start, end = _TRIGGER.format(table, "\0").split("\0")
        if name == f"moved_{table}" and sql.startswith(start + _SAYS) and sql.endswith(end):
            return "'" not in sql[len(start) : -len(end)].replace("''", "")
    return False


def moved_error(error: Exception, path: str) -> StoreUnavailableError | None:
    """What such a trigger's refusal means to the person who uses the ledger; None for any other error."""
    said = str(error)
    if not said.startswith(_SAYS):
        return None
    url = said.removeprefix(_SAYS)
    return StoreUnavailableError(
        f"this ledger moved to {url}, and takes nothing more here",
        where=path,
        advice=f"name that one: --ledger, or TALLYSTICK_LEDGER={url}",
    )
