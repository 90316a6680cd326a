"""Naming what changed: since evidence was recorded, and during a run."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from workspace_random_work import RandomWork

from support.repository import GitRepo
from tallystick.workspace import Change, Workspace, change_times, changed_paths, products, touched
from tallystick.workspace.snapshot import Snapshot


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write("a", "1\n")
    git_repo.write("src/b", "2\n")
    git_repo.write("src/c", "3\n")
    git_repo.commit("First")
    return git_repo


def _workspace(repo: GitRepo) -> Workspace:
    return Workspace.find(str(repo.root))


def _then(snapshot: Snapshot) -> dict[str, object]:
    """What is kept of a snapshot."""
    return {**snapshot.fingerprint(), "changes": snapshot.changes}


def _states(snapshot: Snapshot, patterns: Iterable[str] = ()) -> dict[str, tuple[str, str]]:
    return {path: (mode, oid) for mode, _, oid, path in snapshot.matching(list(patterns))}


def _flat(changes: list[Change] | None) -> dict[str, str]:
    """path -> how, a renaming taken apart again."""
    assert changes is not None
    told = {}
    for change in changes:
        if change.how == "renamed":
            told[change.was] = "deleted"
        told[change.path] = "added" if change.how == "renamed" else change.how
    assert len(told) == len(changes) + sum(change.how == "renamed" for change in changes)
    return told


def _expected(then: dict[str, tuple[str, str]], now: dict[str, tuple[str, str]]) -> dict[str, str]:
    told = {}
    for path in then.keys() | now.keys():
        if path not in then:
            told[path] = "added"
        elif path not in now:
            told[path] = "deleted"
        elif then[path] != now[path]:
            told[path] = "mode" if then[path][1] == now[path][1] else "modified"
    return told


PATTERNS = [(), ("x/**",), ("*.txt",), ("**/*.txt", "c"), ("sub/**",), ("sub",)]


@pytest.mark.parametrize(("seed", "committed"), [(21, True), (22, False)])
def test_between_any_two_states_of_random_work(tmp_path: Path, seed: int, committed: bool, storm: bool) -> None:
    work = RandomWork(tmp_path, seed, attributes=True, committed=committed)
    workspace, chance = _workspace(work.repo), random.Random(seed)
    past: list[tuple[dict[str, object], list[dict[str, tuple[str, str]]]]] = []
    told = 0
    for _ in range(1_000 if storm else 40):
        work.step()
        with workspace.snapshot() as now:
            states = [_states(now, patterns) for patterns in PATTERNS]
            for then, old in chance.sample(past, min(2, len(past))):
                for number, patterns in enumerate(PATTERNS):
                    changes = _flat(changed_paths(workspace, then, now, patterns))
                    assert changes == _expected(old[number], states[number])
                    told += len(changes)
            assert changed_paths(workspace, _then(now), now) == []
            past.append((_then(now), states))
    assert told > 100


class TestChangedPaths:
    def test_each_way_to_change(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        then = _then(workspace.snapshot())
        repo.write("a", "one\n")
        repo.remove("src/b")
        repo.write("new", "4\n")
        (repo.root / "src/c").chmod(0o755)
        now = workspace.snapshot()
        expected = [
            Change("a", "modified"),
            Change("new", "added"),
            Change("src/b", "deleted"),
            Change("src/c", "mode"),
        ]
        assert changed_paths(workspace, then, now) == expected
        assert changed_paths(workspace, (str(then["commit"]), {}), now) == expected
        assert changed_paths(workspace, then, now, ["src/**"]) == expected[2:]
        repo.commit("Committed")
        assert changed_paths(workspace, then, workspace.snapshot()) == expected

    def test_a_renaming(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        then = _then(workspace.snapshot())
        (repo.root / "src/b").rename(repo.root / "moved")
        now = workspace.snapshot()
        assert changed_paths(workspace, then, now) == [Change("moved", "renamed", was="src/b")]
        assert changed_paths(workspace, then, now, ["src/**"]) == [Change("src/b", "deleted")]
        assert changed_paths(workspace, then, now, ["moved"]) == [Change("moved", "added")]
        assert repr(Change("moved", "renamed", was="src/b")) == "Change('moved', 'renamed', was='src/b')"

    def test_empty_files_are_not_called_renamed(self, repo: GitRepo) -> None:
        repo.write("src/empty")
        workspace = _workspace(repo)
        then = _then(workspace.snapshot())
        (repo.root / "src/empty").rename(repo.root / "other")
        changes = changed_paths(workspace, then, workspace.snapshot())
        assert changes == [Change("other", "added"), Change("src/empty", "deleted")]

    def test_edits_that_were_not_committed_are_remembered(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        repo.write("a", "edited\n")
        repo.write("new.sh", "4\n", executable=True)
        repo.remove("src/b")
        then = _then(workspace.snapshot())
        assert changed_paths(workspace, then, workspace.snapshot()) == []
        repo.commit("Committed")
        repo.git("commit", "-q", "--amend", "-m", "Again")
        assert changed_paths(workspace, then, workspace.snapshot()) == []
        repo.git("reset", "-q", "--hard", "HEAD~")
        expected = [Change("a", "modified"), Change("new.sh", "deleted"), Change("src/b", "added")]
        assert changed_paths(workspace, then, workspace.snapshot()) == expected

    def test_a_commit_that_is_gone(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        then = {"commit": "1" * 40, "changes": {"a": "2" * 40}}
        assert changed_paths(workspace, then, workspace.snapshot()) is None
        shutil.rmtree(repo.root / ".git")
        plain = _workspace(repo)
        assert changed_paths(plain, then, plain.snapshot()) is None

    def test_against_a_commit(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        first = repo.head()
        repo.write("a", "edited\n")
        repo.commit("Second")
        assert changed_paths(workspace, (first, {}), workspace.tree_snapshot("HEAD")) == [Change("a", "modified")]
        assert changed_paths(workspace, (first, {}), workspace.tree_snapshot(repo.tree(first))) == []

    def test_outside_git(self, tmp_path: Path) -> None:
        root = tmp_path / "plain"
        root.mkdir()
        (root / "a").write_text("1\n")
        (root / "b").write_text("2\n")
        (root / "b").chmod(0o755)
        workspace = Workspace.find(str(root))
        then = _then(workspace.snapshot())
        assert changed_paths(workspace, then, workspace.snapshot()) == []
        (root / "a").write_text("3\n")
        (root / "b").chmod(0o644)
        (root / "c").write_text("4\n")
        expected = [Change("a", "modified"), Change("b", "mode"), Change("c", "added")]
        assert changed_paths(workspace, then, workspace.snapshot()) == expected


class TestProducts:
    def test_untracked_files_that_appear(self, repo: GitRepo) -> None:
        repo.write("old", "here before\n")
        workspace = _workspace(repo)
        before = workspace.snapshot()
        assert products(before, workspace.snapshot()) == {}
        repo.write("old", "changed\n")
        repo.write("a", "changed\n")
        report = repo.write("out/report.xml", "<x/>\n", executable=True)
        repo.write("staged", "5\n")
        repo.git("add", "staged")
        repo.git("rm", "-q", "--cached", "src/b")
        after = workspace.snapshot()
        assert products(before, after) == {"out/report.xml": repo.git("hash-object", report)}

    def test_they_are_left_out_while_they_are_as_a_run_left_them(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        before = workspace.snapshot()
        digest = before.inputs_digest()
        repo.write("out/report.xml", "<x/>\n")
        after = workspace.snapshot()
        made = products(before, after)
        assert after.inputs_digest() != digest
        assert after.inputs_digest(without=made) == digest
        assert after.inputs_digest(["out/**", "src/**"], without=made) == before.inputs_digest(["src/**"])
        repo.commit("Committed by mistake")
        assert workspace.snapshot().inputs_digest(without=made) == digest
        repo.write("out/report.xml", "<edited/>\n")
        edited = workspace.snapshot()
        assert edited.inputs_digest(without=made) not in (digest, after.inputs_digest())
        several = {"out/report.xml": [made["out/report.xml"], edited.blob("out/report.xml")]}
        assert edited.inputs_digest(without=several) == digest
        repo.remove("out/report.xml")
        assert workspace.snapshot().inputs_digest(without=made) == digest

    def test_a_name_that_is_not_text(self, repo: GitRepo) -> None:
        """Stored names have U+FFFD where they are not UTF-8."""
        workspace = _workspace(repo)
        before = workspace.snapshot()
        repo.write("latin-\udce9", "x\n")
        made = products(before, workspace.snapshot())
        assert list(made) == ["latin-\udce9"]
        stored = {"latin-\ufffd": made["latin-\udce9"]}
        assert workspace.snapshot().inputs_digest(without=stored) == before.inputs_digest()
        assert workspace.snapshot().inputs_digest(without=made) == before.inputs_digest()

    def test_in_a_submodule_and_outside_git(self, repo: GitRepo, tmp_path: Path) -> None:
        origin = GitRepo.create(tmp_path / "origin")
        origin.write("x", "1\n")
        origin.commit("Origin")
        repo.git("submodule", "add", "-q", origin.root, "sub")
        repo.commit("Submodule")
        workspace = _workspace(repo)
        before = workspace.snapshot()
        repo.write("sub/made", "1\n")
        after = workspace.snapshot()
        made = products(before, after)
        assert list(made) == ["sub/made"]
        assert after.inputs_digest(without=made) == before.inputs_digest()
        shutil.rmtree(repo.root / ".git")
        plain = _workspace(repo)
        before = plain.snapshot()
        repo.write("made", "2\n")
        assert list(products(before, plain.snapshot())) == ["made"]


class TestChangeTimes:
    def test_edited_and_put_back_is_noticed(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        snapshot = workspace.snapshot()
        paths = snapshot.paths(["src/**"])
        before = change_times(workspace, paths)
        assert list(before) == ["src/b", "src/c"]
        time.sleep(0.01)
        told = (repo.root / "src/b").stat()
        repo.write("src/b", "x\n")
        repo.write("src/b", "2\n")
        os.utime(repo.root / "src/b", ns=(told.st_atime_ns, told.st_mtime_ns))
        repo.write("a", "not looked at\n")
        after = change_times(workspace, workspace.snapshot().paths(["src/**"]))
        assert touched(before, after) == ["src/b"]
        assert touched(after, change_times(workspace, paths)) == []

    def test_replaced_removed_and_new_files(self, repo: GitRepo) -> None:
        workspace = _workspace(repo)
        before = change_times(workspace, ["a", "src", "src/b", "src/c", "none"])
        assert list(before) == ["a", "src/b", "src/c"]
        repo.remove("a")
        shutil.copy2(repo.root / "src/b", repo.root / "other")
        os.replace(repo.root / "other", repo.root / "src/b")
        repo.write("none", "now\n")
        after = change_times(workspace, ["a", "src/b", "src/c", "none"])
        assert touched(before, after) == ["a", "none", "src/b"]
