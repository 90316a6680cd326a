"""`notch reproduce` and `notch falsify` run commands again where they were run, and where they have to fail."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.checks import Project, is_gone, wait_for_line
from support.repository import GitRepo
from tallystick import Ledger
from tallystick.recorded import StoredTree


@pytest.fixture
def project(git_repo: GitRepo, tmp_path: Path) -> Project:
    git_repo.write("a", "1")
    git_repo.write(".gitignore", "ignored\n")
    return Project(git_repo, tmp_path / "outside")


def run(command: str, more: str = "") -> str:
    return f"run = {json.dumps(command)}\n{more}"


def started(project: Project, criteria: dict[str, str]) -> None:
    project.plan(criteria)
    project.begin()


def entries(project: Project, task: str = "work") -> list[Any]:
    with Ledger.open(str(project.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        return list(ledger.entries(task))


def results(project: Project) -> list[Any]:
    return [one for one in entries(project) if one.entry.type == "criterion"]


def leaf_of(project: Project, position: int) -> str:
    """The leaf hash of the record at a position, as the ledger's tree has it."""
    with Ledger.open(str(project.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        return StoredTree(ledger.store, ledger.sessions_of("work")[0]).leaf(position).hex()


def untouched(project: Project) -> tuple[str, ...]:
    git = project.repo.git
    return git("status", "--porcelain"), git("worktree", "list"), git("for-each-ref"), git("stash", "list")


# --- reproduce


def test_the_newest_of_each_is_run_again_on_its_content(project: Project) -> None:
    started(project, {"one": run("cat a"), "bad": run("echo $PWD; exit 3", 'inputs = ["a"]\n')})
    project.notch("check", code=1)
    project.repo.write("a", "2")
    project.repo.commit()
    before = untouched(project)
    done = project.notch("reproduce")
    assert "✓ one #" in done.stderr
    assert ": the same: exit code was 0" in done.stderr.replace("  the same", ": the same")
    assert done.stdout.startswith("reproduced 2 of 2, picked as of head 4:")
    assert untouched(project) == before
    again = {one.entry.criterion_id: one for one in results(project)[2:]}
    assert again["one"].entry.output == "1", "it ran on the content of then"
    first = next(one for one in results(project) if one.entry.criterion_id == "one")
    assert again["one"].entry.details["run"]["reproduces"] == {
        "position": first.position,
        "leaf": leaf_of(project, first.position),
        "head": done.stdout.split("head ")[1].strip(),
        "same": True,
        "rate": {"passed": 1, "ran": 1},
    }
    content = [one.entry.details["content"] for one in (first, again["one"])]
    assert content[0]["inputs"] == content[1]["inputs"]
    where = again["bad"].entry.output.strip()
    assert where != str(project.root)
    assert not os.path.exists(where)
    assert project.states() == {"one": "stale", "bad": "stale"}
    project.notch("verify")


def test_what_works_only_here_does_not_reproduce_and_stands_as_it_did(project: Project) -> None:
    started(project, {"one": run("cat ignored")})
    project.repo.write("ignored", "left by a build")
    project.notch("check")
    done = project.notch("reproduce", code=1)
    assert "✗ one #2  differs: it passed then, now: exit code 1, expected 0" in done.stderr
    assert "| cat: ignored: No such file or directory" in done.stderr
    assert "reproduced 0 of 1" in done.stdout
    assert project.states() == {"one": "pass"}


def test_a_setup_makes_it_work(project: Project) -> None:
    started(project, {"one": run("cat ignored")})
    project.repo.write("ignored", "left by a build")
    project.notch("check")
    project.notch("reproduce", "--setup", "echo built > ignored")
    assert project.states() == {"one": "pass"}
    count = len(entries(project))
    done = project.notch("reproduce", "--setup", "echo no such package >&2; exit 9", code=2)
    assert "the setup ended with 9: no such package" in done.stderr
    assert len(entries(project)) == count


def test_a_setup_that_changes_the_inputs_is_noticed(project: Project) -> None:
    started(project, {"one": run("cat a", 'inputs = ["a"]\n')})
    project.notch("check")
    done = project.notch("reproduce", "--setup", "echo 2 > a", code=1)
    assert "what was checked out is not what it was bound to" in done.stderr
    assert len(results(project)) == 1


def test_uncommitted_content_is_refused_unless_it_was_kept(project: Project) -> None:
    started(project, {"one": run("cat a")})
    project.repo.write("a", "uncommitted")
    project.notch("check")
    project.repo.write("a", "later")
    done = project.notch("reproduce", code=1)
    assert "✗ one #2  not run: it was on uncommitted content that was not kept (--keep-tree)" in done.stderr
    assert project.notch.json("reproduce", code=1)["results"] == [
        {
            "criterion_id": "one",
            "position": 2,
            "same": False,
            "refused": "it was on uncommitted content that was not kept (--keep-tree)",
            "differs": [],
            "passed": 0,
            "ran": 0,
            "entries": [],
        }
    ]
    project.notch("reproduce", "--keep-tree", code=1)
    project.repo.write("a", "uncommitted")
    project.notch("reproduce", "--keep-tree")
    project.repo.write("a", "later still")
    project.notch("run", "-c", "one", "--keep-tree")
    project.repo.git("checkout", "-q", "a")
    project.repo.git("gc", "-q", "--prune=now")
    project.notch("reproduce")
    assert [one.entry.output for one in results(project)] == ["uncommitted"] * 2 + ["later still"] * 2


def test_changes_that_are_no_inputs_are_no_hindrance(project: Project) -> None:
    started(project, {"one": run("cat a", 'inputs = ["a"]\n')})
    project.repo.write("README", "uncommitted")
    project.notch("check")
    project.notch("reproduce")


def test_content_whose_commit_is_gone(project: Project) -> None:
    started(project, {"one": run("cat a")})
    project.repo.write("a", "2")
    project.repo.commit()
    project.notch("check")
    project.repo.git("reset", "-q", "--hard", "HEAD~")
    project.repo.git("reflog", "expire", "--expire=now", "--all")
    project.repo.git("gc", "-q", "--prune=now")
    done = project.notch("reproduce", code=1)
    assert "not run" in done.stderr


def test_the_declared_environment_is_that_of_then(project: Project) -> None:
    declared = 'environment = { variables = ["COLOUR", "NOT_SET"], versions = ["cat $VERSION_FILE"] }\n'
    started(project, {"one": run('test "$COLOUR" = blue && test -z "${NOT_SET+x}"', declared)})
    version = project.outside / "version"
    version.write_text("v1")
    env = {"COLOUR": "blue", "VERSION_FILE": str(version)}
    project.notch("check", env=env)
    other = {"VERSION_FILE": str(version), "COLOUR": "red", "NOT_SET": "x"}
    project.notch("reproduce", env=other)
    version.write_text("v2")
    done = project.notch("reproduce", env=other, code=1)
    assert "the environment is another: cat $VERSION_FILE was" in done.stderr


def test_a_sample_is_picked_by_the_head(project: Project) -> None:
    started(project, {"one": run("true", 'inputs = ["a"]\n')})
    for n in range(6):
        project.repo.write("a", str(n))
        project.repo.commit()
        project.notch("run", "-c", "one")
    position = len(entries(project))
    told = project.notch.json("reproduce", "--sample", "2")
    picked = [one["position"] for one in told["results"]]
    assert (len(picked), told["same"], told["head"].split(":")[0]) == (2, 2, str(position))
    again = project.notch.json("reproduce", "--sample", "2", "--at", str(position))
    assert [one["position"] for one in again["results"]] == picked
    assert again["head"] == told["head"]
    every = project.notch.json("reproduce", "--sample", "99", "--at", str(position))
    assert [one["position"] for one in every["results"]] == [2, 4, 6, 8, 10, 12]


def test_a_flaky_one_gets_a_measured_rate(project: Project) -> None:
    counter = project.counted("flaky", f"test $(($(wc -l < {project.outside}/flaky) % 2)) = 0")
    started(project, {"one": run(counter)})
    project.notch("run", "-c", "one", code=1)
    project.notch("run", "-c", "one")
    told = project.notch.json("reproduce", "--runs", "4", code=1)
    (one,) = told["results"]
    assert (one["passed"], one["ran"], len(one["entries"]), one["same"]) == (2, 4, 4, False)
    rates = [r.entry.details["run"]["reproduces"]["rate"] for r in results(project)[2:]]
    assert rates == [{"passed": n // 2, "ran": n} for n in (1, 2, 3, 4)]
    assert "2 of 4 passed" in project.notch("reproduce", "--runs", "4", code=1).stderr


def test_fewer_tests_than_then_differ(project: Project) -> None:
    count = project.outside / "count"
    count.write_text("5")
    started(project, {"one": run(f'echo "$(cat {count}) passed in 0.10s"')})
    project.notch("check")
    count.write_text("4")
    assert "differs: executed: 5 tests then, 4 now" in project.notch("reproduce", code=1).stderr


def test_a_criterion_that_the_plan_no_longer_has(project: Project) -> None:
    started(project, {"one": run("true")})
    project.notch("run", "-c", "extra", "--", "cat", "a")
    done = project.notch("reproduce")
    assert "✓ extra #2" in done.stderr
    assert results(project)[-1].entry.command == "cat a"


def test_stopped_it_records_no_result(project: Project) -> None:
    began, block = project.outside / "began", project.outside / "block"
    slow = f"test ! -e {block} || {{ echo $$ > {began}; sleep 60; }}"
    started(project, {"one": run(slow)})
    project.notch("check")
    block.touch()
    before = untouched(project)
    process = project.start("reproduce")
    pid = int(wait_for_line(began))
    process.signal(signal.SIGINT)
    code, _, err = process.result(timeout=20)
    assert (code, "stopped" in err) == (130, True)
    assert is_gone(pid)
    assert [kind for kind, _ in project.types()][2:] == ["run_started", "run_interrupted"]
    assert untouched(project) == before
    assert project.states() == {"one": "pass"}


@pytest.mark.parametrize("args", [["--sample", "0"], ["--runs", "0"], ["--timeout", "-1"]])
def test_bad_usage(project: Project, args: list[str]) -> None:
    started(project, {"one": run("true")})
    assert "is a number above 0" in project.notch("reproduce", *args, code=2).stderr


def test_nothing_recorded_and_no_ledger(project: Project) -> None:
    started(project, {"one": run("true")})
    assert "no ledger here" in project.notch("reproduce", code=2).stderr
    assert not (project.root / ".tallystick").exists()
    project.notch("init", "--no-plan")
    assert "nothing is recorded for the task" in project.notch("reproduce", code=2).stderr


def test_outside_git(project: Project, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "tallystick.toml").write_text('[criteria.one]\nrun = "true"\n')
    project.notch("check", "t", cwd=plain)
    assert "not a git work tree" in project.notch("reproduce", "t", cwd=plain, code=2).stderr
    assert "not a git work tree" in project.notch("falsify", "one", "-t", "t", cwd=plain, code=2).stderr


# --- falsify


def test_on_the_bases_content(project: Project) -> None:
    started(project, {"one": run("grep -q 2 a"), "other": run("true")})
    project.repo.write("a", "2")
    project.repo.write("b", "2")
    project.repo.commit()
    project.notch("check")
    assert "[unfalsified]" in project.notch("gate").stdout.split("other")[0]
    base = project.repo.git("rev-parse", "main")
    before = untouched(project)
    done = project.notch("falsify", "one")
    assert done.stdout.startswith(
        "✓ one can fail: it passes here, and does with a, b as on the base: exit code 1, expected 0"
    )
    assert untouched(project) == before
    gate = project.notch("gate").stdout
    assert "[unfalsified]" not in gate.split("other")[0]
    assert project.states() == {"one": "pass", "other": "pass"}
    last = results(project)[-1].entry
    assert (last.status, last.criterion_id, last.details["run"]["falsifies"]) == (
        *("fail", "one"),
        {"base": base, "reverts": ["a", "b"]},
    )
    project.repo.write("a", "3")
    assert project.notch.json("gate", code=1)["criteria"][0]["changed"] == ["a"], "names are those since the pass"


def test_with_one_files_change_reverted(project: Project) -> None:
    started(project, {"one": run("grep -q 2 a && grep -q x folder/new")})
    project.repo.write("a", "2")
    project.repo.write("folder/new", "x")
    project.notch("check")
    for path, cwd in (("a", None), ("new", project.root / "folder")):
        told = json.loads(project.notch("falsify", "one", "--revert", path, "--json", cwd=cwd).stdout)
        assert (told["falsified"], told["reverted"]) == (True, "a" if path == "a" else "folder/new")
    assert (project.repo.read("a"), project.repo.read("folder/new")) == ("2", "x")


def test_a_check_that_cannot_fail(project: Project) -> None:
    started(project, {"one": run("grep -q 2 a || true")})
    project.repo.write("a", "2")
    project.notch("check")
    done = project.notch("falsify", "one", code=1)
    assert done.stdout.startswith("✗ one was not seen to fail: it passes with a as on the base too")
    assert "[unfalsified]" in project.notch("gate").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["one"], "what 'one' depends on is the same on the base"),
        (["one", "--revert", "a"], "a: it is the same on the base"),
        (["one", "--revert", "README"], "README: 'one' does not depend on it"),
        (["one", "--revert", "../outside"], "this is not a file in the work tree"),
        (["one", "--revert", "."], "this is not a file in the work tree"),
        (["none"], "the plan has no criterion 'none'"),
        (["looked-at"], "'looked-at' is shown by a person"),
    ],
)
def test_what_cannot_be_falsified(project: Project, args: list[str], message: str) -> None:
    started(project, {"one": run(project.counted("one"), 'inputs = ["a"]\n'), "looked-at": "manual = true"})
    project.repo.write("README", "changed")
    before = untouched(project)
    assert message in project.notch("falsify", *args, code=2).stderr
    assert project.runs("one") == 0
    assert untouched(project) == before


def test_without_a_commit(project: Project) -> None:
    project.plan({"one": run("true")})
    assert "there is no commit to go back to" in project.notch("falsify", "one", "-t", "t", code=2).stderr
