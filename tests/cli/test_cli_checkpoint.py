"""notch key, notch checkpoint and notch verify --against, as a person or a CI job uses them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from shutil import copyfile

import pytest

from support.checkpoints import Witness
from support.command import Notch, notch_argv
from support.repository import GitRepo
from tallystick.proof.keys import SigningKey, VerifierKey
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import origin_of


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch) -> GitRepo:
    """A repository with a commit, a ledger with one task, and no key yet."""
    git_repo.commit("First")
    notch("record", "-t", "add-cache", "--type", "note", "--reason", "one")
    return git_repo


def record(notch: Notch, task: str = "add-cache") -> None:
    notch("record", "-t", task, "--type", "note", "--reason", "more")


def ledger_id(notch: Notch) -> str:
    return str(notch.json("status", "add-cache")["ledger_id"])


# --- keys


def test_a_key_is_made_shown_and_listed(repo: GitRepo, notch: Notch, home: Path) -> None:
    assert "no key yet" in notch("key", "list").stdout
    made = notch("key", "new").stdout
    assert "readable by you alone" in made
    file = home / ".config" / "tallystick" / "keys" / "default"
    assert file.stat().st_mode & 0o777 == 0o600
    vkey = VerifierKey.parse(notch("key", "show").stdout.strip())
    assert vkey.name == origin_of(ledger_id(notch))
    assert vkey.public == SigningKey.parse(file.read_text().strip()).key.public
    assert notch.json("key", "list") == [{"name": "default", "place": "file", "fingerprint": made.split()[1]}]
    assert notch.json("key", "show")["vkey"] == str(vkey)
    assert file.read_text().strip() not in made + notch("key", "list").stdout


def test_errors_of_key(repo: GitRepo, notch: Notch, home: Path) -> None:
    assert "there is no key to sign with; notch key new" in notch("key", "show", code=2).stderr
    notch("key", "new")
    assert "there is a key of that name" in notch("key", "new", code=2).stderr
    assert "a key cannot be called" in notch("key", "new", "../x", code=2).stderr
    assert "no such key" in notch("key", "show", "nobody", code=2).stderr
    assert "invalid choice" in notch("key", "sell", code=2).stderr
    assert "--agent belongs to notch key new" in notch("key", "list", "--agent", code=2).stderr
    assert "--at belongs to notch key retire" in notch("key", "list", "--at", "3", code=2).stderr
    assert "which key is to retire" in notch("key", "retire", code=2).stderr
    assert "there is no ssh-agent here" in notch("key", "new", "x", "--agent", code=2).stderr
    inside = {"XDG_CONFIG_HOME": str(repo.root / "config")}
    assert "never kept inside a work tree" in notch("key", "new", env=inside, code=2).stderr
    assert not (repo.root / "config").exists()


def test_without_a_ledger_there_is_nothing_to_show_a_key_for(tmp_path: Path, notch: Notch) -> None:
    notch("key", "new")
    assert "no ledger here" in notch("key", "show", code=2).stderr
    assert "no ledger here" in notch("checkpoint", code=2).stderr


# --- checkpoints


def test_a_checkpoint_is_printed_and_verifies(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new")
    vkey = notch("key", "show").stdout.strip()
    done = notch("checkpoint")
    assert done.stderr == ""
    assert done.stdout.startswith(f"{origin_of(ledger_id(notch))}\n1\n")
    SignedNote.parse(done.stdout).verify([VerifierKey.parse(vkey)])
    again = notch("checkpoint")
    assert (again.stdout, again.stderr) == (done.stdout, "notch: nothing moved since checkpoint 1\n")
    (tmp_path / "kept").write_text(done.stdout)
    record(notch)
    assert notch.json("checkpoint")["number"] == 2
    for against in ("../kept", "-"):
        verified = notch("verify", "--against", against, "--key", vkey, input=done.stdout if against == "-" else None)
        assert "ok  the ledger extends checkpoint 1, signed by tallystick/" in verified.stdout
    verified = notch("verify", "--against", "../kept")
    assert "whose signature was not checked: no --key" in verified.stdout
    told = notch.json("verify", "add-cache", "--against", "../kept", "--key", vkey)
    assert told["ok"]
    assert told["against"]["number"] == 1
    assert len(told["against"]["signed_by"]) == 1


def test_an_empty_ledger_is_not_signed(tmp_path: Path, notch: Notch) -> None:
    notch("init", "--no-plan")
    notch("key", "new")
    done = notch("checkpoint")
    assert (done.stdout, done.stderr) == ("", "notch: nothing is recorded yet, so there is nothing to sign\n")


def test_a_checkpoint_goes_into_a_file(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new")
    done = notch("checkpoint", "--to", "../note")
    assert done.stdout == ""
    assert (tmp_path / "note").read_text() == notch("checkpoint").stdout
    assert "cannot be written" in notch("checkpoint", "--to", "../no/such/folder", code=4).stderr


def test_notes_and_ledger_that_were_rolled_back_together(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    """A key without a memory, as CI has it: what the last run kept tells it that a number is taken."""
    ledger = repo.root / ".tallystick" / "ledger.db"
    ci = {"TALLYSTICK_SIGNING_KEY": SigningKey("ci", 1, b"\5" * 32).encode()}

    def run(number: int, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        fresh = {**ci, "HOME": str(tmp_path / f"ci-{number}")}
        return notch("checkpoint", *arguments, "--to", "git", code=code, env=fresh)

    first = run(1, "--against", "git")
    assert first.stdout.split("\n")[1] == "1", "the first of all needs no note"
    notes = repo.git("rev-parse", "refs/notes/tallystick")
    notch("backup", "../older.db")
    record(notch)
    (tmp_path / "kept").write_text(run(2, "--against", "git").stdout)
    repo.git("update-ref", "refs/notes/tallystick", notes)
    copyfile(tmp_path / "older.db", ledger)
    for suffix in ("-wal", "-shm"):
        ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
    record(notch)
    refused = run(3, "--against", "git", "--against", "../kept", code=3)
    assert "the notes end with checkpoint 1, and checkpoint 2 was kept: they were rolled back" in refused.stderr
    refused = run(4, "--against", "../kept", code=3)
    assert "the ledger does not extend checkpoint 2 that was given: the ledger has 1 checkpoint" in refused.stderr
    (tmp_path / "first").write_text(first.stdout)
    refused = run(5, "--against", "../first", "--against", "../kept", code=3)
    assert "does not extend checkpoint 2" in refused.stderr


def test_a_key_that_ci_gives(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    """In a fresh home the key has no memory: it signs a log that exists only against a checkpoint."""
    secret = SigningKey("ci", 1, b"\3" * 32).encode()
    ci = {"TALLYSTICK_SIGNING_KEY": secret, "HOME": str(tmp_path / "ci-1")}
    first = notch("checkpoint", env=ci).stdout
    record(notch)
    second = notch("checkpoint", env=ci).stdout
    ci["HOME"] = str(tmp_path / "ci-2")
    record(notch)
    refused = notch("checkpoint", env=ci, code=2)
    assert "has no memory of this ledger, which has 2 checkpoints" in refused.stderr
    assert refused.stdout == ""
    (tmp_path / "kept").write_text(second)
    third = notch("checkpoint", "--against", "../kept", env=ci).stdout
    witness = Witness()
    assert [witness.see(note).size for note in (first, second, third)] == [1, 2, 3]
    assert secret not in refused.stderr
    assert "is not a signing key" in notch("checkpoint", env={"TALLYSTICK_SIGNING_KEY": "x"}, code=2).stderr


def test_a_restored_ledger_is_not_signed(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new")
    ledger = repo.root / ".tallystick" / "ledger.db"
    witness = Witness()
    witness.see(notch("checkpoint").stdout)
    notch("backup", "../backup.db")
    record(notch)
    lost = notch("checkpoint", "--to", "../lost") and (tmp_path / "lost").read_text()
    witness.see(lost)
    copyfile(tmp_path / "backup.db", ledger)
    record(notch, "another")
    refused = notch("checkpoint", code=3)
    assert refused.stdout == ""
    assert "it was restored from before, rolled back, or is a copy; it signs no second history" in refused.stderr
    shown = notch("verify", "--against", "../lost", code=3)
    assert "TAMPERED  the store: checkpoint 2 was seen, the ledger has 1" in shown.stdout
    begun = notch("checkpoint", "--new-epoch").stdout
    assert begun.startswith(f"{origin_of(ledger_id(notch))}/2\n2\n")
    witness.see(begun)
    record(notch)
    witness.see(notch("checkpoint").stdout)
    notch("verify")
    shown = notch("verify", "--against", "../lost", "--json", code=3)
    assert "epoch 2 began with checkpoint 2, after checkpoint 2 was given up" in shown.stdout
    assert "no new epoch is needed" in notch("checkpoint", "--new-epoch", code=2).stderr


def test_a_rewritten_and_a_dropped_task_are_named(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new")
    record(notch, "dropped")
    (tmp_path / "kept").write_text(notch("checkpoint").stdout)
    connection = sqlite3.connect(repo.root / ".tallystick" / "ledger.db", isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM session WHERE number = 2")
    connection.execute("DELETE FROM state WHERE session = 2")
    connection.execute("DELETE FROM record WHERE id >> 32 = 2")
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()
    for tasks in ([], ["dropped"], ["add-cache", "dropped"]):
        shown = notch("verify", *tasks, "--against", "../kept", code=3).stdout
        assert "dropped: checkpoint 1 is about it at position 1, and its session is gone" in shown
    assert "no such task" in notch("verify", "never", "--against", "../kept", code=2).stderr


def test_whose_checkpoint_counts(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new", "one")
    (tmp_path / "kept").write_text(notch("checkpoint").stdout)
    one = notch("key", "show").stdout.strip()
    notch("key", "new", "two")
    two = notch("key", "show", "two").stdout.strip()
    assert "no known key signed" in notch("verify", "--against", "../kept", "--key", two, code=1).stderr
    assert "extends checkpoint 1" in notch("verify", "--against", "../kept", "--key", two, "--key", one).stdout
    for content, code in ((f"{one}\n", 0), (f"{two}\n", 1), (f"log {one}\nquorum none\n", 0), ("x", 2)):
        (tmp_path / "keys").write_text(content)
        notch("verify", "--against", "../kept", "--keys", "../keys", code=code)
    assert "--against" in notch("verify", "--key", one, code=2).stderr
    assert "several keys could sign" not in notch("checkpoint").stderr
    record(notch)
    assert "has no memory" in notch("checkpoint", "--key", "two", code=2).stderr
    notch("checkpoint", "--key", "two", "--against", "../kept")


def test_a_retired_key(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new", "old")
    notch("checkpoint", "--to", "../first")
    line = notch("key", "retire", "old").stdout.splitlines()[-1]
    assert line.endswith(" until 1")
    (tmp_path / "keys").write_text(line)
    assert "extends checkpoint 1" in notch("verify", "--against", "../first", "--keys", "../keys").stdout
    record(notch)
    assert "the key old retired at checkpoint 1" in notch("checkpoint", code=2).stderr
    assert "already retired" in notch("key", "retire", "old", code=2).stderr
    notch("key", "new", "new")
    notch("checkpoint", "--against", "../first", "--to", "../second")
    assert "none of the keys" not in notch("verify", "--against", "../second").stdout
    assert "no known key signed" in notch("verify", "--against", "../second", "--keys", "../keys", code=1).stderr


def test_what_cannot_be_held_against(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    assert "no such file" in notch("verify", "--against", "../nothing", code=2).stderr
    (tmp_path / "other").write_text(f"tallystick/{'f' * 32}\n1\n{'A' * 43}=\n\n— x AAAAAAAA\n")
    assert "no checkpoint of this ledger" in notch("verify", "--against", "../other", code=2).stderr
    (tmp_path / "other").write_text("hello")
    assert "the note has no signatures" in notch("verify", "--against", "../other", code=2).stderr
    assert "no note holds a checkpoint" in notch("verify", "--against", "git", code=2).stderr


def test_two_commands_at_once_make_one_log(repo: GitRepo, notch: Notch) -> None:
    notch("key", "new")
    children = []
    for n in range(4):
        record(notch, f"t{n}")
        children.append(
            subprocess.Popen(notch_argv("checkpoint"), cwd=repo.root, stdout=subprocess.PIPE, env=os.environ, text=True)
        )
    witness = Witness()
    for child in children:
        printed, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        witness.see(printed)
    told = json.loads(notch("verify", "--json").stdout)
    assert told["ok"]


# --- git notes


def test_a_checkpoint_as_a_git_note_is_pushed_and_vouches_in_ci(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    repo.git("init", "-q", "--bare", tmp_path / "origin.git")
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    repo.git("push", "-q", "-u", "origin", "main")
    notch("key", "new")
    done = notch("checkpoint", "--to", "git")
    assert "(pushed to origin)" in done.stderr
    assert repo.git("notes", "--ref=tallystick", "show") + "\n" == done.stdout
    record(notch)
    repo.commit("Second")
    done = notch("checkpoint", "--to", "git")
    assert "(pushed to origin)" in done.stderr
    repo.git("push", "-q")
    assert repo.git("ls-remote", "origin", "refs/heads/main").split()[0] == repo.head()
    clone = repo.clone(tmp_path / "clone")
    clone.git("remote", "set-url", "origin", tmp_path / "origin.git")
    clone.git("fetch", "-q", "origin", "refs/notes/tallystick:refs/notes/tallystick")
    verified = notch("verify", "--ledger", repo.root / ".tallystick" / "ledger.db", "--against", "git", cwd=clone.root)
    assert "extends checkpoint 2" in verified.stdout
    record(notch)
    ci = {"HOME": str(tmp_path / "ci"), "TALLYSTICK_SIGNING_KEY": SigningKey("ci", 1, b"\4" * 32).encode()}
    refused = notch("checkpoint", "--against", "git", env=ci, code=2)
    assert "another key signed checkpoint 2 in the notes, and no [keys] on the base trust it" in refused.stderr
    done = notch("checkpoint", "--against", "git", "--trust-note", "--to", "git", env=ci)
    assert done.stdout.split("\n")[1] == "3"
    assert "the key has no memory here, and only the notes say what it signed" in done.stderr
    assert notch("verify", "--against", "git").stdout.count("extends checkpoint 3") == 1
