"""What a key was about to sign when it died: that, or nothing, is signed next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest, all_faults
from tallystick import Entry, InputError, Ledger, TamperedError
from tallystick.trust import signer as trust_signer
from tallystick.trust.memory import Memory, Pending

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


def test_what_the_key_was_about_to_sign_is_signed_as_it_was(
    ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between its memory and the store: nobody can tell whether the signature left it."""
    ledger.append("a", NOTE)
    signer.sign(ledger)
    ledger.append("a", NOTE)
    ledger.append("new", [NOTE] * 2)
    pending = _die_before_storing(monkeypatch, ledger, signer)
    assert (ledger.store.log.size(), signer.memory(ledger).last()) != (2, pending.checkpoint)
    assert all_faults(ledger) == []
    ledger.append("b", NOTE)
    ledger.append("new", NOTE)
    assert signer.sign(ledger) == pending.checkpoint
    assert signer.memory(ledger).pending() is None
    assert ledger.head_proof("b").position is None
    assert ledger.head_proof("new").position == 2
    assert signer.sign(ledger).size == 3
    assert (ledger.head_proof("b").position, ledger.head_proof("new").position) == (1, 3)
    assert all_faults(ledger) == []


def test_what_was_stored_before_the_key_could_remember_it_is_known(
    ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append("a", NOTE)
    signer.sign(ledger)
    ledger.append("a", NOTE)
    with monkeypatch.context() as patch:
        patch.setattr(Memory, "remember", _die)
        with pytest.raises(Died):
            signer.make(ledger)
    assert ledger.store.log.size() == 2
    made = signer.make(ledger)
    assert made is not None
    assert (made.number, made.signed) == (2, False)
    assert signer.memory(ledger).pending() is None
    ledger.append("a", NOTE)
    assert signer.sign(ledger).size == 3
    assert all_faults(ledger) == []


@pytest.mark.parametrize("vouched", [False, True])
def test_if_another_took_the_number_of_one_that_may_be_signed_somebody_vouches_for_that(
    ledger: Ledger, signer: SignerUnderTest, other: SignerUnderTest, monkeypatch: pytest.MonkeyPatch, vouched: bool
) -> None:
    ledger.append("a", NOTE)
    first = signer.sign(ledger)
    ledger.append("a", NOTE)
    _die_before_storing(monkeypatch, ledger, signer)
    ledger.append("b", NOTE)
    second = other.sign(ledger, against=first)
    for against in (None, first):
        with pytest.raises(TamperedError, match="was about to sign checkpoint 2 of this ledger, and checkpoint 2 of"):
            signer.make(ledger, against=against)
    ledger.append("b", NOTE)
    if vouched:
        assert signer.sign(ledger, against=second).size == 3
    else:
        assert signer.sign(ledger, new_epoch=True).origin.endswith("/2")
    assert signer.memory(ledger).pending() is None
    assert all_faults(ledger) == []


class Died(Exception):
    pass


def _die(*_: Any, **__: Any) -> None:
    raise Died


def _die_before_storing(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, signer: SignerUnderTest) -> Pending:
    with monkeypatch.context() as patch:
        patch.setattr(trust_signer, "sign", _die)
        with pytest.raises(Died):
            signer.make(ledger)
    pending = signer.memory(ledger).pending()
    assert pending is not None
    return pending


@pytest.mark.parametrize("damage", ["heads", "leaf", "size", "empty", "json"])
def test_a_memory_of_what_was_to_be_signed_that_does_not_fit_signs_nothing(
    ledger: Ledger, signer: SignerUnderTest, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    ledger.append("a", NOTE)
    ledger.append("b", NOTE)
    signer.sign(ledger)
    ledger.append("a", NOTE)
    _die_before_storing(monkeypatch, ledger, signer)
    path = Path(signer.memory(ledger).pending_path)
    document = json.loads(path.read_text())
    changed = {
        "heads": {**document, "heads": {"a": 7}},
        "leaf": {**document, "leaf": document["leaf"].replace('"tasks":2', '"tasks":3')},
        "size": {**document, "size": 7},
        "empty": {},
        "json": "x",
    }[damage]
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    for _ in range(2):
        with pytest.raises((TamperedError, InputError)):
            signer.make(ledger)
    assert ledger.store.log.size() == 1
    path.write_text(json.dumps(document))
    assert signer.sign(ledger).size == 2
