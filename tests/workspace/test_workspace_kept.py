"""Uncommitted content is kept as it is, and nothing of the user's is written but a ref."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick.errors import InputError
from tallystick.workspace import Workspace
from tallystick.workspace.kept import REFS, keep_tree


def kept(repo: GitRepo) -> str:
    workspace = Workspace.find(str(repo.root))
    with workspace.snapshot() as snapshot:
        return keep_tree(workspace, snapshot)


def test_committed_content_needs_no_keeping(git_repo: GitRepo) -> None:
    git_repo.write("a", "1")
    git_repo.commit()
    assert kept(git_repo) == ""
    assert git_repo.git("for-each-ref", REFS) == ""


def test_everything_that_differs_is_kept(git_repo: GitRepo) -> None:
    git_repo.write(".gitattributes", "*.crlf text eol=crlf\n")
    git_repo.write("changed", "1")
    git_repo.write("gone", "1")
    git_repo.write("staged", "1")
    git_repo.write("unstaged-again", "1")
    git_repo.commit()
    git_repo.write("changed", "2")
    git_repo.remove("gone")
    git_repo.write("staged", "2")
    git_repo.write("unstaged-again", "2")
    git_repo.git("add", "staged", "unstaged-again")
    git_repo.write("unstaged-again", "1")
    git_repo.write('new\nline "quoted"', "odd name")
    git_repo.write("run.sh", "#!/bin/sh\n", executable=True)
    git_repo.write("text.crlf", "one\r\ntwo\r\n")
    os.symlink("nowhere", git_repo.root / "link")
    before = (git_repo.git("status", "--porcelain"), (git_repo.root / ".git/index").read_bytes())
    ref = kept(git_repo)
    tree = ref.rpartition("/")[2]
    assert ref == f"{REFS}/{tree}"
    assert git_repo.git("rev-parse", ref) == tree
    assert (git_repo.git("status", "--porcelain"), (git_repo.root / ".git/index").read_bytes()) == before
    git_repo.git("add", "-A")
    assert git_repo.git("write-tree") == tree
    git_repo.git("stash", "-q")
    git_repo.git("stash", "drop", "-q")
    git_repo.git("gc", "-q", "--prune=now")
    assert git_repo.git("cat-file", "-p", f"{tree}:changed") == "2"
    assert git_repo.git("cat-file", "-p", f"{tree}:text.crlf") == "one\ntwo"


def test_a_repository_without_a_commit(git_repo: GitRepo) -> None:
    git_repo.write("a", "1")
    ref = kept(git_repo)
    assert git_repo.git("cat-file", "-p", f"{ref}:a") == "1"


def test_keeping_twice_is_keeping_once(git_repo: GitRepo) -> None:
    git_repo.write("a", "1")
    assert kept(git_repo) == kept(git_repo) != ""


def test_what_changed_since_it_was_looked_at_is_refused(git_repo: GitRepo) -> None:
    git_repo.write("a", "1")
    workspace = Workspace.find(str(git_repo.root))
    with workspace.snapshot() as snapshot:
        assert snapshot.dirty
        git_repo.write("a", "2")
        with pytest.raises(InputError, match="changed while"):
            keep_tree(workspace, snapshot)
    assert git_repo.git("for-each-ref", REFS) == ""


def test_dirty_submodules_are_refused_by_name(git_repo: GitRepo, tmp_path: Path) -> None:
    other = GitRepo.create(tmp_path / "other")
    other.write("a", "1")
    other.commit()
    git_repo.git("submodule", "add", "-q", other.root, "sub")
    git_repo.commit()
    git_repo.write("b", "1")
    assert kept(git_repo)
    git_repo.write("sub/a", "2")
    with pytest.raises(InputError, match=r"sub: .*submodule"):
        kept(git_repo)


def test_outside_git_there_is_nothing_to_keep_it_in(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    workspace = Workspace.find(str(tmp_path))
    with workspace.snapshot() as snapshot, pytest.raises(InputError, match="not a git work tree"):
        keep_tree(workspace, snapshot)
