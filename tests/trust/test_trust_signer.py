"""Signing a whole ledger: what is signed, by whom, and when a key refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, all_faults, map_now
from support.tampering import BITS
from tallystick import CheckFailedError, Entry, InputError, Ledger, StoreUnavailableError, TamperedError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.keys import MLDSA44_COSIGNATURE, SigningKey
from tallystick.proof.policy import Policy
from tallystick.stores.checkpoints import newest, origin_of, stored
from tallystick.trust.keys import VARIABLE, given_key
from tallystick.trust.memory import Memory
from tallystick.trust.signer import UnknownHistoryError, sign_checkpoint

NOTE = Entry(type="note")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(path)) as ledger:
        yield ledger


@pytest.fixture
def signer(tmp_path: Path) -> SignerUnderTest:
    return SignerUnderTest(tmp_path / "config")


@pytest.fixture
def other(tmp_path: Path) -> SignerUnderTest:
    """Somebody else's key, with a memory of its own."""
    return SignerUnderTest(tmp_path / "elsewhere")


def test_an_empty_ledger_has_nothing_to_sign(ledger: Ledger, signer: SignerUnderTest) -> None:
    assert signer.make(ledger) is None
    assert ledger.store.log.size() == 0


def test_nothing_is_signed_twice(ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    first = signer.make(ledger)
    again = signer.make(ledger)
    assert first is not None
    assert again is not None
    assert (first.signed, first.number, again.signed, again.number) == (True, 1, False, 1)
    assert first.note == again.note
    ledger.append("a", NOTE)
    assert signer.sign(ledger).size == 2


def test_a_checkpoint_is_a_c2sp_note_of_five_lines(ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    made = signer.make(ledger)
    assert made is not None
    origin, size, _, empty, signature, end = made.note.split("\n")
    assert (origin, size, empty, end) == (f"tallystick/{ledger.ledger_id}", "1", "", "")
    assert signature.startswith(f"— tallystick/{ledger.ledger_id} ")
    policy = Policy.parse(f"log {signer.key.verifier(origin)}\nquorum none\n")
    endorsed = ledger.head_proof("a").tlog_proof().verify(_leaf(ledger, 1), policy)
    assert endorsed.checkpoint.size == 1


def _leaf(ledger: Ledger, number: int) -> bytes:
    from tallystick.proof.merkle import leaf_hash

    return leaf_hash(stored(ledger.store.log, number).leaf)


def test_every_head_is_covered(ledger: Ledger, signer: SignerUnderTest) -> None:
    for n in range(50):
        ledger.append(f"t{n}", [NOTE] * (n % 4 + 1))
    checkpoint = signer.sign(ledger)
    last = newest(ledger.store.log)
    assert last is not None
    assert (last.statement().tasks, last.statement().heads) == map_now(ledger)
    for n in range(50):
        proof = ledger.head_proof(f"t{n}")
        proof.verify()
        assert proof.checkpoint() == checkpoint
        assert proof.position == n % 4 + 1


def test_time_never_runs_backwards(ledger: Ledger, signer: SignerUnderTest) -> None:
    times = ["2026-01-02T00:05:00.000000Z", "2026-01-02T00:00:00.000000Z", "2026-01-03T00:00:00.000000Z"]
    for time in times:
        ledger.append("a", NOTE)
        sign_checkpoint(ledger, signer.key, signer.memory(ledger), clock=lambda time=time: time)
    assert [stored(ledger.store.log, number).statement().at for number in (1, 2, 3)] == [times[0], times[0], times[2]]
    assert all_faults(ledger) == []


def test_nothing_is_signed_after_a_checkpoint_of_tomorrow(ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    sign_checkpoint(ledger, signer.key, signer.memory(ledger), clock=lambda: "2031-01-01T00:00:00.000000Z")
    ledger.append("a", NOTE)
    with pytest.raises(InputError, match=r"checkpoint 1 is dated 2031-01-01T00:00:00\.000000Z, and it is 2"):
        signer.make(ledger)
    assert (ledger.store.log.size(), signer.memory(ledger).pending()) == (1, None)


def test_keys_of_both_kinds(ledger: Ledger, signer: SignerUnderTest) -> None:
    secret = SigningKey("pq", MLDSA44_COSIGNATURE, b"\7" * 32)
    key = given_key({VARIABLE: secret.encode()})
    assert key is not None
    for _ in range(2):
        ledger.append("a", NOTE)
        made = sign_checkpoint(ledger, key, Memory(signer.folder, key, ledger.ledger_id))
        assert made is not None
        signer.witness.see(made.note, key.verifier(origin_of(ledger.ledger_id)))
    assert all_faults(ledger) == []


# --- several signers


def test_another_signer_goes_on_from_a_checkpoint_he_vouches_for(
    ledger: Ledger, signer: SignerUnderTest, other: SignerUnderTest
) -> None:
    ledger.append("a", NOTE)
    first = signer.sign(ledger)
    ledger.append("a", NOTE)
    second = signer.sign(ledger)
    ledger.append("a", NOTE)
    with pytest.raises(UnknownHistoryError, match="has no memory of this ledger, which has 2 checkpoints") as caught:
        other.make(ledger)
    assert caught.value.exit_code == 2
    assert "--against CHECKPOINT" in caught.value.advice
    assert ledger.store.log.size() == 2
    assert other.sign(ledger, against=first).size == 3
    ledger.append("a", NOTE)
    assert other.sign(ledger).size == 4
    ledger.append("b", NOTE)
    assert signer.sign(ledger).size == 5
    other.make(ledger, against=second)
    assert all_faults(ledger) == []


@pytest.mark.parametrize("wrong", ["root", "size", "ledger"])
def test_what_is_vouched_for_must_be_extended(ledger: Ledger, signer: SignerUnderTest, wrong: str) -> None:
    ledger.append("a", NOTE)
    first = signer.sign(ledger)
    ledger.append("a", NOTE)
    given = {
        "root": first.replace(root=bytes(32)),
        "size": first.replace(size=2),
        "ledger": Checkpoint(f"tallystick/{'0' * 32}", 1, bytes(32)),
    }[wrong]
    with pytest.raises(TamperedError, match=r"does not extend checkpoint [12] that was given"):
        signer.make(ledger, against=given)
    assert ledger.store.log.size() == 1
    assert signer.memory(ledger).last() == first


# --- what moved must extend what was there


@pytest.mark.parametrize("length", [1, 2, 3, 7, 40])
def test_a_task_whose_history_was_rewritten_is_named(
    path: Path, ledger: Ledger, signer: SignerUnderTest, length: int
) -> None:
    from tallystick.proof.merkle import Edge, leaf_hash

    ledger.append("innocent", NOTE)
    ledger.append("guilty", [NOTE] * length)
    signer.sign(ledger)
    ledger.append("innocent", NOTE)
    ledger.append("guilty", [NOTE] * 2)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER record_only_erased")
    (header,) = connection.execute("SELECT header FROM session WHERE number = 2").fetchone()
    edge = Edge()
    edge.append(leaf_hash(header))
    for position in range(1, length + 3):
        row = (2 << BITS) + position
        (record,) = connection.execute("SELECT record FROM record WHERE id = ?", (row,)).fetchone()
        record = record.replace(b"note", b"nope") if position == 1 else record
        connection.execute(
            "UPDATE record SET record = ?, node = ? WHERE id = ?", (record, edge.append(leaf_hash(record)), row)
        )
    connection.execute("DROP TRIGGER state_forward")
    connection.execute("UPDATE state SET edge = ? WHERE session = 2 AND key = ''", (edge.pack(),))
    with pytest.raises(TamperedError, match=f"guilty at position {length}: it was rewritten") as caught:
        signer.make(ledger)
    assert (caught.value.task_id, caught.value.position) == ("guilty", length)
    assert ledger.store.log.size() == 1
    assert signer.memory(ledger).pending() is None
    connection.close()


def test_a_task_that_was_shortened_is_named(path: Path, ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", [NOTE] * 5)
    signer.sign(ledger)
    ledger.append("a", NOTE)
    edge = sqlite3.connect(path).execute("SELECT edge FROM state WHERE key = ''").fetchone()[0]
    connection = sqlite3.connect(path, isolation_level=None)
    for trigger in ("record_no_delete", "state_forward"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(f"DELETE FROM record WHERE id > (1 << {BITS}) + 2")
    connection.execute("UPDATE state SET position = 2, edge = ? WHERE key = ''", (edge[:64],))
    with pytest.raises(TamperedError, match="a at position 2: it was shortened: a checkpoint is about 5 entries"):
        signer.make(ledger)
    connection.close()


def test_what_others_signed_in_between_is_checked_too(
    path: Path, ledger: Ledger, signer: SignerUnderTest, other: SignerUnderTest
) -> None:
    """Another key signed a head that does not extend the one this key signed: it does not build on that."""
    ledger.append("a", [NOTE] * 3)
    first = signer.sign(ledger)
    ledger.append("a", NOTE)
    other.sign(ledger, against=first)
    ledger.append("b", NOTE)
    connection = sqlite3.connect(path, isolation_level=None)
    for trigger in ("head_history_no_update", "checkpoint_no_update"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("UPDATE head_history SET root = zeroblob(32) WHERE checkpoint = 2")
    with pytest.raises(TamperedError, match="a at position 3: it was rewritten"):
        signer.make(ledger)
    connection.execute("DROP TRIGGER session_no_delete")
    connection.execute("DELETE FROM session WHERE number = 1")
    with pytest.raises(TamperedError, match="a: it was dropped"):
        signer.make(ledger)
    connection.close()


def test_a_log_whose_newest_leaf_was_changed_is_not_built_on(
    path: Path, ledger: Ledger, signer: SignerUnderTest
) -> None:
    for _ in range(4):
        ledger.append("a", NOTE)
        signer.sign(ledger)
    ledger.append("a", NOTE)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER checkpoint_no_update")
    leaf = connection.execute("SELECT leaf FROM checkpoint WHERE number = 4").fetchone()[0]
    connection.execute("UPDATE checkpoint SET leaf = ? WHERE number = 4", (leaf.replace(b'"at":"2', b'"at":"3'),))
    with pytest.raises(TamperedError, match="the leaf of checkpoint 4 is not the one in the log's tree"):
        signer.make(ledger)
    connection.execute("UPDATE checkpoint SET leaf = ? WHERE number = 4", (leaf,))
    connection.execute("UPDATE checkpoint SET node = zeroblob(32) WHERE number = 4")
    with pytest.raises(TamperedError):
        signer.make(ledger)
    connection.close()


# --- what cannot be signed


def test_what_is_only_read_is_not_signed(path: Path, ledger: Ledger, signer: SignerUnderTest) -> None:
    ledger.append("a", NOTE)
    with Ledger.open(str(path), read_only=True) as reading, pytest.raises(StoreUnavailableError, match="for reading"):
        signer.make(reading)
    assert signer.memory(ledger).last() is None


def test_a_signature_that_cannot_be_made_leaves_nothing_half(
    ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that refuses: the key remembers what it was about to sign, and signs that once the agent does."""
    ledger.append("a", NOTE)

    def refuse(message: bytes) -> bytes:
        raise InputError("the ssh-agent refuses to sign")

    real = type(signer.key).signer
    with monkeypatch.context() as patch:

        def refusing(self: Any, name: str) -> Any:
            signing = real(self, name)
            signing._sign_bytes = refuse
            return signing

        patch.setattr(type(signer.key), "signer", refusing)
        with pytest.raises(InputError, match="refuses to sign"):
            signer.make(ledger)
    assert ledger.store.log.size() == 0
    assert all_faults(ledger) == []
    ledger.append("a", NOTE)
    assert signer.sign(ledger).size == 1
    assert ledger.head_proof("a").position == 1
    assert signer.sign(ledger).size == 2


def test_a_wrong_signature_is_not_stored(
    ledger: Ledger, signer: SignerUnderTest, other: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("a", NOTE)
    real = type(signer.key).signer

    def wrong(self: Any, name: str) -> Any:
        signing = real(self, name)
        signing._sign_bytes = real(other.key, name)._sign_bytes
        return signing

    with monkeypatch.context() as patch:
        patch.setattr(type(signer.key), "signer", wrong)
        with pytest.raises(CheckFailedError, match="does not fit the text"):
            signer.make(ledger)
    assert ledger.store.log.size() == 0
    assert signer.sign(ledger).size == 1
