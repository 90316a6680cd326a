"""One connection to a PostgreSQL ledger: made safe before it is used, driven without a round trip too many.

Appends talk to libpq through psycopg's `pq`: a statement that was prepared once costs a tenth of the Python that a
cursor costs. Everything that reads uses cursors.
"""

from __future__ import annotations

import select
import time

import psycopg
from psycopg import pq

from tallystick.errors import StoreUnavailableError
from tallystick.stores import postgres_schema as schema
from tallystick.stores.postgres_errors import Interrupted, connect_error, greeting_error
from tallystick.stores.postgres_sql import CLOCK, SYNCHRONOUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from psycopg.pq.abc import PGconn, PGresult

    from tallystick.stores.postgres_sql import Statement
    from tallystick.stores.postgres_url import Target

    Parameters = Sequence[bytes | None]

CLOCK_TOLERANCE = 5_000_000
"""Microseconds by which a machine's clock may differ from the server's."""
JUMP = 500_000
"""Microseconds by which this machine's clock may leave its monotonic one before the server's is asked again."""
ANSWER_SECONDS = 90.0
"""How long a statement may go unanswered: more than a server waits for a lock."""
LIFETIME_SECONDS = 900.0
"""After this long a connection is replaced, so that its checks are made again."""

_SETTINGS = {
    "default_transaction_isolation": "read committed",
    "client_min_messages": "warning",
    "search_path": "pg_catalog",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "tallystick.schema": str(schema.SCHEMA_VERSION),
}
"""Set for every session, whatever the server, the database or the role says. A commit that was cancelled while it
waited for a standby is told by a warning: it must never be filtered out. Plans are made once, often while tables
are empty, and have to hold when they are large: rows are looked up by their keys, never sought by reading a table."""


_SCHEMA = "(SELECT oid, nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'tallystick') n"


def _hello() -> str:
    made = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items())
    return (
        f"SELECT {CLOCK}, current_setting('server_version_num')::integer, current_setting('server_encoding'),"
        " current_setting('fsync'), current_setting('full_page_writes'),"
        f" (SELECT pg_get_userbyid(nspowner) FROM {_SCHEMA}),"
        f" (SELECT count(*) FROM {_SCHEMA} JOIN pg_catalog.pg_class ON relnamespace = n.oid AND relowner = n.nspowner"
        " WHERE relname IN ('ledger', 'migration') AND relkind = 'r'),"
        f" {SYNCHRONOUS.format(local='false')}, {made}"
    )


_HELLO = _hello()
_IDENTITY = (
    "SELECT (SELECT max(version) FROM tallystick.migration), (SELECT ledger_id FROM tallystick.ledger WHERE number = 1)"
)


def local_clock() -> int:
    """This machine's clock: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def planted(what: str, target: Target) -> StoreUnavailableError:
    """The error for a schema that somebody else made: what lies in it may be anything, so it is not even read."""
    return StoreUnavailableError(
        f"{what}, so notch did not make it and does not touch it",
        where=target.shown,
        advice="find out who made it; rename or drop it, or use another database",
    )


class Link:
    """A connection of our own; one thread at a time uses it. Every statement is its own transaction, or says BEGIN."""

    def __init__(self, connection: psycopg.Connection[Any], target: Target) -> None:
        self.connection = connection
        self.target = target
        self.offset = 0
        """What to add to this machine's clock to get the server's: microseconds."""
        self._pace = 0
        """By how much this machine's clock is ahead of its monotonic one, while nobody sets it."""
        self.version = 0
        """The schema's version; 0 where there is no ledger yet."""
        self.ledger_id = ""
        self._speaks = schema.SCHEMA_VERSION
        self.unconfirmed = False
        """Whether the server warned that a commit was not waited for."""
        self._expires = time.monotonic() + LIFETIME_SECONDS
        self._settled = True
        """Whether every answer to what was sent has come."""
        self._pg: PGconn = connection.pgconn
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        self._prepared: set[bytes] = set()
        self.digits: set[str] = set()
        """The partitions whose statements were prepared here."""

    @classmethod
    def open(cls, target: Target, *, read_only: bool) -> Link:
        """A new connection, its settings made and checked. Raises StoreUnavailableError."""
        failed = None
        try:
            connection = psycopg.connect(**target.parameters, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            failed = connect_error(error, target)
        if failed is not None:
            # Not while the other one is handled: psycopg's error knows the password, and would hang on to ours.
            raise failed
        link = cls(connection, target)
        connection.add_notice_handler(link._notice)
        try:
            # Before anything is looked up by its name: the database or the role may have another path.
            connection.execute("SET search_path = pg_catalog")
            link._greet(read_only)
        except psycopg.Error as error:
            link.close()
            raise greeting_error(error, target) from None
        except BaseException:
            link.close()
            raise
        return link

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING" and diagnostic.sqlstate in ("01000", "57P01"):
            self.unconfirmed = True

    def _greet(self, read_only: bool) -> None:
        before, began = local_clock(), time.monotonic()
        row = self.query(_HELLO)[0]
        trip = int((time.monotonic() - began) * 1_000_000)
        clock, number, encoding, fsync, pages, owner, tables = row[:7]
        self._require(number >= schema.MINIMUM, f"the server is version {number // 10_000}", "PostgreSQL 14 is needed")
        self._require(encoding == "UTF8", f"the database's encoding is {encoding}", "make one with encoding UTF8")
        if not read_only:
            for name, value in (("fsync", fsync), ("full_page_writes", pages)):
                what = f"the server has {name} off, so what it acknowledges can be lost"
                self._require(value == "on", what, f"set {name} = on and reload it")
            self.offset = clock - (before + trip // 2)
            self._pace = before - int(began * 1_000_000)
            self._require_clock(trip)
        if owner is None:
            return
        if owner != schema.OWNER:
            raise planted(f"the schema tallystick belongs to {owner}", self.target)
        if tables != 2:
            raise planted("the schema tallystick is not a ledger's", self.target)
        self.identify()

    def identify(self) -> None:
        """Read which ledger this is, and of which schema."""
        ((version, ledger_id),) = self.query(_IDENTITY)
        self.version, self.ledger_id = version or 0, ledger_id or ""

    def _require(self, holds: bool, what: str, advice: str) -> None:
        if not holds:
            raise StoreUnavailableError(what, where=self.target.shown, advice=advice)

    def _require_clock(self, uncertain: int = 0) -> None:
        seconds = abs(self.offset) / 1_000_000
        direction = "behind" if self.offset > 0 else "ahead of"
        self._require(
            abs(self.offset) - uncertain // 2 <= CLOCK_TOLERANCE,
            f"this machine's clock is {seconds:.0f} s {direction} the server's",
            "set both by NTP",
        )

    def calibrate(self, server: int) -> None:
        """Learn the server's clock anew. Raises StoreUnavailableError where it is more than 5 s away."""
        self.offset = server - local_clock()
        self._pace = local_clock() - time.monotonic_ns() // 1000
        self._require_clock()

    def now(self) -> int:
        """The server's clock: microseconds since 1970, UTC.

        It is asked again where this machine's clock jumped, or the machine slept. Raises as `calibrate` does.
        """
        local = local_clock()
        if not -JUMP < local - time.monotonic_ns() // 1000 - self._pace < JUMP:
            self.calibrate(int(self.query(f"SELECT {CLOCK}")[0][0]))
            local = local_clock()
        return local + self.offset

    def insist(self) -> None:
        """Have this session wait again for its commits to be durable. Raises StoreUnavailableError for a later schema.

        What an append says no to: a schema that is not this version's, commits that are not waited for, or a
        position that is not the head + 1.
        """
        self.query(f"SELECT {SYNCHRONOUS.format(local='false')}")
        self.identify()
        what = f"the schema is {self.version}, the client says {self._speaks}"
        self._require(self.version == self._speaks, what, "upgrade the older of the two")

    # --- cursors

    def query(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement. Raises psycopg.Error."""
        return self.connection.cursor(binary=True).execute(sql, arguments).fetchall()

    # --- libpq

    def run(self, statement: Statement, parameters: Parameters) -> PGresult:
        """One prepared statement: one round trip. Raises psycopg.Error, and Interrupted where no answer came."""
        pg = self._pg
        self._settled = False
        if statement.name not in self._prepared:
            pg.send_prepare(statement.name, statement.sql)
            self._flush()
            self._checked(self._result())
            self._prepared.add(statement.name)
        pg.send_query_prepared(statement.name, parameters, statement.formats, 1)
        if pg.flush():
            self._flush()
        result = self._result()
        self._settled = True
        return self._checked(result)

    def pipeline(self, work: Iterable[tuple[Statement, Parameters]]) -> list[PGresult]:
        """Several prepared statements in one round trip. Raises as `run` does, for the first that fails."""
        pg, fresh, count = self._pg, [], 0
        self._settled = False
        pg.enter_pipeline_mode()
        for statement, parameters in work:
            if statement.name not in self._prepared:
                pg.send_prepare(statement.name, statement.sql)
                self._prepared.add(statement.name)
                fresh.append(count)
                count += 1
            pg.send_query_prepared(statement.name, parameters, statement.formats, 1)
            count += 1
        pg.pipeline_sync()
        self._flush()
        results = [self._result() for _ in range(count)]
        self._next()
        pg.exit_pipeline_mode()
        failed = next((one for one in results if one.status == pq.ExecStatus.FATAL_ERROR), None)
        if failed is not None:
            self._prepared.clear()
            self._forget_prepared()
        self._settled = True
        self._checked(results[-1] if failed is None else failed)
        return [one for index, one in enumerate(results) if index not in fresh]

    def _forget_prepared(self) -> None:
        """After a failed pipeline nobody knows which of its statements were prepared."""
        self._pg.send_query(b"ROLLBACK; DEALLOCATE ALL")
        self._flush()
        while self._next() is not None:
            pass

    def copy(self, sql: bytes, rows: Iterable[bytes]) -> None:
        """Send rows in COPY's binary format (header and trailer included) while the statement takes them."""
        pg = self._pg
        self._settled = False
        pg.send_query(sql)
        self._flush()
        self._checked(self._next())
        try:
            for block in rows:
                while not pg.put_copy_data(block):
                    self._flush()
                self._flush()
            while not pg.put_copy_end():
                self._flush()
            self._flush()
        except psycopg.OperationalError:
            # The server ended the copy: what it said of it is the error to raise.
            self._checked(self._result())
            raise
        result = self._result()
        self._settled = True
        self._checked(result)

    def _flush(self) -> None:
        pg = self._pg
        while pg.flush():
            self._poll.modify(pg.socket, select.POLLIN | select.POLLOUT)
            try:
                ready = self._poll.poll(ANSWER_SECONDS * 1000)
            finally:
                self._poll.modify(pg.socket, select.POLLIN)
            if not ready:
                raise Interrupted(f"the server took nothing for {ANSWER_SECONDS:.0f} s")
            if ready[0][1] & ~select.POLLOUT:
                pg.consume_input()

    def _next(self) -> PGresult | None:
        pg = self._pg
        while pg.is_busy():
            if not self._poll.poll(ANSWER_SECONDS * 1000):
                raise Interrupted(f"the server did not answer for {ANSWER_SECONDS:.0f} s")
            pg.consume_input()
        return pg.get_result()

    def _result(self) -> PGresult:
        """A statement's one result, and the end that follows it."""
        result = self._next()
        if result is None:
            raise psycopg.OperationalError("the connection ended")
        while (following := self._next()) is not None:
            result = following
        return result

    def _checked(self, result: PGresult | None) -> PGresult:
        if result is None:
            raise psycopg.OperationalError("the connection ended")
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED):
            if self._pg.status == pq.ConnStatus.BAD and not result.error_field(pq.DiagnosticField.SQLSTATE):
                raise psycopg.OperationalError(result.get_error_message())
            raise psycopg.errors.error_from_result(result)
        return result

    # --- life

    def idle(self) -> bool:
        """Whether it can be used again."""
        return self._settled and not self._pg.transaction_status and time.monotonic() < self._expires

    def close(self) -> None:
        """Give the connection back to the server."""
        self.connection.close()
