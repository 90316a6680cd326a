"""A change that chooses the base: by branches and tags that anybody may push, by its target, by its age."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attack_world import BAD, PLAN, WEAK_PLAN, World

Row = Callable[..., None]
AUTHOR = "author of a pull request"
PUSHER = "somebody who may push branches and tags"
SAYS = "CI takes the base from the event, by its full name"


def weaken(world: World, name: str = "evil") -> None:
    """A branch with a plan of its own and code that fails."""
    world.branch(name)
    world.write("tallystick.toml", WEAK_PLAN)
    world.write("code.txt", BAD)
    world.commit()
    world.push(name)


def test_control_an_honest_base(world: World, row: Row) -> None:
    weaken(world)
    row("GitHub, pull_request", AUTHOR, "weakens the plan",
        "the base's plan is in force", world.github().check_and_gate(), 1)  # fmt: skip


@pytest.mark.parametrize("named", ["", "trunk", "origin/trunk"])
def test_another_default_branch_than_main(tmp_path: Path, row: Row, named: str) -> None:
    plan = PLAN + (f'base = "{named}"\n' if named else "")
    world = World(tmp_path / "world", "trunk", plan)
    weaken(world)
    done = world.github().check_and_gate()
    if not named:
        row("GitHub, pull_request", AUTHOR, "weakens the plan in a repository whose default branch is `trunk`",
            SAYS, done, 1)  # fmt: skip
    assert not done.opened


def test_another_default_branch_on_gitlab(tmp_path: Path, row: Row) -> None:
    world = World(tmp_path / "world", "trunk")
    weaken(world)
    row("GitLab, the template", AUTHOR, "weakens the plan in a repository whose default branch is `trunk`",
        "the template fetches `CI_DEFAULT_BRANCH`, which is the base", world.gitlab().template(), 1)  # fmt: skip


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/HEAD", "refs/heads/master", "refs/tags/trunk",
                                 "refs/tags/origin/trunk", "refs/heads/origin/trunk"])  # fmt: skip
def test_refs_that_anybody_may_push(tmp_path: Path, row: Row, ref: str) -> None:
    world = World(tmp_path / "world", "trunk", PLAN + 'base = "trunk"\n')
    weaken(world)
    world.push(f"evil:{ref}")
    done = world.github().check_and_gate()
    row("GitHub, pull_request", PUSHER, f"pushes `{ref}`", SAYS, done, 1)
    at_home = world.folder / "at-home"
    world.git("clone", "-q", "-b", "evil", world.origin, at_home, cwd=world.folder)
    assert world.notch("check", "evil", cwd=at_home).code == 1, "a clone knows the default branch"


def test_a_branch_named_head_at_home(world: World) -> None:
    """`refs/remotes/origin/HEAD` that is a branch's own and no symbolic ref says nothing about the default branch."""
    weaken(world)
    world.push("evil:refs/heads/HEAD")
    tree = world.folder / "tree"
    world.git("init", "-q", tree, cwd=world.folder)
    world.git("remote", "add", "origin", world.origin, cwd=tree)
    world.git("fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*", cwd=tree)
    world.git("checkout", "-q", "-b", "evil", "refs/remotes/origin/evil", cwd=tree)
    assert world.notch("check", "evil", cwd=tree).code == 1


def test_a_pull_request_into_a_branch_of_his_own(world: World, row: Row) -> None:
    weaken(world, "mine")
    world.branch("evil")
    world.commit()
    world.push("evil")
    row("GitHub, pull_request", PUSHER, "opens it into an unprotected branch whose plan asks for nothing",
        "a branch that `[gate] base` does not list is judged by the default one",
        world.github(target="mine").check_and_gate(), 1)  # fmt: skip


def test_a_target_that_the_change_itself_calls_protected(world: World, row: Row) -> None:
    world.branch("mine")
    world.write("tallystick.toml", WEAK_PLAN + '[gate]\nbase = ["mine", "main"]\n')
    world.write("code.txt", BAD)
    world.commit()
    world.push("mine")
    world.branch("evil")
    world.commit()
    world.push("evil")
    row("GitHub, pull_request", PUSHER, "lists his own branch in `[gate] base` of his own plan",
        "`[gate]` is read from the default branch alone", world.github(target="mine").check_and_gate(), 1)  # fmt: skip


def test_the_event_does_not_say_which_branch_is_the_default(world: World, row: Row) -> None:
    weaken(world)
    done = world.github(default="").check_and_gate()
    row("any", AUTHOR, "weakens the plan where nothing names the default branch",
        "a base that is not known opens nothing", done, 2)  # fmt: skip
    assert "--base" in done.said
    assert world.github(default="", folder="again").check_and_gate("evil", "--base", "main").code == 1


@pytest.mark.parametrize("system", [
    {"JENKINS_URL": "https://j", "BUILD_TAG": "jenkins-x-1", "CHANGE_TARGET": "mine"},
    {"TF_BUILD": "True", "BUILD_BUILDID": "1", "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/mine"},
    {"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_PR_DESTINATION_BRANCH": "mine"},
    {"BUILDKITE_BUILD_ID": "1", "BUILDKITE_PULL_REQUEST": "4", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "mine"},
    {"CIRCLE_WORKFLOW_ID": "1"},
    {"CI": "woodpecker", "CI_PIPELINE_NUMBER": "1", "CI_PIPELINE_EVENT": "pull_request",
     "CI_COMMIT_TARGET_BRANCH": "mine"},
    {"TALLYSTICK_CI": "1"},
], ids=["jenkins", "azure", "bitbucket", "buildkite", "circleci", "woodpecker", "other"])  # fmt: skip
def test_systems_that_name_no_default_branch(world: World, system: dict[str, str]) -> None:
    weaken(world, "mine")
    job = world.github("mine")
    job.env = {
        name: value for name, value in job.env.items() if not name.startswith("GITHUB_") and name != "CI"
    } | system
    done = job.check_and_gate("mine")
    assert (done.code, "nothing here says which branch is the default one" in done.said) == (2, True), done.said
    assert job.check_and_gate("mine", "--base", "main").code == 1
    assert job.check_and_gate("mine", TALLYSTICK_BASE="main").code == 1


def test_the_base_was_not_fetched(world: World, row: Row) -> None:
    weaken(world)
    job = world.github()
    world.git("update-ref", "-d", "refs/remotes/origin/main", cwd=job.tree)
    done = job.check_and_gate()
    row("GitHub, pull_request", AUTHOR, "weakens the plan where the checkout lacks the default branch",
        "a base that is not here opens nothing", done, 2)  # fmt: skip
    assert "git fetch origin" in done.said
    assert job.notch("gate", "evil", "--allow-no-plan-on-base", "--trust-recorded").code == 2, "no option opens it"


def test_a_base_without_a_plan(tmp_path: Path, row: Row) -> None:
    world = World(tmp_path / "world", base=False)
    world.write("README", "no plan yet\n")
    world.commit("Base")
    world.push("main")
    weaken(world)
    job = world.github()
    row("GitHub, pull_request", AUTHOR, "brings a plan where the base has none",
        "nothing but the change would say what to show", job.check_and_gate(), 2)  # fmt: skip
    done = job.check_and_gate("evil", "--allow-no-plan-on-base")
    assert done.code == 0
    assert "advisory: no base yet" in done.said


def test_the_ref_that_is_named_is_a_tag(world: World) -> None:
    weaken(world)
    world.push("evil:refs/tags/release")
    for named in ("release", "refs/tags/release"):
        assert world.github(folder=named.replace("/", "-")).check_and_gate("evil", "--base", named).code == 2


@pytest.mark.parametrize("event", ["push", "schedule", "workflow_dispatch", "merge_group", "pull_request_target"])
def test_other_events(world: World, event: str) -> None:
    weaken(world)
    job = world.github(event=event)
    if event == "schedule":  # which runs on the default branch; its event names no repository
        (job.temp / "event.json").write_text("{}")
        job.env["GITHUB_REF"] = "refs/heads/main"
    assert job.check_and_gate().code == 1


def test_an_old_base_whose_key_was_revoked_since(world: World, row: Row) -> None:
    """The branch begins before main revoked a stolen key, and the thief approves with it."""
    world.notch("record", "-t", "x", "--type", "note")
    assert world.notch("key", "new").code == 0
    key = world.notch("key", "show").out.strip()
    world.write("tallystick.toml", f'{PLAN}[keys.boss]\npublic = "{key}"\nroles = ["approve"]\n')
    world.commit("Trust boss")
    world.push("main")
    world.branch()
    world.write("tallystick.toml", WEAK_PLAN + f'[keys.boss]\npublic = "{key}"\nroles = ["approve"]\n')
    world.write("code.txt", BAD)
    world.commit()
    world.push("evil")
    world.git("checkout", "-q", "main")
    world.write("tallystick.toml", PLAN)
    world.commit("Revoke the stolen key")
    world.push("main")
    world.git("checkout", "-q", "evil")
    world.notch("approve", "evil", "--reason", "stolen")
    done = world.notch("check", "evil")
    row("at home and in CI", "thief of a revoked key", "approves on a branch that is older than the revocation",
        "`[keys]` are those of the base's newest commit", done, 1)  # fmt: skip


def test_a_criterion_that_the_base_added_since_is_asked_for(world: World) -> None:
    world.branch()
    world.commit()
    world.push("evil")
    world.git("checkout", "-q", "main")
    world.write("tallystick.toml", f'{PLAN}[criteria.licences]\nrun = "test -e LICENCE"\n')
    world.commit("Ask for a licence")
    world.push("main")
    done = world.github().check_and_gate()
    assert (done.code, "licences" in done.said, "weakened" in done.said) == (1, True, False), done.said


def test_what_the_base_changed_since_is_not_called_weakened(world: World) -> None:
    """The branch did not touch the plan; it is asked as the base has it now, and nothing else is held against it."""
    world.branch()
    world.write("README", "a change\n")
    world.commit()
    world.push("evil")
    world.git("checkout", "-q", "main")
    world.write("tallystick.toml", PLAN.replace("sh test.sh", "sh test.sh && true"))
    world.commit("Change the command")
    world.push("main")
    done = world.github().check_and_gate()
    assert (done.code, "weakened" in done.said) == (0, False), done.said


def test_merges_crosswise_leave_no_choice_of_the_base(world: World, row: Row) -> None:
    """main merged a side branch with the weak test beside the commit that made it strong; the author merges both."""
    world.branch("side")
    world.write("side.txt", "x\n")
    side = world.commit("Side")
    world.git("checkout", "-q", "main")
    world.write("test.sh", "grep -q good code.txt && test -e strong\n")
    world.write("strong", "x\n")
    strong = world.commit("Strengthen")
    world.git("merge", "-q", "--no-edit", side)
    world.push("main")
    world.branch("evil", side)
    world.git("merge", "-q", "-s", "ours", "--no-edit", strong)
    world.commit()
    world.push("evil")
    row("GitLab, the template", PUSHER, "merges crosswise, so that a merge base of his choice has the weaker test",
        "of several merge bases none counts: the base's newest commit does", world.gitlab().template(), 1)  # fmt: skip


def test_a_branch_of_origin_that_is_called_like_another_remote(world: World) -> None:
    weaken(world)
    world.push("evil:refs/heads/upstream/main")
    done = world.github().check_and_gate("evil", "--base", "refs/remotes/upstream/main")
    assert (done.code, "is not here" in done.said) == (2, True), done.said


def test_a_test_that_moves_the_base(world: World, row: Row) -> None:
    """The check judges by the base that it began with, whatever the commands it ran did to refs and event."""
    world.branch()
    world.write("code.txt", BAD)
    world.write("test.sh", "git update-ref refs/remotes/origin/main HEAD; echo '{}' > \"$GITHUB_EVENT_PATH\"\n")
    world.commit()
    world.push("evil")
    done = world.github().notch("check", "evil")
    row("GitHub, pull_request", AUTHOR, "has a test move the ref of the base to his own commit",
        "a check judges by the base that it began with", done, 1)  # fmt: skip


def test_what_the_base_changed_in_protected_files_is_told(world: World) -> None:
    world.branch("work")
    world.write("README", "x\n")
    world.commit()
    world.push("work")
    world.git("checkout", "-q", "main")
    world.write("test.sh", "grep -q good code.txt && true\n")
    world.commit()
    world.push("main")
    done = world.github("work").check_and_gate("work")
    assert (done.code, "the base changed protected files since: test.sh" in done.said) == (0, True), done.said


def test_what_a_change_asks_of_others_is_told(tmp_path: Path) -> None:
    """`[gate]` and `[keys]` of a change judge nobody before the merge, and everybody after it."""
    world = World(tmp_path / "world", plan='[criteria.tests]\nrun = "sh test.sh"\n[gate]\nprotect = ["test.sh"]\n')
    world.notch("record", "-t", "x", "--type", "note")
    world.notch("key", "new")
    key = world.notch("key", "show").out.strip()
    world.branch()
    plan = '[criteria.tests]\nrun = "sh test.sh"\n[keys.me]\npublic = "{}"\nroles = ["attest", "approve"]\n'
    world.write("tallystick.toml", plan.format(key))
    world.commit()
    world.push("evil")
    done = world.github().check_and_gate()
    assert "once merged, this change asks less of others: [gate], [keys] me" in done.said
