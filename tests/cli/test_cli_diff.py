"""`notch diff`: how a task's recorded state changed between two moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.command import Notch
from tallystick import Entry, Ledger
from tallystick.recorded import Recorded

RESULTS = [("ac1", "fail"), ("ac1", "pass"), ("ac2", "pass"), ("ac1", "pass")]


def result(criterion: str, status: str, reason: str = "") -> Entry:
    return Entry(type="criterion", criterion_id=criterion, status=status, reason=reason or f"{criterion} was {status}")


def record(folder: Path, *entries: Entry) -> list[Recorded]:
    """Each in a transaction, and so a time, of its own."""
    with Ledger.open(str(folder / ".tallystick" / "ledger.db")) as ledger:
        for entry in entries:
            ledger.append("t", entry)
        return list(ledger.entries("t"))


@pytest.fixture
def log(tmp_path: Path) -> list[Recorded]:
    """The entries of task `t`: results, then a phase."""
    results = [result(criterion, status) for criterion, status in RESULTS]
    return record(tmp_path, *results, Entry(type="phase", phase_id="build", status="done", id="built"))


def told(document: dict[str, Any]) -> dict[str, tuple[str, list[int]]]:
    return {
        one["id"]: (one["how"], [entry["position"] for entry in one["entries"]])
        for kind in ("criteria", "phases")
        for one in document[kind]
    }


def test_between_positions(notch: Notch, log: list[Recorded]) -> None:
    found = notch.json("diff", "t", "1", "5")
    assert told(found) == {"ac1": ("changed", [2, 4]), "ac2": ("appeared", [3]), "build": ("appeared", [5])}
    ac1 = found["criteria"][0]
    assert (ac1["from"]["status"], ac1["to"]["status"]) == ("fail", "pass")
    assert (ac1["from"]["position"], ac1["to"]["position"]) == (1, 4)
    assert ac1["entries"][0] == {
        "position": 2, "at": log[1].at, "type": "criterion", "status": "pass", "reason": "ac1 was pass",
    }  # fmt: skip
    heads = {one["position"]: one["root"] for one in (found["from"], found["to"])}
    assert heads[5] == notch.json("status", "t")["root"]
    assert heads.keys() == {1, 5}


def test_what_did_not_move_is_not_told(notch: Notch, log: list[Recorded]) -> None:
    assert told(notch.json("diff", "t", "2", "3")) == {"ac2": ("appeared", [3])}
    assert told(notch.json("diff", "t", "3", "4")) == {"ac1": ("again", [4])}
    assert told(notch.json("diff", "t", "3", "3")) == {}
    assert "no entry in between" in notch("diff", "t", "3", "3").stdout


def test_backwards(notch: Notch, log: list[Recorded]) -> None:
    found = notch.json("diff", "t", "3", "1")
    assert told(found) == {"ac1": ("changed", [2]), "ac2": ("gone", [3])}
    assert found["criteria"][1]["to"] is None


def test_the_second_moment_is_now_where_it_is_not_named(notch: Notch, log: list[Recorded]) -> None:
    assert notch.json("diff", "t", "4")["to"]["position"] == 5


def test_a_time_stands_for_the_last_entry_until_then(notch: Notch, log: list[Recorded]) -> None:
    found = notch.json("diff", "t", log[1].at, log[2].at)
    assert (found["from"]["position"], found["to"]["position"]) == (2, 3)
    assert notch.json("diff", "t", "1999-12-31", "2999-01-01")["from"]["position"] == 0


def test_an_id_and_a_head_are_moments_too(notch: Notch, log: list[Recorded]) -> None:
    found = notch.json("diff", "t", "2", "built")
    assert found["to"]["position"] == 5
    head = f"2:{found['from']['root']}"
    assert notch.json("diff", "t", head)["from"]["position"] == 2


def test_a_head_of_another_history_is_no_moment_of_this_one(notch: Notch, log: list[Recorded]) -> None:
    assert "does not extend that head" in notch("diff", "t", f"2:{'0' * 64}", code=3).stderr
    assert "does not extend that head" in notch("diff", "t", f"9:{'0' * 64}", code=3).stderr


def test_text(notch: Notch, log: list[Recorded]) -> None:
    lines = notch("diff", "t", "1").stdout.splitlines()
    assert lines[0] == "t  from #1 to #5"
    assert lines[1] == "criterion ac1  fail → pass"
    assert lines[2].startswith("  #2  ")
    assert lines[2].endswith("criterion  pass  ac1 was pass")
    assert lines[4] == "criterion ac2  appeared: pass"
    assert notch("diff", "t", "3", "4").stdout.splitlines()[1] == "criterion ac1  pass again"
    assert "not there yet, later pass" in notch("diff", "t", "3", "1").stdout


def test_of_many_entries_the_newest_are_shown(notch: Notch, tmp_path: Path) -> None:
    record(tmp_path, *(result("ac1", "pass", f"no {number}") for number in range(12)))
    lines = notch("diff", "t", "0").stdout.splitlines()
    assert lines[2] == "  … 2 entries before"
    assert (len(lines), lines[-1][-5:]) == (13, "no 11")
    assert len(notch.json("diff", "t", "0")["criteria"][0]["entries"]) == 12


def test_what_others_wrote_is_shown_escaped(notch: Notch, tmp_path: Path) -> None:
    record(tmp_path, result("ac1", "a\x1b[2Jb", "c\rd"))
    printed = notch("diff", "t", "0").stdout
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert "a\\x1b[2Jb" in printed


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        ("6", "no position 6"),
        ("99999999999999999999999", "no position"),
        ("nobody", "no entry has the id 'nobody'"),
    ],
)
def test_a_moment_that_there_was_not(notch: Notch, log: list[Recorded], moment: str, says: str) -> None:
    assert says in notch("diff", "t", moment, code=2).stderr


def test_a_task_or_ledger_that_there_is_not(notch: Notch) -> None:
    assert "no ledger here" in notch("diff", "t", "0", code=2).stderr
    notch("init", "--no-plan")
    assert "no such task" in notch("diff", "t", "0", code=2).stderr
