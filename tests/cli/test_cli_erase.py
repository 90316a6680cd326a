"""notch erase: the bytes are gone from every file, and what was proved before and after still is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command import Notch
from support.repository import GitRepo

SECRET = "the-customer's-name"
OUTPUT = "".join(f"{SECRET} {number}\n" for number in range(4_000))
"""More than lies beside a record: it goes into an artifact."""


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch, tmp_path: Path) -> GitRepo:
    """A ledger whose second entry holds a secret in each part, a checkpoint and a bundle from before."""
    git_repo.commit("First")
    notch("record", "-t", "t", "--type", "note", "--reason", "first")
    secret = ("--reason", SECRET, "--details", json.dumps({"who": SECRET}), "--output", OUTPUT)
    notch("record", "-t", "t", "--type", "note", *secret)
    notch("record", "-t", "t", "--type", "note", "--reason", "third")
    notch("key", "new")
    (tmp_path / "before").write_text(notch("checkpoint").stdout)
    (tmp_path / "vkey").write_text(notch("key", "show").stdout)
    notch("export", "t", "--format", "bundle", "--artifacts", "-o", "../before.bundle")
    return git_repo


def places(folder: Path, secret: str) -> list[str]:
    """The files of the ledger that hold the secret."""
    files = [path for path in (folder / ".tallystick").iterdir() if path.is_file()]
    return sorted(path.name for path in files if secret.encode() in path.read_bytes())


def test_the_bytes_are_gone_and_every_proof_holds(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    assert places(repo.root, SECRET)
    done = notch("erase", "t", "2", "--reason", "a name", "--by", "me", "--yes")
    assert done.stdout.startswith("erased text, details, output of #2; backups, replicas and bundles already sent")
    assert places(repo.root, SECRET) == []
    shown = notch("show", "t", "4", "--json").stdout
    assert json.loads(shown)["type"] == "redaction"
    assert json.loads(shown)["reason"] == "a name"
    notch("verify", "--against", "../before", "--keys", "../vkey")
    notch("verify", "../before.bundle", "--keys", "../vkey", "--not-before", "../before")
    notch("checkpoint", "--to", "../after")
    notch("export", "t", "--format", "bundle", "--artifacts", "--since", "../before", "-o", "../after.bundle")
    told = notch.json("verify", "../after.bundle", "--keys", "../vkey", "--not-before", "../before")["bundles"][0]
    assert (told["position"], told["erased"], told["omitted"], told["checkpoint"]["number"]) == (4, 3, 0, 2)
    lines = (tmp_path / "after.bundle").read_text().splitlines()
    gap = json.loads(lines[4])
    assert [gap[part] for part in ("text", "details", "output")] == ["erased"] * 3
    assert SECRET not in notch("export", "t").stdout


def test_one_part_at_a_time(repo: GitRepo, notch: Notch) -> None:
    notch("erase", "t", "2", "--part", "output", "--reason", "x", "--yes")
    assert notch.json("show", "t", "2")["reason"] == SECRET
    assert (
        "has no output to erase" in notch("erase", "t", "2", "--part", "output", "--reason", "x", "-y", code=2).stderr
    )
    notch("erase", "t", "2", "--reason", "x", "--yes")
    assert "nothing left to erase" in notch("erase", "t", "2", "--reason", "x", "--yes", code=2).stderr
    assert places(repo.root, SECRET) == []
    notch("verify")


def test_errors_of_erase(repo: GitRepo, notch: Notch) -> None:
    expected = {
        ("t", "2", "--reason", "x"): "say --yes where nobody can be asked",
        ("t", "2", "--reason", " ", "--yes"): "--reason is empty",
        ("t", "99", "--reason", "x", "--yes"): "no entry at position 99",
        ("t", "nobody", "--reason", "x", "--yes"): "no entry has the id 'nobody'",
        ("nosuch", "1", "--reason", "x", "--yes"): "no such task",
        ("t", "1", "--part", "salt", "--reason", "x", "--yes"): "invalid choice: 'salt'",
    }
    before = notch.json("status", "t")["root"]
    for words, message in expected.items():
        done = notch("erase", *words, code=2)
        assert (message in done.stderr, done.stderr.count("\n")) == (True, 1), done.stderr
    assert notch.json("status", "t")["root"] == before


def test_errors_of_keys_and_statements(repo: GitRepo, notch: Notch) -> None:
    """What the others of these commands say of odd input: a line, and nothing written."""
    expected = {
        ("attest", "nosuch", "--entry", "1"): "no such task",
        ("attest", "t", "--entry", "99"): "no entry at position 99",
        ("attest", "t", "--entry", "1", "--key", "nobody"): "there is no such key",
        ("key", "retire", "default", "--at", "99999999999999999999"): "--at is the number of a checkpoint",
        ("checkpoint", "--every", "5"): "is no time from 0.1s to 24h",
        ("checkpoint", "--against", "../vkey"): "../vkey: the note has no signatures",
        ("verify", "--against", "../before", "--keys", "../before"): "../before: line 1: this is not a verifier key",
    }
    before = notch.json("status", "t")["root"]
    for words, message in expected.items():
        done = notch(*words, code=2)
        assert (message in done.stderr, done.stderr.count("\n")) == (True, 1), done.stderr
    assert notch.json("status", "t")["root"] == before
