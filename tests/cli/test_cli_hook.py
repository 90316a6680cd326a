"""The gate before a real `git push`: what is pushed is judged, and only a verdict stops it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.command import Notch, notch_argv
from support.pushing import Pusher
from tallystick.cli import main

CRITERIA = ("a", "b")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pusher:
    """What the tests begin with, made once: nothing is shown yet."""
    made = Pusher.create(tmp_path_factory.mktemp("made"))
    Notch(made.repo.root)("hook", "install", "git")
    return made


@pytest.fixture(scope="module")
def made_and_shown(made: Pusher, tmp_path_factory: pytest.TempPathFactory) -> Pusher:
    made = made.copy(tmp_path_factory.mktemp("shown"))
    for criterion in CRITERIA:
        Notch(made.repo.root)("run", "-c", criterion)
    return made


@pytest.fixture
def pusher(made: Pusher, tmp_path: Path) -> Pusher:
    """A repository whose pre-push hook asks the gate; nothing is shown yet."""
    return made.copy(tmp_path)


@pytest.fixture
def shown(made_and_shown: Pusher, tmp_path: Path) -> Pusher:
    """The same, with every criterion shown for the content of branch `work`."""
    return made_and_shown.copy(tmp_path)


@pytest.fixture
def notch(tmp_path: Path) -> Notch:
    return Notch(tmp_path / "repo")


def test_what_is_not_shown_is_not_pushed(pusher: Pusher, notch: Notch) -> None:
    ended = pusher.push()
    assert ended.code
    assert not pusher.has("work")
    assert "gate shut  work" in ended.said
    assert "next: notch run -t work -c a" in ended.said
    assert "the work tree is not what is pushed" not in ended.said
    assert "git push --no-verify pushes it all the same" in ended.said
    assert pusher.git("push", "--no-verify", "origin", "work").code == 0
    assert pusher.arrived()


def test_what_it_names_opens_it(pusher: Pusher, notch: Notch) -> None:
    commands = [line.partition("next: notch ")[2] for line in pusher.push().said.splitlines() if "next: " in line]
    assert commands
    for command in commands:
        notch(*command.split())
    assert pusher.push().code == 0
    assert pusher.arrived()


def test_what_is_shown_is_pushed_and_the_head_is_named(shown: Pusher, notch: Notch) -> None:
    ended = shown.push()
    assert ended.code == 0
    assert shown.arrived()
    status = notch.json("status")
    assert "notch: gate open  work  as of " in ended.said
    assert f"head {status['position']}:{status['root']}" in ended.said


def test_a_failure_is_not_pushed(shown: Pusher, notch: Notch) -> None:
    shown.repo.write("a/broken", "x")
    shown.repo.commit()
    notch("run", "-c", "a", code=1)
    ended = shown.push()
    assert ended.code
    assert "✗ a  fail" in ended.said
    assert not shown.has("work")


# --- what is judged is what is pushed


def test_work_in_progress_on_top_of_what_is_pushed_does_not_matter(shown: Pusher) -> None:
    shown.repo.write("a/input.txt", "half-done\n")
    shown.repo.write("a/new.txt", "half-done\n")
    assert shown.push().code == 0


def test_half_of_what_was_tested_is_not_what_was_tested(shown: Pusher, notch: Notch) -> None:
    shown.repo.write("a/one.txt", "1")
    shown.repo.write("a/two.txt", "2")
    notch("run", "-c", "a")
    notch("gate")
    shown.repo.git("add", "a/one.txt")
    shown.repo.commit(add=False)
    notch("gate")
    ended = shown.push()
    assert ended.code
    assert "✗ a  stale        a/two.txt changed since" in ended.said
    assert "add a/two.txt, or have git ignore it" in ended.said
    shown.repo.commit()
    assert shown.push().code == 0


def test_it_says_when_a_run_would_show_nothing_about_what_is_pushed(shown: Pusher, notch: Notch) -> None:
    shown.repo.write("a/input.txt", "committed\n")
    shown.repo.commit()
    shown.repo.write("a/input.txt", "and changed again\n")
    shown.repo.write("b/input.txt", "irrelevant, since b is shown\n")
    ended = shown.push()
    assert ended.code
    assert "so a run there shows nothing about it: commit or stash a/input.txt\n" in ended.said
    shown.repo.git("stash", "-q")
    notch("run", "-c", "a")
    assert shown.push().code == 0


def test_what_a_run_left_is_no_difference(shown: Pusher, notch: Notch) -> None:
    notch("run", "--", "sh", "-c", "echo made > a/made.txt")
    notch("run", "-c", "a")
    assert shown.push().code == 0


def test_another_branch_is_another_task(shown: Pusher, notch: Notch) -> None:
    shown.repo.git("branch", "other")
    ended = shown.push("other")
    assert ended.code
    assert "gate shut  other" in ended.said
    notch("check", "other")
    assert shown.push("other").code == 0
    assert shown.arrived("other")
    shown.repo.git("checkout", "-q", "--detach", "main")
    assert shown.push("work").code == 0
    assert shown.arrived()


def test_a_commit_that_is_not_checked_out(shown: Pusher) -> None:
    shown.repo.git("checkout", "-q", "-b", "other")
    shown.repo.write("a/input.txt", "other\n")
    shown.repo.commit()
    shown.repo.git("checkout", "-q", "work")
    ended = shown.push("other")
    assert ended.code
    assert "the commit that is pushed is not checked out" in ended.said


def test_a_detached_head_takes_its_task_from_where_it_goes(shown: Pusher) -> None:
    shown.repo.git("checkout", "-q", "--detach")
    assert shown.push("HEAD:refs/heads/work").code == 0
    assert "gate shut  new" in shown.push("HEAD:refs/heads/new").said


def test_the_variable_names_the_task_that_is_checked_out(shown: Pusher) -> None:
    ended = shown.push(env={"TALLYSTICK_TASK": "named"})
    assert ended.code
    assert "gate shut  named" in ended.said


def test_of_several_refs_each_is_judged(shown: Pusher) -> None:
    shown.repo.git("branch", "other")
    ended = shown.push("work", "other")
    assert ended.code
    assert "gate open  work" in ended.said
    assert "gate shut  other" in ended.said
    assert not shown.has("work")


def test_deletions_tags_and_notes_are_not_judged(pusher: Pusher) -> None:
    pusher.git("push", "--no-verify", "origin", "work", "work:gone")
    pusher.repo.git("tag", "v1")
    pusher.repo.git("notes", "add", "-m", "a note")
    for ref in ("v1", "refs/notes/commits", ":gone", "work"):
        ended = pusher.push(ref)
        assert (ended.code, "gate" in ended.said) == (0, False), ref
    assert pusher.has("v1")
    assert not pusher.has("gone")


# --- where it runs


def test_from_a_folder_below_and_with_git_told_where(shown: Pusher) -> None:
    assert shown.push(cwd=shown.repo.root / "a").code == 0
    shown.repo.write("b/input.txt", "changed\n")
    shown.repo.commit()
    env = {"GIT_DIR": str(shown.repo.root / ".git"), "GIT_WORK_TREE": str(shown.repo.root)}
    ended = shown.push(cwd=shown.repo.root.parent, env=env)
    assert ended.code
    assert "b/input.txt changed since" in ended.said


def test_from_a_linked_work_tree(shown: Pusher, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    shown.repo.git("worktree", "add", "-q", "-b", "linked", linked)
    ended = shown.push(cwd=linked)
    assert ended.code
    assert "gate shut  linked" in ended.said
    Notch(linked)("check")
    assert shown.push(cwd=linked).code == 0
    assert shown.arrived("linked")


def test_where_notch_is_not_in_path(shown: Pusher) -> None:
    path = {"PATH": "/usr/bin:/bin"}
    ended = shown.push(env=path)
    assert (ended.code, "gate open  work" in ended.said) == (0, True)
    shown.repo.write("a/input.txt", "changed\n")
    shown.repo.commit()
    assert shown.push(env=path).code


def test_where_notch_is_gone_the_push_goes_on(pusher: Pusher) -> None:
    hook = pusher.repo.root / ".git" / "hooks" / "pre-push"
    hook.write_text(hook.read_text().replace(notch_argv()[0], "/nowhere/notch"))
    ended = pusher.push(env={"PATH": "/usr/bin:/bin"})
    assert ended.code == 0
    assert "notch: not found, so nothing is judged" in ended.said
    assert pusher.push("main", env={"PATH": f"{Path(notch_argv()[0]).parent}:/usr/bin:/bin"}).code == 0


def test_run_as_a_module_it_is_found_too(shown: Pusher, tmp_path: Path) -> None:
    import subprocess

    bare = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
    argv = [sys.executable, "-m", "tallystick", "hook", "install", "git"]
    subprocess.run(argv, cwd=shown.repo.root, env={**os.environ, **bare}, check=True, capture_output=True)
    assert "gate open  work" in shown.push(env=bare).said


def test_the_ledger_that_was_named_is_used(pusher: Pusher, notch: Notch, tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/the ledger.db"
    notch("--ledger", ledger, "hook", "install", "git")
    for criterion in CRITERIA:
        notch("--ledger", ledger, "run", "-c", criterion)
    assert pusher.push().code == 0
    assert not (pusher.repo.root / ".tallystick").exists()


def test_a_password_does_not_go_into_a_hook(pusher: Pusher, notch: Notch) -> None:
    done = notch("--ledger", "postgresql://me:secret@host/db", "hook", "install", "git", code=2)
    assert "password" in done.stderr
    assert "secret" not in done.stderr


# --- faults of ours, and evidence


def test_without_a_plan_nothing_is_judged(pusher: Pusher) -> None:
    pusher.repo.git("checkout", "-q", "--orphan", "other")
    pusher.repo.git("rm", "-q", "--cached", "tallystick.toml")
    pusher.repo.git("config", "--unset", "remote.origin.fetch")
    pusher.repo.git("update-ref", "-d", "refs/remotes/origin/main")
    pusher.repo.git("branch", "-D", "main", "work")
    pusher.repo.remove("tallystick.toml")
    pusher.repo.commit()
    ended = pusher.push("other")
    assert (ended.code, "notch" in ended.said) == (0, False)


def test_a_plan_that_cannot_be_read_does_not_stop_it(shown: Pusher) -> None:
    shown.repo.write("tallystick.toml", "[criteria\n")
    shown.repo.commit()
    ended = shown.push("work")
    assert ended.code == 0
    assert "notch: tallystick.toml" in ended.said
    assert "so refs/heads/work is not judged, and the push goes on" in ended.said


def test_a_ledger_that_cannot_be_reached_does_not_stop_it(shown: Pusher) -> None:
    ended = shown.push(env={"TALLYSTICK_LEDGER": "postgresql://127.0.0.1:1/none"})
    assert ended.code == 0
    assert "the push goes on" in ended.said


def test_a_ledger_that_was_rolled_back_stops_it(shown: Pusher, notch: Notch) -> None:
    database = shown.repo.root / ".tallystick" / "ledger.db"
    notch("backup", "old.db")
    shown.repo.write("b/input.txt", "changed\n")
    shown.repo.commit()
    notch("run", "-c", "b")
    assert shown.push().code == 0
    for path in database.parent.glob("ledger.db*"):
        path.unlink()
    (shown.repo.root / "old.db").rename(database)
    shown.repo.write("b/input.txt", "b\n")
    shown.repo.commit()
    ended = shown.push()
    assert ended.code
    assert "it was rolled back" in ended.said


def test_a_ledger_that_is_gone_stops_it(shown: Pusher) -> None:
    assert shown.push("work:elsewhere").code == 0
    for path in (shown.repo.root / ".tallystick").glob("ledger.db*"):
        path.unlink()
    ended = shown.push()
    assert ended.code
    assert "the ledger that was seen here is gone" in ended.said


def test_a_result_that_was_edited_stops_it(pusher: Pusher, notch: Notch) -> None:
    import sqlite3

    pusher.repo.write("a/broken", "x")
    pusher.repo.commit()
    notch("run", "-c", "a", code=1)
    database = sqlite3.connect(pusher.repo.root / ".tallystick" / "ledger.db")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    edited = 'replace(CAST(record AS TEXT), \'"status":"fail"\', \'"status":"pass"\')'
    database.execute(f"UPDATE record SET record = CAST({edited} AS BLOB)")
    database.commit()
    database.close()
    ended = pusher.push()
    assert ended.code
    assert "was changed" in ended.said
    assert not pusher.has("work")


def test_the_plumbing_answers_in_a_word(shown: Pusher, notch: Notch) -> None:
    head, zero = shown.repo.head(), "0" * 40
    line = f"refs/heads/work {head} refs/heads/work {zero}\n"
    assert notch("hook", "run", "pre-push", "origin", "url", input=line).stdout == "open\n"
    assert notch("hook", "run", "pre-push").stdout == "open\n"
    other = line.replace("refs/heads/work", "refs/heads/other")
    assert notch("hook", "run", "pre-push", input=other, code=1).stdout == "shut\n"
    for odd in ("one two\n", f"refs/heads/work {'1' * 40} refs/heads/work {zero}\n", "\n\n"):
        assert notch("hook", "run", "pre-push", input=odd).stdout == "open\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["install"], "whose hooks?"),
        (["install", "svn"], "no hooks of svn"),
        (["install", "git", "more"], "no hooks"),
        (["remove", "git"], "invalid choice"),
        (["run"], "no such hook"),
        (["run", "pre-commit"], "no such hook"),
        (["run", "commit-msg"], "no such hook"),
    ],
)
def test_bad_usage(
    pusher: Pusher,
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pusher.repo.root)
    assert main(["hook", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_outside_git_there_are_no_hooks(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    assert "not a git work tree" in Notch(folder)("hook", "install", "git", code=2).stderr
