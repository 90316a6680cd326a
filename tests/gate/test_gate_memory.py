"""The heads that were seen: what contradicts them, and that nothing is forgotten by accident."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Entry, Ledger
from tallystick.gate.memory import SeenHeads, state_folder
from tallystick.stores.base import Head

NOTE = Entry(type="note")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        opened.append("t", [NOTE, NOTE])
        yield opened


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def remembered(environ: dict[str, str], task: str = "t") -> tuple[str, Head] | None:
    return SeenHeads("here", environ).seen(task)


def test_a_head_is_kept_for_the_next_process(ledger: Ledger, environ: dict[str, str]) -> None:
    seen = SeenHeads("here", environ)
    assert not seen.any
    assert seen.contradiction(ledger, "t") == ""
    head = ledger.head("t")
    seen.remember(ledger, "t", head)
    assert remembered(environ) == (ledger.ledger_id, head)
    assert SeenHeads("here", environ).any
    assert SeenHeads("elsewhere", environ).seen("t") is None
    [file] = Path(state_folder(environ)).glob("*.json")
    assert json.loads(file.read_text())["ledger"] == "here"
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_next_pipeline_in_the_same_folder_begins_anew(ledger: Ledger, environ: dict[str, str]) -> None:
    first = {**environ, "CI": "true", "CI_PIPELINE_ID": "1"}
    SeenHeads("here", first).remember(ledger, "t", ledger.head("t"))
    assert remembered(first)
    assert remembered({**first, "CI_PIPELINE_ID": "2"}) is None
    assert remembered(environ) is None
    SeenHeads("here", environ).remember(ledger, "t", ledger.head("t"))
    assert remembered({**environ, "CI_PIPELINE_ID": "3"}), "it is CI that says so"
    assert remembered({**environ, "CI": "true"}), "and where it names no pipeline all is one"


def test_it_only_moves_forward(ledger: Ledger, environ: dict[str, str]) -> None:
    seen = SeenHeads("here", environ)
    old = ledger.head("t")
    new = ledger.append("t", NOTE)
    seen.remember(ledger, "t", new)
    seen.remember(ledger, "t", old)
    assert remembered(environ) == (ledger.ledger_id, new)
    assert seen.contradiction(ledger, "t") == ""


def test_what_contradicts_it_is_told_and_not_kept(ledger: Ledger, environ: dict[str, str], tmp_path: Path) -> None:
    seen = SeenHeads("here", environ)
    head = ledger.append("t", [NOTE] * 3)
    seen.remember(ledger, "t", head)
    with Ledger.open(str(tmp_path / "other.db")) as other:
        assert "another ledger" in seen.contradiction(other, "t")
        seen.remember(other, "t", other.append("t", [NOTE] * 9))
        assert remembered(environ) == (ledger.ledger_id, head)
    seen.remember(ledger, "gone", Head(1, "0" * 64))
    assert "not in the ledger" in SeenHeads("here", environ).contradiction(ledger, "gone")
    forged = {"t": {"ledger_id": ledger.ledger_id, "position": 9, "root": "0" * 64}}
    [file] = Path(state_folder(environ)).glob("*.json")
    file.write_text(json.dumps({"tasks": forged}))
    assert SeenHeads("here", environ).contradiction(ledger, "t") == (
        "the task was seen with 9 entries, now it has 5: it was rolled back"
    )
    forged["t"]["position"] = 5
    file.write_text(json.dumps({"tasks": forged}))
    assert "is not the one that was seen there" in SeenHeads("here", environ).contradiction(ledger, "t")
    longer = ledger.append("t", NOTE)
    SeenHeads("here", environ).remember(ledger, "t", longer)
    assert "is not the one that was seen there" in SeenHeads("here", environ).contradiction(ledger, "t")
    SeenHeads("here", environ).forget()
    assert remembered(environ) is None
    SeenHeads("here", environ).forget()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"tasks": 3}', '{"tasks": {"t": 3}}', '{"tasks": {"t": {"position": "x"}}}', "[" * 100_000],
)
def test_a_file_that_cannot_be_read_is_none(ledger: Ledger, environ: dict[str, str], content: str) -> None:
    SeenHeads("here", environ).remember(ledger, "t", ledger.head("t"))
    [file] = Path(state_folder(environ)).glob("*.json")
    file.write_text(content)
    assert remembered(environ) is None
    head = ledger.append("t", NOTE)
    SeenHeads("here", environ).remember(ledger, "t", head)
    assert remembered(environ) == (ledger.ledger_id, head)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_where_nothing_can_be_kept_nothing_is(ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    SeenHeads("here", {"XDG_STATE_HOME": str(folder)}).remember(ledger, "t", ledger.head("t"))


def test_a_state_folder_that_is_a_file_keeps_nothing(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"XDG_STATE_HOME": str(tmp_path / "file")}
    SeenHeads("here", environ).remember(ledger, "t", ledger.head("t"))
    assert remembered(environ) is None


def _remember(url: str, environ: dict[str, str], task: str) -> None:
    with Ledger.open(url) as ledger:
        for _ in range(20):
            SeenHeads("here", environ).remember(ledger, task, ledger.append(task, NOTE))


def test_processes_at_once_drop_nothing_that_another_saw(ledger: Ledger, environ: dict[str, str]) -> None:
    context = multiprocessing.get_context("fork")
    tasks = [f"task-{number}" for number in range(4)]
    processes = [context.Process(target=_remember, args=(ledger.url, environ, task)) for task in tasks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert {task: remembered(environ, task) for task in tasks} == {
        task: (ledger.ledger_id, ledger.head(task)) for task in tasks
    }
