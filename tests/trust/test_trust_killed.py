"""An honest key never signs a second history: killed at any step, and with many signers at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, Witness, all_faults
from tallystick import Entry, Ledger, TallystickError, TamperedError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import checkpoints, stored

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
    # After an epoch was to begin only that is signed which the key was about to sign.
    assert free or case == "epoch"


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
        real = type(log).add
        try:
            type(log).add = lambda *_, **__: False
            with pytest.raises(TallystickError, match="others make checkpoints all the time"):
                signer.make(ledger)
        finally:
            type(log).add = real
        assert signer.sign(ledger).size == 1
