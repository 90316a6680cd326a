"""The trailer in commit messages: what was shown for what is committed, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import Notch
from support.pushing import Pusher


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pusher:
    """Everything is shown, and the hook is installed."""
    made = Pusher.create(tmp_path_factory.mktemp("made"))
    notch = Notch(made.repo.root)
    notch("check", "-q")
    notch("hook", "install", "git", "--commit-msg")
    return made


@pytest.fixture
def pusher(made: Pusher, tmp_path: Path) -> Pusher:
    return made.copy(tmp_path)


@pytest.fixture
def notch(pusher: Pusher) -> Notch:
    return Notch(pusher.repo.root)


def evidence(pusher: Pusher) -> str:
    """The trailer of the newest commit, as git reads it."""
    return pusher.repo.git("log", "-1", "--format=%(trailers:key=Evidence,valueonly)").rstrip("\n")


def message(pusher: Pusher) -> str:
    return pusher.repo.git("log", "-1", "--format=%B")


def head(notch: Notch) -> str:
    status = notch.json("status")
    return f"{status['position']}:{status['root']}"


def commit(pusher: Pusher, *args: str, editor: str = "") -> int:
    return pusher.git("commit", *args, env={"GIT_EDITOR": editor} if editor else None).code


def test_what_is_shown_says_open_and_the_head(pusher: Pusher, notch: Notch) -> None:
    pusher.repo.write("other.txt", "no input of anything")
    pusher.repo.commit("Subject\n\nBody.\n\nSigned-off-by: Ada <ada@example.org>")
    assert evidence(pusher) == f"open work {head(notch)}"
    assert message(pusher).startswith("Subject\n\nBody.\n\nSigned-off-by: Ada <ada@example.org>\nEvidence: ")
    notch("gate", "--head", evidence(pusher).split()[2])


def test_what_is_not_says_what_is_lacking(pusher: Pusher, notch: Notch) -> None:
    pusher.repo.write("a/broken", "x")
    pusher.repo.write("b/input.txt", "changed")
    notch("run", "-c", "a", code=1)
    pusher.repo.commit("Subject")
    assert evidence(pusher) == f"shut work {head(notch)} (a fail, b stale)"


def test_what_is_committed_counts_and_not_what_lies_beside_it(pusher: Pusher, notch: Notch) -> None:
    pusher.repo.write("a/input.txt", "changed")
    pusher.repo.write("b/input.txt", "changed")
    assert commit(pusher, "-q", "-m", "only a", "a/input.txt") == 0
    assert evidence(pusher) == f"shut work {head(notch)} (a stale)"
    notch("run", "-c", "a")
    pusher.repo.write("other.txt", "x")
    pusher.repo.git("add", "other.txt")
    pusher.repo.git("commit", "-q", "-m", "other")
    assert evidence(pusher) == f"open work {head(notch)}"
    assert commit(pusher, "-q", "-a", "-m", "b too") == 0
    assert evidence(pusher) == f"shut work {head(notch)} (b stale)"


def test_an_amended_message_has_one_trailer(pusher: Pusher, notch: Notch) -> None:
    pusher.repo.write("a/input.txt", "changed")
    pusher.repo.commit("Subject")
    assert "shut" in evidence(pusher)
    notch("run", "-c", "a")
    pusher.repo.git("commit", "-q", "--amend", "--no-edit")
    assert message(pusher) == f"Subject\n\nEvidence: open work {head(notch)}\n"


@pytest.mark.parametrize("char", ["#", ";"])
@pytest.mark.parametrize("verbose", ["--quiet", "--verbose"])
def test_with_an_editor(pusher: Pusher, notch: Notch, char: str, verbose: str, tmp_path: Path) -> None:
    pusher.repo.git("config", "core.commentChar", char)
    pusher.repo.write("other.txt", "x")
    pusher.repo.git("add", "-A")
    assert commit(pusher, verbose, editor="sed -i '1iSubject'") == 0
    assert message(pusher) == f"Subject\n\nEvidence: open work {head(notch)}\n"
    before = pusher.repo.head()
    pusher.repo.write("other.txt", "y")
    assert commit(pusher, "-a", verbose, editor="true") != 0, "an empty message gives the commit up, as ever"
    assert pusher.repo.head() == before


def test_without_verification_there_is_none(pusher: Pusher) -> None:
    assert commit(pusher, "-q", "--allow-empty", "--no-verify", "-m", "Subject") == 0
    assert message(pusher) == "Subject\n"


def test_a_task_of_which_nothing_is_recorded_has_none(pusher: Pusher) -> None:
    pusher.repo.git("checkout", "-q", "-b", "fresh")
    pusher.repo.commit("Subject")
    assert message(pusher) == "Subject\n"


def test_a_merge_has_one(pusher: Pusher, notch: Notch) -> None:
    pusher.repo.git("checkout", "-q", "-b", "side", "main")
    pusher.repo.write("side.txt", "x")
    pusher.repo.commit("Side")
    pusher.repo.git("checkout", "-q", "work")
    pusher.repo.git("merge", "-q", "--no-ff", "-m", "Merge", "side")
    assert evidence(pusher) == f"open work {head(notch)}"


def test_in_a_linked_work_tree(pusher: Pusher, notch: Notch, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    pusher.repo.git("worktree", "add", "-q", "-b", "linked", linked)
    assert pusher.git("commit", "-q", "--allow-empty", "-m", "Subject", cwd=linked).code == 0
    assert pusher.repo.git("log", "-1", "--format=%B", "linked") == "Subject\n"
    Notch(linked)("check", "-q")
    ended = pusher.git("commit", "-q", "--allow-empty", "-m", "Subject", cwd=linked / "a")
    assert ended.code == 0
    assert "Evidence: open linked " in pusher.repo.git("log", "-1", "--format=%B", "linked")


def test_a_fault_never_blocks(pusher: Pusher) -> None:
    pusher.repo.write("tallystick.toml", "[criteria\n")
    pusher.repo.git("add", "-A")
    ended = pusher.git("commit", "-m", "Subject")
    assert ended.code == 0
    assert "so the message gets no trailer" in ended.said
    assert message(pusher) == "Subject\n"
    for path in (pusher.repo.root / ".tallystick").glob("ledger.db*"):
        path.write_bytes(b"no database" * 1000)
    ended = pusher.git("commit", "--allow-empty", "-m", "Another")
    assert (ended.code, message(pusher)) == (0, "Another\n")


def test_it_changes_nothing_else(pusher: Pusher) -> None:
    pusher.repo.write("a/input.txt", "staged")
    pusher.repo.git("add", "a/input.txt")
    pusher.repo.write("a/input.txt", "not staged")
    pusher.repo.write("new.txt", "untracked")
    pusher.repo.git("commit", "-q", "-m", "Subject")
    assert pusher.repo.git("show", "HEAD:a/input.txt") == "staged"
    assert pusher.repo.git("status", "--porcelain") == " M a/input.txt\n?? new.txt"
