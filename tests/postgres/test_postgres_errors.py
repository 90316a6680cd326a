"""What goes wrong with a server is told in one line that says what to do, without a password."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from support.contract import ENTRY
from support.postgres import PASSWORD, PostgresUnderTest, Servers, Shared, free_port
from tallystick import Entry, Ledger, NotFoundError, StoreUnavailableError, TallystickError
from tallystick.stores import postgres, postgres_connection, postgres_schema
from tallystick.stores.postgres_errors import connect_error
from tallystick.stores.postgres_url import parse

LATER = postgres_schema.SCHEMA_VERSION + 1
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), "hunter2", "wrong-secret")


def line(call: Callable[[], object], kind: type[TallystickError] = StoreUnavailableError) -> str:
    """What the error says, checked to be one line without a password."""
    with pytest.raises(kind) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert not [secret for secret in SECRETS if secret in said], said
    assert caught.value.advice
    behind: BaseException | None = caught.value
    while behind is not None:
        told = f"{behind} {behind!r} {vars(behind)}"
        assert not [secret for secret in SECRETS if secret in told], told
        behind = behind.__cause__ or behind.__context__
    return said


def login(shared: Shared, database: str, user: str, password: str = PASSWORD) -> str:
    return shared.url(database, user).replace(quote(PASSWORD, safe=""), quote(password, safe=""))


def test_a_server_that_is_down() -> None:
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/db"
    began = time.monotonic()
    said = line(lambda: Ledger.open(url))
    assert "refused" in said
    assert "is the server running there" in said
    assert time.monotonic() - began < 5


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    said = line(lambda: Ledger.open(f"postgresql:///db?host={tmp_path}&password=hunter2"))
    assert "is the server running there" in said


def test_a_host_that_does_not_exist() -> None:
    said = line(lambda: Ledger.open("postgresql://me:hunter2@no-such-host.invalid/db"))
    assert "check the host's name" in said


def test_several_servers_that_are_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "OPEN_SECONDS", 1.0)
    ports = free_port(), free_port()
    url = f"postgresql://me:hunter2@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/db"
    began = time.monotonic()
    said = line(lambda: Ledger.open(url))
    assert all(str(port) in said.partition(": ")[2] for port in ports)
    assert 0.2 < time.monotonic() - began < 10


@pytest.mark.parametrize("create", [True, False])
def test_a_wrong_password(shared: Shared, create: bool) -> None:
    user = shared.make_user("test_password")
    said = line(lambda: Ledger.open(login(shared, "postgres", user, "wrong-secret"), create=create))
    assert "password authentication failed" in said
    assert "check the user and the password" in said


def test_a_database_and_a_user_that_do_not_exist(shared: Shared) -> None:
    assert "make it with createdb" in line(lambda: Ledger.open(shared.url("no_such_database")))
    user = shared.make_user("test_password")
    url = login(shared, "postgres", user).replace(f"{user}:", "no_such_user:")
    assert "check the user and the password" in line(lambda: Ledger.open(url))


def test_a_user_who_may_not_log_in(shared: Shared) -> None:
    user = shared.make_user("test_no_login", options="NOLOGIN")
    assert "LOGIN" in line(lambda: Ledger.open(login(shared, "postgres", user)))


def test_a_database_without_a_ledger(shared: Shared, database: str) -> None:
    said = line(lambda: Ledger.open(shared.url(database), create=False), NotFoundError)
    assert "no ledger in this database; notch init makes one" in said
    assert "notch init" in line(lambda: Ledger.open(shared.url(database), read_only=True), NotFoundError)


def test_a_user_who_may_not_make_a_ledger(shared: Shared, database: str) -> None:
    user = shared.make_user("test_nobody", options="LOGIN NOCREATEROLE")
    said = line(lambda: Ledger.open(login(shared, database, user)))
    assert "may not make a ledger here" in said
    assert "notch init" in said
    with pytest.raises(NotFoundError):
        Ledger.open(shared.url(database), create=False)


def test_a_user_without_any_role(store: PostgresUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    user = store.shared.make_user("test_nobody")
    said = line(lambda: Ledger.open(login(store.shared, store.database, user)))
    assert "GRANT tallystick_writer" in said


def test_a_reader_who_appends(store: PostgresUnderTest, ledger: Ledger, as_role: Callable[[str], str]) -> None:
    ledger.append("t", ENTRY)
    with Ledger.open(as_role("tallystick_reader")) as reader:
        assert reader.head("t") == ledger.head("t")
        for task in ("t", "new"):
            assert "GRANT tallystick_writer" in line(lambda task=task: reader.append(task, ENTRY))
    assert [state.head.position for state in ledger.tasks()] == [1]


def test_a_schema_that_is_no_ledger(shared: Shared, database: str) -> None:
    with shared.connect(database) as connection:
        connection.execute("CREATE SCHEMA tallystick")
        owner = connection.execute("SELECT current_user").fetchone()
    said = line(lambda: Ledger.open(shared.url(database)))
    assert f"the schema tallystick belongs to {owner[0]}, so notch did not make it and does not touch it" in said


def test_a_later_schema(shared: Shared, database: str) -> None:
    Ledger.open(shared.url(database)).close()
    with shared.connect(database) as connection:
        connection.execute("INSERT INTO tallystick.migration VALUES (%s)", (LATER,))
    for options in ({}, {"create": False}, {"read_only": True}):
        said = line(lambda options=options: Ledger.open(shared.url(database), **options))
        assert f"the ledger has schema {LATER}, this version knows {LATER - 1}; upgrade tallystick" in said


def test_an_earlier_schema_that_this_user_may_not_migrate(
    store: PostgresUnderTest, ledger: Ledger, as_role: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tallystick.stores import postgres_setup

    monkeypatch.setattr(postgres, "SCHEMA_VERSION", LATER)
    monkeypatch.setattr(postgres_schema, "SCHEMA_VERSION", LATER)
    monkeypatch.setattr(postgres_setup, "MIGRATIONS", {LATER - 1: print})
    url = as_role("tallystick_writer")
    for options in ({}, {"read_only": True}):
        said = line(lambda options=options: Ledger.open(url, **options))
        assert f"the ledger has schema {LATER - 1}, this version needs {LATER}" in said
        assert "have a member of tallystick_owner run notch init" in said


def test_a_server_that_can_lose_what_it_acknowledged(own_servers: Servers) -> None:
    server = own_servers.create()
    server.start()
    Ledger.open(server.socket_url("postgres")).close()
    for setting in ("fsync", "full_page_writes"):
        server.configure({setting: "off"})
        server.reload()
        time.sleep(0.3)
        assert f"the server has {setting} off" in line(lambda: Ledger.open(server.socket_url("postgres")))
        server.configure({setting: "on"})
    with Ledger.open(server.socket_url("postgres"), read_only=True) as reader:
        assert list(reader.tasks()) == []


@pytest.mark.parametrize("seconds", [-6, 6])
def test_a_clock_that_is_wrong(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    store.open().append("t", ENTRY)
    real = postgres_connection.local_clock
    monkeypatch.setattr(postgres_connection, "local_clock", lambda: real() + seconds * 1_000_000)
    said = line(store.open)
    assert f"this machine's clock is 6 s {'ahead of' if seconds > 0 else 'behind'} the server's" in said
    with Ledger.open(store.url, read_only=True) as reader:
        assert reader.head("t").position == 1
    monkeypatch.setattr(postgres_connection, "local_clock", lambda: real() + seconds * 500_000)
    store.open()


def test_an_encoding_that_cannot_hold_every_text(shared: Shared) -> None:
    with shared.connect("postgres") as connection:
        connection.execute(
            "CREATE DATABASE test_latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    try:
        assert "encoding is LATIN1" in line(lambda: Ledger.open(shared.url("test_latin")))
    finally:
        shared.drop("test_latin")


def test_a_session_that_is_kept_locked(
    store: PostgresUnderTest, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("t", ENTRY)
    monkeypatch.setitem(postgres_connection._SETTINGS, "lock_timeout", "200ms")
    monkeypatch.setattr(postgres_connection, "_HELLO", postgres_connection._hello())
    other = store.open()
    with psycopg.connect(store.url) as connection:
        connection.execute("SELECT FROM tallystick.state WHERE key = '' FOR UPDATE")
        assert "another client keeps the session locked" in line(lambda: other.append("t", ENTRY))
    assert other.append("t", ENTRY).position == 2


def test_a_server_that_is_stopped_while_the_ledger_is_open(
    own_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_servers.create()
    server.start()
    monkeypatch.setattr(postgres, "RETRY_SECONDS", 0.5)
    with Ledger.open(server.url("postgres")) as ledger:
        ledger.append("t", ENTRY)
        server.stop()
        assert "is the server running there" in line(lambda: ledger.head("t"))
        for task in ("t", "new"):
            said = line(lambda task=task: ledger.append(task, ENTRY))
            assert "nothing of this was recorded" in said
        server.start()
        assert ledger.append("t", ENTRY).position == 2
        ledger.verify()


def test_a_disk_too_full_to_connect() -> None:
    said = psycopg.OperationalError("connection failed: FATAL:  could not write init file: No space left on device")
    assert "free some space on the server" in str(connect_error(said, parse("postgresql://h/db", read_only=False)))


def test_a_full_disk(own_servers: Servers, small_disk: Path) -> None:
    server = own_servers.create(settings={"max_wal_size": "64MB"})
    server.start()
    with server.connect() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
        connection.execute("CREATE DATABASE small TABLESPACE small")
    with Ledger.open(server.url("small")) as ledger, Ledger.open(server.url("small"), read_only=True) as reader:
        noise = Entry(type="run", output=os.urandom(60_000))
        ledger.append("t", noise)

        def fill() -> None:
            for _ in range(2_000):
                ledger.append("t", noise)

        said = line(fill)
        assert "No space left on device" in said
        assert "free some space" in said
        head = ledger.head("t")
        assert head.position > 5
        # A connection made now might not even begin: the server keeps notes for its start in the same place.
        assert reader.verify("t")[0].head == head
    with server.connect("small") as connection:
        connection.execute("DROP SCHEMA tallystick CASCADE")


@pytest.fixture
def small_disk(own_servers: Servers) -> Iterator[Path]:
    """A folder on a disk of a few MB, where this user may mount one."""
    folder = own_servers.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=777", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    place = folder / "space"
    place.mkdir()
    place.chmod(0o777)
    if os.geteuid() == 0:
        shutil.chown(place, "nobody")
    yield place
    subprocess.run(["umount", "-l", folder], check=True)


def test_psycopg_that_is_not_installed(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from tallystick import Ledger, TallystickError\n"
        "try: Ledger.open('postgresql://me:hunter2@h/db')\n"
        "except TallystickError as error: print(error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "4 a PostgreSQL ledger needs psycopg, which is not installed; pip install 'tallystick[postgres]'\n"
    )


def test_another_ledger_behind_the_same_url(shared: Shared, database: str) -> None:
    with Ledger.open(shared.url(database)) as ledger:
        ledger.append("t", ENTRY)
        with shared.connect(database) as connection:
            connection.execute("DROP SCHEMA tallystick CASCADE")
        assert "notch init" in line(lambda: ledger.append("t", ENTRY), NotFoundError)
        Ledger.open(shared.url(database)).close()
        ledger.store._pool.drop_idle()
        assert "another ledger answers here" in line(lambda: ledger.append("t", ENTRY))
