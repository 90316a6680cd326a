"""`falsify` and `reproduce`: it passes in a fresh tree, then fails on changed content; neither is the task's state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from field.world import NOTCH, World

PLAN = '[criteria.tests]\nrun = "sh tests/run.sh"\ninputs = ["src/**", "tests/**"]\n'
RUN = '. ./src/lib.sh\n[ "$(one)" = 1 ] || exit 1\n'
LIB = "one() { echo 1; }\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.begin(PLAN, {"src/lib.sh": LIB, "tests/run.sh": RUN, "src/doc.txt": "about\n"})
    return made


def write(world: World, path: str, text: str) -> None:
    (world.root / path).write_text(text)


def falsified(world: World, *words: str, code: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(world.command(NOTCH, "falsify", "tests", *words, "--json", code=code))
    return found


def test_new_code_with_new_tests_is_seen_to_fail_without_a_word(world: World) -> None:
    write(world, "src/lib.sh", LIB + "two() { echo 2; }\n")
    write(world, "tests/run.sh", RUN + '[ "$(two)" = 2 ] || exit 1\n')
    found = falsified(world, code=0)
    assert (found["falsified"], found["reverts"], found["reverted"]) == (True, ["src/lib.sh"], "src/lib.sh")


def test_a_new_file_with_a_new_test(world: World) -> None:
    write(world, "src/two.sh", "two() { echo 2; }\n")
    write(world, "tests/run.sh", RUN + '. ./src/two.sh\n[ "$(two)" = 2 ] || exit 1\n')
    assert falsified(world, code=0)["reverts"] == ["src/two.sh"]


def test_a_mended_fault_on_the_bases_content(world: World) -> None:
    write(world, "tests/run.sh", RUN.replace('"$(one)" = 1', '"$(one)" = 2'))
    write(world, "src/lib.sh", "one() { echo 2; }\n")
    assert falsified(world, code=0)["falsified"] is True


def test_what_no_test_notices_is_told_with_a_file_to_name(world: World) -> None:
    write(world, "src/doc.txt", "other\n")
    write(world, "src/more.txt", "other\n")
    said = world.command(NOTCH, "falsify", "tests", code=1)
    assert "was not seen to fail: it passes with src/doc.txt, src/more.txt as on the base too" in said
    assert "notch falsify tests --revert src/doc.txt" in said


def test_only_tests_changed(world: World) -> None:
    write(world, "tests/run.sh", RUN + "true\n")
    found = falsified(world, code=1)
    assert (found["falsified"], found["tried"], found["reverts"]) == (False, True, [])


def test_it_has_to_pass_here_first(world: World) -> None:
    write(world, "src/lib.sh", LIB + "# changed\n")
    write(world, "tests/run.sh", "test -e built || exit 1\n" + RUN)
    write(world, "built", "")
    write(world, ".gitignore", "built\n")
    world.command(NOTCH, "check", code=0)
    said = world.command(NOTCH, "falsify", "tests", code=1)
    assert "could not be tried" in said
    assert "--setup" in said
    assert falsified(world, code=1)["tried"] is False
    write(world, "src/lib.sh", LIB.replace("echo 1", "echo 1 ") + "# changed\n")
    write(world, "tests/run.sh", "test -e built || exit 1\n" + RUN + "grep -q changed src/lib.sh || exit 1\n")
    assert falsified(world, "--setup", "touch built", code=0)["falsified"] is True


@pytest.mark.parametrize(
    "setup",
    [
        '[gate]\nsetup = "touch built"\n',
        '[gate]\nsetup = ["touch", "built"]\n',
        'setup = "touch built"\n',
        'setup = ["touch", "built"]\n',
    ],
)
def test_the_plan_makes_a_fresh_tree_able_to_run(tmp_path: Path, setup: str) -> None:
    world = World(tmp_path)
    run = "test -e built || exit 127\n" + RUN
    world.begin(PLAN + setup, {"src/lib.sh": LIB, "tests/run.sh": run, ".gitignore": "built\n"})
    write(world, "src/lib.sh", LIB + "# changed\n")
    write(world, "tests/run.sh", run + "grep -q changed src/lib.sh || exit 1\n")
    write(world, "built", "")
    world.command("git", "commit", "-qam", "Change", code=0)
    world.command(NOTCH, "check", code=0)
    assert falsified(world, code=0)["falsified"] is True
    assert "reproduced 1 of 1" in world.command(NOTCH, "reproduce", code=0)


def test_another_setup_is_named_like_another_command(world: World) -> None:
    write(world, "tallystick.toml", PLAN + 'setup = "true"\n')
    world.command(NOTCH, "check")
    (found,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["weakened"]
    assert (found["what"], found["now"]) == ("setup changed", "true")


def test_their_runs_are_not_the_tasks_state(world: World) -> None:
    write(world, "src/lib.sh", LIB + "two() { echo 2; }\n")
    write(world, "tests/run.sh", RUN + '[ "$(two)" = 2 ] || exit 1\n')
    assert falsified(world, code=0)["falsified"] is True
    assert world.judged()["tests"].state == "missing"
    world.command(NOTCH, "check", code=0)
    falsified(world, code=0)
    world.command("git", "add", "-A", code=0)
    world.command("git", "commit", "-qm", "Change", code=0)
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=0))["criteria"]
    assert (it["state"], it["passes"], it["fails"]) == ("pass", 1, 0)
    (found,) = json.loads(world.command(NOTCH, "reproduce", "--json", code=0))["results"]
    assert (found["same"], found["passed"]) == (True, 1), "what the gate counts is repeated, not what falsify ran"
    (it,) = json.loads(world.command(NOTCH, "gate", "--json", code=0))["criteria"]
    assert (it["state"], it["passes"], it["fails"]) == ("pass", 1, 0)


@pytest.mark.parametrize(
    "run", ["sh check.sh", "sh ./check.sh", "sh 'check.sh'", "true && sh check.sh", "cd . ; sh check.sh"]
)
def test_without_its_own_script_a_check_shows_nothing(tmp_path: Path, run: str) -> None:
    world = World(tmp_path)
    world.begin("", {"code": "1\n"})
    write(world, "tallystick.toml", f'[criteria.tests]\nrun = "{run}"\n')
    write(world, "check.sh", "exit 0\n")
    world.command(NOTCH, "falsify", "tests", code=2)
    world.command(NOTCH, "falsify", "tests", "--revert", "check.sh", code=2)
    write(world, "code", "2\n")
    found = falsified(world, code=1)
    assert (found["falsified"], found["reverts"]) == (False, ["code"])


def test_a_script_that_changed_with_the_code_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin('[criteria.tests]\nrun = "sh check.sh"\n', {"check.sh": "grep -q one code\n", "code": "one\n"})
    write(world, "check.sh", "grep -q two code\n")
    write(world, "code", "two\n")
    assert falsified(world, code=0)["reverts"] == ["code"]


@pytest.mark.parametrize("name", ["package.json", "pyproject.toml", "Makefile", "go.mod", "tox.ini", "x.lock"])
def test_what_steers_tools_stays_if_code_changed(tmp_path: Path, name: str) -> None:
    world = World(tmp_path)
    world.begin(f'[criteria.tests]\nrun = "test -s {name}"\n', {"code": "1\n"})
    write(world, name, "new\n")
    write(world, "code", "2\n")
    found = falsified(world, code=1)
    assert (found["falsified"], found["reverts"]) == (False, ["code"])


def test_another_setup_under_gate_is_named_like_another_command(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin(PLAN + '[gate]\nsetup = "true"\n', {"src/lib.sh": LIB, "tests/run.sh": RUN})
    write(world, "tallystick.toml", PLAN + '[gate]\nsetup = ["touch", "x"]\n')
    world.command(NOTCH, "check")
    (found,) = json.loads(world.command(NOTCH, "gate", "--json", code=1))["weakened"]
    assert (found["criterion"], found["what"], found["now"]) == ("tests", "setup changed", "touch x")


def test_status_tells_what_stands(world: World) -> None:
    write(world, "src/lib.sh", LIB + "two() { echo 2; }\n")
    write(world, "tests/run.sh", RUN + '[ "$(two)" = 2 ] || exit 1\n')
    world.command(NOTCH, "check", code=0)
    falsified(world, code=0)
    (it,) = json.loads(world.command(NOTCH, "status", "--json", code=0))["criteria"].values()
    assert (it["status"], it["position"]) == ("pass", 2)


def test_what_cannot_be_run_in_a_fresh_tree_is_not_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin('[criteria.tests]\nrun = "dep/t"\n', {".gitignore": "dep\n"})
    (world.root / "dep").mkdir()
    write(world, "dep/t", "#!/bin/sh\nexit 1\n")
    (world.root / "dep" / "t").chmod(0o755)
    world.command(NOTCH, "run", "-c", "tests", code=1)
    (found,) = json.loads(world.command(NOTCH, "reproduce", "--json", code=1))["results"]
    assert found["same"] is False
    assert "--setup" in found["refused"]
