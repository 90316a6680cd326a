"""Making a ledger, and two versions that start at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.contract import ENTRY
from support.postgres import Servers, Shared
from tallystick import Ledger, StoreUnavailableError
from tallystick.stores import postgres, postgres_connection, postgres_faults, postgres_schema, postgres_setup
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_setup import initialise

THIS = postgres_schema.SCHEMA_VERSION
LATER = THIS + 1


def test_it_can_be_asked_for_again(shared: Shared, database: str) -> None:
    ledger_id = initialise(shared.url(database))
    assert len(ledger_id) == 32
    assert initialise(shared.url(database)) == ledger_id
    with Ledger.open(shared.url(database)) as ledger:
        assert ledger.ledger_id == ledger_id
        assert ledger.verify() == []


def test_many_at_once_make_one_ledger(shared: Shared, database: str) -> None:
    script = "import sys; from tallystick.stores.postgres_setup import initialise; print(initialise(sys.argv[1]))"
    running = [
        subprocess.Popen([sys.executable, "-c", script, shared.url(database)], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    said = {process.communicate()[0].strip() for process in running}
    assert len(said) == 1
    assert len(said.pop()) == 32
    with Ledger.open(shared.url(database)) as ledger:
        ledger.append("t", ENTRY)
        ledger.verify()


def test_a_fresh_server_gets_its_roles_whoever_comes_first(own_servers: Servers) -> None:
    server = own_servers.create(version=16)
    server.start()
    with server.connect() as connection:
        for n in range(4):
            connection.execute(f"CREATE DATABASE d{n}")
    failures: list[Exception] = []

    def make(n: int) -> None:
        try:
            initialise(server.socket_url(f"d{n}"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Ledger.open(server.socket_url("d1")) as ledger:
        for count in (1, 5, 50):
            ledger.append("t", [ENTRY.replace(output="o" * count * 2000)] * count)
        ledger.erase("t", 1, ["text"], reason="on the oldest server there is a binary of, too")
        ledger.verify()
    _without_a_superuser(server.connect, server.socket_url)


def _without_a_superuser(connect: Callable[..., Any], url: Callable[..., str]) -> None:
    """Somebody with CREATEROLE who owns a database can make a ledger in it."""
    with connect() as connection:
        connection.execute("CREATE ROLE maker LOGIN CREATEROLE")
        connection.execute("CREATE DATABASE made OWNER maker")
        for role in postgres_schema.ROLES:
            connection.execute(f"DROP OWNED BY {role}")
        for n in range(4):
            connection.execute(f"DROP DATABASE d{n}")
        for role in reversed(postgres_schema.ROLES):
            connection.execute(f"DROP ROLE {role}")
    with Ledger.open(url("made", "maker")) as ledger:
        ledger.append("t", ENTRY)
        ledger.erase("t", 1, ["text"], reason="a member of the owner may")
        ledger.verify()
    with connect() as connection:
        connection.execute("CREATE ROLE other LOGIN")
        connection.execute("CREATE DATABASE others OWNER other")
    with pytest.raises(StoreUnavailableError, match="may not make a ledger here"):
        Ledger.open(url("others", "other"))


@pytest.fixture
def later_version(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Makes this process one of a later version, whose step adds a table."""

    def step(connection: Any) -> None:
        connection.execute("CREATE TABLE tallystick.local_more (a int)")

    def become() -> None:
        for module in (postgres, postgres_schema):
            monkeypatch.setattr(module, "SCHEMA_VERSION", LATER)
        monkeypatch.setitem(postgres_connection._SETTINGS, "tallystick.schema", str(LATER))
        monkeypatch.setattr(postgres_connection, "_HELLO", postgres_connection._hello())
        monkeypatch.setitem(postgres_setup.MIGRATIONS, THIS, step)

    yield become
    assert postgres_faults.schema.SCHEMA_VERSION == LATER


def test_the_older_version_cannot_write_once_the_newer_came(
    shared: Shared, database: str, later_version: Callable[[], None]
) -> None:
    old = Ledger.open(shared.url(database))
    head = old.append("t", ENTRY)
    old.append("t", ENTRY)
    later_version()
    with Ledger.open(shared.url(database)) as new:
        assert new.append("t", ENTRY).position == 3
        for task in ("t", "new"):
            with pytest.raises(
                StoreUnavailableError, match=rf"the schema is {LATER}, the client says {THIS}.*upgrade the older"
            ):
                old.append(task, ENTRY)
        assert new.append("t", [ENTRY] * 50).position == 53
        new.verify()
        new.verify("t", head=head)
    old.close()


def test_two_of_the_newer_version_migrate_once(
    shared: Shared, database: str, later_version: Callable[[], None]
) -> None:
    Ledger.open(shared.url(database)).close()
    later_version()
    opened: list[Any] = []

    def work() -> None:
        try:
            opened.append(Ledger.open(shared.url(database)))
        except Exception as error:
            opened.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one for one in opened if not isinstance(one, Ledger)] == []
    for n, one in enumerate(opened, 1):
        assert one.append("t", ENTRY).position == n
    opened[0].verify()
    for one in opened:
        one.close()


def test_a_migration_waits_for_appends_under_way(
    shared: Shared, database: str, later_version: Callable[[], None]
) -> None:
    with Ledger.open(shared.url(database)) as ledger:
        ledger.append("t", ENTRY)
        digit = partition_of(int.from_bytes(session_key(ledger.ledger_id, "t")))
    done = threading.Event()
    with shared.connect(database) as under_way:
        under_way.execute("SET ROLE tallystick_owner")
        under_way.execute("BEGIN")
        under_way.execute(
            f"INSERT INTO tallystick.record_{digit} (session, position, record, node, criterion_before, type_before)"
            f" SELECT session, 2, record, node, 0, 0 FROM tallystick.record_{digit}"
        )
        later_version()
        migrating = threading.Thread(target=lambda: (initialise(shared.url(database)), done.set()))
        migrating.start()
        assert not done.wait(0.5)
        under_way.execute("ROLLBACK")
        migrating.join(30)
    assert done.is_set()


OLD = """
import sys, threading
from tallystick import Entry, Ledger, TallystickError
ledger = Ledger.open(sys.argv[1])
def say(words):
    with lock:
        print(words, flush=True)
lock = threading.Lock()
def work(task):
    count = 0
    try:
        while True:
            ledger.append(task, Entry(type="note", reason="because"))
            count += 1
            if count == 5:
                say("ready")
    except TallystickError as error:
        say(f"{task} {count} {error}")
for n in range(3):
    threading.Thread(target=work, args=(f"t{n}",)).start()
"""


def test_appends_and_a_migration_at_once(shared: Shared, database: str, later_version: Callable[[], None]) -> None:
    """The older version writes until the step begins; nothing it acknowledged is lost, nothing comes after."""
    initialise(shared.url(database))
    old = subprocess.Popen(
        [sys.executable, "-c", OLD, shared.url(database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert old.stdout is not None
    for _ in range(3):
        assert old.stdout.readline() == "ready\n"
    later_version()
    with Ledger.open(shared.url(database)) as new:
        said, wrong = old.communicate(timeout=60)
        assert wrong == ""
        for line in said.splitlines():
            task, count, *words = line.split()
            assert f"schema is {LATER}," in " ".join(words)
            assert new.head(task).position == int(count)
        assert len(said.splitlines()) == 3
        new.verify()


STARTS = """
import sys
from tallystick import Entry, Ledger, TallystickError
from tallystick.stores import postgres, postgres_connection, postgres_schema, postgres_setup
url, version = sys.argv[1], int(sys.argv[2])
if version:
    later = postgres_schema.SCHEMA_VERSION + 1
    tables, more = postgres_schema.tables, "CREATE TABLE tallystick.local_more (a int)"
    for module in (postgres, postgres_schema):
        module.SCHEMA_VERSION = later
    postgres_schema.tables = lambda: [*tables(), more]
    postgres_connection._SETTINGS["tallystick.schema"] = str(later)
    postgres_connection._HELLO = postgres_connection._hello()
    postgres_setup.MIGRATIONS[later - 1] = lambda connection: connection.execute(more)
print("ready", flush=True)
sys.stdin.readline()
try:
    with Ledger.open(url) as ledger:
        for count in range(20):
            ledger.append("t", Entry(type="note", id=f"{sys.argv[3]}.{count}"))
            print(f"{sys.argv[3]}.{count}", flush=True)
except TallystickError as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize("there", [False, True])
def test_both_versions_start_at_once(
    shared: Shared, database: str, later_version: Callable[[], None], there: bool
) -> None:
    """In processes of their own: one ledger, one migration; whom the newer one shuts out is told what to do."""
    if there:
        initialise(shared.url(database))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STARTS, shared.url(database), str(n % 2), str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    done: set[str] = set()
    for n, one in enumerate(processes):
        said, wrong = one.communicate(timeout=60)
        assert wrong == ""
        lines = said.splitlines()
        if n % 2:
            assert lines == [f"{n}.{count}" for count in range(20)]
        elif len(lines) < 20:
            assert lines[-1].startswith("4 ")
            assert f"schema {LATER}, this version knows {THIS}; upgrade" in lines[-1] or (
                f"schema is {LATER}, the client" in lines[-1]
            )
            lines.pop()
        done.update(lines)
    later_version()
    with Ledger.open(shared.url(database)) as ledger:
        ids = [one.entry.id for one in ledger.entries("t")]
        assert len(ids) == len(set(ids))
        assert set(ids) == done
        ledger.verify()
    with shared.connect(database) as connection:
        versions = connection.execute("SELECT version FROM tallystick.migration ORDER BY 1").fetchall()
        assert versions == [(number,) for number in range(1, LATER + 1)]
