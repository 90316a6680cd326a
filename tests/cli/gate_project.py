"""A small project with two checks, A on a/** and B on b/**, both proved, that every scenario starts from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.command import Notch, notch_argv
from support.inside import ReadingInside, call_inside
from support.repository import GitRepo

PLAN = """\
[criteria.A]
shows = "the tests of a pass"
run = "python3 -m unittest discover -s a"
inputs = ["a/**"]

[criteria.B]
run = "python3 -m unittest discover -s b"
inputs = ["b/**"]

[gate]
protect = ["guarded/**"]
"""
TESTS = """\
import os
import unittest

os.system(os.environ.get("MEANWHILE_{name}", ""))


class Test(unittest.TestCase):
    def test_one(self):
        with open("{folder}/value.txt") as file:
            self.assertNotIn("BUG", file.read())

    def test_two(self):
        pass

    def test_three(self):
        pass
"""


class Project:
    """The project on its branch `work`, and what the gate says of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = GitRepo(root)
        self.notch: Notch = ReadingInside(root)

    @classmethod
    def prepare(cls, root: Path) -> Project:
        """The template: committed on `main`, proved on `work`."""
        GitRepo.create(root)
        project = cls(root)
        repo = project.repo
        repo.write("tallystick.toml", PLAN)
        for name, folder in (("A", "a"), ("B", "b")):
            repo.write(f"{folder}/test_{folder}.py", TESTS.format(name=name, folder=folder))
            repo.write(f"{folder}/value.txt", "good\n")
        repo.write("a/notes.txt", "notes\n")
        repo.write("README.md", "Read me\n")
        repo.write("guarded/rule.txt", "keep\n")
        repo.commit("First")
        repo.git("checkout", "-q", "-b", "work")
        project.prove()
        return project

    def copy(self, root: Path) -> Project:
        """The same project in another folder."""
        shutil.copytree(self.root, root, symlinks=True)
        return type(self)(root)

    def prove(self, *criteria: str, code: int = 0, env: Mapping[str, str] | None = None) -> None:
        """Run the plan's commands, all of them where none is named, and expect them to end with that code."""
        for criterion in criteria or ("A", "B"):
            assert self.run("-c", criterion, env=env) == code

    def run(self, *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
        """The exit code of `notch run ARGS`."""
        return subprocess.run(
            notch_argv("run", *args),
            cwd=cwd or self.root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        ).returncode

    def gate(self, *args: str, env: Mapping[str, str] | None = None) -> Verdict:
        """The gate's answer; its exit code has to fit."""
        done = call_inside(self.root, "gate", "--json", *args, env=env)
        verdict = Verdict(json.loads(done.stdout), done.returncode)
        assert done.returncode == (3 if verdict.tampered else 0 if verdict.open else 1), done
        return verdict

    def why(self, criterion: str) -> str:
        """What `notch why` prints."""
        return call_inside(self.root, "why", criterion).stdout

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.root / ".tallystick" / "ledger.db"

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """The ledger's file in the hands of somebody who drops what guards it."""
        with closing(sqlite3.connect(self.ledger)) as connection:
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            yield connection
            for _, sql in triggers:
                connection.execute(sql)
            connection.commit()

    def edit_record(
        self, position: int, edit: Callable[[dict[str, Any]], None], details: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Change a record, and its details with a digest that fits them."""
        with self.sql() as connection:
            where = "WHERE id & 4294967295 = ? AND id >> 32 = (SELECT max(number) FROM session)"
            record, salt, part = connection.execute(
                f"SELECT record, details_salt, details FROM record {where}", (position,)
            ).fetchone()
            fields = json.loads(record)
            if details is not None:
                held = json.loads(part)
                details(held)
                part = json.dumps(held, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
                fields["details"] = hashlib.sha256(salt + part).hexdigest()
            edit(fields)
            changed = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
            connection.execute(f"UPDATE record SET record = ?, details = ? {where}", (changed, part, position))

    @contextmanager
    def waiting_run(self, criterion: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run of the criterion that waits until the block is left."""
        started, stop = self.root.parent / "started", self.root.parent / "stop"
        wait = f"touch {started}; while [ ! -e {stop} ]; do sleep 0.02; done"
        process = subprocess.Popen(
            [*notch_argv("run", "-c", criterion)],
            cwd=self.root,
            env={**os.environ, f"MEANWHILE_{criterion}": wait},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 30
            while not started.exists():
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.01)
            yield process
        finally:
            stop.touch()
            process.wait(30)


class Verdict:
    """What `notch gate --json` printed."""

    def __init__(self, document: dict[str, Any], code: int) -> None:
        self.document = document
        self.code = code
        self.criteria = {one["id"]: one for one in document["criteria"]}

    @property
    def open(self) -> bool:
        return bool(self.document["verdict"] == "open")

    @property
    def tampered(self) -> bool:
        return any(one["tampered"] for one in self.document["objections"])

    @property
    def states(self) -> dict[str, str]:
        return {id: one["state"] for id, one in self.criteria.items()}

    @property
    def objections(self) -> list[tuple[str, str]]:
        return [(one["rule"], one["what"]) for one in self.document["objections"]]

    def changed(self, criterion: str) -> list[str]:
        found: list[str] = self.criteria[criterion]["changed"]
        return found

    def reason(self, criterion: str) -> str:
        found: str = self.criteria[criterion]["reason"]
        return found
