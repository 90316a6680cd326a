"""Many processes on one ledger: nothing acknowledged is lost, nobody starves, nobody is told to come back later."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import storm as script
from tallystick import Entry, Ledger

pytestmark = pytest.mark.serial


def run(*arguments: str | Path | int) -> Any:
    done = subprocess.run(
        [sys.executable, script.__file__, *map(str, arguments)], capture_output=True, text=True, timeout=280
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def appenders(path: Path, count: int, task: str = "t") -> list[subprocess.Popen[str]]:
    children = [
        subprocess.Popen(
            [sys.executable, script.__file__, "append", str(path), task, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", child.communicate()
    return children


def go(children: list[subprocess.Popen[str]], seconds: float) -> list[dict[str, Any]]:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    time.sleep(seconds)
    for child in children:
        assert child.stdin is not None
        child.stdin.write("stop\n")
        child.stdin.flush()
    outcomes = []
    for child in children:
        said, errors = child.communicate(timeout=60)
        assert (child.returncode, errors) == (0, "")
        outcomes.append(json.loads(said))
    return outcomes


def test_32_processes_append_to_one_task(tmp_path: Path, storm: bool) -> None:
    path = tmp_path / "ledger.db"
    outcomes = go(appenders(path, 32), 60 if storm else 6)
    counts = sorted(len(one["positions"]) for one in outcomes)
    positions = sorted(position for one in outcomes for position in one["positions"])
    assert positions == list(range(1, len(positions) + 1))
    for one in outcomes:
        assert one["positions"] == sorted(one["positions"])
    with Ledger.open(str(path), create=False) as ledger:
        assert ledger.head("t").position == len(positions)
        ids = [recorded.entry.id for recorded in ledger.entries("t")]
        for number, one in enumerate(outcomes):
            own = [position for position, entry_id in enumerate(ids, 1) if entry_id.split(".")[0] == str(number)]
            assert own == one["positions"]
        ledger.verify()
    assert counts[0] * 3 >= counts[-1], counts
    assert max(one["worst"] for one in outcomes) < 10


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path, storm: bool) -> None:
    seed = random.randrange(1 << 20)
    said = run("kill", tmp_path / "ledger.db", 600 if storm else 40, seed)
    assert said["acknowledged"] > 10, seed


def test_a_ledger_can_be_made_again_where_the_first_try_was_killed(tmp_path: Path, storm: bool) -> None:
    count, seed = (1000 if storm else 80), random.randrange(1 << 20)
    said = run("birth", tmp_path / "ledger.db", count, seed)
    assert said["acknowledged"] < count, seed


@pytest.mark.parametrize("what", ["nothing", "empty file", "half made"])
def test_many_processes_make_one_ledger(tmp_path: Path, what: str) -> None:
    path = tmp_path / "ledger.db"
    if what == "empty file":
        path.touch()
    elif what == "half made":
        import sqlite3

        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        assert path.stat().st_size > 0
    said = run("create", path, 24)
    assert said["codes"] == [0] * 24
    assert len(said["ids"]) == 24
    assert len(set(said["ids"])) == 1
    assert said["position"] == 24


def test_readers_and_writers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Verification and status of a ledger that others append to: never a fault, never an error."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", [Entry(type="criterion", criterion_id=f"ac{n}", status="pass") for n in range(5)])
        children = appenders(path, 4)
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        end, turns = time.monotonic() + 3, 0
        while time.monotonic() < end:
            head = ledger.head("t")
            ledger.verify()
            ledger.verify("t", head=head)
            assert len(ledger.state("t").criteria) == 5
            if turns % 5 == 0:
                ledger.erase("t", ledger.append("t", Entry(type="note", reason="secret")).position, ["text"], reason="")
            turns += 1
        assert turns > 5
        go(children, 0)
        ledger.verify()
