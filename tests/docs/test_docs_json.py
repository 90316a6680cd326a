"""The keys that docs/reference/json.md tells of are those that the commands print, no more and no fewer."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.repository import GitRepo
from tallystick import Entry, Ledger
from tallystick.cli import main
from tallystick.cli.commands import COMMANDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "json.md"
SESSION = Path(__file__).resolve().parents[1] / "data" / "scafld" / "add-cache.session.json"

SAME_AS = {
    **dict.fromkeys(("review", "baseline", "erase", "attest", "approve"), "record"),
    "show": "log",
}
WITHOUT = frozenset({"artifact", "completion", "export"})
"""Commands that print no JSON of their own."""

TYPES = {"text": str, "integer": int, "boolean": bool, "object": dict, "list": list, "null": type(None)}

PLAN = """\
[criteria.ok]
run = "true"
inputs = ["a.txt"]

[criteria.bad]
shows = "it is good"
run = "echo one; echo two; false"
inputs = ["b.txt"]

[criteria.old]
run = "test ! -s c.txt"
inputs = ["c.txt", "d.txt"]

[criteria.killed]
run = "sleep 0"
inputs = ["e.txt"]

[criteria.left]
manual = true

[gate]
protect = ["p.txt"]
""" + "".join(f"[criteria.left-{n}]\nmanual = true\n" for n in range(8))

JUNIT = '<testsuite><testcase name="a"/><testcase name="b"><failure message="no"/></testcase></testsuite>'


class Row:
    """One key as the page tells it."""

    def __init__(self, key: str, type_: str) -> None:
        self.key = key
        self.optional = type_.endswith("?")
        words = type_.removesuffix("?").split(" or ")
        self.types = tuple(TYPES[word.split(" ")[0]] for word in words)

    def allows(self, value: Any) -> bool:
        return type(value) in self.types


def tables() -> dict[str, list[list[Row]]]:
    """Command -> the tables of its section."""
    found: dict[str, list[list[Row]]] = {}
    for section in re.split(r"^### notch ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        blocks = re.split(r"^\| key \| type \| what it is \|\n\|---\|---\|---\|\n", text, flags=re.MULTILINE)[1:]
        cells = [
            re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", block.partition("\n\n")[0], re.MULTILINE) for block in blocks
        ]
        found[name] = [[Row(key, type_.strip()) for key, type_ in table] for table in cells]
    return found


TABLES = tables()


def paths(value: Any, known: frozenset[str], at: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a document as the page writes it, with its value."""
    if at:
        yield at, value
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from paths(item, known, f"{at}[]")
    elif isinstance(value, dict):
        start = f"{at}." if at else ""
        if at and not at.endswith("[]") and not any(key.startswith(start) for key in known):
            return
        is_map = f"{start}*" in known or any(key.startswith(f"{start}*.") for key in known)
        for key, item in value.items():
            yield from paths(item, known, f"{start}{'*' if is_map else key}")


def is_told_by_its_keys(path: str, value: Any, known: frozenset[str]) -> bool:
    """Whether it is an object or a list whose own keys are in the table instead of it."""
    inside = f"{path}." if isinstance(value, dict) else f"{path}[]."
    return path.endswith("[]") or (isinstance(value, (dict, list)) and any(key.startswith(inside) for key in known))


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def printed(*args: str) -> Any:
    """What a command prints with `--json`; `run` prints it on standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main([*args, "--json"])
        out.flush()
        err.flush()
    text = (err if args[0] == "run" else out).buffer.getvalue().decode()
    assert text, (args, err.buffer.getvalue())
    return json.loads(text)


class Kept(dict[tuple[str, int], list[Any]]):
    """(command, number of its table) -> documents that it printed."""

    def __call__(self, command: str, *args: str, table: int = 0, each: bool = False, as_list: bool = False) -> None:
        """Run it. `each`: it prints a list of what the table tells of; `as_list`: one item of that."""
        document = printed(command, *args)
        kept = self.setdefault((SAME_AS.get(command, command), table), [])
        kept += document if each else [[document] if as_list else document]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """What every command prints, which together shows every key."""
    folder = tmp_path_factory.mktemp("json")
    repo = GitRepo.create(folder / "repo")
    keep = Kept()
    with _in(repo.root):
        _work(keep, repo)
        _move(keep, folder)
        repo.git("checkout", "-q", "-f", "main")
        keep("check", "main")
        shutil.copytree(repo.root / ".tallystick", folder / "yesterday")
        printed("record", "-t", "main", "--type", "note", "--reason", "later")
        printed("gate", "main")
        shutil.rmtree(repo.root / ".tallystick")
        shutil.copytree(folder / "yesterday", repo.root / ".tallystick")
        keep("handoff", "main")
    return keep


def _work(keep: Kept, repo: GitRepo) -> None:
    """A task with a criterion in every state."""
    keep("init")
    repo.write("tallystick.toml", PLAN)
    for name in "abcdep":
        repo.write(f"{name}.txt")
    repo.commit()
    repo.git("checkout", "-q", "-b", "work")
    keep("run", "-c", "ok")
    keep("run", "-c", "bad")
    keep("run", "-c", "old")
    keep(
        "record",
        "--type",
        "criterion",
        "-c",
        "other",
        "--status",
        "pass",
        "--provider",
        "ada",
        "--path",
        "x",
        "-p",
        "build",
    )
    keep("baseline")
    keep("record", "--type", "note", "--reason", "one\ntwo")
    keep("review", "--verdict", "fail", "--by", "ada", "--findings", "tallystick.toml")
    keep("record", "--type", "note", "--reason", "secret", "--output", "secret")
    keep("erase", "work", "11", "--reason", "it was secret", "--yes")
    _interrupt(repo)
    repo.write("p.txt", "changed")
    repo.write("d.txt", "changed")
    repo.write("tallystick.toml", PLAN.replace('["c.txt", "d.txt"]', '["d.txt"]'))
    for command in ("status", "log", "tasks", "gate", "plan", "handoff"):
        keep(command)
    keep("handoff", "--max-bytes", "2048")
    keep("show", "work", "4", as_list=True)
    keep("diff", "work", "3")
    keep("diff", "work", "13", "0")
    keep("why", "ok")
    keep("why", "left")
    keep("hook", "install", "git")
    keep("hook", "status")
    keep("hook", "uninstall", "git", table=1)
    keep("falsify", "old")
    keep("reproduce", "--sample", "2")


def _interrupt(repo: GitRepo) -> None:
    """A run whose watcher is long gone."""
    from tallystick.workspace import Workspace
    from tallystick.workspace.binding import content_details

    with Workspace.find(str(repo.root)).snapshot() as snapshot:
        content = content_details(snapshot, ["e.txt"])
    run = {"host": "nowhere", "boot": "", "pid_namespace": 0, "pid": 1, "pid_started": 1, "deadline": "2000-01-01"}
    with Ledger.open() as ledger:
        entry = Entry(type="run_started", status="running", criterion_id="killed", command="sleep 0")
        ledger.append("work", entry.replace(details={"run": run, "content": content}))


def _move(keep: Kept, folder: Path) -> None:
    """Keys, checkpoints, bundles, imports, and a copy that was tampered with."""
    bundle, note, copy, other = (str(folder / name) for name in ("work.bundle", "note", "copy.db", "other.db"))
    keep("key", "new")
    keep("key", "show")
    keep("key", "list", each=True)
    keep("checkpoint")
    keep("checkpoint", "--to", note)
    keep("verify", "--against", note)
    main(["export", "work", "--format", "bundle", "-o", bundle])
    keep("key", "retire", "default")
    keep("verify", bundle, table=1)
    keep("backup", copy)
    keep("copy", copy, str(folder / "copied.db"))
    _tamper(copy)
    keep("verify", "--ledger", copy)
    keep("import", bundle, "--ledger", other, table=1)
    keep("import", str(SESSION), "--ledger", other)
    (folder / "report.xml").write_text(JUNIT)
    keep("import", str(folder / "report.xml"), "-t", "reported", table=2)


def _tamper(path: str) -> None:
    database = sqlite3.connect(path)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    database.execute("UPDATE record SET node = zeroblob(32) WHERE id = (SELECT min(id) FROM record)")
    database.commit()
    database.close()


EVERY_TABLE = [(name, number) for name, found in TABLES.items() for number in range(len(found))]


@pytest.mark.parametrize(("name", "number"), EVERY_TABLE, ids=lambda value: str(value))
def test_the_keys_are_those_that_are_printed(name: str, number: int, documents: Kept) -> None:
    rows = TABLES[name][number]
    told = {row.key: row for row in [*rows, *(TABLES["gate"][0] if name == "check" else [])]}
    known = frozenset(told)
    seen: set[str] = set()
    for document in documents[name, number]:
        for path, value in paths(document, known):
            seen.add(path)
            if path in told:
                assert told[path].allows(value), f"{path} is {value!r}"
            else:
                assert is_told_by_its_keys(path, value, known), f"{path} is not in the table: {value!r}"
        if isinstance(document, dict):
            always = {row.key for row in rows if not row.optional and "." not in row.key and "[]" not in row.key}
            assert always <= document.keys()
    assert [row.key for row in rows if row.key not in seen] == [], "these are in the table, and nothing prints them"


def test_every_command_has_its_table() -> None:
    assert {SAME_AS.get(name, name) for name in COMMANDS} - WITHOUT == set(TABLES)
