"""PostgreSQL for the tests: a server that they share, with a database for each, or servers of their own.

`TALLYSTICK_TEST_POSTGRES`, a superuser's URL, has the suite use another server where it does not need to stop,
copy or configure one.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from postgres_server import PASSWORD, Server, Servers, free_port, servers
from tallystick import Ledger
from tallystick.clock import now
from tallystick.stores.postgres_faults import schema_faults
from tallystick.stores.postgres_setup import initialise

__all__ = ["PASSWORD", "PostgresUnderTest", "Server", "Servers", "Shared", "free_port", "servers", "shared_server"]


class Shared:
    """The server that tests share, each with databases of its own: ours, or the one the environment names."""

    def __init__(self, admin: str, login: Callable[[str, str], str]) -> None:
        self.admin = admin
        """A superuser's URL."""
        self._login = login
        self._spare: list[str] = []
        self._count = itertools.count()

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A superuser's connection, every statement its own transaction."""
        return psycopg.connect(in_database(self.admin, database), autocommit=True)

    def url(self, database: str, user: str | None = None) -> str:
        """A URL for that database; with a user, his login (see `make_user`), else the superuser's."""
        return in_database(self.admin, database) if user is None else self._login(database, user)

    def new_database(self) -> str:
        """The name of a new, empty database."""
        name = f"tallystick_test_{os.getpid()}_{next(self._count)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever still uses it."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def make_user(self, name: str, *, member_of: str = "", options: str = "LOGIN") -> str:
        """A user who logs in with `PASSWORD`, made where there is none."""
        with self.connect("postgres") as connection:
            there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
            word = "ALTER" if there else "CREATE"
            connection.execute(
                sql.SQL("{} ROLE {} PASSWORD {} {}").format(
                    sql.SQL(word), sql.Identifier(name), sql.Literal(PASSWORD), sql.SQL(options)
                )
            )
            if member_of:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(member_of), sql.Identifier(name)))
        return name

    @contextmanager
    def empty_ledger(self) -> Iterator[str]:
        """The name of a database with an empty ledger, used again by the next test once it is emptied."""
        if self._spare:
            database = self._spare.pop()
        else:
            database = self.new_database()
            initialise(self.url(database))
        yield database
        if empty(self, database):
            self._spare.append(database)
        else:
            self.drop(database)


_EMPTY = """
DO $$
DECLARE
    kind name;
    trigger name;
    used boolean;
BEGIN
    FOR kind IN SELECT relname FROM pg_class WHERE relnamespace = 'tallystick'::regnamespace AND relkind = 'r'
            AND relname NOT IN ('migration', 'ledger') AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM tallystick.%I)', kind) INTO used;
        CONTINUE WHEN NOT used;
        EXECUTE format('ALTER TABLE tallystick.%I DISABLE TRIGGER USER', kind);
        EXECUTE format('DELETE FROM tallystick.%I', kind);
        FOR trigger IN SELECT tgname FROM pg_trigger WHERE tgrelid = format('tallystick.%I', kind)::regclass
                AND NOT tgisinternal LOOP
            EXECUTE format('ALTER TABLE tallystick.%I ENABLE ALWAYS TRIGGER %I', kind, trigger);
        END LOOP;
    END LOOP;
END $$
"""


def empty(shared: Shared, database: str) -> bool:
    """Take every session out of a ledger; False where its schema is not as it was made."""
    with shared.connect(database) as connection:
        connection.execute(_EMPTY)

        def query(statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
            return connection.execute(sql.SQL(statement), arguments).fetchall()

        (ledgers, others) = query("SELECT count(*), max(number) FROM tallystick.ledger")[0]
        return (ledgers, others) == (1, 1) and not list(schema_faults(query))


def in_database(url: str, database: str) -> str:
    """The URL for another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@functools.cache
def shared_server() -> Shared:
    """The server of this test process, started when first asked for."""
    if named := os.environ.get("TALLYSTICK_TEST_POSTGRES"):
        host = urlsplit(named).netloc.rpartition("@")[2]

        def login(database: str, user: str) -> str:
            netloc = f"{user}:{quote(PASSWORD, safe='')}@{host}"
            return urlunsplit(urlsplit(named)._replace(netloc=netloc, path=f"/{database}"))

        return Shared(named, login)
    server = Servers().create(settings={"synchronous_standby_names": ""})
    server.start()
    return Shared(server.socket_url("postgres"), lambda database, user: server.url(database, user))


class PostgresUnderTest:
    """A ledger in a database. See `support.contract.StoreUnderTest`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.database = ""
        self._ledgers: list[Ledger] = []
        self._closing = ExitStack()

    @property
    def url(self) -> str:
        """A superuser's URL."""
        return self.shared.url(self.database)

    def open(
        self,
        create: bool = True,
        *,
        read_only: bool = False,
        clock: Callable[[], str] = now,
        random: Callable[[int], bytes] | None = None,
    ) -> Ledger:
        if not self.database:
            self._choose(made=create and not read_only)
        chance = {} if random is None else {"random": random}
        ledger = Ledger.open(self.url, create=create, read_only=read_only, clock=clock, **chance)
        self._ledgers.append(ledger)
        return ledger

    def _choose(self, *, made: bool) -> None:
        """A test that makes its ledger at once gets one that was emptied, which is much faster."""
        if made:
            context = self.shared.empty_ledger()
            self.database = context.__enter__()
            self._closing.callback(context.__exit__, None, None, None)
        else:
            self.database = self.shared.new_database()
            self._closing.callback(self.shared.drop, self.database)
        self._behind = self._closing.enter_context(self.shared.connect(self.database))
        self._behind.execute("SET search_path = tallystick")

    def reopen(self) -> Ledger:
        self.close()
        return self.open(create=False)

    def sql(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._behind.execute(sql.SQL(statement.replace("%", "%%").replace("?", "%s")), arguments)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        while self._ledgers:
            self._ledgers.pop().close()

    def give_back(self) -> None:
        """Close everything, and leave the database to the next test."""
        self.close()
        self._closing.close()


@contextmanager
def postgres_under_test(folder: Path) -> Iterator[PostgresUnderTest]:
    """An empty store; `folder` is not needed."""
    store = PostgresUnderTest(shared_server())
    try:
        yield store
    finally:
        store.give_back()
