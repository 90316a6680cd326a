"""An honest key never signs a second history: after a restore, from copies, killed at any step, many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from support.checkpoints import SignerUnderTest, all_faults
from tallystick import Entry, InputError, Ledger, TamperedError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.stores.checkpoints import stored
from tallystick.trust.against import faults_against
from tallystick.trust.signer import UnknownHistoryError

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
    assert signer.memory(ledger).pending() is None


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


def test_a_key_that_missed_an_epoch_follows_if_somebody_vouches_for_it(
    path: Path, signer: SignerUnderTest, tmp_path: Path
) -> None:
    """Anybody who can write to the ledger can begin an epoch in it: a key believes only what it was told."""
    other = SignerUnderTest(tmp_path / "elsewhere")
    with Ledger.open(str(path)) as ledger:
        ledger.append("a", NOTE)
        known = signer.sign(ledger)
        ledger.append("a", NOTE)
        began = other.sign(ledger, new_epoch=True, against=known.replace(size=5))
        ledger.append("a", NOTE)
        with pytest.raises(UnknownHistoryError, match="checkpoint 2 began epoch 2, and the key k was not told of it"):
            signer.make(ledger)
        assert signer.sign(ledger, against=began).origin == f"{known.origin}/2"
        ledger.append("a", NOTE)
        assert signer.sign(ledger).origin == f"{known.origin}/2"
        assert all_faults(ledger) == []


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
