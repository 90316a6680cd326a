"""Checkpoints in git notes: which one is the newest, and how a push takes them along."""

from __future__ import annotations

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
        git_repo.git("remote", "add", name, tmp_path / name)
    assert f"git push REMOTE {REF}" in write_note(workspace, note(1))
    git_repo.git("remote", "add", "origin", tmp_path / "origin")
    assert "from now on" in write_note(workspace, note(1))
    assert git_repo.git("config", "--get-all", "remote.origin.push").split() == ["HEAD", f"{REF}:{REF}"]
    assert "(git push takes it along)" in write_note(workspace, note(2))
    assert git_repo.git("config", "--get-all", "remote.origin.push").split() == ["HEAD", f"{REF}:{REF}"]


@pytest.mark.parametrize("kept", ["refs/heads/main:refs/heads/main", "+refs/notes/*:refs/notes/*", f"{REF}"])
def test_what_is_set_already_is_kept(git_repo: GitRepo, workspace: Workspace, tmp_path: Path, kept: str) -> None:
    git_repo.git("remote", "add", "origin", tmp_path / "origin")
    git_repo.git("config", "remote.origin.push", kept)
    write_note(workspace, note(1))
    added = [] if "notes" in kept else [f"{REF}:{REF}"]
    assert git_repo.git("config", "--get-all", "remote.origin.push").split() == [kept, *added]


@pytest.mark.parametrize("default", ["nothing", "matching", "upstream"])
def test_a_push_default_of_the_users_own_is_left_alone(
    git_repo: GitRepo, workspace: Workspace, tmp_path: Path, default: str
) -> None:
    git_repo.git("remote", "add", "origin", tmp_path / "origin")
    git_repo.git("config", "push.default", default)
    assert f"push it by hand: git push origin {REF}" in write_note(workspace, note(1))
    assert git_repo.git("config", "--get-all", "remote.origin.push", check=False) == ""


def test_where_no_note_can_be(tmp_path: Path, git_repo: GitRepo) -> None:
    with pytest.raises(InputError, match="there is no commit yet"):
        write_note(Workspace.find(str(git_repo.root)), note(1))
    (tmp_path / "plain").mkdir()
    for ask in (lambda w: write_note(w, note(1)), lambda w: newest_note(w, LEDGER)):
        with pytest.raises(InputError, match="no git work tree"):
            ask(Workspace.find(str(tmp_path / "plain")))
