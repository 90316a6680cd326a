"""The twenty-two scenarios: what happens to evidence when files, history, runs or the store are touched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gate_project import PLAN, Project

from support.command import notch_argv
from support.repository import GitRepo

PYTHON_SAYS = 5 if sys.version_info >= (3, 12) else 0
"""What unittest ends with where all tests were skipped."""
BOTH = {"A": "pass", "B": "pass"}
A_IS_STALE = {"A": "stale", "B": "pass"}


def holds(project: Project) -> None:
    """Both are proved, and the gate is open."""
    verdict = project.gate()
    assert verdict.states == BOTH, verdict.document
    assert verdict.open, verdict.document


def a_is_stale(project: Project, *changed: str) -> None:
    """A is stale by those files, B holds, and running A opens the gate again."""
    verdict = project.gate()
    assert verdict.states == A_IS_STALE, verdict.document
    assert sorted(verdict.changed("A")) == sorted(changed)
    assert not verdict.open
    command = verdict.criteria["A"]["next"]
    assert command == "notch run -t work -c A"
    subprocess.run(command, shell=True, cwd=project.root, check=True, capture_output=True)
    holds(project)


def test_01_an_edit_in_a_makes_a_stale_and_b_holds(project: Project) -> None:
    project.repo.write("a/value.txt", "better\n")
    a_is_stale(project, "a/value.txt")


def test_02_an_edit_of_the_readme_concerns_neither(project: Project) -> None:
    project.repo.write("README.md", "Read me again\n")
    holds(project)


def test_03_a_touch_changes_nothing(project: Project) -> None:
    for path in ("a/value.txt", "b/value.txt", "a/test_a.py"):
        (project.root / path).touch()
    holds(project)


def test_04_an_edit_undone_changes_nothing(project: Project) -> None:
    project.repo.write("a/value.txt", "other\n")
    assert project.gate().states == A_IS_STALE
    project.repo.write("a/value.txt", "good\n")
    holds(project)


def test_05_a_commit_keeps_evidence(project: Project) -> None:
    project.repo.write("a/value.txt", "better\n")
    project.prove("A")
    project.repo.commit("Better")
    holds(project)


def test_06_an_amend_keeps_evidence(project: Project) -> None:
    project.repo.write("a/value.txt", "better\n")
    project.repo.commit("Better")
    project.prove("A")
    project.repo.git("commit", "-q", "--amend", "-m", "Better, in other words")
    holds(project)


def test_07_a_squash_merge_of_the_same_tree_keeps_evidence(project: Project) -> None:
    for number in range(3):
        project.repo.write("a/value.txt", f"better {number}\n")
        project.repo.commit(f"Better {number}")
    project.prove("A")
    project.repo.git("checkout", "-q", "main")
    project.repo.git("merge", "-q", "--squash", "work")
    project.repo.git("commit", "-q", "-m", "All of it")
    project.repo.git("branch", "-D", "work")
    assert project.gate("work").states == BOTH
    project.repo.git("gc", "-q", "--prune=now")
    verdict = project.gate("work")
    assert verdict.states == BOTH
    assert verdict.open


def test_08_a_chmod_in_a_makes_a_stale(project: Project) -> None:
    (project.root / "a/value.txt").chmod(0o755)
    a_is_stale(project, "a/value.txt")


def test_09_a_rename_in_a_makes_a_stale(project: Project) -> None:
    project.repo.git("mv", "a/test_a.py", "a/test_renamed.py")
    assert "changed   a/test_renamed.py (renamed from a/test_a.py)" in project.why("A")
    a_is_stale(project, "a/test_a.py", "a/test_renamed.py")


def test_10_a_delete_in_a_makes_a_stale(project: Project) -> None:
    project.repo.remove("a/notes.txt")
    a_is_stale(project, "a/notes.txt")


def test_11_a_new_untracked_file_in_a_makes_a_stale(project: Project) -> None:
    project.repo.write("a/extra.txt", "extra\n")
    a_is_stale(project, "a/extra.txt")


def test_12_an_input_that_changed_while_the_check_ran_is_not_fresh(project: Project) -> None:
    project.repo.write("a/value.txt", "better\n")
    project.prove("A", env={"MEANWHILE_A": "echo changed > a/value.txt"})
    verdict = project.gate()
    assert verdict.states == A_IS_STALE
    assert verdict.reason("A") == "a/value.txt changed while it ran"
    project.repo.write("a/value.txt", "better\n")
    assert project.gate().states == A_IS_STALE
    project.prove("A")
    holds(project)


def test_13_an_input_changed_and_put_back_while_it_ran_is_told(project: Project) -> None:
    project.repo.write("a/value.txt", "better\n")
    there_and_back = "cp a/value.txt ../kept; sleep 0.02; echo other > a/value.txt; cp ../kept a/value.txt"
    project.prove("A", env={"MEANWHILE_A": there_and_back})
    verdict = project.gate()
    assert verdict.reason("A") == (
        "exit code was 0; 3 tests; a/value.txt was written while it ran and was the same after"
    )
    assert "touched   a/value.txt while it ran\n" in project.why("A")
    project.prove("A")
    assert "written while it ran" not in project.gate().reason("A")


def failing(project: Project) -> int:
    """A fails on the content in front; the position of that result."""
    project.repo.write("a/value.txt", "BUG\n")
    project.prove("A", code=1)
    verdict = project.gate()
    assert verdict.states == {"A": "fail", "B": "pass"}
    assert verdict.reason("A") == "exit code 1, expected 0: test_one (test_a.Test.test_one)"
    position: int = verdict.document["as_of"]["position"]
    return position


@pytest.mark.parametrize("what", ["status", "exit code", "exit code and status"])
def test_14_a_result_edited_from_fail_to_pass_in_the_store(project: Project, what: str) -> None:
    position = failing(project)

    def edit(record: dict[str, object]) -> None:
        if "status" in what:
            record["status"] = "pass"
            record.pop("exit_code", None)

    def details(held: dict[str, dict[str, object]]) -> None:
        held["run"]["exit_code"] = 0
        held["run"].pop("tests")

    project.edit_record(position, edit, details if "exit code" in what else None)
    done = project.notch("gate", check=False)
    assert done.returncode == 3
    assert f"work at position {position}: the record, or one before it, was changed" in done.stderr


def test_15_the_newest_record_deleted(project: Project) -> None:
    position = failing(project)
    with project.sql() as connection:
        connection.execute("DELETE FROM record WHERE id & 4294967295 = ?", (position,))
    done = project.notch("gate", check=False)
    assert done.returncode == 3
    assert f"work at position {position}: the record is missing" in done.stderr


def test_16_the_whole_store_rolled_back(project: Project) -> None:
    yesterday = project.root.parent / "yesterday"
    shutil.copytree(project.root / ".tallystick", yesterday)
    failing(project)
    shutil.rmtree(project.root / ".tallystick")
    shutil.copytree(yesterday, project.root / ".tallystick")
    project.repo.write("a/value.txt", "good\n")
    verdict = project.gate()
    assert verdict.states == BOTH
    assert verdict.code == 3
    assert verdict.objections == [("history", "the task was seen with 6 entries, now it has 4: it was rolled back")]
    assert verdict.document["objections"][0]["next"] == "notch gate work --accept-history"
    assert project.gate("--accept-history").open
    holds(project)


def test_17_the_command_replaced_by_true(project: Project) -> None:
    project.repo.write("tallystick.toml", PLAN.replace("python3 -m unittest discover -s a", "true"))
    project.repo.write("a/value.txt", "BUG\n")
    project.prove("A", code=1)  # what the base says is run, not `true`
    verdict = project.gate()
    assert verdict.states == {"A": "fail", "B": "pass"}
    assert ("weakened", "A: command changed (was python3 -m unittest discover -s a, now true)") in verdict.objections
    project.notch("run", "-c", "A", "--", "true")
    assert project.gate().states == {"A": "fail", "B": "pass"}


def test_18_one_test_fewer(project: Project) -> None:
    tests = project.repo.read("a/test_a.py")
    project.repo.write("a/test_a.py", tests.replace("def test_three", "def three"))
    project.prove("A")
    verdict = project.gate()
    assert verdict.states == BOTH
    assert verdict.objections == [("weakened", "A: fewer tests were executed (was 3, now 2)")]
    assert verdict.document["weakened"] == [
        {"criterion": "A", "what": "fewer tests were executed", "was": "3", "now": "2"}
    ]


def test_19_all_tests_skipped(project: Project) -> None:
    tests = project.repo.read("a/test_a.py")
    project.repo.write("a/test_a.py", tests.replace("class Test", "@unittest.skip('later')\nclass Test"))
    project.prove("A", code=PYTHON_SAYS)
    verdict = project.gate()
    assert verdict.states == {"A": "fail", "B": "pass"}
    assert verdict.reason("A").endswith("no test was executed (3 skipped)")


def test_20_a_run_killed_half_way_over_an_older_pass(project: Project) -> None:
    with project.waiting_run("A") as process:
        verdict = project.gate()
        assert verdict.states == {"A": "running", "B": "pass"}
        assert verdict.criteria["A"]["next"] == ""
        assert not verdict.open
        process.kill()
        process.wait()
        verdict = project.gate()
        assert verdict.states == {"A": "interrupted", "B": "pass"}
        assert verdict.reason("A").endswith("has no end")
        assert not verdict.open
    project.prove("A")
    holds(project)


def test_21_two_processes_recording_at_once(project: Project) -> None:
    for round_ in range(3):
        project.repo.write("a/value.txt", f"{round_}\n")
        project.repo.write("b/value.txt", f"{round_}\n")
        running = [
            subprocess.Popen(
                notch_argv("run", "-c", criterion),
                cwd=project.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for criterion in ("A", "B", "A", "B")
        ]
        assert [process.wait(60) for process in running] == [0, 0, 0, 0]
        holds(project)
    assert project.notch.json("verify", "work")["sessions"][0]["position"] == 4 + 3 * 8


def test_22_the_same_content_in_another_clone(project: Project, tmp_path: Path) -> None:
    project.repo.write("a/value.txt", "better\n")
    project.repo.commit("Better")
    project.prove("A")
    clone = Project(project.repo.clone(tmp_path / "elsewhere").root)
    GitRepo(clone.root).git("branch", "main", "origin/main")
    assert not clone.ledger.exists()
    assert clone.gate().states == {"A": "missing", "B": "missing"}
    verdict = clone.gate("--ledger", str(project.ledger))
    assert verdict.states == BOTH
    assert verdict.open
    clone.repo.write("b/value.txt", "other\n")
    verdict = clone.gate("--ledger", str(project.ledger))
    assert verdict.states == {"A": "pass", "B": "stale"}
    subprocess.run(verdict.criteria["B"]["next"], shell=True, cwd=clone.root, check=True, capture_output=True)
    assert clone.gate("--ledger", str(project.ledger)).open
