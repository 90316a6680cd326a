"""Bundles through the command: what an auditor is told, and what he is told where something is wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import Notch, notch_argv
from support.repository import GitRepo

VERIFIER = Path(__file__).parents[2] / "tools/notch-verify.mjs"
NODE = shutil.which("node")


@pytest.fixture
def bundle(git_repo: GitRepo, notch: Notch, tmp_path: Path) -> Path:
    """A bundle of `t` as of checkpoint 2, proved since checkpoint 1 (`first`); the key is in `vkey`."""
    git_repo.write("tallystick.toml", '[criteria.ac1]\nmanual = true\n[criteria.more]\nrun = "true"\n')
    git_repo.commit("First")
    notch("key", "new")
    notch("record", "-t", "t", "--type", "criterion", "-c", "ac1", "--status", "pass", "--reason", "seen")
    (tmp_path / "first").write_text(notch("checkpoint").stdout)
    notch("record", "-t", "t", "--type", "note", "--reason", "two")
    (tmp_path / "second").write_text(notch("checkpoint").stdout)
    (tmp_path / "vkey").write_text(notch("key", "show").stdout)
    notch("export", "t", "--format", "bundle", "--since", "../first", "-o", "../t.bundle")
    return tmp_path / "t.bundle"


def test_the_verdict_is_as_of_a_checkpoint(bundle: Path, notch: Notch) -> None:
    for bound in ("../first", "../second", "2020-01-01"):
        shown = notch("verify", bundle, "--keys", "../vkey", "--not-before", bound).stdout
        assert "as of checkpoint 2 of " in shown
        assert "the newest state, extends checkpoint 1; signed by tallystick/" in shown
    told = notch.json("verify", bundle, "--keys", "../vkey")["bundles"][0]["checkpoint"]
    assert (told["number"], told["newest"], told["since"], len(told["signers"])) == (2, True, 1, 1)
    assert "its signature was not checked" in notch("verify", bundle).stdout
    assert "before 2999" in notch("verify", bundle, "--not-before", "2999-01-01", code=1).stderr


def test_what_no_signature_covers_does_not_pass(bundle: Path, notch: Notch) -> None:
    notch("record", "-t", "t", "--type", "note", "--reason", "three")
    done = notch("export", "t", "--format", "bundle", "-o", "../later.bundle")
    assert "entry 3 came after checkpoint 2, which proves nothing of that: notch checkpoint" in done.stderr
    refused = notch("verify", "../later.bundle", "--keys", "../vkey", code=1)
    assert "entry 3 came after checkpoint 2: no signature covers that, so anybody could have added it" in refused.stderr
    assert "the newest state was entry 2, and nothing proves entry 3" in notch("verify", "../later.bundle").stdout
    done = notch("export", "new", "--format", "bundle", code=2)
    assert "no such task" in done.stderr
    notch("record", "-t", "new", "--type", "note")
    done = notch("export", "new", "--format", "bundle", "-o", "../new.bundle")
    assert "no checkpoint is about it" in done.stderr
    assert "holds no checkpoint" in notch("verify", "../new.bundle", "--keys", "../vkey", code=1).stderr
    done = notch("export", "new", "--format", "bundle", "--since", "../first", code=2)
    assert (done.stdout, "checkpoint 2 is about no session of it" in done.stderr) == ("", True)


def test_that_nothing_is_recorded_of_a_task(bundle: Path, notch: Notch) -> None:
    notch("export", "never", "--format", "bundle", "--absent", "--since", "../first", "-o", "../never.bundle")
    shown = notch("verify", "../never.bundle", "--keys", "../vkey", "--not-before", "../first").stdout
    assert shown.startswith("ok  never: nothing is recorded of it\n")
    told = notch.json("verify", "../never.bundle", "--keys", "../vkey")["bundles"][0]
    assert (told["position"], told["root"], told["checkpoint"]["covered"]) == (None, None, 0)
    refused = notch("export", "t", "--format", "bundle", "--absent", code=2)
    assert (refused.stdout, "checkpoint 2 is about its entries up to 2" in refused.stderr) == ("", True)
    for command in (("--ledger", "../never.bundle", "log", "never"), ("import", "../never.bundle")):
        assert "it shows that a task has no session" in notch(*command, code=2).stderr


def test_a_bundle_reads_as_a_ledger_and_is_never_written(bundle: Path, notch: Notch) -> None:
    at = ("--ledger", bundle)
    assert "seen" in notch(*at, "show", "t", "1").stdout
    assert "two" in notch(*at, "log", "t").stdout
    assert notch.json(*at, "status", "t")["criteria"]["ac1"]["status"] == "pass"
    verdict = notch.json(*at, "gate", "t", code=1)
    assert [(one["id"], one["state"]) for one in verdict["criteria"]] == [("ac1", "pass"), ("more", "missing")]
    assert notch(*at, "verify", "t").stdout.startswith("ok  t: 2 entries")
    kept = bundle.read_bytes()
    for command in (
        ("record", "-t", "t", "--type", "note"),
        ("erase", "t", "1", "--reason", "x", "--yes"),
        ("attest", "t", "--entry", "1"),
        ("checkpoint",),
    ):
        assert "a bundle is never written to" in notch(*at, *command, code=4).stderr, command
    assert "does not keep sessions of other ledgers" in notch(*at, "import", bundle, code=2).stderr
    assert bundle.read_bytes() == kept


def test_errors_of_verify(bundle: Path, notch: Notch, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(bundle.read_bytes()[1:])
    (tmp_path / "folder").mkdir()
    other = tmp_path / "other"
    other.write_text((tmp_path / "first").read_text().replace("tallystick/", "tallystick/x"))
    expected = {
        ("../cut",): "../cut: this file is no bundle",
        (bundle, "../cut"): "this file is no bundle",
        ("../nothing",): "no such task",
        (bundle, "--head", "1:aa"): "--head is about ledgers, not bundles",
        (bundle, "--against", "../first"): "hold a bundle to a checkpoint with --not-before FILE",
        (bundle, "--trusted-keys", "../vkey"): "--trusted-keys is about ledgers",
        (bundle, "--not-before", "never"): "'never' is not a time",
        (bundle, "--not-before", "../vkey"): "../vkey: the note has no signatures",
        (bundle, "--not-before", "../folder"): "../folder: this is a folder",
        (bundle, "--key", "x"): "this is not a verifier key",
        (bundle, "--keys", "../nothing"): "notch: ../nothing: no such file",
        (bundle, "--keys", "../cut"): "../cut: line 1: ",
        ("--ledger", bundle, "--against", "../first"): "a bundle keeps no log of checkpoints",
    }
    for command, message in expected.items():
        done = notch("verify", *command, code=2)
        assert message in done.stderr, (command, done.stderr)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    done = notch("verify", bundle, "--not-before", "../other", code=1)
    assert "its checkpoint is of tallystick/" in done.stderr


def test_errors_of_export_and_import(bundle: Path, notch: Notch, tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(bundle.read_bytes()[:-9])
    (tmp_path / "large").write_text((tmp_path / "second").read_text().replace("\n2\n", "\n9\n", 1))
    (tmp_path / "fork").write_text((tmp_path / "first").read_text().replace("\n1\n", "\n2\n", 1))
    expected = {
        ("--since", "../nothing"): (2, "../nothing: no such file"),
        ("--since", "../vkey"): (2, "../vkey: the note has no signatures"),
        ("--since", "../large"): (2, "../large: a tree of 9 leaves is not a prefix of one of 2"),
        ("--since", "../fork"): (1, "../fork: two different roots are claimed for 2 leaves"),
        ("--omit", "all"): (2, "parts are text, details, output"),
    }
    for options, (code, message) in expected.items():
        done = notch("export", "t", "--format", "bundle", *options, code=code)
        assert (done.stdout, message in done.stderr) == ("", True), done.stderr
    assert "--since belongs to a bundle" in notch("export", "t", "--since", "../first", code=2).stderr
    away = ("--ledger", tmp_path / "away.db")
    done = notch(*away, "import", "../cut", code=2)
    assert "../cut:6: the line does not end in a newline" in done.stderr
    assert not (tmp_path / "away.db").exists(), "what does not verify leaves nothing behind"
    assert "2 new entries of t, kept beside ours" in notch(*away, "import", bundle).stdout


NO_NETWORK = """
import sys
def hook(event, args):
    if event.startswith("socket."): raise RuntimeError("the network was used: " + event)
sys.addaudithook(hook)
from tallystick.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_nothing_is_looked_up(bundle: Path, notch: Notch) -> None:
    kept, first = (str(bundle.with_name(name)) for name in ("vkey", "first"))
    argv = ["verify", str(bundle), "--keys", kept, "--not-before", first]
    done = subprocess.run([sys.executable, "-c", NO_NETWORK, *argv], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    cut = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") and subprocess.run([*cut, "true"], capture_output=True, check=False).returncode == 0:
        env = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        commands = [notch_argv(*argv)]
        if NODE:
            commands.append([NODE, str(VERIFIER), str(bundle), "--key", (bundle.parent / "vkey").read_text().strip()])
        for command in commands:
            done = subprocess.run([*cut, *command], capture_output=True, text=True, env=env, check=False)
            assert (done.returncode, done.stderr) == (0, ""), command


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_javascript_says_the_same(bundle: Path, notch: Notch) -> None:
    vkey = (bundle.parent / "vkey").read_text().strip()
    notch("export", "never", "--format", "bundle", "--absent", "-o", "../never.bundle")
    for path in (str(bundle), "../never.bundle"):
        argv = [str(NODE), str(VERIFIER), str(bundle.with_name(Path(path).name)), "--key", vkey]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        ours = notch.json("verify", path, "--key", vkey)["bundles"][0]
        theirs = json.loads(done.stdout)
        assert ours.pop("file") == path
        assert theirs["checkpoint"].items() <= ours.pop("checkpoint").items()
        assert {name: theirs[name] for name in ours} == ours


def test_a_bundle_of_a_later_epoch(bundle: Path, git_repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    """The key pinned under the first epoch counts, and what the restored ledger kept is proved to be extended."""
    notch("backup", "../backup.db")
    notch("record", "-t", "t", "--type", "note", "--reason", "lost")
    notch("checkpoint", "--to", "../lost")
    for suffix in ("-wal", "-shm"):
        (git_repo.root / ".tallystick" / f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "backup.db", git_repo.root / ".tallystick" / "ledger.db")
    notch("record", "-t", "t", "--type", "note", "--reason", "it went on otherwise")
    notch("checkpoint", "--new-epoch")
    notch("export", "t", "--format", "bundle", "--since", "../second", "-o", "../epoch.bundle")
    shown = notch("verify", "../epoch.bundle", "--keys", "../vkey", "--not-before", "../second").stdout
    assert "as of checkpoint 3 of " in shown
    assert "extends checkpoint 2; signed by tallystick/" in shown
    refused = notch("verify", "../epoch.bundle", "--keys", "../vkey", "--not-before", "../lost", code=1)
    assert "two checkpoints 3 contradict each other: a fork" in refused.stderr
    assert (
        "lost: two different roots" in notch("export", "t", "--format", "bundle", "--since", "../lost", code=1).stderr
    )
    if NODE:
        argv = [NODE, str(VERIFIER), str(tmp_path / "epoch.bundle"), "--key", (tmp_path / "vkey").read_text().strip()]
        for kept, code in (("second", 0), ("lost", 1)):
            bound = ["--not-before", str(tmp_path / kept)]
            done = subprocess.run([*argv, *bound], capture_output=True, text=True, check=False)
            assert done.returncode == code, done.stderr
