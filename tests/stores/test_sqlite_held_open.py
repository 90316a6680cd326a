"""A process that holds the ledger open and does all else we offer beside it loses nothing when it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import copyfile

import pytest

from support.repository import GitRepo
from tallystick import Ledger

SCAFLD = Path(__file__).parents[1] / "data" / "scafld" / "add-cache.session.json"

SCRIPT = r"""
import os, signal, subprocess, sys
path, scafld = sys.argv[1:3]
opened = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = os.path.abspath(os.fsdecode(arguments[0]))
        if name.startswith(path) and name[len(path):] in ("", "-wal", "-shm", "-journal"):
            opened.append(name)

sys.addaudithook(watch)
from tallystick import Entry, Ledger
from tallystick.cli import main
from tallystick.workspace import Workspace, capture_baseline

root = os.getcwd()
ledger = Ledger.open(path)
done = 0

def append(task="held"):
    global done
    done += 1
    ledger.append(task, Entry(type="note", id=str(done)))
    os.write(3, f"{task} {done}\n".encode())

def elsewhere():
    code = "import sys; from tallystick import *; l = Ledger.open(sys.argv[1]);" \
        "[l.append('other', Entry(type='note')) for _ in range(5)]; l.verify(); l.close()"
    subprocess.run([sys.executable, "-c", code, path], check=True)

def notch(*arguments, code=0):
    try:
        found = main(["--ledger", path, *arguments])
    except SystemExit as ended:
        found = ended.code
    assert (found or 0) == code, (arguments, found)

def fingerprint():
    space = Workspace.find(root, exclude=ledger.store.files())
    tree = space.snapshot()
    list(capture_baseline(space)) if space.is_git else None
    return tree.fingerprint()["tree"]

append()
first = fingerprint()
append()
elsewhere()
assert fingerprint() == first
ledger.state("held"), ledger.session("held"), ledger.verify()
append()
notch("import", scafld)
append()
notch("export", "held", "--format", "jsonl")
notch("export", "held", "--format", "scafld")
append()
notch("backup", path + ".copy")
os.unlink(path + ".copy")
append()
elsewhere()
notch("record", "-t", "held", "--type", "note", "--id", "by-notch")
notch("run", "-t", "held", "--", "true")
append()
for reading in (["status", "held"], ["log", "held"], ["tasks"], ["verify"], ["show", "held", "1"]):
    notch(*reading)
append()
ledger.erase("held", ledger.append("held", Entry(type="note", reason="secret")).position, ["text"], reason="x")
append()
assert fingerprint() == first
elsewhere()
append()
assert opened == [], opened
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("place", ["ledger.db", ".tallystick/ledger.db", "src/deep/ledger.db"])
@pytest.mark.parametrize("kind", ["git", "folder"])
def test_nothing_acknowledged_is_lost(git_repo: GitRepo, tmp_path: Path, place: str, kind: str) -> None:
    folder = git_repo.root if kind == "git" else tmp_path / "folder"
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "a file").write_text("content")
    (folder / "untracked").write_text("content")
    if kind == "git":
        git_repo.git("add", "a file")
        git_repo.git("commit", "-q", "-m", "First")
    sample = tmp_path / "session.json"
    copyfile(SCAFLD, sample)
    acknowledged = tmp_path / "acknowledged"
    script = 'exec 3>"$1"; shift; exec "$@"'
    argv = ["/bin/sh", "-c", script, "sh", str(acknowledged), sys.executable, "-c", SCRIPT, str(path), str(sample)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    ids = [line.split()[1] for line in acknowledged.read_text().splitlines()]
    assert len(ids) >= 10
    with Ledger.open(str(path), create=False) as ledger:
        found = [recorded.entry.id for recorded in ledger.entries("held", outputs=False)]
        assert [one for one in found if one in ids] == ids
        assert "by-notch" in found
        assert ledger.head("other").position == 15
        ledger.verify()
    assert not os.path.exists(f"{path}.copy")
