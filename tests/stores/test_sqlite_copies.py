"""Backups, the log that does not grow without end, and bytes that are gone once they are erased."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.contract import Chance
from tallystick import Entry, InputError, Ledger, StoreUnavailableError, TamperedError


def test_a_backup_opens_and_verifies(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        for n in range(250):
            head = ledger.append("t", Entry(type="note", id=str(n), output=os.urandom(20_000)))
        steps: list[tuple[int, int]] = []
        ledger.store.backup(str(tmp_path / "copy.db"), lambda done, total: steps.append((done, total)))
        ledger.store.backup(str(tmp_path / "quiet.db"))
        assert steps[-1][0] == steps[-1][1] > 1000
        assert steps == sorted(steps)
        assert len(steps) > 1
        after = ledger.append("t", Entry(type="note"))
        for name in ("copy.db", "quiet.db"):
            with Ledger.open(str(tmp_path / name), read_only=True) as copy:
                assert copy.ledger_id == ledger.ledger_id
                assert copy.head("t") == head
                assert copy.session("t") == ledger.session("t", at=250)
                copy.verify()
            ledger.verify("t", head=head)
        assert after.position == 251
    left = sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("ledger"))
    assert left == ["copy.db", "quiet.db"]


def test_a_backup_can_be_written_to(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.append("t", Entry(type="note"))
        ledger.store.backup(str(tmp_path / "copy.db"))
    with Ledger.open(str(tmp_path / "copy.db"), create=False) as copy:
        assert copy.append("t", Entry(type="note")).position == 2
        copy.verify()


def test_a_backup_under_load_is_a_moment_of_the_ledger(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.append("t", [Entry(type="note", output=os.urandom(30_000)) for _ in range(300)])
        stop = threading.Event()

        def work(task: str) -> None:
            while not stop.is_set():
                ledger.append(task, [Entry(type="note"), Entry(type="note", output=os.urandom(5000))])

        threads = [threading.Thread(target=work, args=(task,)) for task in ("t", "u")]
        for thread in threads:
            thread.start()
        before = []
        for turn in range(4):
            before.append(ledger.head("t"))
            ledger.store.backup(str(tmp_path / f"copy{turn}.db"), (lambda *_: None) if turn % 2 else None)
        stop.set()
        for thread in threads:
            thread.join()
        for turn, head in enumerate(before):
            with Ledger.open(str(tmp_path / f"copy{turn}.db"), read_only=True) as copy:
                copy.verify()
                copy.verify("t", head=head)
                taken = copy.head("t")
                assert taken.position % 2 == 0
            ledger.verify("t", head=taken)
        ledger.verify()


def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        head = ledger.append("t", Entry(type="note"))
        (tmp_path / "kept").write_text("kept")
        for target in ("kept", "."):
            with pytest.raises(InputError, match="the file exists"):
                ledger.store.backup(str(tmp_path / target))
        for suffix in ("", "-wal", "-shm", "-journal", "-lock"):
            with pytest.raises(InputError, match="belongs to the ledger itself"):
                ledger.store.backup(str(tmp_path / f"ledger.db{suffix}"))
        with pytest.raises(StoreUnavailableError, match="cannot write the backup"):
            ledger.store.backup(str(tmp_path / "absent" / "copy.db"))
        (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(InputError, match="the file exists"):
            ledger.store.backup(str(tmp_path / "link"))
        assert (tmp_path / "kept").read_text() == "kept"
        assert ledger.head("t") == head
        ledger.verify()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kept", "ledger.db", "ledger.db-lock", "link"]


def test_a_backup_of_a_damaged_ledger_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", Entry(type="note"))
    data = bytearray(path.read_bytes())
    data[:16] = b"no database here"
    with Ledger.open(str(tmp_path / "whole.db")) as ledger:
        ledger.append("t", Entry(type="note"))
        ledger.store.path = str(path)
        path.write_bytes(data)
        with pytest.raises(TamperedError, match="damaged"):
            ledger.store.backup(str(tmp_path / "copy.db"))
        ledger.store.path = str(tmp_path / "whole.db")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("copy")]


def test_a_long_read_does_not_keep_the_log_growing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    log = path.with_name("ledger.db-wal")
    with Ledger.open(str(path)) as ledger, Ledger.open(str(path)) as reader:
        ledger.append("t", [Entry(type="note", id=str(n)) for n in range(3000)])
        largest = written = 0
        for recorded in reader.entries("t"):
            if recorded.position % 2:
                ledger.append("t", Entry(type="note", output=b"x" * 12_000))
                written += 12_000
                largest = max(largest, log.stat().st_size)
        assert written > 3 * 5_000_000
        assert largest < 8_000_000
        assert ledger.head("t").position == 4500
        ledger.verify()


def found_in(path: Path, what: bytes) -> list[str]:
    """In which of the ledger's files the bytes stand; a process of its own looks, for opening drops locks."""
    script = (
        "import glob, sys\n"
        "for name in sorted(glob.glob(glob.escape(sys.argv[1]) + '*')):\n"
        "    if bytes.fromhex(sys.argv[2]) in open(name, 'rb').read(): print(name[len(sys.argv[1]):] or 'db')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), what.hex()], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("size", [40, 5_000, 60_000])
def test_erased_bytes_are_gone_from_the_files(tmp_path: Path, size: int) -> None:
    path = tmp_path / "ledger.db"
    secret = Chance(b"secret")(size // 2).hex()
    middle = secret[size // 2 - 16 : size // 2 + 16].encode()
    entry = Entry(type="run", reason=f"r{secret}", output=f"o{secret}", details={"d": secret})
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", [Entry(type="note"), entry, Entry(type="note")])
        assert found_in(path, middle)
        ledger.erase("t", 2, reason="leaked")
        assert found_in(path, middle) == []
        assert found_in(path, secret[:16].encode()) == []
        ledger.append("t", Entry(type="note"))
        ledger.verify()
    assert found_in(path, middle) == []


def test_an_erased_artifact_is_gone_from_the_files(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    output = Chance(b"secret")(1_500_000)
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", Entry(type="run", output=output))
        assert found_in(path, output[5000:5032])
        ledger.erase("t", 1, ["output"], reason="leaked")
        for start in range(0, len(output) - 32, 100_000):
            assert found_in(path, output[start + 5000 : start + 5032]) == []
        ledger.verify()


def test_an_erasure_behind_a_reader_says_what_is_left(tmp_path: Path) -> None:
    """Somebody else's open read keeps the log in use: the part is erased, and the caller is told the rest."""
    import sqlite3

    import tallystick.stores.sqlite_connection as connection

    path = tmp_path / "ledger.db"
    before = connection.BUSY_SECONDS
    connection.BUSY_SECONDS = 0.2
    try:
        with Ledger.open(str(path)) as ledger:
            ledger.append("t", Entry(type="note", reason="secret"))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM record").fetchone()
            with pytest.raises(StoreUnavailableError, match="the part is erased, but a reader keeps the old log"):
                ledger.erase("t", 1, ["text"], reason="leaked")
            assert ledger.entry("t", 1).erased == ("text",)
            other.execute("COMMIT")
            other.close()
            ledger.append("t", Entry(type="note"))
    finally:
        connection.BUSY_SECONDS = before
    assert found_in(path, b"secret") == []
