"""The workspace baseline: what differed before some work began."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import workspace_oracle as oracle

from support.repository import GitRepo
from tallystick.errors import TallystickError
from tallystick.model import Entry, workspace_baseline_snapshot
from tallystick.workspace import Workspace, capture_baseline


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write("a", "1\n")
    git_repo.write("src/b", "2\n")
    git_repo.write("src/c", "3\n")
    git_repo.commit("First")
    return git_repo


def _lines(root: Path) -> list[str]:
    return capture_baseline(Workspace.find(str(root)))


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def test_nothing_differs(repo: GitRepo) -> None:
    assert _lines(repo.root) == []


def test_a_line_for_each_path_in_their_order(repo: GitRepo) -> None:
    repo.write("a", "edited\n")
    repo.git("add", "a")
    repo.write("a", "edited again\n")
    repo.git("mv", "src/b", "src/moved")
    repo.remove("src/c")
    repo.write("new/x", "x\n")
    os.symlink("a", repo.root / "new/link")
    assert _lines(repo.root) == [
        f"MM {_sha256('edited again' + chr(10))} a",
        f"?? {_sha256('a')} new/link",
        f"?? {_sha256('x' + chr(10))} new/x",
        "D  - src/b",
        " D - src/c",
        f"A  {_sha256('2' + chr(10))} src/moved",
    ]


def test_the_letters_are_those_of_git_status(repo: GitRepo) -> None:
    repo.write("src/b", "2\n", executable=True)
    repo.remove("src/c")
    os.symlink("a", repo.root / "src/c")
    repo.write("n", "x\n")
    repo.git("add", "-N", "n")
    repo.write("u", "x\n")
    letters = {line[3:]: line[:2] for line in repo.git("status", "--porcelain", "-uall", "--no-renames").split("\n")}
    assert {line.split(" ", 3)[-1]: line[:2] for line in _lines(repo.root) if line[0] != " "} == {"u": "??"}
    assert {line[3:].split(" ", 1)[1]: line[:2] for line in _lines(repo.root)} == letters


def test_conflicts(repo: GitRepo) -> None:
    repo.git("checkout", "-q", "-b", "other")
    repo.write("a", "theirs\n")
    repo.git("rm", "-q", "src/b")
    repo.commit("Theirs")
    repo.git("checkout", "-q", "main")
    repo.write("a", "ours\n")
    repo.write("src/b", "ours\n")
    repo.commit("Ours")
    repo.git("merge", "other", check=False)
    lines = _lines(repo.root)
    assert [line[:2] for line in lines] == ["UU", "UD"]
    assert lines[1] == f"UD {_sha256('ours' + chr(10))} src/b"


def test_before_the_first_commit(git_repo: GitRepo) -> None:
    git_repo.write("a", "1\n")
    git_repo.write("b", "2\n")
    git_repo.git("add", "a")
    assert [line[:2] + line[67:] for line in _lines(git_repo.root)] == ["A  a", "?? b"]


def test_hidden_edits_are_told(repo: GitRepo) -> None:
    repo.git("update-index", "--assume-unchanged", "a")
    repo.write("a", "edited\n")
    assert _lines(repo.root) == [f" M {_sha256('edited' + chr(10))} a"]


def test_names_that_need_quotes(repo: GitRepo) -> None:
    names = ["new\nline", 'quo"te', "back\\slash", "tab\there", "é ü", "latin-\udce9", "\x7f", "a b"]
    for name in names:
        repo.write(name, "x\n")
    lines = _lines(repo.root)
    quoted = {line[68:] for line in lines}
    assert quoted == {
        '"new\\nline"', '"quo\\"te"', '"back\\\\slash"', '"tab\\there"', "é ü", '"latin-\\351"', '"\\177"', "a b",
    }  # fmt: skip
    entry = Entry(type="workspace_baseline", status="captured", output="\n".join(lines))
    assert workspace_baseline_snapshot(entry) == lines
    listed = repo.git("-c", "core.quotePath=false", "ls-files", "-o").encode("utf-8", "surrogateescape")
    by_git = {name.replace(b"latin-\xe9", b'"latin-\\351"') for name in listed.split(b"\n")}
    assert by_git == {name.encode() for name in quoted}


def test_submodules_and_other_repositories(repo: GitRepo, tmp_path: Path) -> None:
    origin = GitRepo.create(tmp_path / "origin")
    origin.write("x", "1\n")
    origin.commit("Origin")
    repo.git("submodule", "add", "-q", origin.root, "sub")
    repo.commit("Submodule")
    assert _lines(repo.root) == []
    sub = GitRepo(repo.root / "sub")
    sub.write("x", "2\n")
    sub.commit("Moved on")
    sub.write("y", "3\n")
    GitRepo.create(repo.root / "other").write("z", "4\n")
    assert [line[:2] + " " + line.split(" ")[-1] for line in _lines(repo.root)] == [
        "?? other/", "?? other/z", " M sub", "?? sub/y",
    ]  # fmt: skip
    assert [line for line in _lines(repo.root) if " - " in line] == ["?? - other/", " M - sub"]


def test_a_ledger_is_not_told(repo: GitRepo) -> None:
    repo.write(".tallystick/ledger.db", "x")
    repo.write("l.db", "x")
    workspace = Workspace.find(str(repo.root), exclude=[str(repo.root / "l.db")])
    assert capture_baseline(workspace) == []


def test_nothing_is_written(repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    repo.write("a", "edited\n")
    before = oracle.traces(repo.root)
    assert len(_lines(repo.root)) == 1
    assert oracle.traces(repo.root) == before
    assert list((tmp_path / "scratch").iterdir()) == []
    (repo.root / ".git" / "index").write_bytes(b"rubbish")
    with pytest.raises(TallystickError):
        _lines(repo.root)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_cannot_be_read(repo: GitRepo) -> None:
    repo.write("secret", "x").chmod(0)
    script = "from tallystick.workspace import Workspace, capture_baseline\ncapture_baseline(Workspace.find())"
    done = oracle.unprivileged(script, cwd=repo.root)
    assert done.stderr.splitlines()[-1].endswith(f"{repo.root / 'secret'}: cannot be read: Permission denied")


def test_outside_git_every_file_is_untracked(repo: GitRepo) -> None:
    shutil.rmtree(repo.root / ".git")
    assert [line[:2] + line[67:] for line in _lines(repo.root)] == ["?? a", "?? src/b", "?? src/c"]
