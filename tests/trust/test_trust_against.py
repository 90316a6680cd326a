"""Holding a ledger to a checkpoint that somebody kept, and to the keys that may have signed it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkpoints import SignerUnderTest
from tallystick import CheckFailedError, Entry, InputError, Ledger
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import ED25519, ED25519_COSIGNATURE, SigningKey
from tallystick.proof.note import SignedNote, sign
from tallystick.proof.policy import Policy
from tallystick.stores.checkpoints import epoch_of, origin_of
from tallystick.trust.against import Trusted, faults_against, read_against, read_trusted

NOTE = Entry(type="note")
LEDGER = "0123456789abcdef0123456789abcdef"
ORIGIN = f"tallystick/{LEDGER}"
KEY = SigningKey(ORIGIN, ED25519, b"\1" * 32)
OTHER = SigningKey(ORIGIN, ED25519, b"\2" * 32)


def note(size: int = 3, *, key: SigningKey = KEY, origin: str = ORIGIN) -> bytes:
    text = Checkpoint(origin, size, bytes(32)).text
    return str(sign(text, [key.named(origin).signer()])).encode()


def test_origins_and_epochs() -> None:
    assert [origin_of(LEDGER, epoch) for epoch in (1, 2, 10)] == [ORIGIN, f"{ORIGIN}/2", f"{ORIGIN}/10"]
    assert [epoch_of(origin_of(LEDGER, epoch), LEDGER) for epoch in (1, 2, 10, 123)] == [1, 2, 10, 123]
    for other in (
        f"{ORIGIN}/1",
        f"{ORIGIN}/0",
        f"{ORIGIN}/02",
        f"{ORIGIN}/x",
        f"{ORIGIN}/",
        f"{ORIGIN}2",
        f"{ORIGIN}/2/3",
    ):
        assert epoch_of(other, LEDGER) == 0
    assert epoch_of(f"tallystick/{'f' * 32}", LEDGER) == 0
    assert epoch_of(f"{ORIGIN}/²", LEDGER) == 0


def test_without_keys_the_signature_is_not_looked_at() -> None:
    found = read_against(note(), LEDGER)
    assert (found.checkpoint.size, found.signers) == (3, ())


@pytest.mark.parametrize("origin", [ORIGIN, f"{ORIGIN}/2", f"{ORIGIN}/7"])
def test_a_key_of_the_first_epoch_counts_in_every_epoch(origin: str) -> None:
    found = read_against(note(origin=origin), LEDGER, [Trusted(KEY.key)])
    assert found.signers == (f"{origin}+{KEY.named(origin).key.key_id.hex()}",)


def test_a_key_of_a_later_epoch_counts_in_that_alone() -> None:
    trusted = [Trusted(KEY.named(f"{ORIGIN}/2").key)]
    assert read_against(note(origin=f"{ORIGIN}/2"), LEDGER, trusted).signers
    for origin in (ORIGIN, f"{ORIGIN}/3"):
        with pytest.raises(CheckFailedError, match="none of the keys given signs for"):
            read_against(note(origin=origin), LEDGER, trusted)


def test_another_key_does_not_count() -> None:
    with pytest.raises(CheckFailedError, match="no known key signed the note"):
        read_against(note(key=OTHER), LEDGER, [Trusted(KEY.key)])
    assert read_against(note(key=OTHER), LEDGER, [Trusted(KEY.key), Trusted(OTHER.key)]).signers


def test_a_changed_checkpoint_does_not_count() -> None:
    changed = note().replace(b"\n3\n", b"\n4\n")
    with pytest.raises(CheckFailedError, match="does not fit the text"):
        read_against(changed, LEDGER, [Trusted(KEY.key)])


def test_a_retired_key_counts_up_to_its_last_checkpoint() -> None:
    trusted = [Trusted(KEY.key, until=3)]
    assert read_against(note(3), LEDGER, trusted).signers
    with pytest.raises(CheckFailedError, match="checkpoint 4 was signed by a key that retired at checkpoint 3"):
        read_against(note(4), LEDGER, trusted)
    both = SignedNote.parse(note(4)).with_signatures(SignedNote.parse(note(4, key=OTHER)).signatures)
    found = read_against(str(both).encode(), LEDGER, [*trusted, Trusted(OTHER.key)])
    assert found.signers == (f"{ORIGIN}+{OTHER.key.key_id.hex()}",)


@pytest.mark.parametrize("origin", ["example.com/log", f"tallystick/{'f' * 32}", f"{ORIGIN}/1"])
def test_checkpoints_of_other_logs(origin: str) -> None:
    with pytest.raises(InputError, match="no checkpoint of this ledger"):
        read_against(note(origin=origin), LEDGER)


@pytest.mark.parametrize("data", [b"", b"x", b"\xff", b"a\n\nb", note()[:-10], note().replace(b"\n", b"\r\n"), b"\0"])
def test_what_is_no_note(data: bytes) -> None:
    with pytest.raises(InputError):
        read_against(data, LEDGER)


def test_files_of_keys() -> None:
    lines = f"# those who sign\n\n{KEY.key}\n  {OTHER.key}  until  17\n"
    assert read_trusted(lines.encode()) == [Trusted(KEY.key), Trusted(OTHER.key, 17)]
    policy = read_trusted(f"# a policy\nlog {KEY.key}\nquorum none\n".encode())
    assert isinstance(policy, Policy)
    assert read_against(note(), LEDGER, policy).signers
    with pytest.raises(CheckFailedError):
        read_against(note(key=OTHER), LEDGER, policy)


WITNESS = SigningKey("w.example", ED25519_COSIGNATURE, b"\3" * 32)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ""),
        ("# nothing\n", ""),
        ("x\n", "line 1"),
        (f"{KEY.key}\n{KEY.key} since 3\n", "line 2"),
        (f"{KEY.key} until\n", "line 1"),
        (f"{KEY.key} until -1\n", "line 1"),
        (f"{KEY.key} until 03\n", "line 1"),
        (f"{KEY.key} until 3 4\n", "line 1"),
        (f"{WITNESS.key}\n", "line 1"),
        ("log x\nquorum none\n", "line 1 of the policy"),
        ("\udcff\n", "line 1"),
    ],
)
def test_files_that_hold_no_keys(text: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        read_trusted(text.encode("utf-8", "surrogateescape"))
    assert caught.value.where == where


# --- ledgers


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        yield ledger


@pytest.fixture
def seen(ledger: Ledger, tmp_path: Path) -> list[Checkpoint]:
    """Checkpoints of a ledger with tasks a, b and c, each moved before the next."""
    signer = SignerUnderTest(tmp_path / "config")
    found = []
    for task_id in "aabc":
        ledger.append(task_id, NOTE)
        found.append(signer.sign(ledger))
    ledger.append("a", NOTE)
    return found


def test_today_extends_what_was_seen(ledger: Ledger, seen: list[Checkpoint]) -> None:
    for checkpoint in seen:
        assert list(faults_against(ledger, checkpoint)) == []
        assert list(faults_against(ledger, checkpoint, ["a", "b"])) == []


def test_another_log(ledger: Ledger, seen: list[Checkpoint]) -> None:
    (fault,) = faults_against(ledger, seen[1].replace(root=bytes(32)))
    assert fault.what == "checkpoint 2 of the ledger is not the one that was seen: its history was rewritten"
    (fault,) = faults_against(ledger, seen[1].replace(size=9))
    assert fault.what == "checkpoint 9 was seen, the ledger has 4"


def test_a_dropped_task_is_named(tmp_path: Path, ledger: Ledger, seen: list[Checkpoint]) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    connection.execute("DROP TRIGGER session_no_delete")
    connection.execute("DELETE FROM session WHERE task_id = 'b'")
    connection.close()
    with Ledger.open(ledger.url) as fresh:
        found = [str(fault) for fault in faults_against(fresh, seen[-1], ["b", "never"])]
    assert "b: checkpoint 4 is about it at position 1, and its session is gone" in found
    assert not any(one.startswith("never") for one in found)


def test_with_tasks_named_the_log_is_verified_too(tmp_path: Path, ledger: Ledger, seen: list[Checkpoint]) -> None:
    """Else somebody could make the kept heads fit what he made of the task."""
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    connection.execute("DROP TRIGGER head_history_no_update")
    connection.execute("UPDATE head_history SET root = zeroblob(32) WHERE session = 2")
    connection.close()
    assert list(faults_against(ledger, seen[-1])) == []
    found = [fault.what for fault in faults_against(ledger, seen[-1], ["b"])]
    assert found == ["the 2 heads kept for checkpoint 3 are not those of its 2 tasks"]
