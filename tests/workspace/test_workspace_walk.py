"""Outside git: the lines that git would print, made by a walk."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import workspace_oracle as oracle

from support.repository import GitRepo
from tallystick.errors import InputError
from tallystick.workspace import Workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "plain"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"one\r\n")
    (root / "src" / "run.sh").write_text("#!/bin/sh\n")
    (root / "src" / "run.sh").chmod(0o755)
    (root / "src" / "deep" / "empty").touch()
    (root / "src-side").write_text("1\n")
    os.symlink("a.txt", root / "link")
    os.symlink("/etc", root / "out")
    os.symlink("nowhere", root / "dangling")
    return root


def _as_git_lists(root: Path, elsewhere: Path) -> bytes:
    """What ls-tree prints after `git add -A` of the folder, the repository lying elsewhere."""
    env = {**os.environ, "GIT_DIR": str(elsewhere), "GIT_WORK_TREE": str(root)}

    def git(*args: str) -> bytes:
        return subprocess.run(["git", *args], cwd=root, env=env, capture_output=True, check=True).stdout

    subprocess.run(["git", "init", "-q", "--bare", elsewhere], check=True)
    git("add", "-A")
    return git("ls-tree", "-r", "-z", "--full-tree", git("write-tree").decode().strip())


def test_its_lines_are_gits(folder: Path, tmp_path: Path) -> None:
    with Workspace.find(str(folder)).snapshot() as snapshot:
        printed = _as_git_lists(folder, tmp_path / "bare.git")
        assert b"".join(line + b"\0" for line in snapshot.listing.lines) == printed
        assert snapshot.fingerprint() == {"tree": oracle.digest(printed)}
        assert snapshot.inputs_digest() == oracle.digest(printed)
        assert snapshot.paths(["src/**"]) == ["src/deep/empty", "src/run.sh"]
        assert not snapshot.dirty
        assert snapshot.changes["src/run.sh"].endswith(" 100755")
        assert len(snapshot.changes) == 7


def test_its_lines_are_gits_for_random_trees(tmp_path: Path, storm: bool) -> None:
    chance = random.Random(11)
    for number in range(100 if storm else 6):
        root = tmp_path / str(number)
        for _ in range(40):
            path = root / "/".join(
                chance.choices(["a", "b", "a.b", "a-b", "é", "\udcff", "x\ny", "A"], k=chance.randint(1, 4))
            )
            if not any(parent.is_file() for parent in path.parents) and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(os.urandom(chance.choice([0, 1, 10, 70_000])))
                path.chmod(chance.choice([0o644, 0o755, 0o655, 0o700]))
        printed = _as_git_lists(root, tmp_path / f"{number}.git")
        lines = Workspace.find(str(root)).snapshot().listing.lines
        assert b"".join(line + b"\0" for line in lines) == printed


def test_it_changes_exactly_when_content_does(folder: Path) -> None:
    workspace = Workspace.find(str(folder))
    seen = [workspace.snapshot().fingerprint()]
    os.utime(folder / "a.txt")
    (folder / "nothing in it").mkdir()
    os.mkfifo(folder / "pipe")
    assert workspace.snapshot().fingerprint() == seen[0]
    for change in (
        lambda: (folder / "a.txt").write_bytes(b"one\n"),
        lambda: (folder / "a.txt").chmod(0o755),
        lambda: (folder / "src-side").rename(folder / "moved"),
        lambda: (folder / "link").unlink(),
        lambda: os.symlink("src", folder / "link"),
    ):
        change()
        assert workspace.snapshot().fingerprint() not in seen
        seen.append(workspace.snapshot().fingerprint())


def test_what_never_counts(folder: Path) -> None:
    workspace = Workspace.find(str(folder), exclude=[str(folder / "src" / "l.db"), str(folder / "src" / "l.db-wal")])
    before = workspace.snapshot().fingerprint()
    (folder / ".tallystick").mkdir()
    (folder / ".tallystick" / "ledger.db").touch()
    (folder / "src" / "l.db").touch()
    (folder / "src" / "l.db-wal").touch()
    inner = GitRepo.create(folder / "src" / "inner")
    assert workspace.snapshot().fingerprint() == before
    inner.write("x", "1\n")
    assert "src/inner/x" in workspace.snapshot().paths()


def test_where_its_root_is(folder: Path) -> None:
    deep = folder / "src" / "deep"
    assert Workspace.find(str(deep)).root == str(deep)
    (folder / "tallystick.toml").touch()
    assert Workspace.find(str(deep)).root == str(folder)
    (folder / "src" / ".tallystick").mkdir()
    found = Workspace.find(str(deep))
    assert (found.root, found.common_root, found.git_dir, found.is_git) == (str(folder / "src"),) * 2 + ("", False)


@pytest.mark.parametrize("name", ["a.txt", "src"])
def test_what_cannot_be_read_is_one_clear_line(folder: Path, name: str) -> None:
    (folder / name).chmod(0)
    script = "from tallystick.workspace import Workspace; Workspace.find().snapshot()"
    done = oracle.unprivileged(script, cwd=folder)
    (folder / name).chmod(0o755)
    assert f"{folder / name}: cannot be read: Permission denied" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="only Linux has files whose size is a lie")
def test_a_file_that_is_longer_than_it_says() -> None:
    """As one that is written to while it is read, again and again."""
    with pytest.raises(InputError, match="grows or shrinks") as caught:
        Workspace.find("/proc/self/fdinfo").snapshot()
    assert caught.value.where.startswith("/proc/")


def test_in_a_big_file_the_id_is_gits(folder: Path, tmp_path: Path) -> None:
    (folder / "a.txt").write_bytes(os.urandom(3 << 20))
    assert Workspace.find(str(folder)).snapshot().blob("a.txt") == (
        GitRepo.create(tmp_path / "any").git("hash-object", folder / "a.txt")
    )
