"""`notch run`: what it runs, what it prints and ends with, what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from gate_quick import Quick

from support.command import Notch, notch_argv
from support.repository import GitRepo
from tallystick import Ledger

PLAN = """\
[criteria.build]
run = ["sh", "-c", "echo built in $PWD; exit ${CODE:-0}"]
phase = "make"
inputs = ["src/**"]
[criteria.read]
manual = true
"""


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    return Quick(tmp_path / "repo", PLAN)


def entries(quick: Quick, task: str = "work") -> list[dict[str, object]]:
    with quick.ledger() as ledger:
        return [
            {"type": one.entry.type, "criterion": one.entry.criterion_id, "phase": one.entry.phase_id,
             "status": one.entry.status, "command": one.entry.command, "output": one.entry.output}
            for one in ledger.entries(task)
        ]  # fmt: skip


def test_the_plan_s_command_runs_at_the_root_wherever_it_is_called(quick: Quick) -> None:
    done = quick.call("run", "-c", "build", cwd=quick.root / "src")
    assert done.returncode == 0
    assert done.stdout == f"built in {quick.root}\n"
    assert done.stderr == "notch: recorded work #2: build, pass (exit code was 0); counts for the plan\n"
    began, ended = entries(quick)
    assert began["type"] == "run_started"
    assert ended == {
        "type": "criterion", "criterion": "build", "phase": "make", "status": "pass",
        "command": "sh -c 'echo built in $PWD; exit ${CODE:-0}'", "output": f"built in {quick.root}\n",
    }  # fmt: skip
    assert quick.gate().states["build"] == "pass"


def test_it_ends_as_the_command_does(quick: Quick) -> None:
    for code in (0, 1, 77):
        assert quick.call("run", "-c", "build", env={"CODE": str(code)}).returncode == code
    assert quick.call("run", "--", "sh", "-c", "kill -KILL $$").returncode == 137
    assert quick.call("run", "--", "no-such-command").returncode == 127
    assert quick.call("run", "--timeout", "0.2", "--", "sleep", "30").returncode == 124


def test_the_command_gets_standard_input_and_separate_streams(git_repo: GitRepo, notch: Notch) -> None:
    done = notch("run", "-t", "t", "--", "sh", "-c", "cat; echo err >&2", input="in\n")
    last = "notch: recorded t #2: a run, pass (exit code was 0); counts for nothing: it names no criterion (-c ID)\n"
    assert (done.stdout, done.stderr) == ("in\n", "err\n" + last)
    assert notch("run", "-q", "-t", "t", "sh", "-c", "echo err >&2").stderr == "err\n"


def test_any_command_can_be_recorded(quick: Quick) -> None:
    assert quick.call("run", "-t", "other", "-c", "ac1", "-p", "later", "--", "echo", "a b").returncode == 0
    [_, ended] = entries(quick, "other")
    assert ended["command"] == "echo 'a b'"
    assert (ended["criterion"], ended["phase"], ended["status"]) == ("ac1", "later", "pass")
    assert quick.call("run", "--", "true").returncode == 0
    assert entries(quick)[-1]["type"] == "run"


def last_line(quick: Quick, *args: str, **options: object) -> str:
    return quick.call("run", *args, **options).stderr.splitlines()[-1]  # type: ignore[arg-type]


BUILD = ("sh", "-c", "echo built in $PWD; exit ${CODE:-0}")


def test_the_last_line_says_whether_it_counts(quick: Quick) -> None:
    assert last_line(quick, "-c", "build").endswith("build, pass (exit code was 0); counts for the plan")
    failed = last_line(quick, "-c", "build", env={"CODE": "3"})
    assert failed.endswith("build, fail (exit code 3, expected 0); counts for the plan")
    assert last_line(quick, "-c", "build", *BUILD).endswith("counts for the plan")
    assert quick.gate().states["build"] in ("pass", "flaky")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-c", "build", "true"), "the plan runs sh -c 'echo built in $PWD; exit ${CODE:-0}' for build"),
        (("-c", "ac9", "true"), "the plan has no criterion 'ac9', it has build, read"),
        (("true",), "it names no criterion (-c ID)"),
        (BUILD, "it names no criterion (notch run -c build)"),
        (("build",), "it names no criterion (notch run -c build)"),
        (("-c", "build", "sh", "-c", "kill -INT $$"), "the plan runs"),
    ],
)
def test_the_last_line_says_why_it_counts_for_nothing(quick: Quick, arguments: tuple[str, ...], why: str) -> None:
    before = quick.gate().states
    assert f"; counts for nothing: {why}" in last_line(quick, *arguments)
    told = json.loads(quick.call("run", "--json", *arguments).stderr.splitlines()[-1])
    assert not told["counts"]
    assert told["why_not"].startswith(why)
    assert quick.gate().states == before


def test_the_last_line_says_that_it_ran_elsewhere_or_that_its_inputs_moved(quick: Quick) -> None:
    elsewhere = quick.call("run", "-c", "build", *BUILD, cwd=quick.root / "src").stderr
    assert "counts for nothing: it was run in src, not at the root of the work tree" in elsewhere
    more = '[criteria.moving]\nrun = "date +%N >> src/one.py"\n[criteria.signed]\nrun = "true"\ngrade = "attested"\n'
    quick.plan(PLAN + more)
    assert "counts for nothing: src/one.py changed while it ran" in last_line(quick, "-c", "moving")
    assert "counts for nothing: the plan asks for attested" in last_line(quick, "-c", "signed")


def test_without_a_plan_the_last_line_says_so(git_repo: GitRepo, notch: Notch) -> None:
    done = notch("run", "-t", "t", "-c", "tests", "true")
    assert done.stderr.endswith("counts for nothing: there is no plan (notch init writes a first one)\n")


@pytest.mark.parametrize("dashes", [(), ("--",)])
def test_all_that_follows_the_command_is_its_own(quick: Quick, dashes: tuple[str, ...]) -> None:
    done = quick.call("run", "-c", "x", *dashes, "echo", "-q", "--json", "-t", "-c", "a", "--", "--help")
    assert done.stdout == "-q --json -t -c a -- --help\n"
    assert entries(quick)[-1]["command"] == "echo -q --json -t -c a -- --help"


def test_json_goes_to_standard_error_for_the_command_has_the_output(quick: Quick) -> None:
    done = quick.call("run", "-c", "build", "--json")
    assert done.stdout == f"built in {quick.root}\n"
    told = json.loads(done.stderr)
    assert (told["task_id"], told["criterion_id"], told["status"], told["exit_code"]) == ("work", "build", "pass", 0)
    with quick.ledger() as ledger:
        assert f"{told['position']}:{told['root']}" == str(ledger.head("work"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "there is no command to run; notch run -c CRITERION -- COMMAND…"),
        (("run", "-c", "nothing"), "the plan has no criterion 'nothing'; it has build, read"),
        (("run", "-c", "read"), "'read' is shown by a person; notch record --type criterion -c read --status pass"),
        (("run", "-c", "two words", "--", "true"), "two words"),
        (("run", "-t", "-x", "--", "true"), "-t"),
        (("run", "--timeout", "0", "--", "true"), "--timeout is a number of seconds above 0"),
        (("run", "--", "a\0b"), "a command needs a first word and cannot hold NUL"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(quick: Quick, arguments: tuple[str, ...], said: str) -> None:
    done = quick.call(*arguments)
    assert done.returncode == 2, done
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    if quick.ledger_file.exists():
        with quick.ledger() as ledger:
            assert list(ledger.tasks()) == []


def test_a_broken_plan_is_told_before_anything_runs(quick: Quick, tmp_path: Path) -> None:
    quick.plan("[criteria.build]\nrun = 3\n")
    done = quick.call("run", "-c", "build", "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 2
    assert "tallystick.toml" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_without_a_plan_there_is_no_command_to_take_from_it(git_repo: GitRepo, notch: Notch) -> None:
    done = notch("run", "-t", "t", "-c", "ac1", code=2)
    assert "there is no plan to take the command from; notch init" in done.stderr
    notch("run", "-t", "t", "-c", "ac1", "--", "true")


def test_a_plan_deleted_from_the_tree_still_says_what_to_run(quick: Quick) -> None:
    quick.repo.remove("tallystick.toml")
    assert quick.call("run", "-c", "build").returncode == 0
    assert quick.gate().states["build"] == "pass"


def test_a_ledger_that_cannot_be_opened_keeps_the_command_from_running(quick: Quick, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no ledger at all" * 100)
    done = quick.call("run", "--ledger", str(broken), "--", "touch", str(ran))
    assert done.returncode == 125
    assert "the command was not run, since it cannot be recorded: " in done.stderr
    assert not ran.exists()


def test_it_makes_a_ledger_where_there_is_none(quick: Quick) -> None:
    assert not quick.ledger_file.exists()
    quick.call("run", "--", "true", cwd=quick.root / "src")
    assert quick.ledger_file.exists()
    assert quick.repo.git("status", "--porcelain") == ""


def test_the_task_is_the_branch_unless_it_is_named(quick: Quick) -> None:
    quick.call("run", "--", "true")
    quick.call("run", "--", "true", env={"TALLYSTICK_TASK": "named"})
    quick.call("run", "-t", "fix/login", "--", "true", env={"TALLYSTICK_TASK": "named"})
    with quick.ledger() as ledger:
        assert sorted(state.task_id for state in ledger.tasks()) == ["fix/login", "named", "work"]


def test_a_killed_run_is_known_to_have_no_end(git_repo: GitRepo, tmp_path: Path) -> None:
    started = tmp_path / "started"
    process = subprocess.Popen(
        notch_argv("run", "-t", "t", "-c", "ac1", "--", "sh", "-c", f"touch {started}; exec sleep 30"),
        cwd=git_repo.root,
        stdin=subprocess.DEVNULL,
    )
    while not started.exists():
        assert process.poll() is None
    child = int(subprocess.check_output(["pgrep", "-P", str(process.pid)]))
    process.kill()
    process.wait()
    os.kill(child, 9)
    with Ledger.open(str(git_repo.root / ".tallystick" / "ledger.db")) as ledger:
        assert [one.entry.type for one in ledger.entries("t")] == ["run_started"]
        assert ledger.session("t").criterion_states["ac1"].status == "running"
