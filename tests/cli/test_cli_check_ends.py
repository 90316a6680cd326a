"""However a check ends, the ledger verifies and says what is true; two at once run each criterion once."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.checks import Project, is_gone, wait_for, wait_for_line
from support.command import notch_argv
from support.repository import GitRepo

PIDS = "echo $$ >> {outside}/pids; "


@pytest.fixture
def project(git_repo: GitRepo, tmp_path: Path) -> Project:
    git_repo.write("a", "1")
    return Project(git_repo, tmp_path / "outside")


def run(command: str) -> str:
    return f'run = {json.dumps(command)}\ninputs = ["a"]\n'


def with_slow_ones(project: Project, count: int, *, stubborn: bool = False) -> list[str]:
    """Criteria that say that they began and sleep, and one that passes at once."""
    names = [f"slow{number}" for number in range(count)]
    trap = "trap '' TERM; " if stubborn else ""
    slow = f"{trap}{PIDS.format(outside=project.outside)}sleep 60 & wait; sleep 60"
    project.plan({"quick": run(project.counted("quick")), **{n: run(project.counted(n, slow)) for n in names}})
    project.begin()
    return names


def pids(project: Project) -> list[int]:
    return [int(line) for line in (project.outside / "pids").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_stopped_it_ends_what_runs_and_says_so(project: Project, number: signal.Signals) -> None:
    names = with_slow_ones(project, 2)
    check = project.start("check", "-j", "3")
    for name in ("quick", *names):
        wait_for(project.outside / name)
    while len(pids(project)) < 2 or ("criterion", "quick") not in project.types():
        time.sleep(0.02)
    check.signal(number)
    code, out, err = check.result(timeout=20)
    assert code == 1
    assert "check: 1 run, 2 interrupted\ngate shut" in out
    assert err.count("interrupted") == 2
    assert all(is_gone(pid) for pid in pids(project))
    states = project.states()
    assert states == {"quick": "pass", **dict.fromkeys(names, "interrupted")}
    types = project.types()
    for name in names:
        assert [kind for kind, of in types if of == name] == ["run_started", "run_interrupted"]
    status = project.notch.json("status", "work")["criteria"]
    assert {status[name]["status"] for name in names} == {"interrupted"}
    project.notch("verify")


def test_it_is_interrupted_for_another_machine_too(project: Project) -> None:
    """Nobody there can see whether the process is alive: only the entry tells."""
    (name,) = with_slow_ones(project, 1)
    check = project.start("check", "-j", "2")
    wait_for(project.outside / name)
    check.signal(signal.SIGINT)
    check.result(timeout=20)
    program = (
        "import tallystick.capture.identity as identity\n"
        "identity.this_process = lambda: dict(host='other', boot='other', pid_namespace=1, pid=1, pid_started=1)\n"
        "from tallystick.cli import main\n"
        "main(['gate', '--json'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=project.root, capture_output=True, text=True)
    states = {one["id"]: one["state"] for one in json.loads(done.stdout)["criteria"]}
    assert states[name] == "interrupted"


def test_a_second_signal_ends_what_does_not_listen(project: Project) -> None:
    (name,) = with_slow_ones(project, 1, stubborn=True)
    check = project.start("check", "-j", "2")
    wait_for_line(project.outside / "pids")
    time.sleep(0.1)
    began = time.monotonic()
    check.signal(signal.SIGINT)
    time.sleep(0.2)
    check.signal(signal.SIGINT)
    while not all(is_gone(pid) for pid in pids(project)):
        assert time.monotonic() - began < 1.9, "the two seconds of grace were not waited for"
        time.sleep(0.01)
    code, _, _ = check.result(timeout=20)
    assert code == 1
    assert project.states()[name] == "interrupted"


def test_an_older_pass_does_not_stand_behind_an_interrupted_run(project: Project) -> None:
    block = project.outside / "block"
    project.plan({"one": run(project.counted("one", f"while [ -e {block} ]; do sleep 0.02; done"))})
    project.begin()
    project.notch("check")
    block.touch()
    running = project.start("run", "-c", "one")
    while project.runs("one") < 2:
        time.sleep(0.02)
    running.process.kill()
    running.process.wait()
    assert project.states() == {"one": "interrupted"}
    check = project.start("check")
    while project.runs("one") < 3:
        time.sleep(0.02)
    check.signal(signal.SIGINT)
    check.result(timeout=20)
    block.unlink()
    assert project.states() == {"one": "interrupted"}
    project.notch("check")
    assert project.states() == {"one": "pass"}


ROUNDS = 6


def test_killed_at_any_moment_it_leaves_a_true_ledger(project: Project, storm: bool) -> None:
    names = [f"c{number}" for number in range(6)]
    project.plan({name: run(project.counted(name, "sleep 0.05")) for name in names})
    project.begin()
    project.notch("init", "--no-plan")
    chance = random.Random(7)
    for round_ in range(60 if storm else ROUNDS):
        project.repo.write("a", str(round_))
        check = project.start("check", "-j", "3")
        time.sleep(chance.uniform(0.1, 0.7))
        check.process.kill()
        check.process.communicate()
        project.notch("verify")
        told = project.notch("gate", "--json", check=False)
        states = {one["id"]: one["state"] for one in json.loads(told.stdout)["criteria"]}
        types = project.types()
        assert "running" not in states.values(), "nothing runs any more"
        assert set(states.values()) <= {"pass", "interrupted", "missing", "stale"}, states
        assert sum(kind == "criterion" for kind, _ in types) >= sum(state == "pass" for state in states.values())
    time.sleep(0.2)
    done = project.notch("check")
    assert "gate open" in done.stdout
    project.notch("verify")


def test_two_at_once_run_each_criterion_once(project: Project, storm: bool) -> None:
    names = [f"c{number}" for number in range(8)]
    phases = ("build", "test")
    project.plan(
        {
            name: run(project.counted(name, "sleep 0.15")) + f'phase = "{phases[number % 2]}"\n'
            for number, name in enumerate(names)
        }
    )
    project.begin()
    for round_ in range(1, 20 if storm else 3):
        project.repo.write("a", str(round_))
        checks = [project.start("check", "-j", "2") for _ in range(3)]
        for check in checks:
            code, out, err = check.result()
            assert code == 0, out + err
        assert {name: project.runs(name) for name in names} == dict.fromkeys(names, round_)
    project.notch("verify")


def test_two_at_once_and_one_that_fails(project: Project) -> None:
    project.plan({"bad": run(project.counted("bad", "sleep 0.5; false")), "good": run(project.counted("good"))})
    project.begin()
    project.notch("init", "--no-plan")
    checks = [project.start("check") for _ in range(2)]
    assert [check.result()[0] for check in checks] == [1, 1]
    assert (project.runs("bad"), project.runs("good")) == (1, 1)


def test_where_one_of_two_is_killed_the_other_does_all_of_it(project: Project) -> None:
    quick = project.outside / "quick"
    slow = f"{PIDS.format(outside=project.outside)}test -e {quick} || sleep 60"
    project.plan({"slow": run(project.counted("slow", slow))})
    project.begin()
    first = project.start("check")
    wait_for_line(project.outside / "pids")
    second = project.start("check")
    time.sleep(0.5)
    quick.touch()
    first.process.kill()
    first.process.communicate()
    code, out, _ = second.result()
    assert (code, project.runs("slow")) == (0, 2), out
    for pid in pids(project)[:1]:
        os.kill(pid, signal.SIGKILL)


def test_a_result_that_cannot_be_recorded_stops_it(project: Project) -> None:
    """The disk is full, as far as this process is concerned."""
    big = project.counted("big", "head -c 600000 /dev/urandom")
    project.plan({"big": run(big), "slow": run(project.counted("slow", "sleep 60")), "after": run(": after")})
    project.begin()
    limited = f"ulimit -f 500; exec {shlex.join(notch_argv('check', '-j', '2'))}"
    done = subprocess.run(["sh", "-c", limited], cwd=project.root, capture_output=True, text=True, timeout=30)
    assert done.returncode == 125, done.stdout + done.stderr
    assert "the command ended with 0, but is not recorded" in done.stderr
    assert ("run_started", "after") not in project.types()
    assert project.states() == {"big": "interrupted", "slow": "interrupted", "after": "missing"}
    project.notch("verify")
