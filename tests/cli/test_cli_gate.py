"""`notch gate` and `notch why`: counts, flakiness, environment, people, where it is called from, what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gate_quick import COMMAND, Quick

from support.repository import GitRepo
from tallystick import Entry


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    return Quick(tmp_path / "repo")


def pytest_says(passed: int = 0, *, failed: int = 0, errors: int = 0, skipped: int = 0, xfailed: int = 0) -> str:
    """The line that pytest ends with."""
    counts = (
        *((failed, "failed"), (passed, "passed"), (skipped, "skipped")),
        *((xfailed, "xfailed"), (errors, "error")),
    )
    told = ", ".join(f"{count} {word}" for count, word in counts if count) or "no tests ran"
    return f"===== {told} in 0.12s =====\\n"


def weakened(quick: Quick) -> list[tuple[str, str, str]]:
    verdict = quick.gate()
    assert verdict.open == (not verdict.document["objections"])
    return [(one["what"], one["was"], one["now"]) for one in verdict.document["weakened"]]


def edit(quick: Quick) -> None:
    """Other content."""
    quick.repo.write("src/one.py", quick.repo.read("src/one.py") + "1\n")


# --- counts


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((40, {}), (40, {}), None),
        ((40, {}), (41, {}), None),
        ((40, {}), (39, {}), ("fewer tests were executed", "40", "39")),
        ((40, {}), (39, {"skipped": 1}), ("fewer tests were executed", "40", "39")),
        ((40, {"skipped": 1}), (40, {"skipped": 2}), ("more tests were skipped", "1", "2")),
        ((40, {"skipped": 2}), (40, {"skipped": 1}), None),
        ((40, {"skipped": 2}), (41, {"skipped": 3}), ("more tests were skipped", "2", "3")),
        ((39, {"failed": 1}), (39, {}), None),
        ((39, {"failed": 1}), (38, {}), ("fewer tests were executed", "39", "38")),
        ((39, {"xfailed": 1}), (39, {"xfailed": 2}), ("more tests are expected to fail", "1", "2")),
        ((39, {"xfailed": 1}), (40, {}), None),
        ((39, {"failed": 1}), (40, {}), None),
        ((40, {"errors": 1}), (40, {}), None),
        ((0, {"errors": 1}), (40, {}), None),
        ((5, {"failed": 1}), (40, {"skipped": 2}), None),
    ],
)
def test_fewer_tests_and_new_skips_shut_the_gate(
    quick: Quick,
    before: tuple[int, dict[str, int]],
    after: tuple[int, dict[str, int]],
    told: tuple[str, str, str] | None,
) -> None:
    edit(quick)
    failing = before[1].get("failed") or before[1].get("errors")
    quick.run(pytest_says(before[0], **before[1]), 1 if failing else 0)
    edit(quick)
    quick.run(pytest_says(after[0], **after[1]))
    found = weakened(quick)
    assert (told in found) if told else not found


def test_tests_that_are_counted_no_longer_shut_the_gate(quick: Quick) -> None:
    edit(quick)
    quick.run(pytest_says(40))
    edit(quick)
    quick.run("all fine\\n")
    assert weakened(quick) == [("tests are no longer counted", "40", "")]


def test_what_opens_a_weakened_gate_is_told(quick: Quick) -> None:
    edit(quick)
    quick.run(pytest_says(2))
    edit(quick)
    quick.run(pytest_says(1))
    told = "what is weakened or protected opens once it is on the base, or a trusted key approves it"
    assert f"  ✗ weakened: tests: fewer tests were executed (was 2, now 1)\n    {told}\n" in quick.call("gate").stdout
    assert f"\n\n{told}\n" in quick.call("gate", "--format", "markdown").stdout


def test_a_check_without_counts_is_never_compared(quick: Quick) -> None:
    for printed in ("fine\\n", "better\\n"):
        edit(quick)
        quick.run(printed)
        assert weakened(quick) == []


def test_other_commands_and_other_units_are_not_compared(quick: Quick) -> None:
    edit(quick)
    quick.run("", 0, "-c", "tests", "--", "printf", pytest_says(500))
    quick.run("ok  \\texample/pkg\\t0.01s\\nok  \\texample/other\\t0.01s\\n")  # go test counts packages
    edit(quick)
    quick.run(pytest_says(1))
    assert weakened(quick) == []


def test_the_base_is_what_counts_where_it_was_run(quick: Quick) -> None:
    quick.run(pytest_says(40))
    edit(quick)
    quick.run(pytest_says(50))
    edit(quick)
    quick.run(pytest_says(45))  # some of the new ones went again
    assert weakened(quick) == []
    edit(quick)
    quick.run(pytest_says(39))
    assert weakened(quick) == [("fewer tests were executed", "40", "39")]


def test_the_base_may_have_been_run_as_its_own_task(quick: Quick) -> None:
    quick.run(pytest_says(40), 0, "-t", "main", "-c", "tests")
    edit(quick)
    quick.run(pytest_says(39))
    assert weakened(quick) == [("fewer tests were executed", "40", "39")]


def test_what_was_merged_is_no_news(quick: Quick) -> None:
    quick.run(pytest_says(40))
    edit(quick)
    quick.repo.commit("Fewer tests")
    quick.run(pytest_says(30))
    assert weakened(quick)
    quick.repo.git("branch", "-f", "main", "work")
    assert weakened(quick) == []
    assert quick.gate().open


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("===== 3 skipped in 0.01s =====\\n", "no test was executed (3 skipped)"),
        ("===== no tests ran in 0.01s =====\\n", "no test was executed"),
        (f"\\n{'-' * 70}\\nRan 0 tests in 0.000s\\n\\nOK\\n", "no test was executed"),
        ("make: Nothing to be done for 'test'.\\n", "the runner replayed an old result and ran nothing"),
        ("ok  \\texample/pkg\\t(cached)\\n", "the runner replayed an old result and ran nothing"),
        (pytest_says(3, failed=1), "1 of 4 tests failed, although the exit code was 0"),
    ],
)
def test_what_ran_nothing_shows_nothing(quick: Quick, printed: str, reason: str) -> None:
    quick.run(printed)
    verdict = quick.gate()
    assert verdict.states == {"tests": "fail"}
    assert verdict.reason("tests") == reason


def test_counts_that_the_plan_expects(quick: Quick) -> None:
    text = (quick.root / "tallystick.toml").read_text()
    quick.plan(text + 'expect = { tests = ">= 3", skipped = "<= 1", output = "(?m)^done$" }\n')
    quick.repo.commit("Expect")
    quick.repo.git("branch", "-f", "main")
    for printed, reason in (
        (pytest_says(3) + "done\\n", ""),
        (pytest_says(2) + "done\\n", "tests: 2, expected >= 3"),
        (pytest_says(3, skipped=2) + "done\\n", "skipped: 2, expected <= 1"),
        (pytest_says(3), "the output does not match '(?m)^done$'"),
        (
            "done\\n",
            "the number of tests is not known, expected >= 3; the number of skipped is not known, expected <= 1",
        ),
    ):
        edit(quick)
        quick.run(printed)
        verdict = quick.gate()
        assert verdict.states["tests"] == ("fail" if reason else "pass")
        assert not reason or verdict.reason("tests") == reason


def test_a_long_history_forgets_no_count_no_failure_and_no_result(quick: Quick) -> None:
    edit(quick)
    text = quick.repo.read("src/one.py")
    quick.run(pytest_says(40), 1)
    edit(quick)
    quick.run(pytest_says(39, skipped=1))
    quick.run("echo", 0, "-c", "tests", "--", "sh", "-c", "echo >> src/one.py")  # another command, moved
    for _ in range(12):
        edit(quick)
        quick.run(pytest_says(30, skipped=2))
    assert weakened(quick) == [
        ("fewer tests were executed", "40", "30"),
        ("more tests were skipped", "1", "2"),
    ]
    assert not quick.gate().criteria["tests"]["unfalsified"]
    quick.repo.write("src/one.py", text)
    assert quick.state() == "fail"
    quick.run(pytest_says(40))
    assert quick.gate().reason("tests").startswith("1 passed and 1 failed on the same inputs")


def test_a_run_whose_inputs_moved_long_ago_is_not_still_under_way(quick: Quick) -> None:
    text = quick.repo.read("src/one.py")
    quick.plan(quick.repo.read("tallystick.toml").replace('printf "$PRINTED"', 'eval "$PRINTED"'))
    quick.repo.commit("Run anything")
    quick.repo.git("branch", "-f", "main")
    quick.run("")
    quick.run("echo >> src/one.py")
    for _ in range(12):
        edit(quick)
        quick.run("")
    quick.repo.write("src/one.py", text)
    assert quick.state() == "pass"


# --- flaky, unfalsified


def test_a_flaky_check_counts_again_after_three_passes(quick: Quick) -> None:
    quick.run("", 1)
    assert quick.state() == "fail"
    for passes, told in (
        (1, "1 passed and 1 failed on the same inputs; passed on attempt 2, 3 passes in a row are needed"),
        (2, "2 passed and 1 failed on the same inputs; passed on attempt 3, 3 passes in a row are needed"),
        (3, "3 passed and 1 failed on the same inputs; the newest 3 passed"),
    ):
        quick.run()
        verdict = quick.gate()
        assert verdict.states == {"tests": "flaky"}
        assert verdict.criteria["tests"]["ok"] == verdict.open == (passes == 3)
        assert verdict.reason("tests") == told
        assert (verdict.criteria["tests"]["passes"], verdict.criteria["tests"]["fails"]) == (passes, 1)
    quick.run("", 1)
    verdict = quick.gate()
    assert verdict.reason("tests") == "3 passed and 2 failed on the same inputs"
    assert not verdict.open
    assert "results   3 passed, 2 failed on this content" in quick.why()


def test_how_many_passes_a_flaky_check_needs_is_the_base_s_to_say(quick: Quick) -> None:
    text = (quick.root / "tallystick.toml").read_text()
    quick.plan(text + "[gate]\nflaky_passes = 1\n")
    quick.run("", 1)
    quick.run()
    assert not quick.gate().open
    quick.repo.commit("One pass is enough")
    quick.repo.git("branch", "-f", "main")
    assert quick.gate().open


def test_a_failure_on_other_content_makes_nothing_flaky(quick: Quick) -> None:
    quick.run("", 1)
    edit(quick)
    quick.run()
    verdict = quick.gate()
    assert verdict.states == {"tests": "pass"}
    assert verdict.open


def test_a_check_that_never_failed_is_unfalsified(quick: Quick) -> None:
    quick.run()
    assert quick.gate().criteria["tests"]["unfalsified"]
    assert "[unfalsified]" in quick.call("gate").stdout
    assert "caution   unfalsified: it never failed in this ledger" in quick.why()
    edit(quick)
    quick.run("", 1)
    edit(quick)
    quick.run()
    assert not quick.gate().criteria["tests"]["unfalsified"]
    assert "unfalsified" not in quick.call("gate").stdout


# --- the environment


def environment(quick: Quick, declared: str) -> None:
    text = (quick.root / "tallystick.toml").read_text()
    quick.plan(f"{text}environment = {declared}\n")
    quick.repo.commit("Declare")
    quick.repo.git("branch", "-f", "main")


def test_a_declared_variable_belongs_to_the_result(quick: Quick) -> None:
    environment(quick, '{ variables = ["ZONE"] }')
    quick.run(env={"ZONE": "here"})
    assert quick.state(env={"ZONE": "here"}) == "pass"
    for zone, told in (("there", "ZONE was 'here', is 'there'"), (None, "ZONE was 'here', is not set")):
        verdict = quick.gate(env={"ZONE": zone})
        assert verdict.states == {"tests": "stale"}
        assert verdict.reason("tests") == told
        assert verdict.changed("tests") == []
    quick.run("", 1, env={"ZONE": "there"})
    assert quick.state(env={"ZONE": "there"}) == "fail"
    assert quick.state(env={"ZONE": "here"}) == "pass"


def test_a_declared_version_belongs_to_the_result(quick: Quick, tmp_path: Path) -> None:
    tool = tmp_path / "version"
    tool.write_text("1.0\n")
    environment(quick, f'{{ versions = ["cat {tool}"] }}')
    quick.run()
    assert quick.state() == "pass"
    tool.write_text("1.1\n")
    assert quick.gate().reason("tests") == f"cat {tool} was '1.0', is '1.1'"
    tool.unlink()
    assert "exit code 1" in quick.gate().reason("tests")


def test_the_platform_belongs_to_the_result_where_declared(quick: Quick) -> None:
    environment(quick, "{ platform = true }")
    quick.run()
    assert quick.state() == "pass"
    with quick.ledger() as ledger:
        kept = list(ledger.entries("work"))[-1].entry.details["run"]["environment"]["platform"]
    name = os.uname()
    assert kept.startswith(f"{name.sysname} ")
    assert kept.endswith(f" {name.machine}")
    assert name.release not in kept, "another kernel is no other platform"


def test_what_is_declared_later_was_not_recorded(quick: Quick) -> None:
    quick.run()
    environment(quick, '{ variables = ["ZONE"] }')
    assert quick.gate().reason("tests") == "ZONE was not recorded"


def test_a_killed_run_in_another_environment_interrupts_nothing_here(quick: Quick) -> None:
    environment(quick, '{ variables = ["ZONE"] }')
    quick.run(env={"ZONE": "here"})
    with quick.ledger() as ledger:
        started = next(one.entry for one in ledger.entries("work") if one.entry.type == "run_started")
        run = {**started.details["run"], "pid": 1 << 22, "environment": {"variables": {"ZONE": "there"}}}
        ledger.append("work", started.replace(id="", details={**started.details, "run": run}))
    assert quick.state(env={"ZONE": "here"}) == "pass"
    assert quick.state(env={"ZONE": "there"}) == "interrupted"


# --- people


def test_a_manual_criterion_is_shown_by_a_person(quick: Quick) -> None:
    quick.plan('[criteria.read]\nshows = "somebody read it"\nmanual = true\ninputs = ["src/**"]\n')
    quick.repo.commit("Manual")
    quick.repo.git("branch", "-f", "main")
    verdict = quick.gate()
    assert verdict.states == {"read": "missing"}
    command = verdict.criteria["read"]["next"]
    assert command == 'notch record -t work --type criterion -c read --status pass --reason "…"'
    assert quick.call("run", "-c", "read").returncode == 2
    done = subprocess.run(command, shell=True, cwd=quick.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    verdict = quick.gate()
    assert verdict.open
    assert verdict.criteria["read"]["grade"] == "claimed"
    assert "grade     claimed: could have been made up by anyone who can write to the ledger" in quick.why("read")
    quick.repo.write("README", "other\n")
    assert quick.gate().open
    edit(quick)
    verdict = quick.gate()
    assert verdict.states == {"read": "stale"}
    assert verdict.changed("read") == ["src/one.py"]
    quick.call("record", "--type", "criterion", "-c", "read", "--status", "fail", "--reason", "it is wrong")
    verdict = quick.gate()
    assert verdict.states == {"read": "fail"}
    assert verdict.reason("read") == "it is wrong"


def test_a_grade_that_only_a_signature_gives_is_nobody_s_here(quick: Quick) -> None:
    text = (quick.root / "tallystick.toml").read_text()
    quick.plan(text + 'grade = "attested"\n')
    quick.run()
    verdict = quick.gate()
    assert verdict.states == {"tests": "missing"}
    assert verdict.reason("tests") == "a result that is only observed does not count, it asks for attested"
    assert verdict.criteria["tests"]["next"] == "", "no command of ours supplies it"


def test_a_failing_review_shuts_the_gate_until_one_passes_on_this_content(quick: Quick) -> None:
    quick.run()

    def review(status: str, task: str = "work") -> None:
        done = quick.call("review", "-t", task, "--verdict", status, "--by", "Ann", "--reason", "because")
        assert done.returncode == 0, done.stderr

    review("fail")
    verdict = quick.gate()
    assert verdict.objections == [("review", "Ann reviewed it as failing: because")]
    review("pass")
    assert quick.gate().open
    quick.repo.write("README", "another content\n")
    assert quick.gate().objections == [("review", "Ann reviewed it as failing: because")]
    review("pass")
    assert quick.gate().open
    quick.repo.write("README", "Read me\n")
    assert quick.gate().open, "that one was read as well"


# --- where it is called


def test_it_finds_the_task_in_ci(quick: Quick) -> None:
    quick.run()
    quick.repo.commit("Plan")
    quick.repo.git("checkout", "-q", "--detach")
    for name in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "TALLYSTICK_TASK"):
        verdict = quick.gate(env={name: "work"})
        assert verdict.document["task_id"] == "work"
        assert verdict.open
    done = quick.call("gate")
    assert done.returncode == 2
    assert "no task is named" in done.stderr


def test_ci_is_told_apart_from_the_machine_of_whoever_is_judged(quick: Quick) -> None:
    quick.run()
    quick.repo.commit("Plan")
    verdict = quick.gate()
    assert verdict.document["advisory"]
    because = "this machine is not CI: whoever works here could have changed what is judged"
    assert verdict.document["advisory_because"] == [because]
    assert f"  advisory: {because}\n" in quick.call("gate").stdout
    verdict = quick.gate(env={"CI": "true"})
    assert not verdict.document["advisory"]
    assert "advisory" not in quick.call("gate", env={"CI": "true"}).stdout


def test_without_a_plan_on_the_base_it_is_advisory(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo", base=False)
    plan = quick.repo.read("tallystick.toml")
    quick.repo.remove("tallystick.toml")
    quick.repo.commit("Nothing yet")
    quick.repo.git("checkout", "-q", "-b", "work")
    quick.plan(plan)
    quick.run()
    verdict = quick.gate(env={"CI": "1"})
    assert verdict.open
    [because] = verdict.document["advisory_because"]
    assert because.startswith("no base yet")


def test_without_a_protected_branch_it_says_so(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo")
    quick.repo.git("branch", "-D", "main")
    quick.run()
    verdict = quick.gate(env={"CI": "1"})
    assert verdict.open
    assert verdict.document["advisory_because"] == [
        "no protected branch is here, so the commit that is checked out is its own base"
    ]


def test_a_branch_that_the_plan_names_has_to_be_there(quick: Quick) -> None:
    text = quick.repo.read("tallystick.toml")
    quick.plan(text + '[gate]\nbase = "origin/release"\n')
    quick.repo.commit("Name it")
    quick.repo.git("branch", "-f", "main")
    done = quick.call("gate")
    assert done.returncode == 2
    assert "the protected branch 'origin/release' is not here; fetch it" in done.stderr


def test_a_shallow_clone_says_what_its_base_is(quick: Quick, tmp_path: Path) -> None:
    quick.repo.commit("More")
    quick.repo.git("checkout", "-q", "main")
    quick.repo.write("README", "meanwhile\n")
    quick.repo.commit("Meanwhile")
    quick.repo.git("checkout", "-q", "work")
    quick.run()
    quick.repo.git("checkout", "-q", "main")
    clone = tmp_path / "clone"
    url = f"file://{quick.root}"
    quick.repo.git("clone", "-q", "--depth", "1", "--no-single-branch", "-b", "work", url, clone)
    verdict = quick.gate("--ledger", str(quick.ledger_file), cwd=clone, env={"CI": "1"})
    assert verdict.open
    [because] = verdict.document["advisory_because"]
    assert because.startswith("no commit in common with refs/remotes/origin/main is here (a shallow clone?)")


def test_before_the_first_commit_and_after_it(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo", base=False)
    assert quick.state() == "missing"
    quick.run()
    assert quick.state() == "pass"
    quick.repo.commit("First")
    assert quick.state() == "pass"
    edit(quick)
    assert quick.gate().changed("tests") == ["src/one.py"]


def test_inside_a_git_hook(quick: Quick) -> None:
    quick.run()
    hook = {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index.lock", "GIT_PREFIX": "", "GIT_WORK_TREE": "nowhere"}
    assert quick.gate(env=hook).open
    assert quick.gate(cwd=quick.root / "src", env=hook).open
    quick.repo.write(".git/hooks/pre-commit", "#!/bin/sh\nnotch gate -q\n", executable=True)
    edit(quick)
    quick.repo.git("add", "-A")
    refused = subprocess.run(["git", "commit", "-q", "-m", "No"], cwd=quick.root, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "src/one.py changed since" in refused.stdout + refused.stderr
    quick.run()
    quick.repo.commit("Yes")
    assert quick.gate().open


def test_in_a_linked_work_tree(quick: Quick, tmp_path: Path) -> None:
    quick.run()
    quick.repo.commit("Plan")
    linked = tmp_path / "linked"
    quick.repo.git("worktree", "add", "-q", "-b", "beside", linked)
    verdict = quick.gate("work", cwd=linked)
    assert verdict.open, "the same ledger, the same content"
    assert quick.gate(cwd=linked).states == {"tests": "missing"}
    GitRepo(linked).write("src/one.py", "other\n")
    assert quick.gate("work", cwd=linked).states == {"tests": "stale"}
    assert quick.gate().open


def test_outside_git(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    quick = Quick(root, base=False)
    subprocess.run(["rm", "-rf", root / ".git"], check=True)
    assert quick.run("", 0, "-t", "x", "-c", "tests") == 0
    assert quick.gate("x").states == {"tests": "pass"}
    quick.repo.write("README", "other\n")
    assert quick.gate("x").open
    edit(quick)
    assert quick.gate("x").changed("tests") == ["src/one.py"]


def test_a_ledger_that_is_named_is_named_in_commands(quick: Quick, tmp_path: Path) -> None:
    ledger = tmp_path / "some where" / "ledger.db"
    ledger.parent.mkdir()
    quick.run("", 0, "--ledger", str(ledger), "-c", "tests")
    assert quick.gate("--ledger", str(ledger)).open
    edit(quick)
    command = quick.gate("--ledger", str(ledger)).criteria["tests"]["next"]
    assert command == f"notch --ledger '{ledger}' run -t work -c tests"
    subprocess.run(command, shell=True, cwd=quick.root, check=True, env={**os.environ, "PRINTED": ""})
    assert quick.gate("--ledger", str(ledger)).open


def test_a_ledger_inside_the_tree_is_no_content(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo", f"[criteria.tests]\nrun = '{COMMAND}'\n")
    for _ in range(2):
        quick.run("", 0, "--ledger", "evidence.db", "-c", "tests")
        verdict = quick.gate("--ledger", "evidence.db")
        assert verdict.states == {"tests": "pass"}


# --- what it prints


def test_nothing_is_printed_where_it_is_open_and_that_is_asked(quick: Quick) -> None:
    quick.run()
    assert quick.call("gate", "-q").stdout == ""
    edit(quick)
    assert "src/one.py changed since" in quick.call("gate", "-q").stdout


def test_text_says_what_is_missing_and_as_of_when(quick: Quick) -> None:
    done = quick.call("gate")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gate shut  work  as of 2")
    assert lines[0].endswith("Z, head nothing recorded")
    assert lines[1:3] == [
        "  ✗ tests  missing      nothing was recorded for it",
        "           next: notch run -t work -c tests",
    ]
    quick.run(pytest_says(2))
    lines = quick.call("gate").stdout.splitlines()
    with quick.ledger() as ledger:
        assert lines[0].endswith(f", head {ledger.head('work')}")
    assert lines[1] == "  ✓ tests  pass         exit code was 0; 2 tests  [unfalsified]"


def test_markdown_is_a_page_of_its_own(quick: Quick) -> None:
    quick.plan(f'[criteria.tests]\nrun = \'{COMMAND}\'\ninputs = ["src/**"]\n[criteria."a|b"]\nrun = "false | true"\n')
    quick.run("", 1)
    page = quick.call("gate", "--format", "markdown").stdout
    assert page.startswith("## Gate shut: `work`\n\n| criterion | state | grade | why |\n|---|---|---|---|\n")
    assert "| tests | ❌ fail | observed | exit code 1, expected 0 |\n" in page
    assert "| a\\|b | ❌ missing |  | nothing was recorded for it |\n" in page
    assert "```sh\nnotch run -t work -c tests\nnotch run -t work -c 'a|b'\n```\n" in page


def test_json_has_what_programs_were_promised(quick: Quick) -> None:
    quick.run(pytest_says(2))
    document = quick.gate().document
    assert set(document) >= {"task_id", "verdict", "advisory", "as_of", "criteria", "weakened", "protected"}
    assert set(document["as_of"]) == {"at", "position", "root", "checkpoint"}
    [criterion] = document["criteria"]
    assert set(criterion) >= {"id", "state", "ok", "grade", "reason", "changed", "next"}
    assert criterion["changed"] == []
    edit(quick)
    quick.repo.write("src/with (two) words.py", "1\n")
    assert quick.gate().changed("tests") == ["src/one.py", "src/with (two) words.py"]
    assert json.loads(quick.call("gate", "--format", "json").stdout)["verdict"] == "shut"


def test_why_tells_where_a_pass_comes_from(quick: Quick) -> None:
    quick.run(pytest_says(2, skipped=1))
    told = quick.why().splitlines()
    assert told[0] == "tests is pass: exit code was 0; 2 tests, 1 skipped"
    assert told[1] == f"plan      {COMMAND}  (inputs: src/**; at least observed)"
    assert told[2].startswith("entry     #2, result pass, recorded 2")
    assert told[3] == "grade     observed: could have been made up by the same user, with effort"
    assert told[4].startswith("content   tree ")
    assert any(line.startswith("ran       /") for line in told)
    assert "tests     2 executed, 1 skipped" in told
    edit(quick)
    assert "changed   src/one.py (modified)" in quick.why().splitlines()
    assert quick.call("why", "nothing").returncode == 2
    document = json.loads(quick.call("why", "tests", "--json").stdout)
    assert document["state"] == "stale"
    assert document["changed"] == ["src/one.py"]
    assert document["entry"]["run"]["started"] == 1


def test_why_tells_of_other_local_ignore_rules(quick: Quick) -> None:
    quick.run()
    assert "ignored   " not in quick.why()
    quick.repo.write("src/hidden.py", "1\n")
    assert quick.state() == "stale"
    quick.repo.write(".git/info/exclude", "src/hidden.py\n")
    assert quick.state() == "pass", "git would not commit it"
    assert "ignored   by other local rules than now (info/exclude, " in quick.why()
    quick.run()
    assert "ignored   " not in quick.why()


def test_without_a_plan_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo")
    quick.repo.git("rm", "-q", "tallystick.toml")
    quick.repo.commit("No plan")
    quick.repo.git("branch", "-f", "main")
    done = quick.call("gate")
    assert done.returncode == 2
    assert "there is no plan to judge by; notch init writes a first one" in done.stderr


def test_a_plan_without_criteria_proves_nothing(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo", "[gate]\n")
    verdict = quick.gate()
    assert not verdict.open
    assert verdict.objections == [("criteria", "the plan asks for nothing, so nothing can be proved")]


def test_a_head_that_is_none_is_refused(quick: Quick) -> None:
    done = quick.call("gate", "--head", "yesterday")
    assert done.returncode == 2
    assert "is not a head" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a session of a later version is made with POSIX tools")
def test_a_later_version_s_session_gets_no_verdict(quick: Quick) -> None:
    quick.run()
    with quick.ledger() as ledger:
        ledger.append("work", Entry(type="note"))
    import sqlite3

    connection = sqlite3.connect(quick.ledger_file)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    from tallystick.proof.merkle import Edge, leaf_hash

    (header,) = connection.execute("SELECT header FROM session").fetchone()
    rows = connection.execute("SELECT id, record FROM record ORDER BY id").fetchall()
    edge = Edge()
    edge.append(leaf_hash(header))
    for id_, record in rows:
        if id_ == rows[-1][0]:
            record = record.replace(b'{"v":1,', b'{"v":2,')
        node = edge.append(leaf_hash(record))
        connection.execute("UPDATE record SET record = ?, node = ? WHERE id = ?", (record, node, id_))
    connection.execute("UPDATE state SET edge = ? WHERE key = ''", (edge.pack(),))
    connection.commit()
    connection.close()
    done = quick.call("gate")
    assert done.returncode == 4, done
    assert "a later version wrote to this session" in done.stderr
