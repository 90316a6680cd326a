"""`notch copy`: between real stores, killed and begun again, as each role, and what it says."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureResult

from support.checkpoints import SignerUnderTest, all_faults
from support.command import notch_argv
from support.contract import ENTRY
from support.postgres import PostgresUnderTest, shared_server
from tallystick import Entry, Ledger, StoreUnavailableError
from tallystick.cli import main
from tallystick.stores.postgres_schema import ERASER, OWNER, READER, SEQUENCER, WRITER

MANY = 12_000


class Notch:
    """Runs `notch` in this process, which takes a tenth of the time."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str | Path, code: int = 0) -> CaptureResult[str]:
        """What `notch ARGS` said (`out`, `err`). Fails where it ends with another code."""
        self._capsys.readouterr()
        found = main([str(arg) for arg in args])
        said = self._capsys.readouterr()
        assert found == code, said
        return said

    def json(self, *args: str | Path) -> Any:
        """What `notch ARGS --json` printed, decoded."""
        return json.loads(self(*args, "--json").out)


@pytest.fixture
def notch(capsys: pytest.CaptureFixture[str]) -> Notch:
    return Notch(capsys)


@pytest.fixture
def database() -> Iterator[str]:
    """A superuser's URL of an empty database, without a ledger."""
    shared = shared_server()
    name = shared.new_database()
    yield shared.url(name)
    shared.drop(name)


@pytest.fixture
def server() -> Iterator[PostgresUnderTest]:
    """An empty ledger on the shared server."""
    under_test = PostgresUnderTest(shared_server())
    try:
        yield under_test
    finally:
        under_test.give_back()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in `source.db` with two tasks."""
    with Ledger.open(str(tmp_path / "source.db")) as ledger:
        ledger.append("t", [ENTRY] * 3)
        ledger.append("u", Entry(type="run", output=b"x" * 100_000, reason="r"))
        yield ledger


def user(server: PostgresUnderTest, role: str) -> str:
    """The URL of a user who is a member of that role alone."""
    return server.shared.url(server.database, server.shared.make_user(f"test_{role}", member_of=role))


def heads(url: str) -> list[str]:
    with Ledger.open(url, create=False, read_only=True) as ledger:
        return sorted(f"{one.ledger_id} {one.task_id} {one.head}" for one in ledger.tasks())


def test_a_ledger_moves_to_a_server_and_back(tmp_path: Path, notch: Notch, source: Ledger, database: str) -> None:
    SignerUnderTest(tmp_path / "home").sign(source)
    path = tmp_path / "source.db"
    said = notch("copy", path, database).out
    assert "copied 4 entries in 2 of 2 sessions, 1 checkpoint; ledger" in said
    assert "go on in one place only" in said
    again = notch.json("copy", path, database)
    assert again.pop("to").startswith("postgresql://")
    assert again == {
        "from": source.url,
        "ledger_id": source.ledger_id,
        "sessions": 2,
        "moved": 0,
        "entries": 0,
        "checkpoints": 0,
        "beside": False,
        "closed": False,
    }
    assert "has all of it" in notch("copy", path, database).out
    notch("record", "--ledger", database, "-t", "t", "--type", "note", "--reason", "on the server")
    assert notch.json("copy", database, tmp_path / "back.db")["entries"] == 5
    assert heads(database) == heads(str(tmp_path / "back.db"))
    for url in (database, str(tmp_path / "back.db")):
        notch("verify", "--ledger", url)
    # Named tasks, into a place of their own.
    assert notch.json("copy", database, tmp_path / "one.db", "u")["sessions"] == 1
    assert [line.split()[1] for line in heads(str(tmp_path / "one.db"))] == ["u"]


def test_bad_input(tmp_path: Path, notch: Notch, source: Ledger) -> None:
    path, other, link = (tmp_path / name for name in ("source.db", "other.db", "link.db"))
    link.symlink_to(path)
    notch("record", "--ledger", other, "-t", "t", "--type", "note")
    for arguments, words in (
        ([path], "required: TO"),
        ([path, path], "same ledger"),
        ([path, link, "--move"], "same ledger"),
        ([tmp_path / "none.db", other], "no ledger here"),
        ([path, tmp_path / "new.db", "nosuch"], "nosuch: no such task"),
        ([path, tmp_path / "new.db", "--beside"], "no ledger here"),
        ([path, other, "--ledger", path], "FROM and TO name the ledgers"),
        ([path, other], "another ledger is there"),
        ([path, "mysql://x"], "is not a store"),
    ):
        said = notch("copy", *arguments, code=2).err
        assert words in said
        assert said.count("\n") == 1
    assert not (tmp_path / "new.db").exists()
    assert len(heads(str(other))) == 1
    bundle = tmp_path / "t.bundle"
    notch("export", "u", "--ledger", path, "--format", "bundle", "-o", bundle)
    assert "1 parts were left out" in notch("copy", bundle, other, "--beside", code=2).err
    assert "into a bundle" in notch("copy", path, bundle, code=2).err
    assert "read-only beside its own" in notch("copy", path, other, "--beside").out
    assert len(heads(str(other))) == 3


def test_another_history_is_named(tmp_path: Path, notch: Notch, source: Ledger) -> None:
    path, other = tmp_path / "source.db", tmp_path / "other.db"
    notch("copy", path, other)
    for url in (path, other):
        notch("record", "--ledger", url, "-t", "t", "--type", "note")
    said = notch("copy", path, other, code=3).err
    assert "t at position 4: another history" in said
    assert "nothing was written" in said


def big(ledger: Ledger) -> None:
    for start in range(0, MANY, 3000):
        ledger.append("t", [Entry(type="note", reason=f"{n}") for n in range(start, start + 3000)])
    ledger.append("u", ENTRY)


@pytest.mark.parametrize("direction", ["to the server", "from the server"])
def test_killed_it_goes_on(tmp_path: Path, notch: Notch, server: PostgresUnderTest, direction: str) -> None:
    """`kill -9` once something has landed: what is there is sound, and only the rest follows."""
    path = str(tmp_path / "source.db")
    server.open()
    origin, goal = (path, server.url) if direction == "to the server" else (server.url, path)
    with Ledger.open(origin) as source:
        big(source)
    process = subprocess.Popen(notch_argv("copy", origin, goal), stdout=subprocess.DEVNULL)
    while not (reached := position(goal)):
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0
    reached = position(goal)
    with Ledger.open(goal) as target:
        assert all_faults(target) == []
    assert notch.json("copy", origin, goal)["entries"] == MANY + 1 - reached
    assert heads(origin) == heads(goal)


def position(url: str) -> int:
    """How many entries of task `t` are there by now."""
    try:
        with Ledger.open(url, create=False, read_only=True) as ledger:
            return ledger.head("t").position
    except Exception:
        return 0


def test_it_shows_how_far_it_is(tmp_path: Path, source: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, on what takes over a second; nothing of it stays."""
    clock = count()
    terminal = Terminal()
    monkeypatch.setattr("tallystick.cli.terminal.time.monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["copy", source.url, str(tmp_path / "other.db")]) == 0
    assert "copying [########################] 100 %" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


# --- closing the source


def test_a_ledger_that_moved_takes_nothing_more(tmp_path: Path, notch: Notch, source: Ledger, database: str) -> None:
    signer = SignerUnderTest(tmp_path / "home")
    signer.sign(source)
    path = tmp_path / "source.db"
    said = notch("copy", "--move", path, database).out
    assert f"{path} takes nothing more" in said
    for refused in (
        lambda: source.append("t", ENTRY),
        lambda: source.append("new", ENTRY),
        lambda: source.erase("t", 1, ["text"], reason="x"),
    ):
        with pytest.raises(StoreUnavailableError, match=r"this ledger moved to postgresql://.*name that one"):
            refused()
    assert "moved to" in notch("record", "--ledger", path, "-t", "t", "--type", "note", code=4).err
    notch("verify", "--ledger", path)
    assert heads(str(path)) == heads(database)
    assert notch.json("copy", "--move", path, database)["entries"] == 0
    notch("record", "--ledger", database, "-t", "t", "--type", "note")
    assert "moved to" in notch("copy", database, path, code=4).err
    with Ledger.open(database) as there:
        assert signer.sign(there).size == 2


def test_what_cannot_be_closed(tmp_path: Path, notch: Notch, source: Ledger, server: PostgresUnderTest) -> None:
    path = tmp_path / "source.db"
    server.open()
    for arguments in ([path, server.url, "t"], [path, server.url, "--beside"], [server.url, tmp_path / "new.db"]):
        notch("copy", "--move", *arguments, code=2)
    assert source.append("t", ENTRY).position == 4
    assert not (tmp_path / "new.db").exists()


def test_only_what_closes_it_may_stand_there(tmp_path: Path, source: Ledger) -> None:
    with sqlite3.connect(tmp_path / "source.db") as connection:
        connection.execute("CREATE TRIGGER moved_record BEFORE INSERT ON record BEGIN SELECT RAISE(IGNORE); END")
    assert [fault.what for fault in all_faults(source)] == ["trigger moved_record does not belong to a ledger"]


# --- roles


def test_a_writer_suffices(tmp_path: Path, notch: Notch, source: Ledger, server: PostgresUnderTest) -> None:
    """In a ledger of that id, which the owner has made."""
    source.erase("u", 1, ["text", "output"], reason="leaked before")
    path = tmp_path / "source.db"
    server.open()
    writer = user(server, WRITER)
    said = notch("copy", path, writer, code=4).err
    assert f"only a member of {OWNER}" in said
    assert f"notch init --id {source.ledger_id}" in said
    notch("init", "--no-plan", "--ledger", server.url, "--id", source.ledger_id)
    assert notch.json("copy", path, writer)["entries"] == 5
    assert heads(str(path)) == heads(server.url)


def test_a_reader_does_not(tmp_path: Path, notch: Notch, source: Ledger, server: PostgresUnderTest) -> None:
    server.open(random=lambda _: bytes.fromhex(source.ledger_id))
    notch("init", "--no-plan", "--ledger", server.url, "--id", source.ledger_id)
    said = notch("copy", tmp_path / "source.db", user(server, READER), code=4).err
    assert WRITER in said
    assert said.count("\n") == 1
    assert heads(server.url) == []


def test_what_needs_more_than_a_writer(tmp_path: Path, notch: Notch, source: Ledger, server: PostgresUnderTest) -> None:
    path = tmp_path / "source.db"
    server.open()
    notch("copy", path, server.url)
    source.erase("u", 1, ["output"], reason="leaked")
    assert ERASER in notch("copy", path, user(server, WRITER), code=4).err
    assert notch.json("copy", path, user(server, ERASER))["entries"] == 1
    SignerUnderTest(tmp_path / "home").sign(source)
    source.append("t", ENTRY)
    assert SEQUENCER in notch("copy", path, user(server, WRITER), code=4).err
    assert heads(str(path)) == heads(server.url)
    assert notch.json("copy", path, user(server, SEQUENCER))["checkpoints"] == 1
    notch("verify", "--ledger", server.url)


# --- init --id


def test_init_makes_a_ledger_with_that_id(tmp_path: Path, notch: Notch) -> None:
    name, path = "0123456789abcdef" * 2, tmp_path / "new.db"
    for _ in range(2):
        assert notch.json("init", "--no-plan", "--ledger", path, "--id", name)["ledger_id"] == name
    notch("init", "--no-plan", "--ledger", tmp_path / "other.db")
    assert notch.json("init", "--no-plan", "--ledger", tmp_path / "other.db", "--id", name)["ledger_id"] == name
    notch("record", "--ledger", path, "-t", "t", "--type", "note")
    assert "not empty" in notch("init", "--no-plan", "--ledger", path, "--id", "f" * 32, code=2).err
    for wrong in ("short", "F" * 32, "g" * 32):
        assert "32 hex digits" in notch("init", "--no-plan", "--ledger", path, "--id", wrong, code=2).err
    notch("verify", "--ledger", path)
