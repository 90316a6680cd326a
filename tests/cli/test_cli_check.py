"""`notch check` runs what is missing, in order, several at once, and nothing that is proved."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from support.checks import Project, is_gone, wait_for, wait_for_line
from support.repository import GitRepo
from tallystick import Ledger

A = 'inputs = ["a"]\n'


@pytest.fixture
def project(git_repo: GitRepo, tmp_path: Path) -> Project:
    git_repo.write("a", "1")
    git_repo.write("b", "1")
    return Project(git_repo, tmp_path / "outside")


def run(command: str, more: str = A) -> str:
    return f"run = {json.dumps(command)}\n{more}"


def test_it_runs_what_is_missing_and_then_nothing(project: Project) -> None:
    project.plan({"one": run(project.counted("one")), "two": run(project.counted("two"))})
    project.begin()
    done = project.notch("check")
    assert done.stdout.startswith("check: 2 run\ngate open  work  as of ")
    assert re.search(r"✓ one  pass +\d+\.\d s  exit code was 0\n", done.stderr)
    assert "\x1b" not in done.stdout + done.stderr
    entries = project.types()
    assert sorted(entries) == sorted((kind, name) for kind in ("run_started", "criterion") for name in ("one", "two"))
    again = project.notch("check")
    assert again.stdout.startswith("check: nothing to run\ngate open  work")
    assert again.stderr == ""
    assert project.types() == entries
    assert (project.runs("one"), project.runs("two")) == (1, 1)
    project.notch("verify")


def test_it_runs_what_is_stale_and_leaves_the_rest(project: Project) -> None:
    project.plan({"on-a": run(project.counted("on-a")), "on-b": run(project.counted("on-b"), 'inputs = ["b"]')})
    project.begin()
    project.notch("check")
    project.repo.write("b", "2")
    assert project.states() == {"on-a": "pass", "on-b": "stale"}
    project.notch("check")
    assert (project.runs("on-a"), project.runs("on-b")) == (1, 2)
    assert project.states() == {"on-a": "pass", "on-b": "pass"}


def test_a_failing_one_is_shown_and_shuts_the_gate(project: Project) -> None:
    project.plan({"bad": run(project.counted("bad", "seq 1 50; printf '\\033[31mred\\033[0m\\007\\n'; exit 3"))})
    project.begin()
    done = project.notch("check", code=1)
    assert "check: 1 run\ngate shut" in done.stdout
    assert "✗ bad  fail" in done.stderr
    assert "    | 50\n    | red\\x07\n" in done.stderr
    assert "    | 31\n" not in done.stderr
    assert re.search(r"notch artifact work 2 prints all of it", done.stderr)
    project.notch("check", code=1)
    assert project.runs("bad") == 2, "what failed is run again"


def test_phases_in_order_and_what_a_phase_has_at_once(project: Project) -> None:
    meet = "touch {outside}/{me}; for i in $(seq 200); do [ -e {outside}/{other} ] && exit 0; sleep 0.05; done; exit 1"
    outside = project.outside
    project.plan(
        {
            "last": run(": last"),
            "second": run(": second", A + 'phase = "review"'),
            "left": run(meet.format(outside=outside, me="l", other="r"), A + 'phase = "build"'),
            "right": run(meet.format(outside=outside, me="r", other="l"), A + 'phase = "build"'),
        },
        more='[tasks.work]\nphases = ["build", "review"]\n',
    )
    project.begin()
    project.notch("check", "-j", "2")
    entries = project.types()
    assert {name for _, name in entries[:4]} == {"left", "right"}
    assert [kind for kind, _ in entries[:2]] == ["run_started"] * 2
    assert [name for _, name in entries[4:]] == ["second", "second", "last", "last"]


def test_one_at_a_time(project: Project) -> None:
    project.plan({name: run("true") for name in ("one", "two", "three")})
    project.begin()
    project.notch("check", "-j", "1", "--no-reuse")
    assert [kind for kind, _ in project.types()] == ["run_started", "criterion"] * 3


def test_a_later_phase_begins_also_after_a_failure_but_not_with_fail_fast(project: Project) -> None:
    project.plan(
        {"bad": run("false", A + 'phase = "build"'), "later": run(project.counted("later"), A + 'phase = "test"')}
    )
    project.begin()
    project.notch("check", "--fail-fast", code=1)
    assert project.runs("later") == 0
    project.notch("check", code=1)
    assert project.runs("later") == 1


def test_what_a_person_shows_and_what_needs_a_signature_is_not_run(project: Project) -> None:
    project.plan(
        {
            "looked-at": "manual = true",
            "signed": run(project.counted("signed"), A + 'grade = "attested"'),
            "tests": run("true"),
        }
    )
    project.begin()
    done = project.notch("check", code=1)
    assert "check: 2 run\n" in done.stdout
    assert "notch record -t work --type criterion -c looked-at" in done.stdout
    project.notch("check", code=1)
    assert project.runs("signed") == 1, "running it again would make it no better"


def test_the_output_and_environment_are_recorded_as_notch_run_does(project: Project) -> None:
    environment = 'environment = { variables = ["COLOUR"], versions = ["echo v1"] }\n'
    project.plan({"one": run('echo printed; test -z "$(cat)"', A + environment)})
    project.begin()
    project.notch("check", env={"COLOUR": "blue"})
    with Ledger.open(str(project.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        started, result = (recorded.entry for recorded in ledger.entries("work"))
    assert result.output == "printed\n"
    assert result.details["run"]["environment"] == {"variables": {"COLOUR": "blue"}, "versions": {"echo v1": "v1"}}
    assert result.details["run"]["started"] == 1
    assert started.command == result.command
    assert project.states() == {"one": "stale"}


def test_a_time_limit(project: Project) -> None:
    project.plan({"slow": run("sleep 60")})
    project.begin()
    done = project.notch("check", "--timeout", "0.3", code=1)
    assert "timed out" in done.stderr


def test_json(project: Project) -> None:
    project.plan({"one": run("true"), "bad": run("exit 7")})
    project.begin()
    told = project.notch.json("check", code=1)
    assert told["verdict"] == "shut"
    outcomes = {one["criterion_id"]: one for one in told["check"]["outcomes"]}
    assert outcomes["bad"]["exit_code"] == 7
    assert (outcomes["one"]["how"], outcomes["one"]["passed"], outcomes["bad"]["passed"]) == ("ran", True, False)
    assert set(outcomes["one"]) == {
        "criterion_id", "how", "passed", "position", "exit_code", "duration_ms", "reason",
    }  # fmt: skip
    assert told["check"]["saved_ms"] == 0
    assert told["as_of"]["position"] == 4


def test_quiet_says_nothing_where_the_gate_is_open(project: Project) -> None:
    project.plan({"one": run("echo x")})
    project.begin()
    done = project.notch("check", "-q")
    assert (done.stdout, done.stderr) == ("", "")
    project.repo.write("a", "2")
    project.plan({"one": run("exit 1")})
    assert "gate shut" in project.notch("check", "-q", code=1).stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-j", "0"], "--jobs is a number above 0"),
        (["--timeout", "0"], "--timeout is a number of seconds above 0"),
        (["--jobs", "many"], "invalid int value"),
    ],
)
def test_bad_usage_runs_nothing(project: Project, args: list[str], message: str) -> None:
    project.plan({"one": run(project.counted("one"))})
    project.begin()
    assert message in project.notch("check", *args, code=2).stderr
    assert project.runs("one") == 0
    assert not (project.root / ".tallystick").exists()


def test_without_a_plan_there_is_nothing_to_check(project: Project) -> None:
    project.begin()
    done = project.notch("check", code=2)
    assert "there is no plan to judge by" in done.stderr
    project.repo.write("tallystick.toml", "[criteria.one]\nruns = 1\n")
    assert "tallystick.toml:2" in project.notch("check", code=2).stderr
    assert not (project.root / ".tallystick").exists()


def test_whoever_reads_the_progress_may_go_away(project: Project) -> None:
    project.plan({name: run(project.counted(name, "sleep 0.2")) for name in ("one", "two", "three")})
    project.begin()
    check = project.start("check", "-j", "1")
    assert check.process.stderr is not None
    check.process.stderr.readline()
    check.process.stderr.close()
    assert check.process.stdout is not None
    assert "gate open" in check.process.stdout.read()
    assert check.process.wait(30) == 0
    assert [project.runs(name) for name in ("one", "two", "three")] == [1, 1, 1]
    check.process.stdout.close()


def test_nothing_is_run_on_a_history_that_is_not_the_known_one(project: Project) -> None:
    project.plan({"one": run(project.counted("one"))})
    project.begin()
    project.notch("check")
    copy = project.outside / "yesterday"
    shutil.copytree(project.root / ".tallystick", copy)
    project.repo.write("a", "2")
    project.notch("check")
    shutil.rmtree(project.root / ".tallystick")
    shutil.copytree(copy, project.root / ".tallystick")
    project.repo.write("a", "3")
    done = project.notch("check", code=3)
    assert "rolled back" in done.stdout
    assert project.runs("one") == 2
    shutil.rmtree(project.root / ".tallystick")
    done = project.notch("check")
    assert "earlier evidence lost on 2" in done.stdout
    assert "the ledger that was seen here is gone" in done.stdout
    assert project.runs("one") == 3
    assert "lost" not in project.notch("gate").stdout


def test_flaky_ones_are_run_until_enough_passes_are_in_a_row(project: Project) -> None:
    project.plan({"flaky": run(project.counted("flaky", f"test -e {project.outside}/good"))})
    project.begin()
    project.notch("check", code=1)
    (project.outside / "good").touch()
    done = project.notch("check")
    assert "check: 3 run\n" in done.stdout
    assert "3 passed and 1 failed on the same inputs; the newest 3 passed" in done.stdout
    assert project.runs("flaky") == 4
    assert "nothing to run" in project.notch("check").stdout


def test_a_flaky_one_that_fails_again_is_not_run_on(project: Project) -> None:
    project.plan({"flaky": run(project.counted("flaky", f"test $(cat {project.outside}/flaky | wc -l) = 2"))})
    project.begin()
    project.notch("check", code=1)
    project.notch("check", code=1)
    assert project.runs("flaky") == 3


def test_the_same_command_of_two_criteria_runs_once(project: Project) -> None:
    command = run(project.counted("same", "sleep 0.2"))
    project.plan({"one": command, "two": command})
    project.begin()
    done = project.notch("check", "-j", "4")
    assert project.runs("same") == 1
    assert "check: 1 run, 1 reused" in done.stdout
    assert [kind for kind, _ in project.types()] == ["run_started", "criterion", "reuse"]


def test_a_run_that_changes_its_inputs_leaves_them_stale(project: Project) -> None:
    project.plan({"formats": run("date +%N >> a")})
    project.begin()
    done = project.notch("check", code=1)
    assert "a changed while it ran" in done.stdout


def test_uncommitted_content_is_kept_when_asked_for(project: Project) -> None:
    project.plan({"one": run("true")})
    project.begin()
    project.repo.write("a", "uncommitted")
    project.notch("check", "--keep-tree")
    (ref,) = project.repo.git("for-each-ref", "--format=%(refname)", "refs/tallystick").split()
    assert project.repo.git("cat-file", "-p", f"{ref}:a") == "uncommitted"


def test_what_somebody_else_runs_is_waited_for(project: Project) -> None:
    go, began = project.outside / "go", project.outside / "began"
    wait = f"touch {began}; while [ ! -e {go} ]; do sleep 0.02; done"
    project.plan({"slow": run(project.counted("slow", wait)), "other": run(project.counted("other"))})
    project.begin()
    running = project.start("run", "-c", "slow")
    wait_for(began)
    check = project.start("check")
    wait_for(project.outside / "other")
    go.touch()
    assert running.result()[0] == 0
    code, out, err = check.result()
    assert (code, project.runs("slow")) == (0, 1)
    assert "running elsewhere" in err
    assert "1 settled by somebody else" in out


def test_where_whoever_ran_it_was_killed_it_is_run(project: Project) -> None:
    began = project.outside / "began"
    project.plan(
        {"slow": run(project.counted("slow", f"echo $$ > {began}; test -e {project.outside}/quick || sleep 60"))}
    )
    project.begin()
    running = project.start("run", "-c", "slow")
    pid = int(wait_for_line(began))
    check = project.start("check")
    (project.outside / "quick").touch()
    running.process.kill()
    running.process.wait()
    code, _, err = check.result()
    os.kill(pid, 9)
    assert (code, project.runs("slow")) == (0, 2), err
    assert is_gone(pid)


def test_the_overview_names_it(project: Project) -> None:
    assert "check" in project.notch("--help").stdout
    assert "--no-reuse" in project.notch("check", "--help").stdout
