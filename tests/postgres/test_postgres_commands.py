"""Every command with `TALLYSTICK_LEDGER=postgresql://…`, and what each says where the server is not as it should be."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.command import notch_argv
from support.contract import ENTRY
from support.postgres import PASSWORD, PostgresUnderTest, Shared, free_port
from support.repository import GitRepo
from tallystick import Ledger
from tallystick.cli import main
from tallystick.cli.commands import COMMANDS
from tallystick.stores.postgres_schema import ERASER, READER, SCHEMA_VERSION, SEQUENCER, WRITER
from tallystick.stores.postgres_setup import initialise

SECRETS = (PASSWORD, quote(PASSWORD, safe=""), "hunter2")
ELSEWHERE = {"copy"}
"""What tests of its own walk."""
PLAN = """\
[criteria.tests]
run = "cat value.txt && grep -q good value.txt"
inputs = ["value.txt"]

[keys.me]
public = "{public}"
roles = ["attest", "approve", "checkpoint"]
"""
JUNIT = """\
<testsuites><testsuite name="s" tests="1" failures="0"><testcase classname="c" name="one"/></testsuite></testsuites>
"""


class Walker:
    """Runs `notch` on the ledger that the environment names; remembers which commands, and that none told a password.

    In this process: as many new ones, each loading a database driver, take ten seconds.
    """

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.walked: set[str] = set()

    def both(self, *args: str | Path, code: int = 0, secret: bool = True) -> tuple[str, str]:
        """What it printed, on standard output and on standard error."""
        self.walked.add(str(args[0]))
        self._capture.readouterr()
        found = main([str(one) for one in args])
        out, err = self._capture.readouterr()
        assert found == code, f"{args}: {found}\n{out}{err}"
        if secret:
            assert not [one for one in SECRETS if one in out + err], out + err
        return out, err

    def __call__(self, *args: str | Path, code: int = 0) -> str:
        """What it printed on standard output."""
        return self.both(*args, code=code)[0]

    def json(self, *args: str | Path, code: int = 0) -> Any:
        """What it printed with `--json`, decoded."""
        return json.loads(self(*args, "--json", code=code))


@pytest.fixture
def walking(git_repo: GitRepo, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Walker]:
    """In a work tree where no ledger is ever made."""
    monkeypatch.chdir(git_repo.root)
    monkeypatch.setenv("TALLYSTICK_TASK", "work")
    yield Walker(capfd)
    assert not (git_repo.root / ".tallystick").exists()


@pytest.fixture
def walker(shared: Shared, database: str, walking: Walker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walker]:
    """On a ledger that an administrator made, as somebody who may append, erase and sign."""
    admin = shared.make_user("test_admin", options="LOGIN SUPERUSER")
    monkeypatch.setenv("TALLYSTICK_LEDGER", shared.url(database, admin))
    made = walking.json("init", "--no-plan")
    assert (len(made["ledger_id"]), made["plan"]) == (32, None)
    assert f"//{admin}@" in made["url"]
    user = shared.make_user("test_walker", member_of=ERASER)
    shared.make_user("test_walker", member_of=SEQUENCER)
    monkeypatch.setenv("TALLYSTICK_LEDGER", shared.url(database, user))
    yield walking
    with Ledger.open(shared.url(database)) as ledger:
        assert ledger.ledger_id == made["ledger_id"]
        ledger.verify()


def test_every_command(walker: Walker, git_repo: GitRepo, tmp_path: Path) -> None:
    _prepare(walker, git_repo)
    _record(walker)
    _read(walker)
    _judge(walker, git_repo)
    _prove(walker, tmp_path)
    _move(walker, tmp_path)
    _hook(walker, git_repo, tmp_path)
    assert set(COMMANDS) - walker.walked == ELSEWHERE


def _prepare(walk: Walker, repo: GitRepo) -> None:
    walk("record", "--type", "note", "--reason", "first")
    walk("key", "new")
    repo.write("value.txt", "bad\n")
    repo.write("tallystick.toml", PLAN.format(public=walk("key", "show").strip()))
    repo.commit("First")
    repo.git("checkout", "-q", "-b", "work")
    repo.write("value.txt", "good\n")
    repo.commit("Second")


def _record(walk: Walker) -> None:
    assert walk.json("record", "--type", "note", "--reason", "x", "--idempotency-key", "k")["position"] == 2
    assert walk.json("record", "--type", "note", "--reason", "x", "--idempotency-key", "k")["position"] == 2
    walk("baseline")
    assert "good" in walk("run", "-c", "tests")
    printing = 'echo "$TALLYSTICK_LEDGER"; yes | head -c 100000'
    walk.both("run", "--keep-env", "TALLYSTICK_LEDGER", "--", "sh", "-c", printing, secret=False)
    walk("review", "--verdict", "pass", "--by", "ada")


def _read(walk: Walker) -> None:
    status = walk.json("status")
    assert status["criteria"]["tests"]["status"] == "pass"
    assert "tests" in walk("status")
    log = walk("log", "-n", "3")
    assert len(log.splitlines()) == 4
    assert "work" in walk("tasks")
    ran = [one for one in walk.json("log") if one["type"] == "run"][-1]["position"]
    output = walk("artifact", "work", str(ran))
    assert output.startswith("[masked TALLYSTICK_LEDGER]")
    assert len(output) > 100_000
    assert "first" in walk("show", "work", "1")
    assert "tests" in walk("diff", "work", "1")
    assert "work" in walk("completion", "tasks")
    assert "tests" in walk("completion", "criteria")
    following = subprocess.Popen(notch_argv("log", "work", "-f", "-n", "1"), stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    following.stdout.readline()
    walk("record", "--type", "note", "--reason", "while it is followed")
    assert "while it is followed" in following.stdout.readline()
    following.send_signal(signal.SIGINT)
    assert following.wait(30) == 0


def _judge(walk: Walker, repo: GitRepo) -> None:
    assert walk.json("gate")["verdict"] == "open"
    repo.write("value.txt", "good, too\n")
    assert "stale" in walk("gate", code=1)
    assert "value.txt (modified)" in walk("why", "tests", code=1)
    assert "checkpoint 2" in walk("check")
    assert "grep -q good value.txt" in walk("plan")
    assert "tests" in walk("handoff")
    repo.commit("Third")
    assert "tests can fail" in walk("falsify", "tests", "--revert", "value.txt")
    walk("attest")
    assert "reproduced 1 of 1" in walk("reproduce")
    repo.write("tallystick.toml", repo.read("tallystick.toml").replace("&& grep -q good value.txt", ""))
    assert "weakened: tests" in walk("check", code=1)
    assert "approved" in walk("approve", "--reason", "the file says it all")
    assert "gate open" in walk("check")
    out, err = walk.both("gate")
    assert (out.splitlines()[-1].startswith("— tallystick/"), err) == (True, "")


def _prove(walk: Walker, folder: Path) -> None:
    (folder / "note").write_text(walk("checkpoint"))
    walk("record", "--type", "note", "--reason", "after it")
    said = walk("verify", "--against", folder / "note", "--key", walk("key", "show").strip())
    assert "the ledger extends checkpoint" in said
    assert "ok  work" in walk("verify", "work")
    assert "default" in walk("key", "list")


def _move(walk: Walker, folder: Path) -> None:
    walk("checkpoint")
    for kind in ("json", "jsonl", "scafld", "bundle"):
        walk("export", "work", "--format", kind, "-o", folder / f"work.{kind}")
    assert "ok  work" in walk("verify", folder / "work.bundle")
    assert "of again" in walk("import", folder / "work.scafld", "-t", "again")
    (folder / "report.xml").write_text(JUNIT)
    assert "pass of tests, 1 test passed" in walk("import", "-c", "tests", folder / "report.xml")
    with Ledger.open(str(folder / "other.db")) as other:
        other.append("theirs", ENTRY)
    walk("export", "theirs", "--format", "bundle", "-o", folder / "o.bundle", "--ledger", folder / "other.db")
    assert "kept beside ours" in walk("import", folder / "o.bundle")
    assert "erased text" in walk("erase", "work", "1", "--reason", "it names somebody", "-y")
    out, err = walk.both("backup", folder / "backup.db", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert "this store is not one file; use the database's own backup" in err


def _hook(walk: Walker, repo: GitRepo, folder: Path) -> None:
    walk("hook", "install", "git")
    assert "pre-push    installed" in walk("hook", "status", "git")
    repo.git("init", "-q", "--bare", folder / "remote.git")
    repo.git("remote", "add", "origin", folder / "remote.git")
    pushed = subprocess.run(["git", "push", "-q", "origin", "work"], cwd=repo.root, capture_output=True, text=True)
    assert pushed.returncode == 0
    assert "gate open  work" in pushed.stderr
    walk("hook", "uninstall", "git")


APPEND = ("record", "--type", "note", "--reason", "x")
WRONG = {
    "unreadable": (2, "the PostgreSQL URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE"),
    "unknown parameter": (2, "the PostgreSQL URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE"),
    "down": (4, "is the server running there? Check host and port"),
    "host": (4, "check the host's name"),
    "password": (4, "check the user and the password"),
    "database": (4, "make it with createdb, then run notch init"),
    "no ledger": (4, "may not make a ledger here"),
    "no role": (4, "have an administrator run GRANT tallystick_writer TO that user"),
    "reader": (4, "have an administrator run GRANT tallystick_writer TO that user"),
    "later schema": (
        4,
        f"the ledger has schema {SCHEMA_VERSION + 1}, this version knows {SCHEMA_VERSION}; upgrade tallystick",
    ),
}


def _wrong(what: str, shared: Shared, store: PostgresUnderTest, database: str) -> str:
    """A URL that leads to what is wrong; each has a password in it."""
    user = shared.make_user("test_nobody", options="LOGIN NOCREATEROLE")
    if what == "unreadable":
        return "postgresql://me:hunter2@more@h/db"
    if what == "unknown parameter":
        return "postgresql://me:hunter2@h/db?nonsense=1"
    if what == "down":
        return f"postgresql://me:hunter2@127.0.0.1:{free_port()}/db"
    if what == "host":
        return "postgresql://me:hunter2@no-such-host.invalid/db"
    if what == "password":
        return shared.url(database, user).replace(quote(PASSWORD, safe=""), "hunter2")
    if what == "database":
        return shared.url("no_such_database", user)
    if what == "no ledger":
        return shared.url(database, user)
    store.open()
    if what == "later schema":
        initialise(shared.url(database))
        with shared.connect(database) as connection:
            connection.execute("INSERT INTO tallystick.migration VALUES (%s)", (SCHEMA_VERSION + 1,))
        return shared.url(database, shared.make_user("test_writer", member_of=WRITER))
    return shared.url(store.database, shared.make_user("test_reader", member_of=READER) if what == "reader" else user)


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_in_one_line(
    what: str,
    shared: Shared,
    store: PostgresUnderTest,
    database: str,
    walking: Walker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, words = WRONG[what]
    monkeypatch.setenv("TALLYSTICK_LEDGER", _wrong(what, shared, store, database))
    for options in ((), ("--json",)):
        out, err = walking.both(*APPEND, *options, code=code)
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("notch: ")
        assert words in err


def test_a_database_without_a_ledger_is_not_read(
    shared: Shared, database: str, walking: Walker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_LEDGER", shared.url(database))
    for command in ("status", "log", "verify"):
        out, err = walking.both(command, code=2)
        assert (out, err.count("\n")) == ("", 1)
        assert "no ledger in this database; notch init makes one" in err
