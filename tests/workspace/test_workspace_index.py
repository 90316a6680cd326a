"""The index reader, held against what git prints of the same file."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick.workspace.index import Index
from tallystick.workspace.trees import tree_id, tree_lines

DEEP = "/".join("d" * 40 for _ in range(110))  # longer than the 4,095 bytes that an entry counts
PATHS = ["a", "b/c", "b/c-d", "b-c", "b.c/d", "é", "x\ny", 'q"', "n" * 250, "z/" + "n" * 250, "z/y/x/w", "z/y/x/v"]


def _repository(root: Path, *, version: int, algorithm: str = "sha1") -> GitRepo:
    root.mkdir(parents=True)
    repo = GitRepo(root)
    repo.git("init", "-q", f"--object-format={algorithm}")
    for number, path in enumerate(PATHS):
        repo.write(path, f"{number}\n", executable=number % 3 == 0)
    os.symlink("a", root / "link")
    repo.git("update-index", "--index-version", str(version), "--force-write-index")
    repo.git("add", "-A")
    repo.git("update-index", "--index-version", str(version))
    return repo


def _read(repo: GitRepo, oid_size: int = 20) -> Index:
    return Index((repo.root / ".git" / "index").read_bytes(), oid_size)


def _assert_as_git_says(repo: GitRepo, index: Index) -> None:
    listed = [line.partition("\t") for line in repo.git("ls-files", "-s", "-z").split("\0")[:-1]]
    numbers = range(len(index.paths))
    assert [path.decode("utf-8", "surrogateescape") for path in index.paths] == [path for _, _, path in listed]
    assert [f"{index.mode(number):06o} {index.oid(number).hex()}" for number in numbers] == [
        head.rpartition(" ")[0] for head, _, _ in listed
    ]
    flags = [line[0] for line in repo.git("ls-files", "-v", "-z").split("\0")[:-1]]
    assert index.hidden == [number for number in numbers if flags[number].islower() or flags[number] == "S"]
    tree = repo.git("write-tree")
    assert tree_id(index) == tree
    index.cached_tree = b""
    assert tree_id(index) == tree
    printed = repo.git("ls-tree", "-r", "-z", "--full-tree", tree).encode("utf-8", "surrogateescape")
    assert b"".join(line + b"\0" for line in tree_lines(index, lambda _: [])) == printed


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize(("algorithm", "size"), [("sha1", 20), ("sha256", 32)])
def test_every_entry_reads_as_git_lists_it(tmp_path: Path, version: int, algorithm: str, size: int) -> None:
    repo = _repository(tmp_path / "repo", version=version, algorithm=algorithm)
    _assert_as_git_says(repo, _read(repo, size))
    for path in ("b/c", "z/y/x/v"):
        repo.git("update-index", "--assume-unchanged", path)
    repo.git("update-index", "--skip-worktree", "b-c", "z/y/x/w")
    index = _read(repo, size)
    assert index.data[7] == (4 if version == 4 else 3)
    assert len(index.hidden) == 4
    _assert_as_git_says(repo, index)
    repo.commit("All", add=False)
    repo.write("z/y/new", "new\n")
    repo.git("add", "z/y/new")
    index = _read(repo, size)
    assert index.cached_tree
    assert index.cached_tree[1:3] == b"-1"
    _assert_as_git_says(repo, index)


def test_a_path_longer_than_an_entry_counts(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "repo")
    blob = repo.git("hash-object", "-w", "--stdin", input="x\n")
    lines = f"100644 {blob} 0\t{DEEP}\n100644 {blob} 0\t{DEEP}-more\n100644 {blob} 0\tz\n"
    repo.git("update-index", "--index-info", input=lines)
    _assert_as_git_says(repo, _read(repo))


def test_a_path_of_very_many_folders(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "repo")
    blob = repo.git("hash-object", "-w", "--stdin", input="x\n")
    deep = "/".join("d" for _ in range(1_900))
    repo.git("update-index", "--index-info", input=f"100644 {blob} 0\t{deep}\n")
    index = _read(repo)
    assert tree_id(index) == repo.git("write-tree")
    repo.git("write-tree")
    assert tree_id(_read(repo)) == repo.git("write-tree")


def test_what_no_commit_would_have_is_left_out(tmp_path: Path) -> None:
    repo = _repository(tmp_path / "repo", version=2)
    repo.commit("First")
    repo.write("b/intended", "later\n")
    repo.write("only/intended", "later\n")
    repo.git("add", "-N", "b/intended", "only/intended")
    index = _read(repo)
    assert len(index.uncommitted) == 2
    assert index.find(b"b/intended") == -1
    assert index.find(b"b/c") >= 0
    assert index.find(b"nowhere") == -1
    assert tree_id(index) == repo.git("write-tree")
    blob = repo.git("hash-object", "-w", "--stdin", input="x\n")
    stages = "".join(f"100644 {blob} {stage}\tconflict\n" for stage in (1, 2, 3))
    repo.git("update-index", "--index-info", input=stages)
    index = _read(repo)
    assert len(index.uncommitted) == 5
    assert index.find(b"conflict") == -1
    assert [line for line in tree_lines(index, lambda _: []) if b"conflict" in line or b"intended" in line] == []


def test_what_hides_is_cleared_and_git_agrees(tmp_path: Path) -> None:
    for version in (2, 4):
        repo = _repository(tmp_path / str(version), version=version)
        repo.git("update-index", "--assume-unchanged", "a")
        repo.git("update-index", "--skip-worktree", "b/c", "b-c")
        repo.remove("b-c")
        index = _read(repo)
        revealed = index.without_hiding(os.fsencode(repo.root))
        (repo.root / ".git" / "index").write_bytes(revealed)
        flags = {line[2:]: line[0] for line in repo.git("ls-files", "-v", "-z").split("\0") if line}
        assert (flags["a"], flags["b/c"], flags["b-c"]) == ("H", "H", "S")
        assert "bad" not in repo.git("fsck", "--no-dangling")


def test_an_index_with_nothing_hidden_stays_as_it_is(tmp_path: Path) -> None:
    index = _read(_repository(tmp_path / "repo", version=2))
    assert index.without_hiding(os.fsencode(tmp_path / "repo")) is index.data


def test_a_damaged_index_is_an_error_or_read_but_nothing_else(tmp_path: Path, storm: bool) -> None:
    chance = random.Random(5)
    for version in (2, 4):
        repo = _repository(tmp_path / str(version), version=version)
        repo.git("update-index", "--skip-worktree", "b/c")
        repo.commit("First", add=False)
        data = (repo.root / ".git" / "index").read_bytes()
        refused = 0
        for _ in range(20_000 if storm else 1_500):
            damaged = bytearray(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])
            for _ in range(chance.randrange(3)):
                if damaged:
                    damaged[chance.randrange(len(damaged))] = chance.choice(
                        [0, 0x7F, 0x80, 0xFF, chance.randrange(256)]
                    )
            try:
                index = Index(bytes(damaged), 20)
                tree_id(index)
                index.without_hiding(os.fsencode(repo.root))
            except ValueError:
                refused += 1
        assert refused > 100


@pytest.mark.parametrize(
    "cache", [b"\0-1 1\nb\x000 0\n" + bytes(20), b"\0-1 1\nb", b"rubbish", b"\0x y\n", b"\0-1 9\n"]
)
def test_a_cache_that_makes_no_sense_is_done_without(tmp_path: Path, cache: bytes) -> None:
    repo = _repository(tmp_path / "repo", version=2)
    index = _read(repo)
    index.cached_tree = cache
    assert tree_id(index) == repo.git("write-tree")


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    data = bytearray(_read(_repository(tmp_path / "repo", version=2)).data)
    data[7] = 5
    with pytest.raises(ValueError, match="version 5"):
        Index(bytes(data), 20)
    shutil.rmtree(tmp_path / "repo")
