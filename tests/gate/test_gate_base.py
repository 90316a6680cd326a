"""The base: which branch is the protected one, where it stands, and which plan is on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick.errors import InputError, PlanError
from tallystick.gate import base, refs
from tallystick.gate.base import Base, PendingBase
from tallystick.gate.plan import read_plan
from tallystick.gate.refs import read_refs
from tallystick.workspace import Workspace

PLAN = '[criteria.tests]\nrun = "make test"\n'
OTHER = '[criteria.tests]\nrun = "make other"\n'


def found(repo: GitRepo) -> Base:
    """The base for what is checked out."""
    workspace = Workspace.find(str(repo.root))
    with workspace.snapshot() as snapshot:
        data = snapshot.read("tallystick.toml")
        changed = "tallystick.toml" in snapshot.own_changes or data is None
        plan = None if data is None else read_plan(data)
        return PendingBase(workspace).result(snapshot.commit, plan, data, changed=changed)


def asked(repo: GitRepo) -> dict[str, tuple[str, str]]:
    """What git itself says of the refs."""
    printed = repo.git("for-each-ref", "--format=%(refname) %(objectname) %(symref)", *base._DEFAULTS)
    return {name: (oid, target) for name, oid, target in (line.split(" ") for line in printed.splitlines())}


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write("tallystick.toml", PLAN)
    git_repo.commit("First")
    return git_repo


def test_refs_are_what_git_says(repo: GitRepo, tmp_path: Path) -> None:
    assert read_refs(str(repo.root / ".git"), base._DEFAULTS) == asked(repo) == {"refs/heads/main": (repo.head(), "")}
    repo.git("checkout", "-q", "-b", "work")
    clone = repo.clone(tmp_path / "clone")
    for _ in range(2):
        here = asked(clone)
        assert set(here) == {"refs/remotes/origin/HEAD", "refs/remotes/origin/main"}
        assert here["refs/remotes/origin/HEAD"][1] == "refs/remotes/origin/work"
        assert read_refs(str(clone.root / ".git"), base._DEFAULTS) == here
        clone.git("pack-refs", "--all")
    repo.commit("More")
    clone.git("fetch", "-q")
    assert read_refs(str(clone.root / ".git"), base._DEFAULTS) == asked(clone)


def test_what_is_unusual_is_left_to_git(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    git_dir = repo.root / ".git"
    main = git_dir / "refs/heads/main"
    kept = main.read_text()
    for strange in ("ref: ../../secret", "ref: refs/../x", "not an id", "\xff"):
        main.write_bytes(strange.encode("latin-1") + b"\n")
        assert read_refs(str(git_dir), base._DEFAULTS) is None
    main.write_text(kept)
    (git_dir / "reftable").mkdir()
    assert read_refs(str(git_dir), base._DEFAULTS) is None
    assert found(repo).branch == "refs/heads/main"
    (git_dir / "reftable").rmdir()
    repo.git("pack-refs", "--all")
    monkeypatch.setattr(refs, "PACKED_LIMIT", 10)
    assert read_refs(str(git_dir), base._DEFAULTS) is None
    assert found(repo).commit == repo.head()


def test_the_base_is_where_the_branch_left_the_protected_one(repo: GitRepo) -> None:
    first = repo.head()
    repo.git("checkout", "-q", "-b", "work")
    repo.write("tallystick.toml", OTHER)
    repo.commit("Weaken")
    here = found(repo)
    assert (here.commit, here.branch, here.word, here.tasks) == (first, "refs/heads/main", "", ("main",))
    assert here.plan == read_plan(PLAN.encode())
    repo.git("checkout", "-q", "main")
    repo.commit("Meanwhile")
    repo.git("checkout", "-q", "work")
    assert found(repo).commit == first


def test_the_remote_s_branch_comes_before_the_local_one(repo: GitRepo, tmp_path: Path) -> None:
    clone = repo.clone(tmp_path / "clone")
    clone.write("tallystick.toml", OTHER)
    clone.commit("Only here")
    here = found(clone)
    assert (here.commit, here.branch, here.tasks) == (repo.head(), "refs/remotes/origin/main", ("main",))
    assert here.plan == read_plan(PLAN.encode())


@pytest.mark.parametrize(
    ("named", "branch"),
    [
        ("release", "refs/remotes/origin/release"),
        ("origin/release", "refs/remotes/origin/release"),
        ("local", "refs/heads/local"),
        ("refs/heads/release", "refs/heads/release"),
    ],
)
def test_a_branch_that_the_plan_names(repo: GitRepo, tmp_path: Path, named: str, branch: str) -> None:
    repo.write("tallystick.toml", PLAN + f'[gate]\nbase = "{named}"\n')
    repo.commit("Name it")
    repo.git("branch", "release")
    repo.git("branch", "local")
    repo.git("tag", "origin/release")
    repo.git("update-ref", "refs/remotes/origin/release", "HEAD")
    release = repo.head()
    repo.commit("After it")
    here = found(repo)
    assert (here.commit, here.branch, here.tasks) == (release, branch, (branch.rsplit("/", 1)[1],))


@pytest.mark.parametrize("named", ["main", "refs/heads/main"])
def test_naming_the_default_branch_changes_nothing(repo: GitRepo, named: str) -> None:
    repo.write("tallystick.toml", PLAN + f'[gate]\nbase = "{named}"\n')
    repo.commit("Name it")
    repo.git("checkout", "-q", "-b", "work")
    repo.commit("After it")
    assert found(repo).branch == "refs/heads/main"


def test_a_branch_that_is_not_here_is_told(repo: GitRepo) -> None:
    repo.write("tallystick.toml", PLAN + '[gate]\nbase = "origin/nowhere"\n')
    repo.commit("Name it")
    with pytest.raises(InputError, match="'origin/nowhere' is not here"):
        found(repo)


def test_what_has_no_protected_branch_says_so(repo: GitRepo) -> None:
    repo.git("branch", "-m", "trunk")
    here = found(repo)
    assert (here.commit, here.branch) == (repo.head(), "")
    assert here.word.startswith("no protected branch is here")


def test_before_the_first_commit_and_outside_git_there_is_no_base(tmp_path: Path) -> None:
    empty = GitRepo.create(tmp_path / "empty")
    empty.write("tallystick.toml", PLAN)
    assert found(empty) == Base()
    plain = GitRepo(tmp_path / "plain")
    plain.root.mkdir()
    plain.write("tallystick.toml", PLAN)
    assert found(plain) == Base()


def test_histories_without_a_commit_in_common(repo: GitRepo) -> None:
    main = repo.head()
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit("Of its own")
    here = found(repo)
    assert here.commit == main
    assert here.word.startswith("no commit in common with refs/heads/main is here")


def test_a_plan_on_the_base_that_cannot_be_read_is_told(repo: GitRepo) -> None:
    repo.write("tallystick.toml", "[criteria.tests]\nrun = 3\n")
    broken = repo.commit("Break it")
    repo.git("checkout", "-q", "-b", "work")
    repo.write("tallystick.toml", PLAN)
    repo.commit("Mend it")
    with pytest.raises(PlanError, match=f"of {broken[:12]}"):
        found(repo)
