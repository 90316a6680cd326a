"""What every store keeps: the log of checkpoints, and which sessions moved since the last."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, all_faults, heads_now, map_now
from support.contract import SqliteUnderTest, StoreUnderTest, naive_root
from tallystick import Entry, Ledger, TamperedError
from tallystick.proof import headmap
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.headmap import key_range, map_root
from tallystick.stores.checkpoints import StoredCheckpoint, checkpoints, newest, stored

NOTE = Entry(type="note")


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


@pytest.fixture
def early_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are kept from 16 tasks on, where a real ledger begins at 4,096."""
    monkeypatch.setattr(headmap, "_SMALL_LEDGER", 16)


def test_the_log_is_the_naive_tree_over_its_leaves(ledger: Ledger, signer: SignerUnderTest) -> None:
    for n in range(20):
        ledger.append(f"t{n % 7}", NOTE)
        tasks, root = map_now(ledger)
        checkpoint = signer.sign(ledger)
        last = newest(ledger.store.log)
        assert last is not None
        assert last.number == checkpoint.size == ledger.store.log.size() == n + 1
        statement = last.statement()
        assert (statement.tasks, statement.heads) == (tasks, root)
        assert checkpoint.root == naive_root([one.leaf for one in checkpoints(ledger.store.log)])
    ledger.verify()


def test_every_old_map_can_be_made_again(ledger: Ledger, signer: SignerUnderTest) -> None:
    chance = random.Random(3)
    then: list[list[Any]] = []
    for n in range(30):
        for _ in range(chance.randrange(1, 6)):
            ledger.append(f"t{chance.randrange(40)}", [NOTE] * chance.randrange(1, 4))
        then.append(sorted(heads_now(ledger)))
        signer.sign(ledger)
        assert list(ledger.store.log.heads(n + 1, *key_range(0, 0))) == then[-1]
    for number, heads in enumerate(then, 1):
        assert list(ledger.store.log.heads(number, *key_range(0, 0))) == heads
        assert map_root(heads) == stored(ledger.store.log, number).statement().heads
        assert len(list(ledger.store.log.all_heads(number))) == len(heads)


def test_what_moved_and_what_is_kept(ledger: Ledger, signer: SignerUnderTest) -> None:
    log = ledger.store.log
    for n in range(10):
        ledger.append(f"t{n}", NOTE)
    assert len(log.moved(0).heads) == 10
    signer.sign(ledger)
    found = log.moved(1)
    assert (found.heads, found.tasks, found.entries) == ([], 10, 20)
    ledger.append("t3", [NOTE, NOTE])
    ledger.append("t3", NOTE)
    ledger.append("new", NOTE)
    found = log.moved(1)
    moved = {one.task_id: (one.before and one.before[0], one.position) for one in found.heads}
    assert (moved, found.tasks, found.entries) == ({"t3": (1, 4), "new": (None, 1)}, 10, 20)
    signer.sign(ledger)
    found = log.moved(2)
    assert (found.heads, found.tasks, found.entries) == ([], 11, 25)
    assert signer.memory(ledger).covered(Checkpoint.parse(stored(log, 2).note.partition("\n\n")[0] + "\n")) == (11, 25)


def test_what_moves_while_a_checkpoint_is_made_is_in_the_next_one(
    ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends do not wait for a checkpoint, also not for the first one."""
    for n in range(4):
        ledger.append(f"t{n}", NOTE)
    log: Any = ledger.store.log
    add = type(log).add

    def append_first(*args: Any, **named: Any) -> bool:
        ledger.append("t1", NOTE)
        ledger.append("t2", [NOTE] * 3)
        ledger.append("late" + str(log.size()), NOTE)
        return bool(add(*args, **named))

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(type(log), "add", append_first)
            signer.sign(ledger)
        assert all_faults(ledger) == []
        assert {"t1", "t2", f"late{log.size() - 1}"} <= {one.task_id for one in log.moved(log.size()).heads}
        tasks, root = map_now(ledger)
        signer.sign(ledger)
        statement = stored(log, log.size()).statement()
        assert (statement.tasks, statement.heads) == (tasks, root)
        ledger.append("t0", NOTE)


def test_proofs_of_presence_and_absence(ledger: Ledger, signer: SignerUnderTest, early_tiles: None) -> None:
    for n in range(40):
        ledger.append(f"t{n}", NOTE)
    signer.sign(ledger)
    ledger.append("t0", NOTE)
    first = ledger.head_proof("t0")
    assert (first.position, first.number) == (1, 1)
    checkpoint = signer.sign(ledger)
    for task_id in ("t0", "t39", "nobody", "t", ""):
        proof = ledger.head_proof(task_id)
        assert proof.verify().tasks == 40
        assert proof.checkpoint() == checkpoint
        if task_id.startswith("t") and task_id != "t":
            head = ledger.head(task_id)
            assert (proof.position, proof.root.hex()) == (head.position, head.root)
        else:
            assert proof.position is None
    old = ledger.head_proof("t0", 1)
    assert old.verify() == first.verify()
    assert (old.position, old.root) == (first.position, first.root)


DAMAGE = (
    "UPDATE local_tile SET tile = (SELECT tile FROM local_tile ORDER BY prefix DESC LIMIT 1)",
    "DELETE FROM local_tile WHERE prefix > 2",
    "DELETE FROM local_tile",
    "DELETE FROM local_task WHERE task_id LIKE '%7'",
    "UPDATE local_task SET session = (SELECT session FROM local_task ORDER BY key LIMIT 1)",
    "DELETE FROM local_task",
)


def test_a_wrong_cache_is_not_believed(
    store: StoreUnderTest, ledger: Ledger, signer: SignerUnderTest, early_tiles: None
) -> None:
    """Tiles and the index of tasks lie in local tables: with them wrong, proofs and maps come from the heads."""
    for n in range(60):
        ledger.append(f"t{n}", NOTE)
    signer.sign(ledger)
    for damage in DAMAGE:
        store.sql(damage)
        assert ledger.head_proof("t17").verify().tasks == 60
        assert ledger.head_proof("nobody").position is None
        ledger.append("t17", NOTE)
        tasks, root = map_now(ledger)
        signer.sign(ledger)
        last = newest(ledger.store.log)
        assert last is not None
        assert (last.statement().tasks, last.statement().heads) == (tasks, root), damage
    assert all_faults(ledger) == []


def test_twins_with_one_key_make_one_log(store: StoreUnderTest, signer: SignerUnderTest) -> None:
    """Signers at work at once, and writers: one log without a gap, and nothing that moved is left out."""
    writer = store.open()
    writer.append("t0", NOTE)
    stopped = threading.Event()
    failed: list[BaseException] = []

    def sign(ledger: Ledger) -> None:
        try:
            while not stopped.is_set():
                signer.make(ledger)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=sign, args=(store.open(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(60):
        writer.append(f"t{n % 11}", [NOTE] * (1 + n % 3))
    stopped.set()
    for thread in threads:
        thread.join()
    assert failed == []
    signer.make(writer)
    log = writer.store.log
    assert [one.number for one in checkpoints(log)] == list(range(1, log.size() + 1))
    statement = stored(log, log.size()).statement()
    assert (statement.tasks, statement.heads) == map_now(writer)
    assert all_faults(writer) == []


def test_somebody_else_was_faster(store: StoreUnderTest, ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    log, other = ledger.store.log, store.open().store.log
    moved = log.moved(0).heads
    made: list[StoredCheckpoint] = []

    def signed(number: int) -> StoredCheckpoint:
        made.append(StoredCheckpoint(number, b"leaf", bytes(32), "note", "key"))
        return made[-1]

    assert log.add(1, moved, {}, anew=True, signed=lambda: signed(1))
    for number in (1, 3):
        assert not other.add(number, moved, {}, anew=True, signed=lambda number=number: signed(number))
    assert len(made) == 1, "nothing is signed unless its number is the next"
    assert (other.size(), other.read(1, 9)) == (1, made)


def test_a_head_that_a_checkpoint_is_about_must_be_extended(
    store: StoreUnderTest, ledger: Ledger, signer: SignerUnderTest
) -> None:
    ledger.append("a", [NOTE] * 3)
    signer.sign(ledger)
    (session,) = {one.number for one in (ledger.store.find("a"),) if one is not None}
    ((_, position, root),) = ledger.store.log.heads_of(ledger.store.find("a"))  # type: ignore[arg-type]
    assert (position, root.hex()) == (3, ledger.head("a").root)
    assert ledger.store.log.known_task(session) == "a"
    assert list(ledger.store.log.changes()) == [[(1, session, "a", 3, root)]]
    ledger.append("a", NOTE)
    ledger.verify()
    with pytest.raises(TamperedError, match="was seen here"):
        ledger.verify("a", head="3:" + "00" * 32)


def unguarded(store: StoreUnderTest) -> None:
    """Somebody who owns the database: nothing refuses him any more."""
    if isinstance(store, SqliteUnderTest):
        for (name,) in store.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            store.sql(f"DROP TRIGGER {name}")
        return
    for (name,) in store.sql(
        "SELECT relname FROM pg_class WHERE relnamespace = 'tallystick'::regnamespace AND relkind IN ('r', 'p')"
    ):
        store.sql(f"ALTER TABLE tallystick.{name} DISABLE TRIGGER ALL")


_STANDS = "(SELECT position FROM state WHERE session = head_history.session AND key = '')"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE head_history SET position = {_STANDS}",
        "UPDATE state SET position = 1, edge = (SELECT edge FROM state WHERE key = '' AND position = 1) WHERE key = ''",
        "DELETE FROM head_history",
        "DELETE FROM checkpoint WHERE number = 2",
        "UPDATE checkpoint SET leaf = (SELECT leaf FROM checkpoint WHERE number = 1) WHERE number = 2",
    ],
)
def test_who_writes_without_a_key_has_nothing_signed(
    store: StoreUnderTest, ledger: Ledger, signer: SignerUnderTest, tmp_path: Path, statement: str, known: bool
) -> None:
    """An older state is not signed as the newest, by a key with a memory or by one that somebody vouches to."""
    ledger.append("a", NOTE)
    ledger.append("b", NOTE)
    first = signer.sign(ledger)
    ledger.append("a", NOTE)
    second = signer.sign(ledger)
    ledger.append("a", NOTE.replace(reason="a failing review"))
    unguarded(store)
    store.sql(statement)
    by = signer if known else SignerUnderTest(tmp_path / "elsewhere")
    for against in (second, first) if not known else (None, first, second):
        with pytest.raises(TamperedError):
            by.make(ledger, against=against)


def test_tiles_and_the_index_of_tasks_decide_nothing(
    store: StoreUnderTest, ledger: Ledger, signer: SignerUnderTest, early_tiles: None
) -> None:
    for n in range(40):
        ledger.append(f"t{n}", NOTE)
    signer.sign(ledger)
    unguarded(store)
    other = "UPDATE local_task SET session = (SELECT session FROM local_task ORDER BY key DESC LIMIT 1)"
    for spoiled in ("DELETE FROM local_tile", "DELETE FROM local_task", other):
        ledger.append("t7", NOTE)
        store.sql(spoiled)
        signer.sign(ledger)
        statement = stored(ledger.store.log, ledger.store.log.size()).statement()
        assert (statement.tasks, statement.heads) == map_now(ledger)
