"""A result is cited only if nothing speaks against it: failures elsewhere, and files that no pattern names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from field.world import NOTCH, World

PLAN = '[criteria.tests]\nrun = "sh run.sh"\ninputs = ["src/**", "run.sh"]\n'
FLAKY = "test ! -e ../outside/fail\n"
"""It fails while somebody wants it to, on the same content."""


def begun(folder: Path, run: str, plan: str = PLAN) -> World:
    world = World(folder)
    world.begin(plan, {"src/a": "1\n", "run.sh": run, "helper.sh": "exit 0\n"})
    (folder / "outside").mkdir()
    return world


def check(world: World, *words: str, code: int = 0) -> str:
    return world.command(NOTCH, "check", *words, code=code)


def on_a_branch(world: World, name: str) -> None:
    world.command("git", "checkout", "-q", "-b", name, code=0)


def test_a_failure_in_another_task_speaks_against_a_pass(tmp_path: Path) -> None:
    world = begun(tmp_path, FLAKY)
    (world.root / "src" / "a").write_text("2\n")
    check(world, code=0)
    on_a_branch(world, "second")
    (tmp_path / "outside" / "fail").touch()
    world.command(NOTCH, "run", "-c", "tests", code=1)
    on_a_branch(world, "third")
    gate = json.loads(world.command(NOTCH, "gate", "--json", code=1))
    assert gate["criteria"][0]["state"] == "fail"
    assert "reused" not in check(world, code=1)


def test_a_failure_that_came_before_the_pass_speaks_against_it(tmp_path: Path) -> None:
    world = begun(tmp_path, FLAKY)
    (world.root / "src" / "a").write_text("2\n")
    (tmp_path / "outside" / "fail").touch()
    world.command(NOTCH, "run", "-c", "tests", code=1)
    on_a_branch(world, "second")
    (tmp_path / "outside" / "fail").unlink()
    world.command(NOTCH, "run", "-c", "tests", code=0)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["criteria"]
    assert (it["state"], it["passes"], it["fails"]) == ("flaky", 1, 1)


def test_a_citation_lapses_at_a_later_failure_elsewhere(tmp_path: Path) -> None:
    world = begun(tmp_path, FLAKY)
    (world.root / "src" / "a").write_text("2\n")
    check(world)
    on_a_branch(world, "second")
    assert "1 reused" in check(world)
    on_a_branch(world, "third")
    (tmp_path / "outside" / "fail").touch()
    world.command(NOTCH, "run", "-c", "tests", code=1)
    world.command("git", "checkout", "-q", "second", code=0)
    world.command(NOTCH, "gate", code=1)


@pytest.mark.parametrize("how", ["another", "gone", "mode", "new there", "committed"])
def test_a_file_that_no_pattern_names_differed(tmp_path: Path, how: str) -> None:
    """The test of the first task used a helper as it is nowhere else: its pass shows nothing here."""
    world = begun(tmp_path, "sh helper.sh && test ! -e bad\n")
    helper = world.root / "helper.sh"
    on_a_branch(world, "first")
    (world.root / "src" / "a").write_text("2\n")
    if how == "another":
        helper.write_text("exit 0 # mended\n")
    elif how == "gone":
        (world.root / "run.sh").write_text("true\n")
        helper.unlink()
    elif how == "mode":
        helper.chmod(0o755)
    elif how == "new there":
        (world.root / "new.sh").write_text("x\n")
    else:
        helper.write_text("exit 0 # mended\n")
        world.command("git", "commit", "-qam", "Mend", code=0)
    check(world)
    world.command("git", "stash", "-u", "-q")
    world.command("git", "checkout", "-q", "-f", "main", code=0)
    on_a_branch(world, "second")
    (world.root / "src" / "a").write_text("2\n")
    if how == "gone":
        (world.root / "run.sh").write_text("true\n")
    assert "reused" not in check(world), how


def test_what_is_the_same_everywhere_is_cited(tmp_path: Path) -> None:
    world = begun(tmp_path, "sh helper.sh\n")
    (world.root / "src" / "a").write_text("2\n")
    (world.root / "helper.sh").write_text("exit 0 # also here\n")
    check(world)
    on_a_branch(world, "second")
    assert "1 reused" in check(world)
    (world.root / "helper.sh").write_text("exit 1\n")
    gate = json.loads(world.command(NOTCH, "gate", "--json", code=1))
    assert "helper.sh was another" in gate["criteria"][0]["reason"]


def test_more_files_than_are_kept_are_not_known(tmp_path: Path) -> None:
    world = begun(tmp_path, "sh helper.sh\n")
    (world.root / "src" / "a").write_text("2\n")
    for number in range(257):
        (world.root / f"other{number}").write_text("x\n")
    check(world)
    on_a_branch(world, "second")
    assert "reused" not in check(world)


def test_inputs_that_are_the_whole_tree_need_not_ask(tmp_path: Path) -> None:
    world = begun(tmp_path, "sh helper.sh\n", '[criteria.tests]\nrun = "sh run.sh"\n')
    (world.root / "helper.sh").write_text("exit 0 # here\n")
    check(world)
    on_a_branch(world, "second")
    assert "1 reused" in check(world)


OUTSIDE = "sh ../outside/t\n"
"""What the command does is said outside the content, so that it can differ on the same content."""
AGAINST = {
    "plain": "exit 1\n",
    "wrote an input": "touch src/a\nexit 1\n",
    "another exit code": "exit 7\n",
    "ended by a signal": "kill -9 $$\n",
    "its tests failed": "echo '===== 1 failed, 2 passed in 0.10s ====='\nexit 1\n",
}


def does(folder: Path, script: str) -> None:
    (folder / "outside" / "t").write_text(script)


@pytest.mark.parametrize("how", sorted(AGAINST))
def test_however_it_failed_it_speaks_against_the_pass(tmp_path: Path, how: str) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "exit 0\n")
    check(world)
    on_a_branch(world, "second")
    does(tmp_path, AGAINST[how])
    check(world, "--no-reuse", code=1)
    world.command("git", "checkout", "-q", "work", code=0)
    world.command(NOTCH, "gate", code=1)
    on_a_branch(world, "third")
    assert "reused" not in check(world, code=1)


def test_a_tool_that_was_missing_elsewhere_speaks_against_nothing(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "exit 0\n")
    check(world)
    on_a_branch(world, "second")
    does(tmp_path, "exit 127\n")
    check(world, "--no-reuse", code=1)
    world.command("git", "checkout", "-q", "work", code=0)
    world.command(NOTCH, "gate", code=0)


def test_no_number_of_passes_hides_a_failure(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "exit 1\n")
    check(world, code=1)
    on_a_branch(world, "second")
    does(tmp_path, "exit 0\n")
    for _ in range(65):
        world.command(NOTCH, "run", "-c", "tests", code=0)
    on_a_branch(world, "third")
    assert "reused" not in check(world)


def test_no_number_of_runs_that_could_not_run_hides_a_failure(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "exit 1\n")
    check(world, code=1)
    on_a_branch(world, "second")
    does(tmp_path, "exit 127\n")
    for _ in range(65):
        world.command(NOTCH, "run", "-c", "tests", code=127)
    on_a_branch(world, "third")
    does(tmp_path, "exit 0\n")
    world.command(NOTCH, "run", "-c", "tests", code=0)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["criteria"]
    assert (it["state"], it["passes"], it["fails"]) == ("flaky", 1, 1)


def test_passes_beside_other_files_make_no_streak(tmp_path: Path) -> None:
    """Three passes in a row outweigh a failure; those that ran beside another helper are none of the three."""
    world = begun(tmp_path, OUTSIDE)
    helper = world.root / "helper.sh"
    does(tmp_path, "exit 0\n")
    check(world)
    on_a_branch(world, "second")
    assert "1 reused" in check(world)
    world.command("git", "checkout", "-q", "work", code=0)
    does(tmp_path, "exit 1\n")
    world.command(NOTCH, "run", "-c", "tests", code=1)
    does(tmp_path, "exit 0\n")
    helper.write_text("exit 0 # another\n")
    for _ in range(3):
        world.command(NOTCH, "run", "-c", "tests", code=0)
    helper.write_text("exit 0\n")
    world.command("git", "checkout", "-q", "second", code=0)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["criteria"]
    assert (it["state"], it["passes"], it["fails"]) == ("flaky", 1, 1)


def test_another_way_to_declare_inputs_makes_nothing_stale(tmp_path: Path) -> None:
    """What failed with inputs that are declared otherwise says nothing of this criterion."""
    narrow = '[tasks.second.criteria.narrow]\nrun = "sh run.sh"\ninputs = ["src/a", "run.sh"]\n'
    world = begun(tmp_path, OUTSIDE, PLAN + narrow)
    does(tmp_path, "exit 1\n")
    on_a_branch(world, "second")
    world.command(NOTCH, "run", "-c", "narrow", code=1)
    on_a_branch(world, "third")
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["criteria"]
    assert it["state"] == "missing"


def test_versions_that_the_gate_does_not_ask_for(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE, PLAN + "environment = { versions = [\"sh -c 'echo 1'\"] }\n")
    does(tmp_path, "exit 0\n")
    check(world)
    on_a_branch(world, "second")
    does(tmp_path, "exit 1\n")
    check(world, "--no-reuse", code=1)
    world.command("git", "checkout", "-q", "work", code=0)
    world.command(NOTCH, "gate", code=1)


def test_a_pass_that_another_plan_expects_to_fail(tmp_path: Path) -> None:
    other = PLAN.replace("[criteria.tests]", "[tasks.second.criteria.fails]") + "expect = { exit = 1 }\n"
    world = begun(tmp_path, OUTSIDE, PLAN + other)
    does(tmp_path, "exit 0\n")
    check(world)
    on_a_branch(world, "second")
    does(tmp_path, "exit 1\n")
    world.command(NOTCH, "run", "-c", "fails", code=1)
    world.command("git", "checkout", "-q", "work", code=0)
    world.command(NOTCH, "gate", code=1)


def test_a_copied_ledger_knows_what_speaks_against(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "exit 1\n")
    check(world, code=1)
    on_a_branch(world, "second")
    does(tmp_path, "exit 0\n")
    check(world, "--no-reuse")
    copy = tmp_path / "copy.db"
    world.command(NOTCH, "copy", ".tallystick/ledger.db", copy, code=0)
    world.environment["TALLYSTICK_LEDGER"] = str(copy)
    on_a_branch(world, "third")
    assert "reused" not in check(world)


def test_without_a_protected_branch_nothing_is_known_to_be_the_same(tmp_path: Path) -> None:
    world = begun(tmp_path, "sh helper.sh\n")
    world.command("git", "branch", "-q", "-m", "main", "trunk", code=0)
    (world.root / "helper.sh").write_text("exit 0 # mended\n")
    world.command("git", "commit", "-qam", "Mend", code=0)
    check(world)
    world.command("git", "checkout", "-q", "trunk", code=0)
    on_a_branch(world, "second")
    assert "reused" not in check(world)


def test_a_helper_that_changes_while_it_runs_is_not_known(tmp_path: Path) -> None:
    world = begun(tmp_path, OUTSIDE)
    does(tmp_path, "echo 'exit 1' > helper.sh\n")
    check(world)
    world.command("git", "checkout", "-q", "-f", "main", code=0)
    on_a_branch(world, "second")
    assert "reused" not in check(world)
