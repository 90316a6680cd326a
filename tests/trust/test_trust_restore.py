"""An honest key never signs a second history: after a restore, from copies, killed at any step, many at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, Witness, all_faults
from tallystick import Entry, InputError, Ledger, TallystickError, TamperedError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import checkpoints, stored
from tallystick.trust.against import faults_against

NOTE = Entry(type="note")


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def restore(backup: Path, path: Path) -> Ledger:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copyfile(backup, path)
    return Ledger.open(str(path))


@pytest.fixture
def restored(path: Path, signer: SignerUnderTest, tmp_path: Path) -> Iterator[tuple[Ledger, list[Checkpoint]]]:
    """A ledger of one checkpoint, brought back from a backup after the key signed three; then it moved on."""
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        seen = [signer.sign(ledger)]
        ledger.store.backup(str(tmp_path / "backup.db"))
        for task in ("a", "b"):
            ledger.append(task, NOTE)
            seen.append(signer.sign(ledger))
    ledger = restore(tmp_path / "backup.db", path)
    ledger.append("a", NOTE.replace(reason="another history"))
    yield ledger, seen
    ledger.close()


def test_after_a_restore_the_key_refuses_and_says_why(
    restored: tuple[Ledger, list[Checkpoint]], signer: SignerUnderTest
) -> None:
    ledger, _ = restored
    for _ in range(2):
        with pytest.raises(TamperedError) as caught:
            signer.make(ledger)
        assert "signed checkpoint 3 of this ledger before, and the ledger has 1 checkpoint" in caught.value.what
        assert "--new-epoch" in caught.value.advice
        assert caught.value.exit_code == 3
        ledger.append("a", NOTE)
    assert ledger.store.log.size() == 1
    assert ledger.store.log.pending() is None


def test_the_log_may_grow_past_it_by_another_key(
    restored: tuple[Ledger, list[Checkpoint]], signer: SignerUnderTest, tmp_path: Path
) -> None:
    """Somebody else goes on with the restored ledger: the key still knows that this is not what it signed."""
    ledger, seen = restored
    other = SignerUnderTest(tmp_path / "elsewhere")
    for n in range(4):
        other.sign(ledger, against=seen[0] if not n else None)
        with pytest.raises(TamperedError, match="checkpoint 3"):
            signer.make(ledger)
        ledger.append("a", NOTE)
    with pytest.raises(TamperedError, match="checkpoint 3 of the ledger is another one: it was rewritten"):
        signer.make(ledger)
    assert signer.memory(ledger).last() == seen[-1]


def test_a_new_epoch_goes_on_and_cites_what_was_known(
    restored: tuple[Ledger, list[Checkpoint]], signer: SignerUnderTest
) -> None:
    ledger, seen = restored
    first = signer.sign(ledger, new_epoch=True)
    assert (first.origin, first.size) == (f"tallystick/{ledger.ledger_id}/2", 2)
    statement = stored(ledger.store.log, 2).statement()
    assert (statement.epoch, statement.after) == (2, seen[-1])
    ledger.append("b", NOTE)
    second = signer.sign(ledger)
    assert (second.origin, second.size) == (first.origin, 3)
    assert all_faults(ledger) == []
    assert [list(faults_against(ledger, one)) for one in (seen[0], first, second)] == [[], [], []]
    for lost in seen[1:]:
        (fault,) = faults_against(ledger, lost)
        assert "not the one that was seen: its history was rewritten; epoch 2 began with checkpoint 2" in fault.what
    with pytest.raises(InputError, match="no new epoch is needed"):
        signer.make(ledger, new_epoch=True)


def test_every_restore_is_an_epoch_of_its_own(
    restored: tuple[Ledger, list[Checkpoint]], path: Path, signer: SignerUnderTest, tmp_path: Path
) -> None:
    """Also from before the last epoch began: its origin is never used again."""
    ledger, _ = restored
    origins = []
    for _ in range(3):
        origins.append(signer.sign(ledger, new_epoch=True).origin)
        ledger.append("a", NOTE)
        origins.append(signer.sign(ledger).origin)
        ledger.close()
        ledger = restore(tmp_path / "backup.db", path)
        ledger.append("z", NOTE)
        with pytest.raises(TamperedError):
            signer.make(ledger)
    assert [int(one.rpartition("/")[2]) for one in origins] == [2, 2, 3, 3, 4, 4]
    assert all_faults(ledger) == []
    ledger.close()


def test_a_ledger_from_before_its_first_checkpoint(path: Path, signer: SignerUnderTest, tmp_path: Path) -> None:
    with Ledger.open(str(path)) as ledger:
        ledger.store.backup(str(tmp_path / "empty.db"))
        ledger.append("a", NOTE)
        known = signer.sign(ledger)
    with restore(tmp_path / "empty.db", path) as ledger:
        with pytest.raises(TamperedError, match="the ledger has 0 checkpoints"):
            signer.make(ledger)
        first = signer.sign(ledger, new_epoch=True)
        assert first.size == 1
        statement = stored(ledger.store.log, 1).statement()
        assert (statement.tasks, statement.heads, statement.after) == (0, bytes(32), known)
        ledger.append("a", NOTE)
        assert signer.sign(ledger).size == 2
        assert all_faults(ledger) == []


def test_a_new_epoch_needs_something_to_cite(path: Path, signer: SignerUnderTest, tmp_path: Path) -> None:
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        with pytest.raises(InputError, match="cites the last checkpoint that is known, and the key k remembers none"):
            signer.make(ledger, new_epoch=True)
        known = signer.sign(ledger)
        ledger.append("a", NOTE)
        other = SignerUnderTest(tmp_path / "elsewhere")
        with pytest.raises(InputError, match="no new epoch is needed"):
            other.make(ledger, new_epoch=True, against=known)
        lost = known.replace(size=9)
        assert other.sign(ledger, new_epoch=True, against=lost).origin.endswith("/2")
        assert stored(ledger.store.log, 2).statement().after == lost


def test_others_take_a_new_epoch_over_only_if_they_are_told_to(
    restored: tuple[Ledger, list[Checkpoint]], signer: SignerUnderTest, tmp_path: Path
) -> None:
    ledger, seen = restored
    other = SignerUnderTest(tmp_path / "elsewhere")
    with other.memory(ledger) as memory:
        memory.remember(seen[1])
    epoch = signer.sign(ledger, new_epoch=True)
    ledger.append("a", NOTE)
    with pytest.raises(TamperedError, match="signed checkpoint 2 of this ledger before"):
        other.make(ledger)
    taken = other.sign(ledger, against=epoch)
    assert taken.origin == epoch.origin
    ledger.append("a", NOTE)
    assert other.sign(ledger).size == taken.size + 1
    assert all_faults(ledger) == []


def test_a_key_that_missed_an_epoch_it_can_follow_goes_on(path: Path, signer: SignerUnderTest, tmp_path: Path) -> None:
    """The log before the epoch is what it signed, so nothing is lost to it."""
    other = SignerUnderTest(tmp_path / "elsewhere")
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        known = signer.sign(ledger)
        ledger.append("a", NOTE)
        other.sign(ledger, new_epoch=True, against=known.replace(size=5))
        ledger.append("a", NOTE)
        assert signer.sign(ledger).origin == f"{known.origin}/2"


def test_two_copies_are_not_both_signed(path: Path, signer: SignerUnderTest, tmp_path: Path) -> None:
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        signer.sign(ledger)
        ledger.store.backup(str(tmp_path / "copy.db"))
        with Ledger.open(str(tmp_path / "copy.db")) as copy:
            copy.append("a", NOTE.replace(reason="there"))
            ledger.append("a", NOTE.replace(reason="here"))
            signer.sign(copy)
            with pytest.raises(TamperedError, match="signed checkpoint 2 of this ledger before"):
                signer.make(ledger)


def test_a_fork_by_two_memories_shows_to_whoever_has_both_notes(
    path: Path, signer: SignerUnderTest, tmp_path: Path
) -> None:
    """One key on two machines cannot know; a checkpoint of the one then is refused by the other's ledger."""
    twin = SignerUnderTest(tmp_path / "twin")
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        first = signer.sign(ledger)
        ledger.store.backup(str(tmp_path / "copy.db"))
        ledger.append("a", NOTE.replace(reason="here"))
        here = signer.sign(ledger)
        with Ledger.open(str(tmp_path / "copy.db")) as copy:
            copy.append("a", NOTE.replace(reason="there"))
            there = twin.sign(copy, against=first)
            assert [one.what for one in faults_against(copy, here)] != []
            assert [one.what for one in faults_against(ledger, there)] != []
            assert list(faults_against(copy, first)) == []


# --- killed


def fork(work: Callable[[Callable[[str], None]], None]) -> tuple[int, list[str]]:
    """Run it in a child; (its status, the lines that left it before it ended)."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            work(lambda line: os.write(writing, line.encode() + b"\0") and None)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        left = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return status, [line for line in left.split("\0") if line]


def at_step(count: int, reached: list[int]) -> Callable[[Any, str, Any], None]:
    """A profiler that kills this process at the given call, Python's and C's, made by the package."""

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call") and f"{os.sep}tallystick{os.sep}" in frame.f_code.co_filename:
            reached[0] += 1
            if reached[0] == count:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch


class Scene:
    """A ledger and a key, as they were before; each attempt begins with a copy of both."""

    def __init__(self, folder: Path) -> None:
        self.base = folder / "base"
        self.now = folder / "now"
        self.base.mkdir()
        with Ledger.open(str(self.base / "ledger.db")) as ledger:
            ledger.append("a", NOTE)
        self.backup = folder / "older.db"
        copyfile(self.base / "ledger.db", self.backup)

    def begin(self) -> None:
        rmtree(self.now, ignore_errors=True)
        copytree(self.base, self.now)

    def signer(self) -> SignerUnderTest:
        return SignerUnderTest(self.now / "config")

    def ledger(self) -> Ledger:
        return Ledger.open(str(self.now / "ledger.db"))

    def run(self, count: int, *, new_epoch: bool) -> tuple[int, int, list[str]]:
        """(steps made, status, notes that left) of signing, killed at step `count` (0: not at all)."""
        reached = [0]

        def work(leave: Callable[[str], None]) -> None:
            signer = self.signer()
            with self.ledger() as ledger:
                sys.setprofile(at_step(count, reached))
                made = signer.make(ledger, new_epoch=new_epoch)
                sys.setprofile(None)
                assert made is not None
                leave(made.note)
            leave(str(reached[0]))

        status, left = fork(work)
        steps = int(left.pop()) if left and left[-1].isdigit() else 0
        return steps, status, left


def seen(notes: list[str]) -> Witness:
    witness = Witness()
    for note in notes:
        witness.see(note)
    return witness


def notes_of(path: Path) -> list[str]:
    with Ledger.open(str(path), create=False) as ledger:
        return [one.note for one in checkpoints(ledger.store.log)]


@pytest.mark.parametrize("case", ["first", "next", "epoch"])
def test_killed_at_any_step(tmp_path: Path, storm: bool, case: str) -> None:
    """Whatever a killed signer left behind, the next run goes on; and after a restore nothing else is ever signed."""
    scene = Scene(tmp_path)
    config = SignerUnderTest(scene.base / "config")
    with Ledger.open(str(scene.base / "ledger.db")) as ledger:
        if case != "first":
            config.sign(ledger)
            scene.backup.unlink()
            ledger.store.backup(str(scene.backup))
            ledger.append("a", NOTE)
        if case == "epoch":
            config.sign(ledger)
    if case == "epoch":
        restore(scene.backup, scene.base / "ledger.db").close()
    scene.begin()
    total, status, _ = scene.run(0, new_epoch=case == "epoch")
    assert status == 0
    assert total > 300
    killed = free = 0
    for count in range(1, total, 1 if storm else total // 20):
        scene.begin()
        _, status, left = scene.run(count, new_epoch=case == "epoch")
        killed += os.WIFSIGNALED(status)
        left += notes_of(scene.now / "ledger.db")
        rmtree(tmp_path / "killed", ignore_errors=True)
        copytree(scene.now, tmp_path / "killed")
        witness = seen(left)
        go_on(scene, witness, new_epoch=case == "epoch")
        with pytest.raises(TamperedError):
            sign_another_history(scene, witness)
        rmtree(scene.now)
        copytree(tmp_path / "killed", scene.now)
        try:
            sign_another_history(scene, seen(left))
            free += 1
        except TamperedError:
            pass
    assert killed > 15
    assert bool(free) == (case != "epoch")


def go_on(scene: Scene, witness: Witness, *, new_epoch: bool) -> None:
    signer = scene.signer()
    signer.witness = witness
    with scene.ledger() as ledger:
        try:
            made = signer.make(ledger)
        except TamperedError:
            assert new_epoch
            made = signer.make(ledger, new_epoch=True)
        assert made is not None
        ledger.append("later", NOTE)
        signer.sign(ledger)
        assert all_faults(ledger) == []


def sign_another_history(scene: Scene, witness: Witness) -> None:
    """After a restore: the witness has every note that left the killed signer, or lay in its ledger."""
    signer = scene.signer()
    signer.witness = witness
    with restore(scene.backup, scene.now / "ledger.db") as ledger:
        ledger.append("a", NOTE.replace(reason="another history"))
        signer.sign(ledger)


# --- many at once


@pytest.mark.parametrize("keys", [1, 3])
def test_many_signers_make_one_log(path: Path, tmp_path: Path, keys: int) -> None:
    """Processes that append and sign at the same time, with one key or several: every number is signed once."""
    signers = [SignerUnderTest(tmp_path / f"config{n}") for n in range(keys)]
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        first = signers[0].sign(ledger)
        for signer in signers[1:]:
            signer.make(ledger, against=first)
            with signer.memory(ledger) as memory:
                memory.remember(first)
    children = []
    for n in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                for turn in range(8):
                    with Ledger.open(str(path)) as mine:
                        mine.append(f"t{n}", [NOTE] * 2)
                        mine.append("shared", NOTE)
                        made = signers[n % keys].make(mine)
                        assert made is not None
                        os.write(writing, made.note.encode() + b"\0")
                        if turn % 3 == 0:
                            mine.append(f"new{n}{turn}", NOTE)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        children.append((child, reading))
    witness = Witness()
    for child, reading in children:
        with os.fdopen(reading, "rb") as pipe:
            notes = [note for note in pipe.read().decode().split("\0") if note]
        assert os.waitpid(child, 0)[1] == 0
        assert len(notes) == 8
        for note in notes:
            witness.see(note)
    with Ledger.open(str(path)) as ledger:
        assert all_faults(ledger) == []
        for note in notes_of(path):
            witness.see(note)
        assert {one.number for one in checkpoints(ledger.store.log)} == set(range(1, ledger.store.log.size() + 1))
        for (_, size), root in witness.seen.items():
            assert Checkpoint.parse(SignedNote.parse(stored(ledger.store.log, size).note).text).root == root
        signers[0].make(ledger)
        assert ledger.head_proof("shared").position == 24


def test_an_error_while_others_sign_is_one_of_ours(path: Path, signer: SignerUnderTest) -> None:
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        log: Any = ledger.store.log
        real = type(log).prepare
        try:
            type(log).prepare = lambda *_, **__: False
            with pytest.raises(TallystickError, match="others make checkpoints all the time"):
                signer.make(ledger)
        finally:
            type(log).prepare = real
        assert signer.sign(ledger).size == 1
