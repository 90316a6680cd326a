"""Checkpoints in git notes: which one is the newest, and how a push takes them along."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick import InputError
from tallystick.exchange.git_notes import REF, newest_note, write_note
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.proof.note import sign
from tallystick.workspace import Workspace

LEDGER = "0123456789abcdef0123456789abcdef"
ORIGIN = f"tallystick/{LEDGER}"


def note(size: int, origin: str = ORIGIN) -> str:
    key = SigningKey(origin, ED25519, b"\1" * 32)
    return str(sign(Checkpoint(origin, size, bytes(32)).text, [key.signer()]))


@pytest.fixture
def workspace(git_repo: GitRepo) -> Workspace:
    git_repo.commit("First")
    return Workspace.find(str(git_repo.root))


def test_a_note_is_kept_to_the_byte(git_repo: GitRepo, workspace: Workspace) -> None:
    assert newest_note(workspace, LEDGER) is None
    write_note(workspace, note(1))
    assert newest_note(workspace, LEDGER) == note(1).encode()
    assert git_repo.git("notes", f"--ref={REF}", "show") + "\n" == note(1)
    assert git_repo.git("status", "--porcelain") == ""


def test_the_newest_of_all_commits_is_found(git_repo: GitRepo, workspace: Workspace) -> None:
    for size in (3, 9, 4):
        git_repo.commit(str(size))
        write_note(workspace, note(size))
    assert newest_note(workspace, LEDGER) == note(9).encode()
    write_note(workspace, note(12))
    assert newest_note(workspace, LEDGER) == note(12).encode()
    git_repo.commit("epoch")
    write_note(workspace, note(2, f"{ORIGIN}/2"))
    assert newest_note(workspace, LEDGER) == note(2, f"{ORIGIN}/2").encode()
    assert newest_note(workspace, "f" * 32) is None


def test_other_notes_are_passed_over(git_repo: GitRepo, workspace: Workspace) -> None:
    write_note(workspace, note(2))
    for content in ("hello", note(50, f"tallystick/{'f' * 32}"), note(60)[:-4], "\n\n\n"):
        git_repo.commit("more")
        git_repo.git("notes", f"--ref={REF}", "add", "--allow-empty", "-f", "-F", "-", input=content)
    git_repo.git("notes", "add", "-f", "-m", note(70))
    assert newest_note(workspace, LEDGER) == note(2).encode()


def test_without_a_remote_or_with_several(git_repo: GitRepo, workspace: Workspace, tmp_path: Path) -> None:
    assert f"git push REMOTE {REF}" in write_note(workspace, note(1))
    for name in ("one", "two"):
        GitRepo.create(tmp_path / name)
        git_repo.git("remote", "add", name, tmp_path / name)
    assert f"git push REMOTE {REF}" in write_note(workspace, note(1))
    git_repo.git("remote", "remove", "one")
    assert "(pushed to two)" in write_note(workspace, note(1))
    assert GitRepo(tmp_path / "two").git("for-each-ref", "--format=%(refname)") == REF


def test_a_remote_that_cannot_be_reached_is_named(git_repo: GitRepo, workspace: Workspace, tmp_path: Path) -> None:
    git_repo.git("remote", "add", "origin", tmp_path / "nowhere")
    assert "(not pushed: " in write_note(workspace, note(1))
    assert newest_note(workspace, LEDGER) == note(1).encode()


class Clones:
    """A bare repository and two clones of it on `main`."""

    def __init__(self, folder: Path) -> None:
        GitRepo.create(folder / "first").commit("First")
        self.shared = GitRepo(folder / "o.git")
        GitRepo(folder / "first").git("clone", "-q", "--bare", folder / "first", folder / "o.git")
        self.one, self.two = (self.shared.clone(folder / name) for name in ("one", "two"))

    def check(self, *, ledgers: int) -> None:
        """Both have all notes, and git itself pushes and fetches as if there were none."""
        for clone in (self.one, self.two):
            assert clone.git("config", "--get-all", "remote.origin.push", check=False) == ""
            assert clone.git("config", "--get-all", "remote.origin.fetch") == "+refs/heads/*:refs/remotes/origin/*"
            clone.git("pull", "-q", "--rebase")
            clone.commit("More")
            clone.git("push", "-q")
            clone.git("fetch", "-q", "origin", f"+{REF}:refs/notes/remotes/origin/tallystick")
            found = Workspace.find(str(clone.root))
            newest = [newest_note(found, f"{number:032x}") for number in range(ledgers)]
            assert newest == [note(5, f"tallystick/{number:032x}").encode() for number in range(ledgers)]


def test_notes_of_two_clones_meet(tmp_path: Path) -> None:
    clones = Clones(tmp_path)
    for size in (4, 5):
        for number, clone in enumerate((clones.one, clones.two)):
            word = write_note(Workspace.find(str(clone.root)), note(size, f"tallystick/{number:032x}"))
            assert "(pushed to origin)" in word
    clones.check(ledgers=2)


def test_notes_that_were_made_apart_meet(tmp_path: Path) -> None:
    clones = Clones(tmp_path)
    clones.one.git("config", "remote.origin.pushurl", tmp_path / "nowhere")
    for number, clone in enumerate((clones.one, clones.two)):
        write_note(Workspace.find(str(clone.root)), note(5, f"tallystick/{number:032x}"))
    clones.one.git("config", "--unset", "remote.origin.pushurl")
    clones.two.commit("Another")
    write_note(Workspace.find(str(clones.two.root)), note(5, f"tallystick/{1:032x}"))
    assert "(pushed to origin)" in write_note(Workspace.find(str(clones.one.root)), note(5, f"tallystick/{0:032x}"))
    clones.check(ledgers=2)


def test_many_clones_at_once_lose_no_note(tmp_path: Path) -> None:
    clones = Clones(tmp_path)
    places = [clones.shared.clone(tmp_path / f"c{number}") for number in range(4)]

    def write(number: int) -> str:
        return write_note(Workspace.find(str(places[number].root)), note(5, f"tallystick/{number:032x}"))

    with ThreadPoolExecutor() as pool:
        assert all("pushed to origin" in word for word in pool.map(write, range(len(places))))
    clones.check(ledgers=len(places))


@pytest.mark.parametrize("default", ["nothing", "matching", "upstream", "current", "simple"])
def test_a_plain_push_does_what_it_did_before(tmp_path: Path, default: str) -> None:
    clones = Clones(tmp_path)
    clones.one.git("config", "push.default", default)
    clones.one.git("checkout", "-q", "-b", "private")
    clones.one.commit("Private")
    before = clones.one.git("push", "--dry-run", "--porcelain", check=False)
    write_note(Workspace.find(str(clones.one.root)), note(1))
    assert clones.one.git("push", "--dry-run", "--porcelain", check=False) == before


def test_where_no_note_can_be(tmp_path: Path, git_repo: GitRepo) -> None:
    with pytest.raises(InputError, match="there is no commit yet"):
        write_note(Workspace.find(str(git_repo.root)), note(1))
    (tmp_path / "plain").mkdir()
    for ask in (lambda w: write_note(w, note(1)), lambda w: newest_note(w, LEDGER)):
        with pytest.raises(InputError, match="no git work tree"):
            ask(Workspace.find(str(tmp_path / "plain")))
