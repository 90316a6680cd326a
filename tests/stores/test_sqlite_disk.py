"""Disks that are full, read-only, of the network or out of order: one clear line, and the ledger as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from shutil import copyfile

import pytest

from support.namespace import let_everybody_in, run_as_nobody, run_mounted
from tallystick import Ledger, StoreUnavailableError
from tallystick.stores.filesystem import UNSAFE, file_system_type, require_local

START = """
import os, sys
from tallystick import Entry, InputError, Ledger, StoreUnavailableError, TallystickError
path = sys.argv[1]

def note(name="", **fields):
    return Entry(type="note", id=name, **fields)

def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as caught:
        assert type(caught) is error and "\\n" not in str(caught), repr(caught)
        return str(caught)
    raise AssertionError("was not refused")
"""

FILL = """
def fill(ledger, **fields):
    'Append until the disk is full; what was acknowledged, and what the last one was told.'
    done = []
    while len(done) < 5000:
        try:
            head = ledger.append("t", [note(f"{len(done)}", **fields), note("second")])
        except StoreUnavailableError as error:
            assert "\\n" not in str(error)
            return done, str(error)
        done.append(head)
    raise AssertionError("the disk never filled")

def check(path, done):
    with Ledger.open(path, create=False) as ledger:
        ledger.verify()
        assert ledger.head("t") == done[-1]
        assert len(list(ledger.entries("t"))) == 2 * len(done)
"""


@pytest.mark.parametrize("output", ["", "os.urandom(3000)", "os.urandom(150_000)"])
def test_a_full_disk(tmp_path: Path, output: str) -> None:
    said = run_mounted(
        "mount -t tmpfs -o size=900k none $(dirname $1)",
        START
        + FILL
        + textwrap.dedent(f"""
        ballast = os.path.join(os.path.dirname(path), "ballast")
        open(ballast, "wb").write(bytes(65536))
        ledger = Ledger.open(path)
        done, said = fill(ledger, output={output or '""'})
        print(said)
        assert done
        assert ledger.head("t") == done[-1]
        ledger.verify()
        refused(StoreUnavailableError, ledger.append, "other", note(output=os.urandom(40_000)))
        refused(StoreUnavailableError, ledger.store.backup, path + ".copy")
        assert not [name for name in os.listdir(os.path.dirname(path)) if "copy" in name]
        os.unlink(ballast)
        head = ledger.append("t", [note(), note()])
        ledger.close()
        check(path, [*done, head])
        """),
        tmp_path / "ledger.db",
    )
    assert "full" in said
    assert "free some space" in said


def test_a_disk_too_full_to_make_a_ledger(tmp_path: Path) -> None:
    run_mounted(
        "mount -t tmpfs -o size=32k none $(dirname $1)",
        START
        + textwrap.dedent("""
        ballast = os.path.join(os.path.dirname(path), "ballast")
        open(ballast, "wb").write(bytes(20480))
        assert "full" in refused(StoreUnavailableError, Ledger.open, path)
        refused(TallystickError if False else StoreUnavailableError, Ledger.open, path)
        os.unlink(ballast)
        """),
        tmp_path / "ledger.db",
    )


@pytest.mark.parametrize("limit", [60_000, 200_000, 1_000_000])
def test_a_limit_on_the_size_of_files(tmp_path: Path, limit: int) -> None:
    script = (
        START
        + FILL
        + textwrap.dedent(f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
        try:
            ledger = Ledger.open(path)
            done, said = fill(ledger, output=os.urandom(2000))
            print(said)
            ledger.verify()
            assert ledger.head("t") == done[-1]
        except StoreUnavailableError as error:
            assert {limit} < 100_000, error
            done = []
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        done.append(Ledger.open(path).append("t", [note(), note()]))
        check(path, done)
        """)
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "ledger.db")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


READ_ONLY = """
with Ledger.open(path, create=False) as ledger:
    before = sorted(os.listdir(os.path.dirname(path)))
    ledger.verify()
    tasks = {(state.task_id, state.ledger_id): state.head for state in ledger.tasks()}
    assert len(tasks) == 4
    assert len(ledger.session("a").entries) == 9
    print(refused(StoreUnavailableError, ledger.append, "a", note()))
    print(refused(StoreUnavailableError, ledger.append, "new", note()))
    refused(StoreUnavailableError, ledger.erase, "a", 1, reason="x")
    ledger.verify()
    assert {(state.task_id, state.ledger_id): state.head for state in ledger.tasks()} == tasks
refused(StoreUnavailableError, Ledger.open, os.path.join(os.path.dirname(path), "new.db"))
assert "new.db" not in os.listdir(os.path.dirname(path))
"""


def test_a_read_only_disk(tmp_path: Path, one_of_everything: Path) -> None:
    copyfile(one_of_everything, tmp_path / "ledger.db")
    said = run_mounted(
        "mount --bind $(dirname $1) $(dirname $1); mount -o remount,ro,bind $(dirname $1)",
        START + READ_ONLY,
        tmp_path / "ledger.db",
    )
    assert "cannot write beside the ledger: Read-only file system" in said
    assert "make the file and its folder writable" in said
    assert sorted(os.listdir(tmp_path)) == ["ledger.db"]


@pytest.mark.parametrize(("file", "folder"), [(0o444, 0o555), (0o644, 0o555), (0o444, 0o777)])
def test_a_file_or_folder_that_may_not_be_written(
    tmp_path: Path, one_of_everything: Path, file: int, folder: int
) -> None:
    path = tmp_path / "kept" / "ledger.db"
    path.parent.mkdir()
    copyfile(one_of_everything, path)
    path.chmod(file)
    path.parent.chmod(folder)
    let_everybody_in(tmp_path)
    script = READ_ONLY if folder == 0o555 else READ_ONLY.partition("refused(StoreUnavailableError, Ledger.open")[0]
    said = run_as_nobody(START + script, path)
    path.parent.chmod(0o755)
    assert "make the file and its folder writable" in said
    with Ledger.open(str(path), create=False) as ledger:
        ledger.verify()


def test_a_read_only_copy_whose_log_was_copied_too(tmp_path: Path, one_of_everything: Path) -> None:
    """Copied while it was written to, with the log: what is in the log counts, or is refused, and never ignored."""
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        head = ledger.append("t", [*ledger_entries()])
        copies = tmp_path / "copies"
        copies.mkdir()
        script = "import shutil, sys; [shutil.copy(sys.argv[1] + s, sys.argv[2]) for s in ('', '-wal')]"
        subprocess.run([sys.executable, "-c", script, str(path), str(copies)], check=True)
    assert sorted(os.listdir(copies)) == ["ledger.db", "ledger.db-wal"]
    said = run_mounted(
        "mount --bind $(dirname $1) $(dirname $1); mount -o remount,ro,bind $(dirname $1)",
        START
        + textwrap.dedent("""
        try:
            with Ledger.open(path, create=False) as ledger:
                print(ledger.head("t"))
        except StoreUnavailableError as error:
            print(error)
        """),
        copies / "ledger.db",
    )
    assert said.strip() == str(head) or "check the path and the folder's permissions" in said


def ledger_entries() -> list[object]:
    from tallystick import Entry

    return [Entry(type="note", id=str(n)) for n in range(5)]


# --- network file systems


def mount_table(tmp_path: Path, kind: str) -> str:
    """A table of mounts that says `tmp_path` lies on such a file system."""
    device = os.stat(tmp_path).st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 0:5 / /proc rw - proc proc rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / / rw,noatime shared:1 master:2 - {kind} server:/x rw,vers=4\n"
    )
    return str(table)


@pytest.mark.parametrize("kind", sorted(UNSAFE))
def test_a_network_file_system_is_known_by_its_type(tmp_path: Path, kind: str) -> None:
    table = mount_table(tmp_path, kind)
    assert file_system_type(str(tmp_path), table) == kind
    with pytest.raises(StoreUnavailableError, match="SQLite's locks do not hold") as caught:
        require_local(str(tmp_path), mountinfo=table)
    assert str(tmp_path) in str(caught.value)
    assert "PostgreSQL" in caught.value.advice


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "zfs", "fuseblk", "virtiofs"])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    require_local(str(tmp_path), mountinfo=mount_table(tmp_path, kind))


def test_what_cannot_be_known_is_taken(tmp_path: Path) -> None:
    for text in ("", "nonsense\n", "36 35 1:2\n", "36 35 0:0 / / rw shared:1\n"):
        (tmp_path / "mountinfo").write_text(text)
        assert file_system_type(str(tmp_path), str(tmp_path / "mountinfo")) == ""
    require_local(str(tmp_path), mountinfo=str(tmp_path / "absent"))
    require_local(str(tmp_path / "absent"))


def test_a_ledger_is_neither_made_nor_opened_on_a_network_file_system(tmp_path: Path, one_of_everything: Path) -> None:
    copyfile(one_of_everything, tmp_path / "ledger.db")
    table = mount_table(tmp_path, "nfs4")
    said = run_mounted(
        "mount --bind $2 /proc/$$/mountinfo",
        START
        + textwrap.dedent("""
        print(refused(StoreUnavailableError, Ledger.open, path))
        print(refused(StoreUnavailableError, Ledger.open, path, create=False))
        print(refused(StoreUnavailableError, Ledger.open, path + ".new"))
        """),
        tmp_path / "ledger.db",
        table,
    )
    assert said.count("NFS") == 3
    assert sorted(os.listdir(tmp_path)) == ["ledger.db", "mountinfo"]
