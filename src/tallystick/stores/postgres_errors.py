"""What PostgreSQL's errors mean to the person who uses the ledger: one line, what to do, never a password."""

from __future__ import annotations

import psycopg

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError, TallystickError, TamperedError
from tallystick.stores.postgres_schema import (
    DURABILITY_STATE,
    ERASER,
    MOVED_STATE,
    READER,
    REFUSED_STATE,
    SCHEMA_VERSION,
    SEQUENCER,
    VERSION_STATE,
    WRITER,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.stores.postgres_url import Target

UNIQUE_VIOLATION = "23505"
UNSETTLED = (VERSION_STATE, DURABILITY_STATE, "42883")
"""What an append says where the session's settings are not those that it was opened with, or another version came."""
NUL_STATE = "22P05"
"""What PostgreSQL says to text with a NUL character."""
_PASSING = (
    "08",  # the connection failed
    "25006",  # the server became read-only: another one took over
    "40",  # a deadlock, or a failure to serialise
    "53300",  # too many connections
    "57P01",  # the server is shut down
    "57P02",  # the server crashed
    "57P03",  # the server starts up
    "57P05",  # the session was idle for too long
    "25P03",  # the transaction was idle for too long
)
_CONSTRAINT = ("23", "44", REFUSED_STATE, MOVED_STATE, "P0001")
_ADVICE = {
    "42501": f"have an administrator run GRANT {WRITER} TO that user ({READER} to read, {ERASER} to erase,"
    f" {SEQUENCER} to sign checkpoints)",
    "3F000": "notch init makes a ledger there",
    "42P01": "run notch init --ledger with that URL again, as a member of the owner's role",
    "42703": "run notch init --ledger with that URL again, as a member of the owner's role",
    "53100": "free some space on the server; nothing of this was recorded",
    "53200": "the server is out of memory; nothing of this was recorded",
    "53300": "raise the server's max_connections, or use fewer clients",
    "55P03": "another client keeps the session locked; try again",
    "57014": "the server was told to cancel it; nothing of this was recorded",
    "58030": "check the server's disk",
    "58P01": "check the server's disk",
    VERSION_STATE: "upgrade the older of the two",
    DURABILITY_STATE: "leave synchronous_commit on, or set it to remote_apply",
}
_CONNECTING = (
    ("too many clients", "raise the server's max_connections, or use fewer clients"),
    ("remaining connection slots", "raise the server's max_connections, or use fewer clients"),
    ("too many connections", "raise the limit of the user or the database, or use fewer clients"),
    ("password authentication failed", "check the user and the password (PGPASSWORD, ~/.pgpass)"),
    ("no password supplied", "give the password in PGPASSWORD or ~/.pgpass"),
    ("no pg_hba.conf entry", "the server does not let this user in from here: see its pg_hba.conf"),
    ("not permitted to log in", "ALTER ROLE … LOGIN, or name another user"),
    ('database "', "make it with createdb, then run notch init; or name another"),
    ('role "', "make it with CREATE ROLE … LOGIN, or name another user"),
    ("could not translate host name", "check the host's name"),
    ("failed to resolve host", "check the host's name"),
    ("name or service not known", "check the host's name"),
    ("read-only", "none of these servers takes writes; name the primary too, or promote one"),
    ("recovery mode", "the server starts up after a crash; try again"),
    ("starting up", "the server starts up; try again"),
    ("not yet accepting", "the server starts up; try again"),
    ("shutting down", "the server is shut down; start it again"),
    ("no space left", "free some space on the server"),
    ("ssl", "see sslmode and sslrootcert in PostgreSQL's documentation"),
    ("", "is the server running there? Check host and port"),
)
"""What a failed connection says (libpq gives no code), and what to do; the first that fits."""
_LASTING = {sign for sign, _ in _CONNECTING[3:9]}
_CROWDED = {"too many clients", "remaining connection slots", "too many connections"}
_STARTING = {"recovery mode", "starting up", "not yet accepting", "shutting down"}


class Interrupted(Exception):
    """The transaction may or may not have been committed: nobody answered, or no standby confirmed it."""


class CannotConnectError(StoreUnavailableError):
    """No connection could be made."""

    def __init__(self, what: str, *, where: str, advice: str, sign: str = "") -> None:
        super().__init__(what, where=where, advice=advice)
        self.passing = sign not in _LASTING
        """Whether it may be made later, by waiting alone."""
        self.starting = sign in _STARTING
        """Whether a server answered that it is not ready yet."""
        self.crowded = sign in _CROWDED
        """Whether the server has as many connections as it grants."""


def is_passing(error: psycopg.Error) -> bool:
    """Whether another attempt, on another connection, may do better."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith(_PASSING)


def store_error(error: psycopg.Error, target: Target, what: str = "") -> TallystickError:
    """The error to raise for one that the server reported, or that met a connection in use."""
    state = error.sqlstate or ""
    said = target.redact(_first_line(error))
    if state.startswith("XX"):
        return TamperedError(f"the database is damaged ({said})", where=target.shown, advice="restore a backup")
    if state.startswith(_CONSTRAINT):
        return TamperedError(
            f"the store refuses the entry, so its rows do not fit together ({said})",
            where=target.shown,
            advice="run notch verify",
        )
    if state == NUL_STATE:
        return InputError("PostgreSQL keeps no text with a NUL character", where=target.shown)
    if state == "3F000":
        return NotFoundError("no ledger in this database", where=target.shown, advice=_ADVICE[state])
    if state in ("42P01", "42703"):
        said = f"the tables are not those of schema {SCHEMA_VERSION} ({said})"
    if not state:
        said = f"the connection was lost ({said})" if said else "the connection was lost"
    return StoreUnavailableError(what or said, where=target.shown, advice=_ADVICE.get(state, ""))


def connect_error(error: psycopg.Error, target: Target) -> CannotConnectError:
    """The error to raise for a connection that could not be made."""
    said = target.redact(_reasons(str(error)))
    low = said.lower()
    sign, advice = next(one for one in _CONNECTING if one[0] in low)
    return CannotConnectError(said, where=target.shown, advice=advice, sign=sign)


def greeting_error(error: psycopg.Error, target: Target) -> TallystickError:
    """The error to raise for a connection that failed before it was used for anything."""
    found = store_error(error, target)
    if not is_passing(error):
        return found
    return CannotConnectError(found.what, where=found.where, advice="try again")


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    detail = error.diag.message_detail if error.sqlstate and error.sqlstate.startswith("23") else ""
    text = primary or str(error).strip()
    return " ".join(f"{text} {detail or ''}".split())


def _reasons(text: str) -> str:
    """Why each server could not be reached, on one line."""
    lines = [line.strip() for line in text.splitlines()]
    attempts = [line for line in lines if line.startswith("- host:")]
    reasons = []
    for line in attempts or lines[:1]:
        reason = line.removeprefix("- ")
        for words in ("connection failed: ", "connection is bad: "):
            reason = reason.rpartition(words)[2] or reason
        if reason not in reasons:
            reasons.append(reason)
    return "; ".join(reasons) or "cannot connect"
