"""Honest work goes on: what the rules of these tests stop is no way that people work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from attack_world import GOOD, NOTCH, PLAN, ROOT, TEST, Job, World

yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the action and the template as CI does")


@pytest.fixture
def change(world: World) -> World:
    """A good change on the branch `work`, pushed."""
    world.branch("work")
    world.write("code.txt", GOOD + "and more\n")
    world.commit("A good change")
    world.push("work")
    return world


def two_jobs(world: World, branch: str = "work", **event: str) -> tuple[Job, Job]:
    """The documented workflow: one job checks, another one judges what that recorded."""
    first = world.github(branch, folder="first", **event)
    done = first.action(branch, NOTCH_GATE="false")
    assert done.code == 0, done.said
    assert "verdict" not in first.told
    second = world.github(branch, folder="second", **event)
    kept = second.temp / "check"
    shutil.copytree(first.told["evidence"], kept)
    second.env |= {"NOTCH_LEDGER": str(kept), "NOTCH_CHECK": "false"}
    return first, second


@pytest.mark.parametrize("event", ["pull_request", "push", "merge_group", "workflow_dispatch"])
def test_two_jobs_on_github(change: World, event: str) -> None:
    _, second = two_jobs(change, event=event)
    done = second.action("work")
    assert done.code == 0, done.said
    assert second.told["verdict"] == "open"
    assert "check:" not in done.out, "the second job runs nothing"


def test_one_job_on_github(change: World) -> None:
    job = change.github("work")
    done = job.action("work")
    assert (done.code, job.told["verdict"]) == (0, "open"), done.said


@pytest.mark.parametrize("merge_request", [True, False])
def test_the_template_on_gitlab(change: World, merge_request: bool) -> None:
    done = change.gitlab("work", merge_request=merge_request).template(task="work")
    assert done.code == 0, done.said


def test_a_failing_change_is_judged_by_the_second_job(world: World) -> None:
    world.branch("work")
    world.write("code.txt", "bad\n")
    world.commit()
    world.push("work")
    _, second = two_jobs(world)
    done = second.action("work")
    assert (done.code, second.told["verdict"]) == (1, "shut"), done.said


def test_a_fork(change: World) -> None:
    """The event of a fork's pull request names the repository that it goes into; the branch is the fork's."""
    fork = change.folder / "fork.git"
    change.git("clone", "-q", "--bare", change.origin, fork, cwd=change.folder)
    job = change.github("work", event="pull_request")
    assert job.check_and_gate("work").code == 0


def test_the_protected_branch_after_the_merge(change: World) -> None:
    change.git("checkout", "-q", "main")
    change.git("merge", "-q", "--squash", "work")
    change.commit("Merge")
    change.push("main")
    job = change.github("main", event="push")
    assert job.check_and_gate("main").code == 0


def test_main_moved_on_since_the_run_began(change: World) -> None:
    job = change.github("main", event="push")
    change.git("checkout", "-q", "main")
    change.write("tallystick.toml", PLAN + '[criteria.more]\nrun = "true"\n')
    change.commit("Later")
    change.push("main")
    change.git("fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*", cwd=job.tree)
    assert job.check_and_gate("main").code == 0


def test_a_renamed_default_branch(change: World) -> None:
    change.git("push", "-q", "origin", "main:trunk")
    change.git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=change.origin)
    change.git("push", "-q", "origin", ":main")
    change.default = "trunk"
    assert change.github("work").check_and_gate("work").code == 0


def test_stacked_pull_requests(change: World) -> None:
    """The second one goes into the first one's branch, and is judged by the default branch."""
    change.branch("stacked")
    change.write("README", "more\n")
    change.commit()
    change.push("stacked")
    assert change.github("stacked", target="work").check_and_gate("stacked").code == 0


def test_a_release_branch_that_the_plan_protects(tmp_path: Path) -> None:
    world = World(tmp_path / "world", plan=PLAN + 'base = "release/*"\n')
    world.branch("release/1.0")
    world.write("tallystick.toml", PLAN.replace("sh test.sh", "sh test.sh && echo 1.0"))
    world.commit()
    world.push("release/1.0")
    world.branch("fix")
    world.write("README", "fixed\n")
    world.commit()
    world.push("fix")
    done = world.github("fix", target="release/1.0").check_and_gate("fix")
    assert done.code == 0, done.said
    assert world.github("fix", folder="other").check_and_gate("fix").code == 1, "main asks otherwise"


def test_the_first_pull_request_that_brings_the_plan(tmp_path: Path) -> None:
    world = World(tmp_path / "world", base=False)
    world.write("README", "no plan yet\n")
    world.commit("Base")
    world.push("main")
    world.branch("work")
    world.write("tallystick.toml", PLAN)
    world.write("test.sh", TEST)
    world.write("code.txt", GOOD)
    world.commit()
    world.push("work")
    job = world.github("work")
    refused = job.notch("check", "work")
    assert (refused.code, "--allow-no-plan-on-base" in refused.said) == (2, True)
    done = job.action("work", NOTCH_ALLOW_NO_PLAN="true")
    assert (done.code, "advisory: no base yet" in done.said) == (0, True), done.said


def test_a_runner_that_keeps_its_folder(change: World) -> None:
    """The next run finds the checkout, and the last run's ledger in git's directory; it checks anew."""
    first = change.github("work", run="7")
    assert first.check_and_gate("work").code == 0
    first.env["GITHUB_RUN_ID"] = "8"
    change.git("clean", "-ffdxq", cwd=first.tree)
    done = first.notch("check", "work")
    assert (done.code, "check: 1 run" in done.out) == (0, True), done.said
    assert "check: nothing to run" in first.notch("check", "work").out, "within a run nothing is run twice"


def test_a_rebase(change: World) -> None:
    change.git("checkout", "-q", "main")
    change.write("README", "meanwhile\n")
    change.commit()
    change.push("main")
    change.git("checkout", "-q", "work")
    change.git("rebase", "-q", "main")
    change.git("push", "-q", "-f", "origin", "work")
    assert change.github("work").check_and_gate("work").code == 0


def test_a_mono_repository(tmp_path: Path) -> None:
    """One plan at the root, a criterion a package; `notch` is called from within a package."""
    plan = "".join(f'[criteria.{name}]\nrun = "cat {name}/x"\ninputs = ["{name}/**"]\n' for name in "ab")
    world = World(tmp_path / "world", plan=plan)
    for name in "ab":
        world.write(f"{name}/x", "1\n")
    world.commit()
    world.push("main")
    world.branch("work")
    world.write("a/x", "2\n")
    world.commit()
    world.push("work")
    job = world.github("work")
    for folder in ("a", "b"):
        done = world.run(NOTCH, "check", "work", cwd=job.tree / folder, env=job.env)
        assert done.code == 0, done.said


def test_jobs_of_a_matrix_on_one_ledger(change: World) -> None:
    """Each leg is a job of the same run, with a task of its own; one job judges them all."""
    ledger = change.folder / "shared.db"
    for leg in ("linux", "mac", "windows"):
        job = change.github("work", folder=leg)
        assert job.notch("check", leg, TALLYSTICK_LEDGER=str(ledger)).code == 0
    judge = change.github("work", folder="judge")
    for leg in ("linux", "mac", "windows"):
        assert judge.notch("gate", leg, TALLYSTICK_LEDGER=str(ledger)).code == 0


def test_a_submodule_and_a_linked_work_tree_keep_their_evidence(world: World) -> None:
    outer = World(world.folder / "outer")
    outer.run("git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", world.origin, "sub")
    outer.commit()
    sub = outer.work / "sub"
    assert world.notch("check", "-q", "main", cwd=sub).code == 0
    assert (outer.work / ".git/modules/sub/tallystick/ledger.db").exists()
    bare = world.folder / "bare.git"
    world.git("clone", "-q", "--bare", world.origin, bare, cwd=world.folder)
    world.git("worktree", "add", "-q", world.folder / "tree", "main", cwd=bare)
    assert world.notch("check", "-q", "main", cwd=world.folder / "tree").code == 0
    world.git("worktree", "remove", world.folder / "tree", cwd=bare)
    world.git("worktree", "add", "-q", world.folder / "again", "main", cwd=bare)
    done = world.notch("gate", "main", cwd=world.folder / "again")
    assert done.code == 0, "the evidence outlives the work tree"


def test_a_bare_ci_variable_changes_only_what_is_printed(change: World) -> None:
    plain = change.notch("check", "work")
    assert (plain.code, "this machine is not CI" in plain.said) == (0, True)
    told = change.notch("gate", "work", env={"CI": "true"})
    assert (told.code, "this machine is not CI" in told.said) == (0, False)


def test_ci_can_be_switched_off_and_on(change: World) -> None:
    job = change.github("work")
    assert job.notch("check", "work", TALLYSTICK_CI="0").code == 0
    assert (job.tree / ".tallystick/ledger.db").exists(), "as at home"
    env = {"TALLYSTICK_CI": "1", "TALLYSTICK_RUN_ID": "42", "TALLYSTICK_BASE": "main"}
    clone = change.folder / "clone"
    change.git("clone", "-q", "-b", "work", change.origin, clone, cwd=change.folder)
    for command in ("check", "gate"):
        done = change.notch(command, "work", cwd=clone, env=env)
        assert done.code == 0, done.said
    assert not (clone / ".tallystick").exists()
    assert change.notch("gate", "work", cwd=clone, env={**env, "TALLYSTICK_RUN_ID": "43"}).code == 1


def test_the_documented_workflows_are_what_is_tested_here() -> None:
    """The page's inputs exist, its actions are pinned by commit, and it has two jobs."""
    page = (ROOT / "docs/how-to/ci-github.md").read_text()
    workflow = yaml.safe_load(page.split("```yaml\n", 1)[1].split("```", 1)[0])
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert list(workflow["jobs"]) == ["check", "gate"]
    assert workflow["jobs"]["gate"]["needs"] == "check"
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            name, _, version = step["uses"].partition("@")
            if name == "OWNER/tallystick":
                assert set(step["with"]) <= set(action["inputs"])
            else:
                assert len(version.split(" ")[0]) == 40, step["uses"]
