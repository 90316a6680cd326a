"""Ways to a pass that nobody earned, and what the gate says of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gate_project import PLAN, Project

from tallystick import Entry, Ledger

A_COMMAND = "python3 -m unittest discover -s a"


def break_a(project: Project) -> None:
    """A would fail now."""
    project.repo.write("a/value.txt", "BUG\n")


def newest(project: Project, type_: str) -> tuple[int, dict[str, Any]]:
    """The position and the details of the newest entry of that type."""
    with Ledger.open(str(project.ledger)) as ledger:
        found = [one for one in ledger.entries("work") if one.entry.type == type_]
    return found[-1].position, json.loads(json.dumps(found[-1].entry.details))


# --- claims


def test_a_claimed_pass_does_not_count(project: Project) -> None:
    break_a(project)
    claim = ("record", "--type", "criterion", "-c", "A", "--status", "pass", "--command", A_COMMAND)
    project.notch(*claim)
    verdict = project.gate()
    assert verdict.states == {"A": "stale", "B": "pass"}
    project.notch("run", "-t", "other", "-c", "B")
    project.notch(*claim, "-t", "other")
    verdict = project.gate("other")
    assert verdict.states == {"A": "missing", "B": "pass"}
    assert verdict.reason("A") == "a result that is only claimed does not count, it asks for observed"


def test_a_claimed_failure_does_not_count_either(project: Project) -> None:
    project.notch("record", "--type", "criterion", "-c", "A", "--status", "fail", "--command", A_COMMAND)
    assert project.gate().open


@pytest.mark.parametrize("name", ["run", "content", "reuse", "actor"])
def test_details_of_a_run_cannot_be_given(project: Project, name: str) -> None:
    details = json.dumps({name: {"exit_code": 0, "started": 1}})
    done = project.notch("record", "--type", "criterion", "-c", "A", "--details", details, code=2)
    assert f"{name!r} is written by notch alone" in done.stderr


def forged(project: Project, **changes: Any) -> Entry:
    """The newest result of a run, made to look like one of A on the content in front, with changes."""
    break_a(project)
    project.prove("A", code=1)
    _, details = newest(project, "criterion")
    details["run"].update({"exit_code": 0, **changes})
    del details["run"]["tests"]
    return Entry(type="criterion", criterion_id="A", status="pass", command=A_COMMAND, details=details)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("the run that already has an end", {}),
        ("no run", {"started": 0}),
        ("another entry", {"started": 2}),
        ("itself", {"started": 7}),
        ("what does not exist yet", {"started": 99}),
        ("no number", {"started": True}),
    ],
)
def test_a_forged_run_is_a_claim(project: Project, what: str, changes: dict[str, Any]) -> None:
    entry = forged(project, **changes)
    with Ledger.open(str(project.ledger)) as ledger:
        assert ledger.append("work", entry).position == 7, what
    verdict = project.gate()
    assert verdict.states == {"A": "fail", "B": "pass"}, what


def test_a_run_of_another_criterion_cannot_be_borrowed(project: Project) -> None:
    entry = forged(project)
    project.repo.write("b/value.txt", "better\n")
    with Ledger.open(str(project.ledger)) as ledger:
        details = json.loads(json.dumps(entry.details))
        head = ledger.append("work", Entry(type="run_started", criterion_id="B", status="running", command=A_COMMAND))
        details["run"]["started"] = head.position
        ledger.append("work", entry.replace(details=details))
    assert project.gate().states == {"A": "fail", "B": "stale"}


# --- another command


@pytest.mark.parametrize("command", [("true",), ("sh", "-c", f"{A_COMMAND} || true"), (A_COMMAND, "#")])
def test_another_command_shows_nothing(project: Project, command: tuple[str, ...]) -> None:
    break_a(project)
    assert project.run("-c", "A", "--", *command) in (0, 127)
    assert project.gate().states == {"A": "stale", "B": "pass"}
    project.run("-t", "other", "-c", "A", "--", *command)
    verdict = project.gate("other")
    assert verdict.states["A"] == "missing"
    assert verdict.reason("A").startswith("only another command was run: ")


def test_the_right_command_in_another_folder_shows_nothing(project: Project) -> None:
    project.repo.write("b/a/test_nothing.py", "import unittest\nclass T(unittest.TestCase):\n def test(self): pass\n")
    command = ("run", "-t", "other", "-c", "A", "--", *A_COMMAND.split())
    project.notch(*command, cwd=project.root / "b")
    verdict = project.gate("other")
    assert verdict.states["A"] == "missing"
    assert verdict.reason("A") == "it was run in b, not at the root of the work tree"
    project.notch(*command)
    assert project.gate("other").states["A"] == "pass"


def test_the_plan_itself_cannot_swallow_the_exit_code(project: Project) -> None:
    break_a(project)
    project.repo.write("tallystick.toml", PLAN.replace("-s a", "-s a || true"))
    project.repo.commit("Make it pass")
    project.repo.git("branch", "-f", "main", "work")  # even where it is the base's own plan
    project.prove("A")
    verdict = project.gate()
    assert verdict.states["A"] == "fail"
    assert verdict.reason("A") == "1 of 3 tests failed: test_one (test_a.Test.test_one), although the exit code was 0"


def test_an_executable_earlier_in_path_is_shown(project: Project, tmp_path: Path) -> None:
    break_a(project)
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'Ran 3 tests in 0.000s'; echo; echo OK\n")
    fake.chmod(0o755)
    import os

    project.prove("A", env={"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"})
    assert project.gate().states["A"] == "pass"
    assert f"          for {fake}  sha256 " in project.why("A")


# --- the plan


WEAKENED = {
    "criterion removed": ('[criteria.A]\nshows = "the tests of a pass"\n', "[criteria.C]\n"),
    "command changed": (A_COMMAND, "true"),
    "inputs narrowed": ('inputs = ["a/**"]', 'inputs = ["a/value.txt"]'),
    "grade lowered": ('inputs = ["a/**"]', 'inputs = ["a/**"]\ngrade = "claimed"'),
    "another exit code expected": ('inputs = ["a/**"]', 'inputs = ["a/**"]\nexpect = { exit = ">= 0" }'),
}


@pytest.mark.parametrize("what", WEAKENED)
@pytest.mark.parametrize("committed", [False, True])
def test_a_plan_weakened_in_the_tree_keeps_the_gate_shut(project: Project, what: str, committed: bool) -> None:
    project.repo.write("tallystick.toml", PLAN.replace(*WEAKENED[what]))
    if committed:
        project.repo.commit("Weaken")
    verdict = project.gate()
    assert not verdict.open
    assert any(rule == "weakened" and what in told for rule, told in verdict.objections), verdict.objections
    assert verdict.states["A"] == "pass"  # judged as the base has it
    project.repo.git("branch", "-f", "main", "work")
    if committed:  # it is on the base by now
        assert not project.gate().document["weakened"]


def test_a_plan_that_is_deleted_is_still_in_force(project: Project) -> None:
    project.repo.remove("tallystick.toml")
    verdict = project.gate()
    assert [what for rule, what in verdict.objections if rule == "weakened"] == [
        f"A: criterion removed (was {A_COMMAND})",
        "B: criterion removed (was python3 -m unittest discover -s b)",
    ]
    break_a(project)
    verdict = project.gate()
    assert verdict.states == {"A": "stale", "B": "pass"}
    project.prove("A", code=1)
    assert project.gate().states == {"A": "fail", "B": "pass"}


def test_a_new_criterion_in_the_tree_counts(project: Project) -> None:
    project.repo.write("tallystick.toml", PLAN + '\n[criteria.C]\nrun = "test ! -e a/forbidden"\n')
    verdict = project.gate()
    assert verdict.states == {"A": "pass", "B": "pass", "C": "missing"}
    assert not verdict.open
    project.prove("C")
    assert project.gate().open


def test_policy_in_the_tree_does_not_count(project: Project) -> None:
    project.repo.write("tallystick.toml", PLAN.replace("guarded", "nothing"))
    project.repo.write("guarded/rule.txt", "break\n")
    verdict = project.gate()
    assert ("protected", "guarded/rule.txt (modified) is protected") in verdict.objections


@pytest.mark.parametrize("how", ["modified", "added", "deleted"])
def test_a_protected_file_that_changed_keeps_the_gate_shut(project: Project, how: str) -> None:
    path = "guarded/new.txt" if how == "added" else "guarded/rule.txt"
    if how == "deleted":
        project.repo.remove(path)
    else:
        project.repo.write(path, "other\n")
    for commit in (False, True):
        if commit:
            project.repo.commit("Change what is guarded")
        verdict = project.gate()
        assert verdict.objections == [("protected", f"{path} ({how}) is protected")]
        assert verdict.document["protected"] == [f"{path} ({how})"]
    project.repo.git("branch", "-f", "main", "work")
    assert project.gate().open


# --- other results


def test_results_of_another_branch_are_about_their_content(project: Project) -> None:
    project.repo.git("checkout", "-q", "-b", "other")
    project.repo.write("a/value.txt", "other\n")
    project.repo.commit("Other")
    project.prove()
    assert project.gate().open
    project.repo.git("checkout", "-q", "work")
    assert project.gate("other").states == {"A": "stale", "B": "pass"}
    assert project.gate().open
    break_a(project)
    assert project.gate().states == {"A": "stale", "B": "pass"}


def test_a_beginning_without_an_end_never_leaves_an_older_pass_standing(project: Project) -> None:
    with Ledger.open(str(project.ledger)) as ledger:
        started = next(one.entry for one in ledger.entries("work") if one.entry.criterion_id == "A")
        ledger.append("work", started.replace(id=""))
    verdict = project.gate()
    assert verdict.states == {"A": "interrupted", "B": "pass"}
    assert verdict.criteria["A"]["next"] == "notch run -t work -c A"


def test_a_run_that_was_cut_short_is_no_failure(project: Project) -> None:
    with project.waiting_run("A") as process:
        process.terminate()
        process.wait(30)
    verdict = project.gate()
    assert verdict.states == {"A": "interrupted", "B": "pass"}
    assert "was cut short by signal 15" in verdict.reason("A")
    project.prove("A")
    verdict = project.gate()
    assert verdict.states == {"A": "pass", "B": "pass"}, "a cancelled run makes nothing flaky"
    assert verdict.criteria["A"]["unfalsified"]


# --- the store


def test_a_ledger_that_is_deleted_is_named(project: Project) -> None:
    assert project.gate().open
    shutil.rmtree(project.root / ".tallystick")
    verdict = project.gate()
    assert (verdict.code, verdict.states) == (1, {"A": "missing", "B": "missing"})
    assert any("earlier evidence lost on 2" in why for why in verdict.document["advisory_because"])
    project.prove()
    verdict = project.gate()
    assert verdict.open
    assert any("lost" in why for why in verdict.document["advisory_because"])
    assert not any("lost" in why for why in project.gate().document["advisory_because"])


def test_a_run_is_remembered_too(project: Project) -> None:
    copy = project.root.parent / "copy"
    shutil.copytree(project.root / ".tallystick", copy)
    break_a(project)
    project.prove("A", code=1)
    shutil.rmtree(project.root / ".tallystick")
    shutil.copytree(copy, project.root / ".tallystick")
    assert project.gate().objections[0][1].endswith("it was rolled back")
    project.prove("A", code=1)
    project.prove("A", code=1)
    assert "is not the one that was seen there" in project.gate().objections[0][1]


def test_a_ledger_of_yesterday_is_told_by_its_head(project: Project, tmp_path: Path) -> None:
    yesterday = tmp_path / "yesterday"
    shutil.copytree(project.root / ".tallystick", yesterday)
    before = project.gate().document["as_of"]
    project.prove()
    today = project.gate().document["as_of"]
    head = f"{today['position']}:{today['root']}"
    assert project.gate("--head", head).open
    assert project.gate("--head", f"{before['position']}:{before['root']}", "--head", head).open
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "state")}
    shutil.rmtree(project.root / ".tallystick")
    shutil.copytree(yesterday, project.root / ".tallystick")
    assert project.gate(env=elsewhere).open
    verdict = project.gate("--head", head, env={"XDG_STATE_HOME": str(tmp_path / "other state")})
    assert verdict.code == 3
    assert verdict.objections == [("history", f"the head {head} was seen, and the history ends at position 4")]
    wrong = f"4:{'0' * 64}"
    verdict = project.gate("--head", wrong, env=elsewhere)
    assert verdict.objections == [("history", "the history up to position 4 is not the one of the head that was seen")]


def test_a_part_taken_away_is_no_erasure(project: Project) -> None:
    break_a(project)
    project.prove("A", code=1)
    project.repo.write("a/value.txt", "good\n")
    project.repo.write("a/value.txt", "BUG\n")
    with project.sql() as connection:
        connection.execute("UPDATE record SET details = NULL, details_salt = NULL WHERE id & 4294967295 = 6")
    done = project.notch("gate", check=False)
    assert done.returncode == 3
    assert "work at position 6: its details is missing, and no redaction names it" in done.stderr


def test_an_erased_result_counts_no_more(project: Project) -> None:
    with Ledger.open(str(project.ledger)) as ledger:
        ledger.erase("work", 2, ["details"], reason="leaked")
    verdict = project.gate()
    assert verdict.states == {"A": "stale", "B": "pass"}
    assert verdict.reason("A") == "what it was bound to was erased"
    project.prove("A")
    assert project.gate().open


def test_a_result_whose_command_was_erased_counts_no_more(project: Project) -> None:
    with Ledger.open(str(project.ledger)) as ledger:
        ledger.erase("work", 2, ["text"], reason="leaked")
    verdict = project.gate()
    assert verdict.states == {"A": "missing", "B": "pass"}
    assert verdict.reason("A") == "the command of its newest result was erased"


@pytest.mark.parametrize(("position", "named"), [(1, 1), (2, 2), (3, 3)])
def test_any_record_that_was_changed_is_named(project: Project, position: int, named: int) -> None:
    project.edit_record(position, lambda record: record.update(provider="somebody else"), None)
    done = project.notch("gate", check=False)
    assert done.returncode == 3
    assert f"work at position {named}: the record, or one before it, was changed" in done.stderr


def test_everything_is_verified_where_that_is_asked(project: Project) -> None:
    assert project.gate("--full").open
    with project.sql() as connection:
        connection.execute("UPDATE record SET criterion_before = 0 WHERE id & 4294967295 = 2")
    assert project.gate().open
    verdict = project.gate("--full")
    assert verdict.code == 3
    assert all(rule == "ledger" for rule, _ in verdict.objections)
