"""Erased bytes are gone: from the file, from what it does not use, from its log, and from every later backup."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from support.checkpoints import all_faults
from tallystick import Entry, Ledger, StoreUnavailableError
from tallystick.stores import sqlite_erasing, sqlite_schema
from tallystick.stores.sqlite_schema import POSITION_BITS

SESSIONS, ENTRIES, SEEDS = 12, 12, 50


class Grown:
    """A ledger whose sessions grew side by side, so that pages split and rows moved, and what is to be erased of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / f"ledger-{seed}.db"
        chance = random.Random(seed)
        order = [f"t{n}" for n in range(SESSIONS)] * ENTRIES
        chance.shuffle(order)
        marks: dict[tuple[str, int], bytes] = {}
        with Ledger.open(str(self.path)) as ledger:
            for count, task in enumerate(order):
                mark = f"MARK-{seed}-{count}-{chance.getrandbits(64):016x}"
                output = mark + "y" * chance.randrange(3000 if chance.random() < 0.3 else 100)
                entry = Entry(
                    type="note", reason=mark + "x" * chance.randrange(200), details={"d": mark}, output=output
                )
                head = ledger.append(task, entry, idempotency_key=str(count) if chance.random() < 0.2 else None)
                marks[task, head.position] = mark.encode()
        self.erased = chance.sample(sorted(marks), len(marks) * 2 // 3)
        self.secrets = [marks[one] for one in self.erased] + self._salts()

    def _salts(self) -> list[bytes]:
        """What the erased parts could be guessed by, were it still there."""
        connection = sqlite3.connect(self.path)
        numbers = dict(connection.execute("SELECT task_id, number FROM session"))
        found: list[bytes] = []
        for task, position in self.erased:
            found += connection.execute(
                "SELECT text_salt, details_salt, output_salt FROM record WHERE id = ?",
                ((numbers[task] << POSITION_BITS) + position,),
            ).fetchone()
            for row in connection.execute(
                "SELECT salt, digest FROM local_idempotency WHERE session = ? AND first = ?", (numbers[task], position)
            ):
                found += row
        connection.close()
        return found

    def left(self, path: Path) -> int:
        """How many of the secrets are still in that file, or in what lies beside it."""
        data = b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
        return sum(secret in data for secret in self.secrets)


@pytest.mark.parametrize("ten", range(SEEDS // 10))
def test_nothing_is_left_of_entries_of_sessions_that_grew_side_by_side(tmp_path: Path, ten: int) -> None:
    cleared = 0
    for seed in range(10 * ten, 10 * ten + 10):
        grown = Grown(tmp_path, seed)
        with Ledger.open(str(grown.path)) as ledger:
            for task, position in grown.erased:
                ledger.erase(task, position, reason="leaked", finish=False)
            assert len(ledger.unfinished_erasures()) == len(grown.erased)
            early, late = tmp_path / f"early-{seed}.db", tmp_path / f"late-{seed}.db"
            ledger.store.backup(str(early))  # type: ignore[attr-defined]
            cleared += grown.left(grown.path)
            ledger.finish_erasures()
            assert ledger.unfinished_erasures() == []
            assert (grown.path.parent / f"{grown.path.name}-wal").stat().st_size < 50_000
            ledger.store.backup(str(late))  # type: ignore[attr-defined]
            assert [grown.left(one) for one in (grown.path, early, late)] == [0, 0, 0]
            assert all_faults(ledger) == []
        with Ledger.open(str(early), read_only=True) as copy:
            assert copy.unfinished_erasures() == []
            assert all_faults(copy) == []
        assert grown.left(grown.path) == 0
    assert cleared, "clearing alone left nothing, so this tests nothing"


def test_one_by_one_it_is_gone_at_each_step(tmp_path: Path) -> None:
    grown = Grown(tmp_path, 3)
    with Ledger.open(str(grown.path)) as ledger:
        for task, position in grown.erased[:25]:
            mark = ledger.entry(task, position).entry.details["d"].encode()
            ledger.erase(task, position, reason="leaked")
            data = b"".join(one.read_bytes() for one in tmp_path.glob(f"{grown.path.name}*"))
            assert mark not in data
        assert all_faults(ledger) == []


# --- interrupted


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that takes a while to be written anew."""
    path = tmp_path_factory.mktemp("large") / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        for _ in range(30):
            for task in ("a", "b", "c"):
                ledger.append(task, [Entry(type="run", reason="SECRET", output=os.urandom(9_000)) for _ in range(40)])
    return path


ERASING = """
import sys
from tallystick import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    position = next(one.position for one in ledger.entries("a", outputs=False) if not one.erased and one.entry.reason)
    print(position, flush=True)
    ledger.erase("a", position, ["text"], reason="leaked")
print("done", flush=True)
"""


def test_a_process_that_is_killed_while_it_erases(tmp_path: Path, large: Path) -> None:
    """Before, it is not erased; after, it is gone; in between, whoever comes next is told, and can finish it."""
    path = tmp_path / "ledger.db"
    path.write_bytes(large.read_bytes())
    chance, seen = random.Random(5), {"not erased": 0, "unfinished": 0, "done": 0}
    for _ in range(10):
        running = subprocess.Popen(
            [sys.executable, "-c", ERASING, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        position = int(running.stdout.readline())
        time.sleep(chance.random() * 0.35)
        running.kill()
        said, wrong = running.communicate()
        assert wrong == ""
        with Ledger.open(str(path), read_only=True) as ledger:
            gone = bool(ledger.entry("a", position).erased)
            unfinished = ledger.unfinished_erasures()
            assert gone or not unfinished
            assert gone or "done" not in said
            assert not unfinished or "done" not in said
            seen["unfinished" if unfinished else "done" if gone else "not erased"] += 1
        with Ledger.open(str(path)) as ledger:
            ledger.finish_erasures()
            assert ledger.unfinished_erasures() == []
            assert all_faults(ledger) == []
            count = sum(
                1
                for task in ("a", "b", "c")
                for one in ledger.entries(task, outputs=False)
                if one.entry.reason == "SECRET"
            )
        data = b"".join(one.read_bytes() for one in tmp_path.glob("ledger.db*"))
        assert data.count(b"SECRET") == count
    assert seen["unfinished"], seen


def test_others_read_and_write_meanwhile(tmp_path: Path, large: Path) -> None:
    """Nothing that was acknowledged is lost, nobody gets an error, and it is gone all the same."""
    path = tmp_path / "ledger.db"
    path.write_bytes(large.read_bytes())
    script = """
import sys
from tallystick import Entry, Ledger
with Ledger.open(sys.argv[1]) as ledger:
    while sys.stdin.readline():
        for _ in range(10):
            print(ledger.append(sys.argv[2], Entry(type="note", reason=sys.argv[2])).position, flush=True)
"""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), f"w{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    stop, failures = threading.Event(), []

    def read() -> None:
        try:
            with Ledger.open(str(path), read_only=True) as ledger:
                while not stop.is_set():
                    ledger.verify("b")
                    list(ledger.entries("c"))
        except Exception as error:
            failures.append(error)

    def keep_writing(writer: subprocess.Popen[str]) -> None:
        assert writer.stdin is not None
        while not stop.is_set():
            writer.stdin.write("\n")
            writer.stdin.flush()
            time.sleep(0.02)
        writer.stdin.close()

    threads = [threading.Thread(target=read)]
    threads += [threading.Thread(target=keep_writing, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    with Ledger.open(str(path)) as one, Ledger.open(str(path)) as other:
        for position in range(1, 7):
            (one, other)[position % 2].erase("a", position, ["text", "output"], reason="leaked")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        for number, writer in enumerate(writers):
            assert writer.stdout is not None
            acknowledged = [int(line) for line in writer.stdout.read().split()]
            assert writer.wait() == 0
            assert acknowledged == list(range(1, len(acknowledged) + 1))
            assert one.head(f"w{number}").position == len(acknowledged) > 10
        assert one.unfinished_erasures() == []
        assert all_faults(one) == []


def test_a_disk_without_room_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", Entry(type="note", reason="secret"))
        found = os.statvfs(path)
        full = os.statvfs_result((*found[:3], 0, 0, *found[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _: full)
        with pytest.raises(StoreUnavailableError, match="the part is erased, but its bytes may still be in the file"):
            ledger.erase("t", 1, ["text"], reason="leaked")
        assert ledger.unfinished_erasures() == [("t", 2)]
        monkeypatch.undo()
        ledger.finish_erasures()
        assert ledger.unfinished_erasures() == []
        assert ledger.append("t", Entry(type="note")).position == 3


def test_the_log_alone_is_emptied_where_only_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", [Entry(type="note", reason="secret")] * 2)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        ledger.erase("t", 1, ["text"], reason="leaked", finish=False)
        with pytest.raises(StoreUnavailableError, match=r"a reader keeps the old log in use.*notch erase --finish"):
            ledger.finish_erasures(patience=0)
        assert ledger.unfinished_erasures() == [("t", 3)]
        monkeypatch.setattr(sqlite_erasing, "_rewrite", lambda *_: pytest.fail("it was written anew already"))
        with pytest.raises(StoreUnavailableError, match="a reader keeps"):
            ledger.finish_erasures(patience=0)
        reader.execute("COMMIT")
        reader.close()
        ledger.finish_erasures()
        assert ledger.unfinished_erasures() == []


def test_progress_is_told(tmp_path: Path, large: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(large.read_bytes())
    steps: list[tuple[int, int]] = []
    with Ledger.open(str(path)) as ledger:
        ledger.erase("a", 1, ["text"], reason="leaked", finish=False)
        ledger.finish_erasures(lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] > 30_000_000
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


# --- what earlier versions left, and what is copied


def back_to_schema_3(connection: sqlite3.Connection) -> None:
    """The tables and triggers as they were then."""
    then, now = sqlite_schema.made_by(3), sqlite_schema.made_by(4)
    for kind, name in now.keys() - then.keys():
        connection.execute(f"DROP {kind} {name}")
    for one in sorted(then.keys() - now.keys()):
        connection.execute(then[one])
    connection.execute("PRAGMA user_version = 3")


def test_what_an_older_schema_erased_is_finished(tmp_path: Path) -> None:
    """Until schema 4 nobody wrote the file anew: whoever brings one up to date has it done."""
    grown = Grown(tmp_path, 7)
    with Ledger.open(str(grown.path)) as ledger:
        for task, position in grown.erased:
            ledger.erase(task, position, reason="leaked", finish=False)
    connection = sqlite3.connect(grown.path)
    back_to_schema_3(connection)
    connection.commit()
    connection.close()
    with Ledger.open(str(grown.path), read_only=True) as ledger:
        assert {task for task, _ in ledger.unfinished_erasures()} == {task for task, _ in grown.erased}
        assert all_faults(ledger) == []
    with Ledger.open(str(grown.path)) as ledger:
        ledger.append("new", Entry(type="note"))
        assert ledger.unfinished_erasures() != []
        ledger.finish_erasures()
        assert ledger.unfinished_erasures() == []
        assert all_faults(ledger) == []
        assert grown.left(grown.path) == 0
    assert sqlite_schema.SCHEMA_VERSION == 4


def test_a_copy_that_learns_of_an_erasure_forgets_the_bytes_too(tmp_path: Path) -> None:
    from tallystick.exchange.copying import copy

    grown = Grown(tmp_path, 9)
    target_path = tmp_path / "target.db"
    with (
        Ledger.open(str(grown.path)) as source,
        Ledger.open(str(target_path), random=lambda _: bytes.fromhex(source.ledger_id)) as target,
    ):
        copy(source.store, target.store)  # type: ignore[arg-type]
        assert grown.left(target_path)
        for task, position in grown.erased:
            source.erase(task, position, reason="leaked", finish=False)
        source.finish_erasures()
        copy(source.store, target.store)  # type: ignore[arg-type]
        assert target.unfinished_erasures() == []
        assert grown.left(target_path) == 0
        assert all_faults(target) == []


def test_a_session_kept_beside_ours_forgets_what_its_own_ledger_erased(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "one.db")) as one, Ledger.open(str(tmp_path / "other.db")) as other:
        one.append("t", [Entry(type="note", reason="SECRET"), Entry(type="note", output=b"SECRET" * 20_000)])
        key = one.store.find("t")
        assert key is not None
        assert other.store.adopt(one.store, key) == 2  # type: ignore[attr-defined]
        one.erase("t", 1, ["text"], reason="leaked")
        one.erase("t", 2, ["output"], reason="leaked")
        assert other.store.adopt(one.store, key) == 2  # type: ignore[attr-defined]
        assert len(other.unfinished_erasures()) == 1
        other.finish_erasures()
        assert all_faults(other) == []
        data = b"".join(path.read_bytes() for path in tmp_path.glob("other.db*"))
        assert b"SECRET" not in data
