"""A change that brings its own evidence: ledgers that git tracks, links, caches of earlier runs, bundles."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from attack_world import BAD, NOTCH, World

Row = Callable[..., None]
AUTHOR = "author of a pull request"


@pytest.fixture
def forged(world: World) -> World:
    """The branch `evil` breaks the code, and its author has a ledger that says that the tests pass on it."""
    world.branch()
    world.write("code.txt", BAD)
    world.commit()
    world.forge()
    return world


def pushed(world: World, *forced: str) -> None:
    for path in forced:
        world.commit("Add a cache", force=path)
    world.push("evil")


def test_a_committed_ledger_at_home_is_refused_as_well(forged: World) -> None:
    """The reviewer who checks the branch out is no CI, and meets the forged ledger in its usual place."""
    pushed(forged, ".tallystick/ledger.db")
    reviewer = forged.folder / "reviewer"
    forged.git("clone", "-q", "-b", "evil", forged.origin, reviewer, cwd=forged.folder)
    for command in ("gate", "check", "why tests", "handoff", "attest", "approve", "record --type note", "run -- true"):
        done = forged.notch(*command.split(" "), cwd=reviewer)
        assert done.code in (2, 125), (command, done.said)
        assert "git tracks '.tallystick/ledger.db'" in done.said, command
        assert "git -C" in done.said
        assert "rm --cached" in done.said
    for command in ("log", "show evil 1", "verify", "export evil", "status", "tasks"):
        assert forged.notch(*command.split(" "), cwd=reviewer).code == 0, command


def test_a_committed_ledger(forged: World, row: Row) -> None:
    pushed(forged, ".tallystick/ledger.db")
    done = forged.github().check_and_gate()
    row("GitHub, pull_request", AUTHOR, "commits `.tallystick/ledger.db`, which says that all passed",
        "CI uses a ledger that no commit can bring, and runs what is missing", done, 1)  # fmt: skip


def test_a_committed_ledger_and_the_action(forged: World, row: Row) -> None:
    pushed(forged, ".tallystick/ledger.db")
    job = forged.github()
    done = job.action()
    assert job.told["verdict"] == "shut"
    row("GitHub, the action", AUTHOR, "commits `.tallystick/ledger.db`",
        "the action's ledger lies outside the checkout", done, 1)  # fmt: skip


def test_a_committed_ledger_that_only_judging_meets(forged: World, row: Row) -> None:
    pushed(forged, ".tallystick/ledger.db")
    done = forged.github().action(NOTCH_CHECK="false")
    row("GitHub, the action, `check: false`", AUTHOR, "commits `.tallystick/ledger.db`",
        "the action's ledger lies outside the checkout", done, 1)  # fmt: skip


def test_a_committed_ledger_and_the_template(forged: World, row: Row) -> None:
    pushed(forged, ".tallystick/ledger.db")
    row("GitLab, the template", AUTHOR, "commits `.tallystick/ledger.db`",
        "the template's ledger lies outside the checkout", forged.gitlab().template(), 1)  # fmt: skip


def test_a_committed_artifact(forged: World, row: Row) -> None:
    """Where the template keeps what its first job saw, for the second one to take up."""
    shutil.copytree(forged.work / ".tallystick", forged.work / "tallystick-evidence")
    pushed(forged, "tallystick-evidence/ledger.db")
    done = forged.gitlab().template("notch-gate")
    row("GitLab, the template", AUTHOR, "commits `tallystick-evidence/ledger.db`, for the second job to take up",
        "the template refuses files there that git tracks", done, 2)  # fmt: skip


def test_a_ledger_of_the_checkout_that_the_workflow_names(forged: World, row: Row) -> None:
    shutil.copy(forged.work / ".tallystick/ledger.db", forged.work / "cache.db")
    pushed(forged, "cache.db")
    job = forged.github()
    done = job.notch("gate", "evil", TALLYSTICK_LEDGER=str(job.tree / "cache.db"))
    row("GitHub, pull_request", AUTHOR, "commits the file that `TALLYSTICK_LEDGER` names",
        "a ledger that git tracks judges nothing", done, 2)  # fmt: skip


def test_an_untracked_ledger_in_the_checkout(forged: World, row: Row) -> None:
    """Unpacked by a step that takes what the change brings, for example."""
    pushed(forged)
    job = forged.github()
    shutil.copy(forged.work / ".tallystick/ledger.db", job.tree / "cache.db")
    done = job.notch("gate", "evil", TALLYSTICK_LEDGER=str(job.tree / "cache.db"))
    assert "lies in the checkout" in done.said
    row("GitHub, pull_request", AUTHOR, "has a step unpack a ledger into the checkout",
        "what lies in the checkout counts as claimed", done, 1)  # fmt: skip


def test_a_ledger_in_the_commit_that_the_index_lost(forged: World) -> None:
    pushed(forged, ".tallystick/ledger.db")
    reviewer = forged.folder / "reviewer"
    forged.git("clone", "-q", "-b", "evil", forged.origin, reviewer, cwd=forged.folder)
    forged.git("rm", "-q", "--cached", "-r", ".tallystick", cwd=reviewer)
    for command in ("gate", "check", "run -- true"):
        done = forged.notch(*command.split(" "), cwd=reviewer)
        assert (done.code, "git tracks" in done.said) == (2, True), (command, done.said)


def test_a_side_file_alone(forged: World, row: Row) -> None:
    forged.write(".tallystick/ledger.db-wal", "crafted")
    pushed(forged, ".tallystick/ledger.db-wal")
    reviewer = forged.folder / "reviewer"
    forged.git("clone", "-q", "-b", "evil", forged.origin, reviewer, cwd=forged.folder)
    done = forged.notch("check", cwd=reviewer)
    row("at home", AUTHOR, "commits `.tallystick/ledger.db-wal` alone",
        "files beside a ledger that git tracks are refused as well", done, 2)  # fmt: skip


def test_a_ledger_in_a_submodule_s_work_tree(forged: World) -> None:
    """The submodule's own index tracks it, not the superproject's."""
    super_ = forged.folder / "super"
    pushed(forged, ".tallystick/ledger.db")
    forged.git("init", "-q", "-b", "main", super_, cwd=forged.folder)
    forged.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "-q", "-b", "evil", forged.origin, "sub", cwd=super_
    )
    done = forged.notch("gate", "evil", cwd=super_ / "sub")
    assert done.code == 2, done.said
    assert "git tracks" in done.said


@pytest.mark.parametrize("run", ["6", "8"])
def test_a_cache_of_another_pipeline_run(forged: World, row: Row, run: str) -> None:
    """An earlier run of the pull request cached a ledger in which its code, then run, wrote whatever it liked."""
    pushed(forged)
    earlier = forged.github(run=run, folder=f"ci-{run}")
    cache = forged.folder / "cache.db"
    earlier.notch("check", "evil", TALLYSTICK_LEDGER=str(cache), **forged.forged_path())
    job = forged.github()
    done = job.notch("gate", "evil", TALLYSTICK_LEDGER=str(cache))
    assert "was recorded by another CI run" in done.said
    row("GitHub, pull_request", AUTHOR, f"has run {run} cache evidence that run 7 restores",
        "only what this pipeline run recorded counts", done, 1)  # fmt: skip
    assert job.notch("check", "evil", TALLYSTICK_LEDGER=str(cache)).code == 1, "it is run, and fails"


def test_a_cache_of_an_earlier_attempt(forged: World) -> None:
    pushed(forged)
    cache = forged.folder / "cache.db"
    forged.github(folder="first").notch("check", "evil", TALLYSTICK_LEDGER=str(cache), **forged.forged_path())
    done = forged.github(attempt="2").notch("gate", "evil", TALLYSTICK_LEDGER=str(cache))
    assert (done.code, "another attempt of this CI run" in done.said) == (1, True), done.said


def test_a_ledger_of_home_in_the_place_that_ci_uses(forged: World, row: Row) -> None:
    pushed(forged)
    cache = forged.folder / "cache.db"
    shutil.copy(forged.work / ".tallystick/ledger.db", cache)
    done = forged.github().notch("gate", "evil", TALLYSTICK_LEDGER=str(cache))
    assert "was not recorded by a CI run" in done.said
    row("GitHub, pull_request", AUTHOR, "gets a laptop's ledger restored for CI's own",
        "only what this pipeline run recorded counts", done, 1)  # fmt: skip


def test_what_trusting_the_ledger_does_is_said(forged: World) -> None:
    """The workflow may take a ledger for its own; the verdict says so, and a failure on this content still counts."""
    pushed(forged)
    cache = forged.folder / "cache.db"
    shutil.copy(forged.work / ".tallystick/ledger.db", cache)
    done = forged.github().notch("gate", "evil", "--trust-recorded", TALLYSTICK_LEDGER=str(cache))
    assert done.code == 0
    assert "advisory: --trust-recorded: every run in the ledger counts" in done.said


@pytest.mark.parametrize("place", ["folder", "ledger", "dangling", "lock", "wal"])
def test_links(world: World, place: str, row: Row) -> None:
    """A repository that brings `.tallystick`, or files in it, as links to what the user has elsewhere."""
    victim = World(world.folder / "victim")
    assert victim.notch("record", "-t", "secret", "--type", "note", "--reason", "acquisition").code == 0
    notes = world.folder / "notes"
    notes.write_text("my notes\n")
    folder = world.work / ".tallystick"
    if place == "folder":
        folder.symlink_to(victim.work / ".tallystick")
    else:
        folder.mkdir()
        (folder / ".gitignore").write_text("!*\n")
        (folder / "ledger.db").touch() if place in ("lock", "wal") else None
        name, target = {
            "ledger": ("ledger.db", victim.work / ".tallystick/ledger.db"),
            "dangling": ("ledger.db", world.folder / "made"),
            "lock": ("ledger.db-lock", notes),
            "wal": ("ledger.db-wal", notes),
        }[place]
        (folder / name).symlink_to(target)
    world.commit("Add links", force=".tallystick")
    world.push("main")
    clone = world.folder / "clone"
    world.git("clone", "-q", world.origin, clone, cwd=world.folder)
    for command in ("check -q", "record --type note", "gate", f"backup {world.folder}/artifact.db"):
        done = world.notch(*command.split(" "), cwd=clone)
        assert done.code == 2, (command, done.said)
    assert notes.read_text() == "my notes\n"
    assert not (world.folder / "made").exists()
    assert not (world.folder / "artifact.db").exists()
    assert [path.name for path in (victim.work / ".tallystick").iterdir() if path.name == ".gitignore"] == [
        ".gitignore"
    ]
    assert "secret" in victim.notch("tasks").out
    assert "1" in victim.notch("log", "secret").out
    if place == "folder":
        row("at home", "a hostile repository", "brings `.tallystick` as a link to another project's",
            "nothing is recorded or judged through a link", done, 2)  # fmt: skip


def test_a_link_in_ci(world: World) -> None:
    victim = World(world.folder / "victim")
    victim.notch("record", "-t", "secret", "--type", "note")
    (world.work / ".tallystick").symlink_to(victim.work / ".tallystick")
    world.branch()
    world.commit("Add links", force=".tallystick")
    world.push("evil")
    job = world.github()
    assert job.check_and_gate().code == 0, "CI's own ledger is used, and the tests pass"
    assert "evil" not in victim.notch("tasks").out


def test_a_folder_above_the_repository(world: World, row: Row) -> None:
    """A ledger planted above, in a shared folder, is not found from below."""
    world.branch()
    world.write("code.txt", BAD)
    world.commit()
    world.forge()
    above = world.folder / "shared"
    clone = above / "clone"
    world.git("clone", "-q", world.work, clone, cwd=world.folder)
    shutil.move(world.work / ".tallystick", above / ".tallystick")
    done = world.notch("gate", "evil", cwd=clone)
    row("at home", "somebody who can write above the repository", "plants a ledger in a folder above",
        "the search ends at the top of the work tree", done, 1)  # fmt: skip


def test_two_repositories_below_a_folder_with_a_ledger_keep_apart(world: World) -> None:
    other = World(world.folder / "other")
    assert world.run(NOTCH, "record", "-t", "t", "--type", "note", cwd=world.folder).code == 0
    for one in (world, other):
        assert one.notch("check", "-q").code == 0
        assert (one.work / ".tallystick/ledger.db").exists()


def test_a_bundle_that_anybody_made(forged: World, row: Row) -> None:
    bundle = forged.folder / "evidence.bundle"
    assert forged.notch("export", "evil", "--format", "bundle", "-o", bundle).code == 0
    pushed(forged)
    done = forged.github().notch("--ledger", bundle, "gate", "evil")
    row("GitHub, pull_request", AUTHOR, "has a bundle judged that he made himself",
        "a bundle that no trusted key signed is claimed", done, 1)  # fmt: skip
    at_home = forged.notch("--ledger", bundle, "gate", "evil")
    assert at_home.code == 1
    assert "advisory: the evidence is a bundle that no trusted key signed" in at_home.said


def test_a_bundle_signed_by_a_stranger(forged: World, tmp_path: Path) -> None:
    assert forged.notch("key", "new").code == 0
    assert forged.notch("checkpoint").code == 0
    key = forged.notch("key", "show").out.strip()
    bundle = forged.folder / "evidence.bundle"
    assert forged.notch("export", "evil", "--format", "bundle", "-o", bundle).code == 0
    assert forged.notch("--ledger", bundle, "gate", "evil").code == 1, "the base trusts no key"
    assert forged.notch("--ledger", bundle, "gate", "evil", "--key", key).code == 0, "the caller does"
    stranger = World(tmp_path / "stranger")
    stranger.notch("record", "-t", "x", "--type", "note")
    stranger.notch("key", "new")
    other = stranger.notch("key", "show").out.strip()
    assert forged.notch("--ledger", bundle, "gate", "evil", "--key", other).code == 1


def test_a_file_that_a_criterion_of_the_change_leaves_where_the_base_protects(tmp_path: Path, row: Row) -> None:
    """The first job runs it before the tests, which then pass; the second one's checkout lacks it."""
    plan = '[criteria.tests]\nrun = "sh test.sh"\n[gate]\nprotect = ["test.sh", "lib/**", "tallystick.toml"]\n'
    world = World(tmp_path / "world", plan=plan)
    world.write("test.sh", "check() { grep -q good code.txt; }\n[ ! -e lib/local.sh ] || . lib/local.sh\ncheck\n")
    world.write("lib/x", "x\n")
    world.commit()
    world.push("main")
    world.branch()
    world.write("code.txt", BAD)
    run = "echo 'check() { true; }' > lib/local.sh"
    world.write("tallystick.toml", f'{plan}[criteria.aaa]\nphase = "first"\nrun = "{run}"\n')
    world.commit()
    world.push("evil")
    first = world.github(folder="first")
    first.action(NOTCH_GATE="false")
    second = world.github(folder="second")
    shutil.copytree(first.told["evidence"], second.temp / "check")
    done = second.action(NOTCH_CHECK="false", NOTCH_LEDGER=str(second.temp / "check"))
    row("GitHub, the action in two jobs", AUTHOR, "adds a criterion that leaves a file in a protected folder",
        "what lies in a protected place is an input, whoever left it", done, 1)  # fmt: skip


def test_a_tracked_file_beside_the_ledger_is_content(world: World, row: Row) -> None:
    world.write(".tallystick/lib.sh", "true\n")
    world.write("test.sh", ". ./.tallystick/lib.sh\n")
    world.commit("Share", force=".tallystick/lib.sh")
    world.push("main")
    world.branch()
    world.commit()
    assert world.notch("check", "evil").code == 0
    world.write(".tallystick/lib.sh", "false\n")
    world.commit("Break it", force=".tallystick/lib.sh")
    done = world.notch("gate", "evil")
    row("at home", AUTHOR, "commits code below `.tallystick`", "all that a commit brings is content", done, 1)


def test_a_plan_of_another_user_above(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder of another user")
    world = World(tmp_path / "world")
    shared = tmp_path / "shared"
    below = shared / "below"
    below.mkdir(parents=True)
    (shared / "tallystick.toml").write_text(f'[criteria.x]\nrun = "touch {tmp_path}/pwned"\n')
    for place in (shared, shared / "tallystick.toml"):
        os.chown(place, 65534, 65534)
    world.run(NOTCH, "check", "t", cwd=below)
    assert not (tmp_path / "pwned").exists()
