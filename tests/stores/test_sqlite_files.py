"""Files that are no ledger, a later version's, damaged or half made; and what our own code may open."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import copyfile

import pytest

from support.contract import ENTRY
from tallystick import (
    Entry,
    InputError,
    Ledger,
    NotFoundError,
    StoreUnavailableError,
    TallystickError,
    TamperedError,
)
from tallystick.stores.sqlite_schema import SCHEMA_VERSION


def refused(error: type[TallystickError], words: str, path: Path, *, create: bool = True) -> None:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(error, match=words) as caught:
        Ledger.open(str(path), create=create)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    database(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    refused(StoreUnavailableError, "not a ledger", path)
    refused(StoreUnavailableError, "not a ledger", path, create=False)
    database(path, "PRAGMA application_id = 1", "DROP TABLE t")
    database(path, "PRAGMA user_version = 7")
    refused(StoreUnavailableError, "not a ledger", path)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    for content in (b"# A README\n" * 100, bytes(8192), b"SQLite format 3" + bytes(5000)):
        (tmp_path / "file").write_bytes(content)
        refused(TamperedError, "not a database", tmp_path / "file")
        refused(TamperedError, "not a database", tmp_path / "file", create=False)
    for content in (b"x", b"a short note\n", bytes(511)):
        (tmp_path / "file").write_bytes(content)
        refused(StoreUnavailableError, "not a ledger", tmp_path / "file")
        refused(StoreUnavailableError, "not a ledger", tmp_path / "file", create=False)


def test_a_ledger_of_a_later_version(tmp_path: Path, one_of_everything: Path) -> None:
    path = tmp_path / "ledger.db"
    copyfile(one_of_everything, path)
    database(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    refused(StoreUnavailableError, f"schema {SCHEMA_VERSION + 1}, this version knows {SCHEMA_VERSION}", path)
    for never in (0, -1):
        database(path, f"PRAGMA user_version = {never}")
        refused(TamperedError, f"schema version is {never}", path)


def test_an_empty_file_becomes_a_ledger_only_where_one_may_be_made(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    refused(NotFoundError, "the file is empty", path, create=False)
    with Ledger.open(str(path)) as ledger:
        assert ledger.append("t", ENTRY).position == 1


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    refused(NotFoundError, "no such folder", tmp_path / "absent" / "ledger.db")
    refused(NotFoundError, "no ledger here", tmp_path / "ledger.db", create=False)
    assert list(tmp_path.iterdir()) == []
    for create in (True, False):
        refused(InputError, "this is not a file", tmp_path, create=create)
    os.mkfifo(tmp_path / "pipe")
    refused(InputError, "this is not a file", tmp_path / "pipe")
    (tmp_path / "file").touch()
    refused(NotFoundError, "no such folder", tmp_path / "file" / "ledger.db")
    with pytest.raises(InputError, match="'mysql' is not a store"):
        Ledger.open("mysql://localhost/x")


@pytest.mark.parametrize("name", ["a b.db", "ü🎋.db", "a%20b.db", "a?b.db", "a#b.db", "-ledger", "'.db", "a&mode=ro"])
def test_odd_names_of_files(tmp_path: Path, name: str) -> None:
    with Ledger.open(str(tmp_path / name)) as ledger:
        head = ledger.append("t", ENTRY)
        assert ledger.store.url == f"sqlite:///{tmp_path / name}"
    assert (tmp_path / name).is_file()
    assert {file.name for file in tmp_path.iterdir()} == {name, f"{name}-lock"}
    with Ledger.open(f"sqlite:///{tmp_path / name}", create=False) as ledger:
        assert ledger.head("t") == head
    with Ledger.open(f"sqlite:////{str(tmp_path / name).lstrip('/')}", create=False) as ledger:
        assert ledger.head("t") == head


def test_a_relative_path_holds_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    with Ledger.open("sqlite:///ledger.db") as ledger:
        ledger.append("t", ENTRY)
        monkeypatch.chdir(tmp_path / "below")
        assert ledger.append("t", ENTRY).position == 2
        assert ledger.head("t").position == 2
    assert list((tmp_path / "below").iterdir()) == []


def test_sqlite_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.36.0")
    refused(StoreUnavailableError, r"SQLite 3\.36\.0, and a ledger needs 3\.37", tmp_path / "ledger.db")
    assert list(tmp_path.iterdir()) == []


def test_commits_are_durable_when_they_return(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.append("t", ENTRY)
        writer = ledger.store._writer  # type: ignore[attr-defined]
        found = {
            name: writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync", "secure_delete")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "secure_delete": 1,
    }


# --- damage


def read_all(ledger: Ledger) -> str:
    """All there is to read, after verification."""
    ledger.verify()
    tasks = [(state.task_id, state.ledger_id, state.head) for state in ledger.tasks()]
    sessions = [ledger.session(task_id, ledger_id=ledger_id) for task_id, ledger_id, _ in tasks]
    states = [ledger.state(task_id, ledger_id=ledger_id) for task_id, ledger_id, _ in tasks]
    return repr((tasks, [repr(session.entries) for session in sessions], sessions, states))


def flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def scatter(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(2, 30)):
        data[chance.randrange(len(data))] = chance.randrange(256)


def swap_pages(data: bytearray, chance: random.Random) -> None:
    one, other = (4096 * chance.randrange(1, len(data) // 4096) for _ in "ab")
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]


def clear(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    size = min(len(data) - start, chance.randint(1, 5000))
    data[start : start + size] = bytes(size)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def grow(data: bytearray, chance: random.Random) -> None:
    data += chance.randbytes(chance.randint(1, 5000))


@pytest.mark.parametrize("damage", [flip, scatter, swap_pages, clear, cut, grow])
def test_a_damaged_file_reads_the_same_or_says_that_it_is_damaged(
    tmp_path: Path, one_of_everything: Path, damage: Callable[[bytearray, random.Random], None], storm: bool
) -> None:
    path = tmp_path / "ledger.db"
    whole = one_of_everything.read_bytes()
    copyfile(one_of_everything, path)
    with Ledger.open(str(path), create=False) as ledger:
        expected = read_all(ledger)
    first = random.randrange(1 << 30)
    outcomes = set()
    for seed in range(first, first + (1500 if storm else 60)):
        data = bytearray(whole)
        damage(data, random.Random(seed))
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            with Ledger.open(str(path), create=False) as ledger:
                assert read_all(ledger) == expected, seed
                outcomes.add("the same")
        except TamperedError:
            outcomes.add("damaged")
        except StoreUnavailableError as error:
            said = str(error)
            assert data[:100] != whole[:100] or len(data) < 512, (seed, said)
            assert "not a ledger" in said or "upgrade tallystick" in said, (seed, said)
    assert "damaged" in outcomes or damage is grow


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_nothing_is_acknowledged_that_went_into_a_file_that_is_gone(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        head = ledger.append("t", Entry(type="note"))
        ledger.store.backup(str(folder / "copy"))
        if how == "removed":
            path.unlink()
        elif how == "replaced":
            (folder / "copy").replace(path)
        else:
            folder.rename(tmp_path / "elsewhere")
            folder.mkdir()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="removed or replaced while it was in use"):
                ledger.append("t", Entry(type="note"))
        if how == "moved":
            folder.rmdir()
            (tmp_path / "elsewhere").rename(folder)
            assert ledger.append("t", Entry(type="note")).position == head.position + 1
    if how != "removed":
        with Ledger.open(str(path)) as ledger:
            ledger.verify()
            assert ledger.head("t").position == (2 if how == "moved" else 1)


def test_appending_to_a_damaged_file_never_ends_in_a_traceback(
    tmp_path: Path, one_of_everything: Path, storm: bool
) -> None:
    path = tmp_path / "ledger.db"
    whole = one_of_everything.read_bytes()
    first = random.randrange(1 << 30)
    refusals = 0
    for seed in range(first, first + (1000 if storm else 60)):
        data = bytearray(whole)
        chance = random.Random(seed)
        chance.choice([scatter, swap_pages, clear, cut])(data, chance)
        for suffix in ("-wal", "-shm", "-journal"):
            path.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
        path.write_bytes(data)
        try:
            with Ledger.open(str(path), create=False) as ledger:
                for task in ("a", "imported", "new"):
                    with suppress(TallystickError):
                        ledger.append(task, Entry(type="note", criterion_id="ac1"), idempotency_key="k")
                ledger.erase("a", 1, ["text"], reason="x")
        except TallystickError:
            refusals += 1
    assert refusals


# --- who opens the file

WATCH = """
import os, sys, threading
watched = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.path.basename(os.fsdecode(arguments[0]))
        if name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal"):
            watched.append(name)
sys.addaudithook(watch)
open(sys.argv[2], "w").close()
assert watched == []
open(os.path.join(os.path.dirname(sys.argv[2]), "ledger.db"), "w").close()
assert watched == ["ledger.db"]
watched.clear()
"""


def watched(tmp_path: Path, script: str, **options: Path) -> str:
    """Run a script that fails where Python itself opens a ledger's file: that would drop SQLite's locks."""
    (tmp_path / "decoy").mkdir(exist_ok=True)
    program = WATCH + textwrap.dedent(script) + "\nassert watched == [], watched\n"
    argv = [sys.executable, "-c", program, str(tmp_path / "ledger.db"), str(tmp_path / "decoy" / "other")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=options.get("cwd", tmp_path))
    assert done.stderr == ""
    return done.stdout


def test_nothing_but_sqlite_opens_the_file(tmp_path: Path) -> None:
    watched(
        tmp_path,
        """
        from tallystick import Entry, Ledger, Session
        path = sys.argv[1]
        with Ledger.open(path) as ledger, Ledger.open(path) as other:
            head = ledger.append("t", Entry(type="note", reason="r", output=b"x" * 200_000), idempotency_key="k")
            other.append("t", Entry(type="note"))
            ledger.import_session(Session(task_id="imported", entries=[Entry(type="note")]))
            ledger.erase("t", 1, ["text", "output"], reason="leaked")
            ledger.session("t"), ledger.state("t"), list(ledger.tasks()), ledger.output("t", 2)
            ledger.verify("t", head=head), ledger.verify()
            ledger.store.backup(path + ".copy")
            thread = threading.Thread(target=ledger.append, args=("t", Entry(type="note")))
            thread.start(), thread.join()
            child = os.fork()
            if child == 0:
                ledger.append("t", Entry(type="note"))
                os._exit(1 if watched else 0)
            assert os.waitpid(child, 0)[1] == 0
        with Ledger.open(path, read_only=True) as ledger:
            assert len(ledger.session("t").entries) == 5
        """,
    )
    assert (tmp_path / "ledger.db.copy").is_file()
