"""Every gate makes a checkpoint and prints it, where a key is there."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import SigningKey, VerifierKey
from tallystick.proof.note import SignedNote

PLAN = '[criteria.a]\nrun = "true"\n'


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch) -> GitRepo:
    git_repo.write("tallystick.toml", PLAN)
    git_repo.commit("A plan")
    notch("run", "-t", "t", "-c", "a")
    return git_repo


def checkpoint(text: str, vkey: str) -> Checkpoint:
    note = SignedNote.parse(text)
    note.verify([VerifierKey.parse(vkey)])
    return Checkpoint.parse(note.text)


def test_it_is_printed_by_gate_and_check(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    assert notch.json("gate", "t")["as_of"]["checkpoint"] is None
    notch("key", "new")
    vkey = notch("key", "show").stdout.strip()
    note = notch.json("gate", "t")["as_of"]["checkpoint"]
    assert checkpoint(note, vkey).size == 1
    shown = notch("gate", "t").stdout
    assert note.splitlines()[-1] in shown, "a log that keeps what the gate prints keeps the checkpoint"
    assert checkpoint(shown[shown.index("tallystick/") :], vkey).size == 1, "nothing moved"
    notch("record", "-t", "t", "--type", "note")
    assert checkpoint(notch.json("check", "t")["as_of"]["checkpoint"], vkey).size == 2
    (tmp_path / "kept").write_text(note)
    notch("verify", "--against", "../kept", "--key", vkey)


def test_what_keeps_the_key_from_signing_is_said_and_no_verdict(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    ci = {"TALLYSTICK_SIGNING_KEY": SigningKey("ci", 1, b"\3" * 32).encode(), "HOME": str(tmp_path / "ci-1")}
    assert "checkpoint 1" in notch("gate", "t", env=ci).stdout
    notch("record", "-t", "t", "--type", "note")
    done = notch("gate", "t", env={**ci, "HOME": str(tmp_path / "ci-2")})
    assert "no checkpoint was made" in done.stderr
    assert "has no memory of this ledger" in done.stderr
    assert "gate open" in done.stdout


def test_a_ledger_that_was_restored_gets_no_verdict(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    notch("key", "new")
    notch("backup", "../before.db")
    notch("gate", "t")
    for suffix in ("-wal", "-shm"):
        (repo.root / ".tallystick" / f"ledger.db{suffix}").unlink(missing_ok=True)
    copyfile(tmp_path / "before.db", repo.root / ".tallystick" / "ledger.db")
    notch("record", "-t", "other", "--type", "note")
    done = notch("gate", "t", code=3)
    assert "it signs no second history" in done.stderr
