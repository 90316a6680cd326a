"""A fault in another task's session costs what that task's runs left, never somebody else's verdict."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from gate_quick import Quick

PLAN = """\
[criteria.tests]
run = 'eval "$DO"; exit ${CODE:-0}'
"""
FAULTS = {
    "a record that is garbage": "UPDATE record SET record = CAST('garbage' AS BLOB) WHERE id >> 32 = {number}",
    "a record of a later version": (
        "UPDATE record SET record = CAST(replace(CAST(record AS TEXT), '\"v\":1', '\"v\":2') AS BLOB)"
        " WHERE id >> 32 = {number}"
    ),
    "a header that is garbage": "UPDATE session SET header = CAST('garbage' AS BLOB) WHERE number = {number}",
    "details that are others": "UPDATE record SET details = CAST('{{}}' AS BLOB) WHERE id >> 32 = {number}",
    "a head that says more": "UPDATE state SET position = 1000000000 WHERE session = {number} AND key = ''",
    "an edge that cannot be one": "UPDATE state SET edge = x'00' WHERE session = {number} AND key = ''",
    "no head": "DELETE FROM state WHERE session = {number}",
    "records that are gone": "DELETE FROM record WHERE id >> 32 = {number}",
}


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    return Quick(tmp_path / "repo", PLAN)


def damage(quick: Quick, statement: str) -> None:
    with sqlite3.connect(quick.repo.root / ".tallystick" / "ledger.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        ((number,),) = connection.execute("SELECT number FROM session WHERE task_id = 'other'").fetchall()
        connection.execute(statement.format(number=number))
    connection.close()


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_in_another_tasks_session(quick: Quick, what: str) -> None:
    run = quick.call("run", "-t", "other", "-c", "tests", env={"DO": "echo made > made.txt"})
    assert run.returncode == 0, run.stderr
    quick.repo.remove("made.txt")
    assert quick.call("run", "-t", "work", "-c", "tests").returncode == 0
    assert quick.gate("work").states == {"tests": "pass"}
    quick.repo.write("made.txt", "made\n")
    assert quick.gate("work").states == {"tests": "pass"}
    damage(quick, FAULTS[what])
    told = quick.call("gate", "work")
    assert told.returncode == 1, told.stdout + told.stderr
    assert "stale" in told.stdout
    assert "what runs of other left in the tree is not known" in told.stderr
    assert "notch verify other" in told.stderr
    assert told.stderr.count("what runs of other left") == 1
    quick.repo.remove("made.txt")
    told = quick.call("gate", "work")
    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    assert quick.call("verify", "other").returncode in (3, 4)
