"""A temporary work tree has the content asked for, all of it and nothing else, and leaves no trace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick.errors import InputError, TallystickError
from tallystick.workspace import Workspace
from tallystick.workspace.kept import keep_tree
from tallystick.workspace.worktree import TemporaryWorktree


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write("a", "1")
    git_repo.write("folder/b", "1")
    git_repo.write(".gitignore", "ignored\n")
    git_repo.commit()
    git_repo.write("ignored", "left by a build")
    return git_repo


def workspace_of(repo: GitRepo) -> Workspace:
    return Workspace.find(str(repo.root))


def files(folder: str) -> set[str]:
    found = {os.path.relpath(os.path.join(top, name), folder) for top, _, names in os.walk(folder) for name in names}
    return {path for path in found if not path.startswith(".git/") and path != ".git" and "/.git" not in path}


def untouched(repo: GitRepo) -> tuple[str, str, str]:
    return repo.git("status", "--porcelain"), repo.git("worktree", "list"), repo.git("for-each-ref")


def test_a_commit_is_checked_out_and_removed_again(repo: GitRepo) -> None:
    first = repo.head()
    repo.write("a", "2")
    repo.commit()
    repo.write("a", "3")
    before = untouched(repo)
    with TemporaryWorktree(workspace_of(repo), first) as made:
        assert files(made.path) == {"a", "folder/b", ".gitignore"}
        assert Path(made.path, "a").read_text() == "1"
        with made.workspace.snapshot() as snapshot:
            assert (snapshot.commit, snapshot.tree, snapshot.dirty) == (first, repo.tree(first), False)
        Path(made.path, "made-by-a-run").write_text("x")
    assert not os.path.exists(made.path)
    assert untouched(repo) == before


def test_a_kept_tree_is_checked_out(repo: GitRepo) -> None:
    repo.write("a", "uncommitted")
    repo.write("new", "untracked")
    repo.remove("folder/b")
    workspace = workspace_of(repo)
    with workspace.snapshot() as snapshot:
        keep_tree(workspace, snapshot)
        with TemporaryWorktree(workspace, snapshot.commit, snapshot.tree) as made:
            assert files(made.path) == {"a", "new", ".gitignore"}
            assert Path(made.path, "a").read_text() == "uncommitted"
            assert made.workspace.snapshot().tree == snapshot.tree


def test_hooks_of_the_repository_do_not_run(repo: GitRepo) -> None:
    repo.write(
        ".git/hooks/post-checkout", '#!/bin/sh\ntouch "$GIT_DIR/../hooked" /tmp/../$PWD/hooked\n', executable=True
    )
    with TemporaryWorktree(workspace_of(repo), repo.head()) as made:
        assert "hooked" not in files(made.path)


def test_uncommitted_changes_can_be_laid_over(repo: GitRepo) -> None:
    repo.write("a", "2")
    repo.remove("folder/b")
    repo.write("deep/er/new", "x", executable=True)
    os.symlink("a", repo.root / "link")
    workspace = workspace_of(repo)
    with workspace.snapshot() as snapshot, TemporaryWorktree(workspace, snapshot.commit) as made:
        made.overlay(snapshot)
        assert made.workspace.snapshot().tree == snapshot.tree


def test_one_file_is_reverted(repo: GitRepo) -> None:
    base = repo.head()
    repo.write("a", "2")
    repo.write("new", "x")
    repo.commit()
    with TemporaryWorktree(workspace_of(repo), repo.head()) as made:
        assert made.revert("a", base)
        assert Path(made.path, "a").read_text() == "1"
        assert made.revert("new", base)
        assert not Path(made.path, "new").exists()
        assert not made.revert("folder/b", base)
        assert not made.revert("never-there", base)


def test_submodules_are_filled_from_what_is_checked_out(repo: GitRepo, tmp_path: Path) -> None:
    inner = GitRepo.create(tmp_path / "inner")
    inner.write("x", "1")
    inner.commit()
    repo.git("submodule", "add", "-q", inner.root, "sub")
    repo.commit()
    workspace = workspace_of(repo)
    with workspace.snapshot() as snapshot, TemporaryWorktree(workspace, repo.head()) as made:
        assert Path(made.path, "sub/x").read_text() == "1"
        with made.workspace.snapshot() as there:
            assert there.inputs_digest() == snapshot.inputs_digest()
            assert not there.dirty
    assert repo.git("status", "--porcelain") == ""


def test_of_a_linked_work_tree(repo: GitRepo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", tmp_path / "linked", "-b", "other")
    with TemporaryWorktree(Workspace.find(str(tmp_path / "linked")), repo.head()) as made:
        assert files(made.path) == {"a", "folder/b", ".gitignore"}
    assert made.path not in repo.git("worktree", "list")


def test_no_commit_and_no_git_are_said_in_a_line(git_repo: GitRepo, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no commit yet"):
        TemporaryWorktree(workspace_of(git_repo), "")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InputError, match="not a git work tree"):
        TemporaryWorktree(Workspace.find(str(tmp_path / "plain")), "HEAD")


def test_a_commit_that_is_not_there_leaves_nothing(repo: GitRepo) -> None:
    before = untouched(repo)
    with pytest.raises(TallystickError):
        TemporaryWorktree(workspace_of(repo), "0" * 39 + "1")
    assert untouched(repo) == before
