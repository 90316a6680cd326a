"""Where a ledger is looked for, and where one is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.namespace import let_everybody_in, run_as_nobody
from support.repository import GitRepo
from tallystick import Entry, InputError, Ledger, NotFoundError, StoreUnavailableError
from tallystick.location import (
    current_branch,
    find_ledger,
    git_directories,
    place_for_new,
    prepare_folder,
    sqlite_path,
    work_tree_root,
)


def ledger_in(folder: Path) -> str:
    """Make a ledger in the folder's `.tallystick`; its path."""
    path = folder / ".tallystick" / "ledger.db"
    path.parent.mkdir(parents=True)
    Ledger.open(str(path)).close()
    return str(path)


def found(start: Path, **environ: str) -> str | None:
    return find_ledger(str(start), environ)


@pytest.fixture
def linked(git_repo: GitRepo, tmp_path: Path) -> GitRepo:
    """A work tree linked to `git_repo`, beside it."""
    git_repo.write("below/file", "x")
    git_repo.commit("First")
    git_repo.git("worktree", "add", "-q", tmp_path / "linked", "-b", "topic")
    return GitRepo(tmp_path / "linked")


# --- looking


def test_the_variable_decides(tmp_path: Path) -> None:
    ledger_in(tmp_path)
    assert found(tmp_path, TALLYSTICK_LEDGER="postgresql://host/db") == "postgresql://host/db"
    assert found(tmp_path, TALLYSTICK_LEDGER="/nowhere/at all") == "/nowhere/at all"
    assert found(tmp_path, TALLYSTICK_LEDGER="") == str(tmp_path / ".tallystick/ledger.db")


def test_the_nearest_folder_that_has_one(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    assert found(deep) is None
    outer = ledger_in(tmp_path)
    assert found(deep) == found(tmp_path / "a") == found(tmp_path) == outer
    inner = ledger_in(tmp_path / "a" / "b")
    assert found(deep) == found(tmp_path / "a" / "b") == inner
    assert found(tmp_path / "a") == outer


def test_a_folder_alone_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / ".tallystick" / "ledger.db").mkdir(parents=True)
    assert found(tmp_path) is None


def test_a_repository_is_looked_through(git_repo: GitRepo) -> None:
    path = ledger_in(git_repo.root)
    git_repo.write("a/b/file")
    assert found(git_repo.root / "a" / "b") == path


def test_a_linked_work_tree_uses_the_main_ones(git_repo: GitRepo, linked: GitRepo) -> None:
    assert found(linked.root) is None
    path = ledger_in(git_repo.root)
    assert found(linked.root) == found(linked.root / "below") == path


def test_a_linked_work_tree_that_has_its_own_keeps_to_it(git_repo: GitRepo, linked: GitRepo) -> None:
    ledger_in(git_repo.root)
    own = ledger_in(linked.root)
    assert found(linked.root / "below") == own


def test_a_submodule_is_a_work_tree_of_its_own(git_repo: GitRepo, tmp_path: Path) -> None:
    other = GitRepo.create(tmp_path / "other")
    other.write("x", "x")
    other.commit("First")
    git_repo.git("submodule", "add", "-q", other.root, "sub")
    assert work_tree_root(str(git_repo.root / "sub")) == str(git_repo.root / "sub")
    home = git_repo.root / ".git/modules/sub/tallystick/ledger.db"
    assert place_for_new(str(git_repo.root / "sub"), {}) == (str(home), "")
    ledger_in(git_repo.root)
    assert found(git_repo.root / "sub") is None, "the search ends at the top of the work tree"
    home.parent.mkdir()
    home.touch()
    assert found(git_repo.root / "sub") == str(home)


# --- making


def test_one_is_made_at_the_root_of_the_work_tree(git_repo: GitRepo) -> None:
    git_repo.write("a/b/file")
    expected = (str(git_repo.root / ".tallystick/ledger.db"), "")
    assert place_for_new(str(git_repo.root / "a" / "b"), {}) == place_for_new(str(git_repo.root), {}) == expected


def test_outside_git_it_is_made_where_one_stands(tmp_path: Path) -> None:
    assert place_for_new(str(tmp_path), {}) == (str(tmp_path / ".tallystick/ledger.db"), "")


def test_for_a_linked_work_tree_it_is_made_at_the_main_one(git_repo: GitRepo, linked: GitRepo) -> None:
    assert place_for_new(str(linked.root / "below"), {}) == (str(git_repo.root / ".tallystick/ledger.db"), "")


def test_the_ledger_of_a_bare_repositorys_work_tree_stays_with_it(git_repo: GitRepo, tmp_path: Path) -> None:
    git_repo.commit("First")
    git_repo.git("clone", "-q", "--bare", git_repo.root, tmp_path / "bare.git")
    bare = GitRepo(tmp_path / "bare.git")
    bare.git("worktree", "add", "-q", tmp_path / "tree", "main")
    home = tmp_path / "bare.git/tallystick/ledger.db"
    assert place_for_new(str(tmp_path / "tree"), {}) == (str(home), "")
    home.parent.mkdir()
    home.touch()
    assert found(tmp_path / "tree") == str(home)


def test_where_the_main_work_tree_cannot_be_written_the_linked_one_has_its_own(
    git_repo: GitRepo, linked: GitRepo, tmp_path: Path
) -> None:
    ledger_in(git_repo.root)
    for folder in (git_repo.root, git_repo.root / ".tallystick"):
        folder.chmod(0o555)
    let_everybody_in(tmp_path)
    linked.root.chmod(0o777)
    said = run_as_nobody(
        """
        import os, sys
        from tallystick import Entry, Ledger
        from tallystick.location import find_ledger, place_for_new
        print(find_ledger(sys.argv[1], {}))
        os.chdir(sys.argv[1])
        stderr, sys.stderr = sys.stderr, sys.stdout
        with Ledger.open() as ledger:
            print(ledger.append("t", Entry(type="note")).position)
        with Ledger.open(create=False) as ledger:
            print(ledger.append("t", Entry(type="note")).position, ledger.store.path)
        sys.stderr = stderr
        """,
        linked.root,
    )
    for folder in (git_repo.root, git_repo.root / ".tallystick"):
        folder.chmod(0o755)
    assert said.splitlines() == [
        "None",
        f"notch: the main work tree {git_repo.root} cannot be written; this work tree gets a ledger of its own",
        "1",
        f"2 {linked.root}/.tallystick/ledger.db",
    ]


def test_the_folder_is_ignored_by_git(git_repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    git_repo.write("src/file")
    monkeypatch.chdir(git_repo.root / "src")
    with pytest.raises(NotFoundError, match="no ledger here or above; notch init makes one"):
        Ledger.open(create=False)
    with pytest.raises(NotFoundError):
        Ledger.open(read_only=True)
    assert not (git_repo.root / ".tallystick").exists()
    with Ledger.open() as ledger:
        ledger.append("t", Entry(type="note"))
    assert (git_repo.root / ".tallystick" / "ledger.db").is_file()
    assert (git_repo.root / ".tallystick" / ".gitignore").read_text() == "*\n"
    assert git_repo.git("status", "--porcelain") == "?? src/"
    monkeypatch.chdir(git_repo.root)
    with Ledger.open(create=False) as ledger:
        assert ledger.head("t").position == 1


def test_a_gitignore_of_the_users_own_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / ".tallystick"
    folder.mkdir()
    (folder / ".gitignore").write_text("mine\n")
    prepare_folder(str(folder / "ledger.db"))
    assert (folder / ".gitignore").read_text() == "mine\n"


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    prepare_folder(str(tmp_path / "absent" / "ledger.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ".tallystick").write_text("a file")
    with pytest.raises(StoreUnavailableError, match="cannot make the ledger's folder") as caught:
        prepare_folder(str(tmp_path / ".tallystick" / "ledger.db"))
    assert "TALLYSTICK_LEDGER" in caught.value.advice


# --- git, read without git


def test_markers_that_lead_nowhere(tmp_path: Path) -> None:
    for content in ("", "gitdir: /nowhere", "gitdir: \x00", "nonsense\xff", "gitdir: ..\n"):
        (tmp_path / ".git").write_bytes(content.encode("latin-1"))
        assert git_directories(str(tmp_path)) == (str(tmp_path / ".git"), str(tmp_path / ".git"))
        assert current_branch(str(tmp_path)) == ""
        assert place_for_new(str(tmp_path), {})[0] == str(tmp_path / ".tallystick/ledger.db")


def test_the_branch_is_that_of_the_work_tree(git_repo: GitRepo, linked: GitRepo, tmp_path: Path) -> None:
    assert current_branch(str(git_repo.root)) == "main"
    assert current_branch(str(linked.root / "below")) == "topic"
    git_repo.git("checkout", "-q", "-b", "feature/ü/x")
    assert current_branch(str(git_repo.root / "below")) == "feature/ü/x"
    git_repo.git("checkout", "-q", "--detach")
    assert current_branch(str(git_repo.root)) == ""
    assert current_branch(str(tmp_path)) == ""


def test_the_branch_before_the_first_commit(git_repo: GitRepo) -> None:
    assert current_branch(str(git_repo.root)) == "main"


# --- URLs


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///ledger.db", "ledger.db"),
        ("sqlite:///a/b c/ü.db", "a/b c/ü.db"),
        ("sqlite:////srv/ledger.db", "/srv/ledger.db"),
        ("sqlite:///../x.db?y#z", "../x.db?y#z"),
        ("postgresql://host/db", None),
        ("ledger.db", None),
        ("/srv/ledger.db", None),
        ("sqlite:x", None),
    ],
)
def test_sqlite_urls(url: str, path: str | None) -> None:
    assert sqlite_path(url) == path


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/x.db", "sqlite://x.db"])
def test_sqlite_urls_that_name_no_file(url: str) -> None:
    with pytest.raises(InputError, match=r"names no file; sqlite:///ledger\.db is relative"):
        sqlite_path(url)
    with pytest.raises(InputError, match="names no file"):
        Ledger.open(url)
