"""Snapshots of git work trees in all the states that people leave them in."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import workspace_oracle as oracle

from support.repository import GitRepo
from tallystick.errors import TallystickError
from tallystick.workspace import Workspace

TELL = """
import json, sys
from tallystick.workspace import Workspace
print(json.dumps(Workspace.find(*sys.argv[1:]).snapshot().fingerprint()))
"""


def _real_git() -> str:
    """Git where a test has put another one before it in PATH."""
    return shutil.which("git", path=os.environ["PATH"].partition(os.pathsep)[2]) or "git"


def _workspace(repo: GitRepo) -> Workspace:
    return Workspace.find(str(repo.root))


def _tree(repo: GitRepo) -> str:
    return _workspace(repo).snapshot().tree


def _assert_as_git(repo: GitRepo, scratch: Path) -> None:
    """The tree, the files and the flag are what git says; nothing in the work tree or `.git` is written."""
    before = oracle.traces(repo.root)
    with _workspace(repo).snapshot() as snapshot:
        own = b"".join(line + b"\0" for line in snapshot.own_listing.lines)
        dirty = snapshot.fingerprint().get("dirty", False)
        assert oracle.traces(repo.root) == before
        tree = oracle.staged_tree(repo, scratch)
        assert snapshot.tree == tree
        assert own == oracle.listed(repo, tree, scratch)
        assert dirty == (tree != repo.git("rev-parse", "HEAD^{tree}", check=False))


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    """A repository with one commit."""
    git_repo.write("a.txt", "one\n")
    git_repo.write("src/b.py", "x = 1\n")
    git_repo.write("src/run.sh", "#!/bin/sh\n", executable=True)
    git_repo.commit("First")
    return git_repo


class TestFingerprint:
    def test_a_clean_tree_is_the_commits(self, repo: GitRepo) -> None:
        snapshot = _workspace(repo).snapshot()
        assert snapshot.fingerprint() == {"commit": repo.head(), "tree": repo.tree()}
        assert snapshot.changes == {}
        assert not snapshot.dirty

    def test_before_the_first_commit(self, git_repo: GitRepo, tmp_path: Path) -> None:
        empty = _workspace(git_repo).snapshot()
        assert empty.fingerprint() == {"tree": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}
        assert empty.inputs_digest() == oracle.digest(b"")
        git_repo.write("a", "1\n")
        blob = git_repo.git("hash-object", "a")
        found = _workspace(git_repo).snapshot()
        assert "commit" not in found.fingerprint()
        assert found.dirty
        assert found.changes == {"a": blob}
        git_repo.git("add", "a")
        assert _workspace(git_repo).snapshot().fingerprint() == found.fingerprint()
        git_repo.commit("First")
        assert _tree(git_repo) == found.tree

    def test_an_empty_commit(self, git_repo: GitRepo, tmp_path: Path) -> None:
        git_repo.commit("Nothing")
        assert _workspace(git_repo).snapshot().fingerprint() == {"commit": git_repo.head(), "tree": git_repo.tree()}
        git_repo.write("a", "1\n")
        _assert_as_git(git_repo, tmp_path / "scratch")

    def test_changes_name_blobs_modes_and_deletions(self, repo: GitRepo) -> None:
        repo.write("a.txt", "two\n")
        repo.remove("src/b.py")
        (repo.root / "src/run.sh").chmod(0o644)
        repo.write("new.sh", "new\n", executable=True)
        os.symlink("a.txt", repo.root / "link")
        repo.git("add", "new.sh")
        run = repo.git("rev-parse", "HEAD:src/run.sh")
        assert _workspace(repo).snapshot().changes == {
            "a.txt": repo.git("hash-object", "a.txt"),
            "src/b.py": "",
            "src/run.sh": f"{run} 100644",
            "new.sh": repo.git("hash-object", "new.sh") + " 100755",
            "link": repo.git("hash-object", "--stdin", input="a.txt") + " 120000",
        }

    def test_staged_and_undone_in_the_work_tree_is_clean(self, repo: GitRepo) -> None:
        repo.write("a.txt", "two\n")
        repo.git("add", "a.txt")
        repo.write("a.txt", "one\n")
        assert _workspace(repo).snapshot().fingerprint() == {"commit": repo.head(), "tree": repo.tree()}

    def test_the_same_size_written_at_the_same_time(self, repo: GitRepo) -> None:
        """Git cannot see such an edit by the file's data, and knows that it cannot (“racy”)."""
        seen = {_tree(repo)}
        for number in range(12):
            file = repo.root / "a.txt"
            told = file.stat()
            if number % 2:
                time.sleep(0.01)
            file.write_bytes(b"%03d\n" % number)
            if number % 2:  # now only the change time tells, and it has to be another one
                os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
            tree = _tree(repo)
            assert tree not in seen
            seen.add(tree)
            repo.git("add", "a.txt")
            assert _tree(repo) == tree
        (repo.root / "a.txt").write_bytes(b"one\n")
        assert _tree(repo) == repo.tree()

    def test_an_edit_that_only_the_time_of_the_index_gives_away(self, repo: GitRepo) -> None:
        """Same size, time and inode; as the index is no younger than the file, git has to read the file again."""
        repo.git("config", "core.trustctime", "false")
        file, index = repo.root / "a.txt", repo.root / ".git" / "index"
        moment = time.time_ns() - 5 * 10**9
        os.utime(file, ns=(moment, moment))
        repo.git("add", "a.txt")
        os.utime(index, ns=(moment, moment))
        file.write_bytes(b"two\n")
        os.utime(file, ns=(moment, moment))
        assert set(_workspace(repo).snapshot().changes) == {"a.txt"}

    def test_equal_in_a_clone_and_after_every_rewriting_of_history(self, repo: GitRepo, tmp_path: Path) -> None:
        base = repo.head()
        repo.git("checkout", "-q", "-b", "work")
        for number in range(3):
            repo.write("src/b.py", f"x = {number + 2}\n")
            repo.commit(f"Step {number}")
        digest = _workspace(repo).snapshot().inputs_digest(["src/**"])
        repo.git("commit", "-q", "--amend", "-m", "Other words")
        assert _workspace(repo).snapshot().inputs_digest(["src/**"]) == digest
        clone = repo.clone(tmp_path / "clone")
        assert _workspace(clone).snapshot().inputs_digest(["src/**"]) == digest
        repo.git("checkout", "-q", "main")
        repo.git("merge", "-q", "--squash", "work")
        assert _workspace(repo).snapshot().inputs_digest(["src/**"]) == digest
        repo.commit("Squashed")
        assert _workspace(repo).snapshot().inputs_digest(["src/**"]) == digest
        repo.git("checkout", "-q", "-B", "other", base)
        repo.write("elsewhere", "1\n")
        repo.commit("Elsewhere")
        repo.git("rebase", "-q", "other", "work")
        assert _workspace(repo).snapshot().inputs_digest(["src/**"]) == digest
        assert repo.head() != base
        assert _workspace(repo).snapshot().inputs_digest() != _workspace(clone).snapshot().inputs_digest()

    def test_ignored_files_do_not_count(self, repo: GitRepo) -> None:
        repo.write(".gitignore", "*.log\n/out/\n")
        repo.commit("Ignore")
        repo.write("x.log", "1")
        repo.write("out/y", "1")
        assert "dirty" not in _workspace(repo).snapshot().fingerprint()

    def test_excludes_tells_of_rules_outside_the_tree(self, repo: GitRepo, home: Path, tmp_path: Path) -> None:
        exclude = repo.root / ".git" / "info" / "exclude"
        exclude.write_text("# only words\n\n  \n")
        assert "excludes" not in _workspace(repo).snapshot().fingerprint()
        exclude.write_text("secret\n")
        one = _workspace(repo).snapshot()
        repo.write("secret", "1")
        assert _workspace(repo).snapshot().fingerprint() == one.fingerprint()
        assert len(one.excludes) == 64
        assert not one.dirty
        exclude.write_text("# the same\r\nsecret\r\n")
        assert _workspace(repo).snapshot().excludes == one.excludes
        exclude.write_text("secret\nother\n")
        assert _workspace(repo).snapshot().excludes not in ("", one.excludes)
        exclude.unlink()
        (home / ".config" / "git").mkdir(parents=True)
        (home / ".config" / "git" / "ignore").write_text("secret\n")
        assert _workspace(repo).snapshot().excludes == one.excludes
        rules = tmp_path / "rules"
        rules.write_text("secret\nother\n")
        repo.git("config", "core.excludesFile", rules)
        assert _workspace(repo).snapshot().excludes not in ("", one.excludes)
        repo.git("config", "core.excludesFile", "~/.config/git/ignore")
        assert _workspace(repo).snapshot().excludes == one.excludes

    def test_names_that_are_hard_to_write(self, repo: GitRepo, tmp_path: Path) -> None:
        for name in (
            b"new\nline",
            b'quo"te',
            b"back\\slash",
            b"tab\there",
            "é ü".encode(),
            b"latin-\xe9",
            b" lead",
            b"-dash",
            b":x",
        ):
            (Path(os.fsdecode(os.fsencode(repo.root) + b"/" + name))).write_bytes(name)
        _assert_as_git(repo, tmp_path / "scratch")
        snapshot = _workspace(repo).snapshot()
        assert {"new\nline", 'quo"te', "back\\slash", "tab\there", "é ü", "latin-\udce9"} < set(snapshot.changes)
        assert snapshot.paths(["latin-?"]) == ["latin-\udce9"]
        repo.commit("Odd")
        assert _workspace(repo).snapshot().fingerprint() == {"commit": repo.head(), "tree": snapshot.tree}


class TestStates:
    """What git may be in the middle of, and what a repository may be set up as."""

    def test_files_and_folders_that_change_places(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.write("d/e/f", "1\n")
        repo.write("g", "1\n")
        repo.commit("More")
        shutil.rmtree(repo.root / "d")
        repo.write("d", "a file\n")
        repo.remove("g")
        repo.write("g/h/i", "a folder\n")
        _assert_as_git(repo, tmp_path / "scratch")
        repo.remove("d")
        os.symlink("src", repo.root / "d")
        shutil.rmtree(repo.root / "g")
        os.symlink("/nowhere", repo.root / "g")
        _assert_as_git(repo, tmp_path / "scratch")
        shutil.move(repo.root / "src", repo.root / "moved")
        os.symlink("moved", repo.root / "src")
        _assert_as_git(repo, tmp_path / "scratch")
        repo.git("rm", "-q", "-r", "--cached", ".")
        _assert_as_git(repo, tmp_path / "scratch")

    @pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick", "stash"])
    def test_conflicts_count_as_they_lie_there(self, repo: GitRepo, tmp_path: Path, how: str) -> None:
        repo.write("gone", "1\n")
        repo.commit("Base")
        repo.git("checkout", "-q", "-b", "other")
        repo.write("a.txt", "theirs\n")
        repo.write("gone", "theirs\n")
        repo.write("both", "theirs\n")
        repo.git("rm", "-q", "src/b.py")
        repo.commit("Theirs")
        if how == "stash":
            repo.git("reset", "-q", "--soft", "HEAD~")
            repo.git("stash", "-q")
        repo.git("checkout", "-q", "main")
        repo.write("a.txt", "ours\n")
        repo.write("src/b.py", "ours\n")
        repo.write("both", "ours\n")
        repo.git("rm", "-q", "gone")
        repo.commit("Ours")
        command = {"stash": ["stash", "pop"], "cherry-pick": ["cherry-pick", "other"]}.get(how, [how, "other"])
        repo.git(*command, check=False)
        assert repo.git("ls-files", "-u")
        _assert_as_git(repo, tmp_path / "scratch")
        snapshot = _workspace(repo).snapshot()
        head = dict(line.split("\t")[::-1] for line in repo.git("ls-tree", "-r", "HEAD").split("\n"))
        now = {path: f"{mode} {kind} {oid}" for mode, kind, oid, path in snapshot.matching()}
        assert set(snapshot.changes) == {path for path in {*head, *now} if head.get(path) != now.get(path)}
        repo.remove("a.txt")
        _assert_as_git(repo, tmp_path / "scratch")

    def test_a_file_that_git_was_only_told_of(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.write("later/x", "1\n")
        repo.git("add", "-N", "later/x")
        _assert_as_git(repo, tmp_path / "scratch")
        shutil.rmtree(repo.root / "later")
        _assert_as_git(repo, tmp_path / "scratch")

    def test_hidden_edits_and_deletions_are_seen(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("update-index", "--assume-unchanged", "a.txt")
        repo.git("update-index", "--skip-worktree", "src/b.py", "src/run.sh")
        repo.write("a.txt", "two\n")
        assert set(_workspace(repo).snapshot().changes) == {"a.txt"}
        repo.write("src/b.py", "x = 2\n")
        repo.remove("src/run.sh")
        assert set(_workspace(repo).snapshot().changes) == {"a.txt", "src/b.py", "src/run.sh"}
        _assert_as_git(repo, tmp_path / "scratch")
        repo.remove("a.txt")
        assert _workspace(repo).snapshot().changes["a.txt"] == ""

    def test_what_a_sparse_checkout_leaves_out_is_as_it_was_committed(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("sparse-checkout", "set", "--no-cone", "/a.txt")
        assert not (repo.root / "src/b.py").exists()
        assert _workspace(repo).snapshot().changes == {}
        _assert_as_git(repo, tmp_path / "scratch")

    def test_times_that_git_is_told_not_to_trust_hide_nothing(self, repo: GitRepo) -> None:
        repo.git("config", "core.trustctime", "false")
        repo.git("config", "core.checkStat", "minimal")
        os.utime(repo.root / "a.txt", (10**9, 10**9))
        repo.git("update-index", "--refresh", check=False)
        size = (repo.root / "a.txt").stat().st_size
        time.sleep(1.1)  # most builds of git compare change times by the second
        repo.write("a.txt", "x" * (size - 1) + "\n")
        os.utime(repo.root / "a.txt", (10**9, 10**9))
        assert set(_workspace(repo).snapshot().changes) == {"a.txt"}

    def test_ignore_stat_hides_nothing(self, repo: GitRepo) -> None:
        repo.git("config", "core.ignoreStat", "true")
        repo.write("a.txt", "two\n")
        repo.git("add", "a.txt")
        repo.write("a.txt", "three\n")
        assert _workspace(repo).snapshot().changes == {"a.txt": repo.git("hash-object", "a.txt")}

    @pytest.mark.parametrize("sparse_index", ["true", "false"])
    def test_a_sparse_checkout_is_the_whole_commit(self, repo: GitRepo, tmp_path: Path, sparse_index: str) -> None:
        for folder in ("kept", "left/out", "left/too"):
            repo.write(f"{folder}/file", f"{folder}\n")
        repo.commit("Folders")
        whole = _workspace(repo).snapshot()
        digest = whole.inputs_digest(), whole.inputs_digest(["left/**"]), whole.inputs_digest(["**/file"])
        repo.git("sparse-checkout", "init", "--cone", f"--{'' if sparse_index == 'true' else 'no-'}sparse-index")
        repo.git("sparse-checkout", "set", "kept")
        assert not (repo.root / "left").exists()
        if sparse_index == "true":
            assert "left/\0" in repo.git("ls-files", "--sparse", "-z") + "\0"
        sparse = _workspace(repo).snapshot()
        assert sparse.fingerprint() == whole.fingerprint()
        assert (sparse.inputs_digest(), sparse.inputs_digest(["left/**"]), sparse.inputs_digest(["**/file"])) == digest
        repo.write("kept/file", "edited\n")
        repo.write("kept/new", "new\n")
        assert set(_workspace(repo).snapshot().changes) == {"kept/file", "kept/new"}
        _assert_as_git(repo, tmp_path / "scratch")
        repo.write("left/out/file", "edited outside\n")
        assert set(_workspace(repo).snapshot().changes) == {"kept/file", "kept/new", "left/out/file"}

    def test_a_split_index(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("config", "core.splitIndex", "true")
        repo.git("update-index", "--split-index")
        repo.write("a.txt", "two\n")
        repo.git("add", "a.txt")
        repo.git("update-index", "--assume-unchanged", "src/b.py")
        repo.write("src/b.py", "x = 2\n")
        assert list((repo.root / ".git").glob("sharedindex.*"))
        before = oracle.traces(repo.root)
        assert set(_workspace(repo).snapshot().changes) == {"a.txt", "src/b.py"}
        after = oracle.traces(repo.root)
        # Whoever reads a shared index, git sets its time anew, so that it is not taken for an old one and removed.
        assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= {
            str(path) for path in (repo.root / ".git").glob("sharedindex.*")
        }

    @pytest.mark.parametrize(
        "settings", [{"index.version": "4"}, {"feature.manyFiles": "true"}, {"index.skipHash": "true"}]
    )
    def test_other_kinds_of_index(self, repo: GitRepo, tmp_path: Path, settings: dict[str, str]) -> None:
        for name, value in settings.items():
            repo.git("config", name, value)
        repo.git("update-index", "--force-write-index")
        repo.git("reset", "-q", "--hard")
        repo.git("status")
        _assert_as_git(repo, tmp_path / "scratch")
        repo.write("src/b.py", "x = 2\n")
        repo.write("src/new/c.py", "y = 2\n")
        _assert_as_git(repo, tmp_path / "scratch")

    def test_a_sha256_repository(self, tmp_path: Path) -> None:
        root = tmp_path / "repo"
        root.mkdir()
        repo = GitRepo(root)
        repo.git("init", "-q", "--object-format=sha256")
        assert _tree(repo) == repo.git("hash-object", "-t", "tree", "/dev/null")
        repo.write("a/b", "1\n")
        repo.commit("First")
        assert _workspace(repo).snapshot().fingerprint() == {"commit": repo.head(), "tree": repo.tree()}
        repo.write("a/c", "2\n")
        (repo.root / "a" / "b").unlink()
        _assert_as_git(repo, tmp_path / "scratch")

    def test_a_monitor_is_not_asked(self, repo: GitRepo, tmp_path: Path) -> None:
        hook = tmp_path / "monitor"
        hook.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\nprintf 'token\\0'\n")
        hook.chmod(0o755)
        repo.git("config", "core.fsmonitor", hook)
        repo.git("config", "core.untrackedCache", "true")
        repo.git("status")
        (tmp_path / "asked").unlink()
        repo.write("a.txt", "two\n")
        assert set(_workspace(repo).snapshot().changes) == {"a.txt"}
        assert not (tmp_path / "asked").exists()


class TestFilters:
    def test_line_ends_count_unless_attributes_normalise_them(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.write("a.txt", "one\r\n")
        assert _tree(repo) != repo.tree()
        _assert_as_git(repo, tmp_path / "scratch")
        repo.write("a.txt", "one\n")
        repo.write(".gitattributes", "*.txt text\n")
        repo.commit("Normalise")
        repo.write("a.txt", "one\r\n")
        assert _tree(repo) == repo.tree()
        repo.write("src/b.py", "x = 1\r\n")
        assert _tree(repo) != repo.tree()

    @pytest.mark.parametrize("autocrlf", ["true", "input"])
    def test_the_users_line_ends(self, repo: GitRepo, tmp_path: Path, autocrlf: str) -> None:
        repo.write("crlf.txt", "kept\r\n")
        repo.commit("With carriage returns")
        repo.git("config", "core.autocrlf", autocrlf)
        repo.git("config", "core.safecrlf", "true")
        repo.write("crlf.txt", "kept\r\nand more\r\n")
        repo.write("a.txt", "one\r\ntwo\r\n")
        repo.write("mixed.txt", "one\r\ntwo\n")
        tree = _tree(repo)
        repo.git("config", "core.safecrlf", "false")
        assert tree == oracle.staged_tree(repo, tmp_path / "scratch")

    def test_clean_filters_run(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("config", "filter.upper.clean", "tr a-z A-Z")
        repo.write(".gitattributes", "*.up filter=upper\n")
        repo.write("x.up", "shout\n")
        _assert_as_git(repo, tmp_path / "scratch")
        repo.commit("Filtered")
        assert repo.git("cat-file", "-p", "HEAD:x.up") == "SHOUT"
        repo.write("x.up", "sHoUt\n")
        assert _tree(repo) == repo.tree()

    def test_modes_and_links_where_the_file_system_has_none(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("config", "core.fileMode", "false")
        (repo.root / "src/run.sh").chmod(0o644)
        assert _tree(repo) == repo.tree()
        repo.write("src/run.sh", "#!/bin/sh\ntrue\n")
        repo.write("new.sh", "x", executable=True)
        _assert_as_git(repo, tmp_path / "scratch")


class TestSubmodules:
    @pytest.fixture
    def outer(self, repo: GitRepo, tmp_path: Path) -> GitRepo:
        """A repository with a submodule `lib/sub` that has one of its own, `deep`, and files around it."""
        inner = GitRepo.create(tmp_path / "inner")
        inner.write("deep.c", "int deep;\n")
        inner.commit("Deep")
        sub = GitRepo.create(tmp_path / "sub")
        sub.write("s.c", "int s;\n")
        sub.git("submodule", "add", "-q", inner.root, "deep")
        sub.commit("Sub")
        repo.git("submodule", "add", "-q", sub.root, "lib/sub")
        repo.git("submodule", "update", "-q", "--init", "--recursive")
        repo.write("lib/sub-side", "1\n")
        repo.write("lib/sub.c", "1\n")
        repo.commit("With a submodule")
        return repo

    def _lines(self, repo: GitRepo) -> bytes:
        """The oracle: ls-tree, and after each gitlink the same of its repository, prefixed; all of it clean."""
        lines = b""
        for line in repo.git("ls-tree", "-r", "-z", "--full-tree", "HEAD").encode().split(b"\0")[:-1]:
            lines += line + b"\0"
            if line.startswith(b"160000"):
                path = line.split(b"\t")[1]
                inner = self._lines(GitRepo(repo.root / path.decode()))
                lines += b"".join(x.replace(b"\t", b"\t" + path + b"/", 1) + b"\0" for x in inner.split(b"\0")[:-1])
        return lines

    def test_its_lines_stand_after_its_gitlink(self, outer: GitRepo) -> None:
        with _workspace(outer).snapshot() as snapshot:
            assert snapshot.fingerprint() == {"commit": outer.head(), "tree": outer.tree()}
            lines = self._lines(outer)
            assert snapshot.inputs_digest() == oracle.digest(lines)
            assert b"lib/sub/deep/deep.c" in lines
            chosen = [line for line in lines.split(b"\0")[:-1] if b"\tlib/sub/" in line]
            assert snapshot.inputs_digest(["lib/sub/**"]) == oracle.digest(b"".join(line + b"\0" for line in chosen))
            assert snapshot.paths(["**/*.c"]) == ["lib/sub/deep/deep.c", "lib/sub/s.c", "lib/sub.c"]
            assert snapshot.paths(["lib/sub"])[0] == "lib/sub"
            assert snapshot.blob("lib/sub/s.c") == GitRepo(outer.root / "lib/sub").git("rev-parse", "HEAD:s.c")
        committed = _workspace(outer).tree_snapshot("HEAD")
        assert committed.inputs_digest() == oracle.digest(lines)

    @pytest.mark.parametrize("path", ["lib/sub", "lib/sub/deep"])
    def test_what_changes_in_it_counts(self, outer: GitRepo, tmp_path: Path, path: str) -> None:
        clean = _workspace(outer).snapshot()
        inner = GitRepo(outer.root / path)
        inner.write("new.c", "int n;\n")
        dirty = _workspace(outer).snapshot()
        blob = inner.git("hash-object", "new.c")
        assert dirty.tree == clean.tree
        tree = oracle.staged_tree(inner, tmp_path / "scratch")
        expected = {"commit": outer.head(), "tree": outer.tree(), "dirty": True, "submodules": {path: tree}}
        assert dirty.fingerprint() == expected
        assert dirty.changes == {f"{path}/new.c": blob}
        assert dirty.untracked() == {f"{path}/new.c".encode()}
        assert dirty.inputs_digest() != clean.inputs_digest()
        assert dirty.inputs_digest(["lib/sub/s.c"]) == clean.inputs_digest(["lib/sub/s.c"])
        (outer.root / path / "new.c").unlink()
        assert _workspace(outer).snapshot().fingerprint() == clean.fingerprint()

    def test_a_commit_in_it_is_a_change_of_the_gitlink(self, outer: GitRepo, tmp_path: Path) -> None:
        sub = GitRepo(outer.root / "lib/sub")
        sub.write("s.c", "int t;\n")
        head = sub.commit("Change")
        _assert_as_git(outer, tmp_path / "scratch")
        snapshot = _workspace(outer).snapshot()
        assert snapshot.changes == {"lib/sub": head}
        assert "submodules" not in snapshot.fingerprint()

    def test_settings_that_hide_submodules_hide_nothing(self, outer: GitRepo) -> None:
        outer.git("config", "-f", ".gitmodules", "submodule.lib/sub.ignore", "all")
        outer.git("config", "diff.ignoreSubmodules", "all")
        outer.commit("Ignore it", add=True)
        sub = GitRepo(outer.root / "lib/sub")
        sub.write("s.c", "int t;\n")
        assert set(_workspace(outer).snapshot().changes) == {"lib/sub/s.c"}
        head = sub.commit("Change")
        assert _workspace(outer).snapshot().changes == {"lib/sub": head}

    def test_one_that_is_not_checked_out_has_only_its_gitlink(self, outer: GitRepo, tmp_path: Path) -> None:
        clone = outer.clone(tmp_path / "clone")
        with _workspace(clone).snapshot() as snapshot:
            assert snapshot.fingerprint() == {"commit": clone.head(), "tree": clone.tree()}
            printed = clone.git("ls-tree", "-r", "-z", "--full-tree", "HEAD").encode()
            assert snapshot.inputs_digest() == oracle.digest(printed)
            assert snapshot.submodules == {}

    def test_one_that_was_deleted(self, outer: GitRepo, tmp_path: Path) -> None:
        shutil.rmtree(outer.root / "lib/sub")
        assert _workspace(outer).snapshot().changes == {"lib/sub": ""}
        outer.write("lib/sub", "a file\n")
        _assert_as_git(outer, tmp_path / "scratch")

    def test_repositories_that_are_no_submodules(self, repo: GitRepo, tmp_path: Path) -> None:
        inner = GitRepo.create(repo.root / "vendor" / "inner")
        inner.write("v.c", "int v;\n")
        before = _workspace(repo).snapshot()
        assert before.tree == repo.tree()
        assert before.changes == {"vendor/inner/v.c": inner.git("hash-object", "v.c")}
        assert before.paths(["vendor/**"]) == ["vendor/inner/v.c"]
        inner.write("v.c", "int w;\n")
        assert _workspace(repo).snapshot().fingerprint() != before.fingerprint()
        head = inner.commit("First")
        _assert_as_git(repo, tmp_path / "scratch")
        with _workspace(repo).snapshot() as snapshot:
            assert snapshot.changes == {"vendor/inner": f"{head} 160000"}
            assert snapshot.paths(["vendor/**"]) == ["vendor/inner", "vendor/inner/v.c"]

    def test_a_file_that_became_a_repository(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.remove("a.txt")
        inner = GitRepo.create(repo.root / "a.txt")
        inner.write("x", "1\n")
        head = inner.commit("First")
        _assert_as_git(repo, tmp_path / "scratch")
        assert _workspace(repo).snapshot().changes == {"a.txt": f"{head} 160000"}


class TestSurroundings:
    def test_a_linked_work_tree(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.git("worktree", "add", "-q", "-b", "side", tmp_path / "side")
        side = GitRepo(tmp_path / "side")
        workspace = _workspace(side)
        assert workspace.root == str(side.root)
        assert workspace.common_root == str(repo.root)
        assert workspace.git_dir == side.git("rev-parse", "--absolute-git-dir")
        assert _workspace(repo).common_root == str(repo.root)
        side.write("a.txt", "side\n")
        assert set(workspace.snapshot().changes) == {"a.txt"}
        assert "dirty" not in _workspace(repo).snapshot().fingerprint()
        (repo.root / ".git" / "info" / "exclude").write_text("hidden\n")
        assert workspace.snapshot().excludes

    def test_from_a_folder_below_and_through_a_link(self, repo: GitRepo, tmp_path: Path) -> None:
        os.symlink(repo.root / "src", tmp_path / "way")
        for start in (repo.root / "src", tmp_path / "way", repo.root / "src" / "b.py"):
            found = Workspace.find(str(start))
            assert (found.root, found.is_git, found.common_root) == (str(repo.root), True, str(repo.root))
            assert found.snapshot().tree == repo.tree()

    @pytest.mark.parametrize(
        "command",
        [["commit", "-q", "-m", "x"], ["commit", "-q", "-a", "-m", "x"], ["commit", "-q", "-m", "x", "src/b.py"]],
    )
    @pytest.mark.parametrize("linked", [False, True])
    def test_in_a_hook(self, repo: GitRepo, tmp_path: Path, command: list[str], linked: bool) -> None:
        if linked:
            repo.git("worktree", "add", "-q", "-b", "side", tmp_path / "side")
        here = GitRepo(tmp_path / "side") if linked else repo
        other = GitRepo.create(tmp_path / "another")
        other.write("z", "1\n")
        hook = repo.root / ".git" / "hooks" / "pre-commit"
        script = f"#!/bin/sh\nenv | grep ^GIT_ > {tmp_path}/env\n"
        for name, where in (("here", "."), ("other", str(other.root))):
            script += f"'{sys.executable}' -c '{TELL}' {where} > {tmp_path}/{name} || exit 1\n"
        hook.write_text(script)
        hook.chmod(0o755)
        here.write("src/b.py", "x = 2\n")
        here.write("new", "1\n")
        here.git("add", "src/b.py")
        expected, elsewhere = (_workspace(each).snapshot().fingerprint() for each in (here, other))
        here.git(*command)
        assert "GIT_INDEX_FILE" in (tmp_path / "env").read_text()
        assert json.loads((tmp_path / "here").read_text()) == expected
        assert json.loads((tmp_path / "other").read_text()) == elsewhere

    def test_variables_that_lead_git_elsewhere(
        self, repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = GitRepo.create(tmp_path / "other")
        other.write("z", "1\n")
        other.commit("Other")
        expected = _workspace(repo).snapshot().fingerprint()
        for name, value in {
            "GIT_DIR": other.root / ".git", "GIT_WORK_TREE": other.root, "GIT_INDEX_FILE": other.root / ".git/index",
            "GIT_OBJECT_DIRECTORY": other.root / ".git/objects", "GIT_COMMON_DIR": other.root / ".git",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": tmp_path / "nowhere", "GIT_PREFIX": "src/",
            "GIT_LITERAL_PATHSPECS": "1", "GIT_NAMESPACE": "x",
            "GIT_CEILING_DIRECTORIES": repo.root, "GIT_OPTIONAL_LOCKS": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, str(value))
        found = Workspace.find(str(repo.root))
        assert found.snapshot().fingerprint() == expected
        assert found.tree_snapshot("HEAD").read("a.txt") == b"one\n"
        assert found.git.run("ls-files", "--", ":(glob)src/*") == b"src/b.py\nsrc/run.sh\n"

    def test_replaced_objects_are_not_looked_at(self, repo: GitRepo) -> None:
        other = repo.git("hash-object", "-w", "--stdin", input="another\n")
        repo.git("replace", repo.git("rev-parse", "HEAD:a.txt"), other)
        assert repo.git("show", "HEAD:a.txt") == "another"
        assert _workspace(repo).tree_snapshot("HEAD").read("a.txt") == b"one\n"

    def test_git_run_for_others_writes_nothing_either(self, repo: GitRepo) -> None:
        os.utime(repo.root / "a.txt")
        before = oracle.traces(repo.root)
        assert _workspace(repo).git.run("status", "--porcelain") == b""
        assert oracle.traces(repo.root) == before

    def test_objects_in_quarantine_are_found(
        self, repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / 'odd:"name'
        elsewhere.mkdir()
        blob = repo.git("hash-object", "-w", "--stdin", input="far\n", env={"GIT_OBJECT_DIRECTORY": str(elsewhere)})
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(elsewhere))
        assert _workspace(repo).git.run("cat-file", "-p", blob) == b"far\n"
        assert _workspace(repo).git.run("cat-file", "-p", "HEAD:a.txt") == b"one\n"

    def test_a_work_tree_that_only_the_environment_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root, git_dir = tmp_path / "dots", tmp_path / "dots.git"
        root.mkdir()
        subprocess.run(["git", "init", "-q", "--bare", git_dir], check=True)
        (root / "profile").write_text("x\n")
        assert not Workspace.find(str(root)).is_git
        monkeypatch.setenv("GIT_DIR", str(git_dir))
        monkeypatch.setenv("GIT_WORK_TREE", str(root))
        found = Workspace.find(str(root))
        assert (found.is_git, found.root, found.git_dir) == (True, str(root), str(git_dir))
        assert list(found.snapshot().changes) == ["profile"]
        assert not Workspace.find(str(tmp_path)).is_git

    def test_where_git_may_not_be_written(self, repo: GitRepo, tmp_path: Path) -> None:
        repo.write("a.txt", "two\n")
        repo.write("src/new.py", "y = 1\n")
        repo.git("update-index", "--assume-unchanged", "src/b.py")
        expected = _workspace(repo).snapshot().fingerprint()
        folders = [repo.root / ".git", *(repo.root / ".git").rglob("*")]
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folders}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        done = oracle.unprivileged(f"import os; assert not os.access('.git', os.W_OK)\n{TELL}", cwd=repo.root)
        for path, mode in modes.items():
            path.chmod(mode)
        assert done.stderr == ""
        assert json.loads(done.stdout) == expected


class TestLedgerFiles:
    def test_a_ledger_in_the_tree_never_counts(self, repo: GitRepo) -> None:
        clean = _workspace(repo).snapshot().fingerprint()
        files = [repo.root / name for name in ("src/l.db", "src/l.db-wal", "src/l.db-shm", "src/l.db.lock")]
        for file in files:
            file.write_bytes(b"SQLite")
        repo.write(".tallystick/ledger.db", "SQLite")
        assert _workspace(repo).snapshot().changes.keys() == {f"src/{file.name}" for file in files}
        found = Workspace.find(str(repo.root), exclude=[str(file) for file in files])
        snapshot = found.snapshot()
        assert snapshot.fingerprint() == clean
        assert not any("l.db" in path or ".tallystick" in path for path in snapshot.paths())
        assert snapshot.untracked() == set()

    def test_a_ledger_that_was_committed_is_no_input(self, repo: GitRepo) -> None:
        repo.write("l.db", "SQLite")
        repo.write(".tallystick/ledger.db", "SQLite")
        repo.commit("By mistake")
        found = Workspace.find(str(repo.root), exclude=[str(repo.root / "l.db")])
        before = found.snapshot()
        repo.write("l.db", "SQLite, grown")
        repo.write(".tallystick/ledger.db", "SQLite, grown")
        after = found.snapshot()
        assert after.fingerprint() == before.fingerprint()
        assert after.inputs_digest() == before.inputs_digest() == found.tree_snapshot("HEAD~").inputs_digest()

    def test_locks_on_a_ledger_are_kept(self, repo: GitRepo, tmp_path: Path) -> None:
        """Opening and closing a file drops every lock this process has on it: such a file is never opened."""
        import fcntl

        from tallystick.workspace import capture_baseline

        ledger = repo.write("l.db", "SQLite")
        own = repo.write(".tallystick/ledger.db", "SQLite")
        held = [open(path, "r+b") for path in (ledger, own)]  # noqa: SIM115
        for file in held:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        workspace = Workspace.find(str(repo.root), exclude=[str(ledger)])
        with workspace.snapshot() as snapshot:
            snapshot.fingerprint()
            snapshot.inputs_digest()
        assert capture_baseline(workspace) == []
        shutil.rmtree(repo.root / ".git")
        os.link(ledger, repo.root / "second name")
        plain = Workspace.find(str(repo.root), exclude=[str(ledger)])
        assert plain.snapshot().paths() == ["a.txt", "src/b.py", "src/run.sh"]
        assert len(capture_baseline(plain)) == 3
        attempt = "import fcntl,sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        for path in (ledger, own):
            done = subprocess.run([sys.executable, "-c", attempt, path], capture_output=True, text=True)
            assert "BlockingIOError" in done.stderr
        for file in held:
            file.close()


class TestScratch:
    @pytest.fixture
    def scratch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "scratch"
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        return folder

    def test_nothing_stays(self, repo: GitRepo, scratch: Path) -> None:
        repo.write("a.txt", "two\n")
        snapshot = _workspace(repo).snapshot()
        assert list(scratch.iterdir()) == []
        snapshot.inputs_digest()
        assert snapshot.changes
        pending = _workspace(repo).start_snapshot()
        assert list(scratch.iterdir()) != []
        pending.discard()
        assert list(scratch.iterdir()) == []
        (repo.root / ".git" / "index").write_bytes(b"rubbish")
        with pytest.raises(TallystickError):
            _workspace(repo).snapshot()
        assert list(scratch.iterdir()) == []

    def test_nothing_stays_of_a_process_that_forgets(self, repo: GitRepo, scratch: Path) -> None:
        forget = """
import sys, threading, time
from tallystick.workspace import Workspace
threading.Thread(target=lambda pending: time.sleep(60), args=(Workspace.find().start_snapshot(),), daemon=True).start()
sys.exit(3)
"""
        done = subprocess.run([sys.executable, "-c", forget], cwd=repo.root, capture_output=True)
        assert (done.returncode, done.stderr) == (3, b"")
        assert list(scratch.iterdir()) == []

    def test_a_forked_child_leaves_it_to_its_parent(self, repo: GitRepo, scratch: Path) -> None:
        pending = _workspace(repo).start_snapshot()
        child = os.fork()
        if child == 0:
            pending = None  # type: ignore[assignment]
            os._exit(0 if list(scratch.iterdir()) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert pending.result().tree == repo.tree()
        assert list(scratch.iterdir()) == []

    def test_scratch_inside_the_work_tree_never_counts(self, repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
        (repo.root / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(repo.root / "tmp"))
        other = _workspace(repo).start_snapshot()
        assert _workspace(repo).snapshot().fingerprint() == {"commit": repo.head(), "tree": repo.tree()}
        assert other.result().tree == repo.tree()

    def test_no_room_is_one_clear_line(self, repo: GitRepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from tallystick.workspace import scratch

        monkeypatch.setattr(scratch, "temporary_folder", lambda: str(tmp_path / "gone"))
        with pytest.raises(TallystickError, match="temporary file") as caught:
            _workspace(repo).snapshot()
        assert "TMPDIR" in caught.value.advice


class TestTrouble:
    @pytest.fixture
    def fake(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder before all others in PATH, to put another git into."""
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return folder

    def _script(self, folder: Path, body: str) -> None:
        (folder / "git").write_text(f"#!/bin/sh\n{body}\n")
        (folder / "git").chmod(0o755)

    def test_no_git(self, repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(TallystickError, match="git was not found") as caught:
            _workspace(repo).snapshot()
        assert "2.25" in str(caught.value)

    def test_a_git_too_old(self, repo: GitRepo, fake: Path) -> None:
        self._script(
            fake, 'test "$1" = version && echo "git version 2.17.1" && exit; echo "error: unknown option" >&2; exit 129'
        )
        with pytest.raises(TallystickError, match=r"git 2\.17 is too old; install git 2\.25 or later"):
            _workspace(repo).snapshot()

    def test_a_git_that_fails_is_quoted(self, repo: GitRepo, fake: Path) -> None:
        self._script(
            fake, 'test "$1" = version && echo "git version 2.39.1" && exit; echo "fatal: it is broken" >&2; exit 128'
        )
        with pytest.raises(TallystickError, match="git: it is broken") as caught:
            _workspace(repo).snapshot()
        assert caught.value.where == str(repo.root)

    def test_a_git_that_prints_nothing(self, repo: GitRepo, fake: Path) -> None:
        self._script(fake, "exit 0")
        with pytest.raises(TallystickError):
            _workspace(repo).snapshot()

    def test_a_repository_of_somebody_else(self, repo: GitRepo, fake: Path) -> None:
        self._script(fake, f'GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {_real_git()} "$@"')
        with pytest.raises(TallystickError, match="dubious ownership") as caught:
            _workspace(repo).snapshot()
        assert "safe.directory" in caught.value.advice

    def test_where_nobody_waits_for_children(self, repo: GitRepo) -> None:
        """With SIGCHLD ignored the system takes the exit code; what git printed still counts."""
        repo.write("a.txt", "two\n")
        ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        done = subprocess.run([sys.executable, "-c", ignore + TELL], cwd=repo.root, capture_output=True, text=True)
        assert done.stderr == ""
        assert json.loads(done.stdout) == _workspace(repo).snapshot().fingerprint()

    def test_few_processes(self, repo: GitRepo, fake: Path, tmp_path: Path) -> None:
        """The quickness of `notch run` lies in this."""
        self._script(fake, f'echo "$@" >> {tmp_path}/calls; exec {_real_git()} "$@"')
        workspace = _workspace(repo)

        def calls() -> int:
            with workspace.snapshot() as snapshot:
                snapshot.fingerprint()
                snapshot.inputs_digest(["src/**"])
                assert snapshot.changes or not snapshot.dirty
            number = len((tmp_path / "calls").read_text().splitlines())
            (tmp_path / "calls").unlink()
            return number

        assert calls() == 2
        assert calls() == 1
        repo.write("a.txt", "two\n")
        assert calls() == 2
        repo.remove("src/b.py")
        assert calls() == 3

    def test_git_works_in_the_background(self, repo: GitRepo, fake: Path) -> None:
        tree = repo.tree()
        self._script(fake, f'sleep 2; exec {_real_git()} "$@"')
        workspace = _workspace(repo)
        start = time.monotonic()
        pending = workspace.start_snapshot()
        assert time.monotonic() - start < 1.8
        assert pending.result().tree == tree
        assert time.monotonic() - start < 3.9  # both of them at once

    def test_files_that_vanish_while_git_looks(self, repo: GitRepo, fake: Path) -> None:
        """Between status and update-index a file becomes a folder: the second look sees what is there."""
        repo.write("volatile", "1\n")
        file = repo.root / "volatile"
        repo.write("more volatile", "1\n")
        swap = f"test -f {file} && rm {file} && mkdir {file} && echo x > {file}/x"
        swap = f'case "$*" in *update-index*) rm -f "{repo.root}/more volatile"; {swap};; esac'
        self._script(fake, f'{swap}\nexec {_real_git()} "$@"')
        assert set(_workspace(repo).snapshot().changes) == {"volatile/x"}

    def test_a_file_that_cannot_be_read(self, repo: GitRepo) -> None:
        repo.write("secret", "1").chmod(0)
        done = oracle.unprivileged(TELL, cwd=repo.root)
        assert "TallystickError" in done.stderr or "GitError" in done.stderr
        assert 'open("secret"): Permission denied' in done.stderr.splitlines()[-1]

    def test_an_index_that_cannot_be_read(self, repo: GitRepo) -> None:
        (repo.root / ".git" / "index").chmod(0)
        done = oracle.unprivileged(TELL, cwd=repo.root)
        (repo.root / ".git" / "index").chmod(0o644)
        assert "InputError" in done.stderr
        assert "git's index cannot be read: Permission denied" in done.stderr

    def test_a_pipe_where_a_file_was(self, repo: GitRepo) -> None:
        os.mkfifo(repo.root / "pipe")
        assert "dirty" not in _workspace(repo).snapshot().fingerprint()
        repo.remove("a.txt")
        os.mkfifo(repo.root / "a.txt")
        with pytest.raises(TallystickError, match=r"a\.txt"):
            _workspace(repo).snapshot()

    def test_a_broken_git_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / ".git").write_text("gitdir: /nowhere\n")
        with pytest.raises(TallystickError, match="does not lead to a git repository"):
            Workspace.find(str(tmp_path / "x"))

    def test_a_folder_named_git_that_is_no_repository(self, repo: GitRepo) -> None:
        (repo.root / "src" / ".git").mkdir()
        assert Workspace.find(str(repo.root / "src")).root == str(repo.root)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TallystickError, match="no such folder"):
            Workspace.find(str(tmp_path / "none"))


class TestTreeSnapshot:
    def test_it_has_the_files_of_a_commit(self, repo: GitRepo) -> None:
        first = repo.head()
        os.symlink("a.txt", repo.root / "link")
        repo.write("odd\nname", "odd\n")
        repo.write("a.txt", "two\n")
        repo.commit("Second")
        repo.write("a.txt", "three\n")
        base = _workspace(repo).tree_snapshot(first)
        assert (base.commit, base.tree, base.dirty, base.changes) == (first, repo.tree(first), False, {})
        assert base.read("a.txt") == b"one\n"
        assert base.read("link") is None
        assert base.read("src") is None
        head = _workspace(repo).tree_snapshot("main")
        assert (head.read("a.txt"), head.read("link"), head.read("odd\nname")) == (b"two\n", b"a.txt", b"odd\n")
        assert head.commit == repo.head()
        assert _workspace(repo).snapshot().read("a.txt") == b"three\n"
        printed = repo.git("ls-tree", "-r", "-z", "--full-tree", first).encode()
        assert base.inputs_digest() == oracle.digest(printed)
        only_tree = _workspace(repo).tree_snapshot(repo.tree(first))
        assert (only_tree.commit, only_tree.tree) == ("", repo.tree(first))

    @pytest.mark.parametrize("name", ["nothing", "0" * 40, "", "a\nb", "HEAD:a.txt", "-x"])
    def test_what_is_not_there(self, repo: GitRepo, name: str) -> None:
        with pytest.raises(TallystickError, match="no such commit or tree"):
            _workspace(repo).tree_snapshot(name)

    def test_outside_git(self, tmp_path: Path) -> None:
        with pytest.raises(TallystickError, match="not a git work tree"):
            Workspace.find(str(tmp_path)).tree_snapshot("HEAD")
