"""The index of passing results: found again by what they were results of, forgotten with what is erased."""

from __future__ import annotations

from hashlib import sha256

import pytest

from support.contract import ENTRY, StoreUnderTest
from tallystick import Ledger, StoreUnavailableError
from tallystick.stores.base import SessionKey

ONE, OTHER = (sha256(name).digest() for name in (b"one", b"other"))


def key_of(ledger: Ledger, task_id: str) -> SessionKey:
    key = ledger.store.find(task_id)
    assert key is not None
    return key


def found(ledger: Ledger, digest: bytes, **options: int) -> list[tuple[str, int]]:
    return [(key.task_id, position) for key, position in ledger.store.proofs(digest, **options)]


def test_nothing_is_known_at_first(ledger: Ledger) -> None:
    assert ledger.store.proofs(ONE) == []


def test_what_was_kept_is_found_in_every_session(store: StoreUnderTest, ledger: Ledger) -> None:
    for task_id in ("a", "b"):
        ledger.append(task_id, [ENTRY, ENTRY])
    a, b = key_of(ledger, "a"), key_of(ledger, "b")
    ledger.store.remember_proofs([(ONE, a, 1), (ONE, b, 2), (OTHER, a, 2)])
    ledger.store.remember_proofs([(ONE, a, 1), (ONE, a, 2)])
    assert sorted(found(ledger, ONE)) == [("a", 1), ("a", 2), ("b", 2)]
    assert found(ledger, OTHER) == [("a", 2)]
    ((key, _),) = ledger.store.proofs(OTHER)
    assert (key.ledger_id, key.header) == (ledger.ledger_id, a.header)
    assert len(found(ledger, ONE, limit=2)) == 2
    assert found(store.reopen(), OTHER) == [("a", 2)]


def test_the_newest_of_a_session_comes_first(ledger: Ledger) -> None:
    ledger.append("a", [ENTRY] * 3)
    key = key_of(ledger, "a")
    ledger.store.remember_proofs([(ONE, key, position) for position in (2, 1, 3)])
    assert [position for _, position in ledger.store.proofs(ONE)] == [3, 2, 1]


def test_all_are_found_if_no_limit_is_given(ledger: Ledger) -> None:
    ledger.append("a", [ENTRY] * 100)
    key = key_of(ledger, "a")
    ledger.store.remember_proofs([(ONE, key, position) for position in range(1, 101)])
    assert len(ledger.store.proofs(ONE)) == 100
    assert len(ledger.store.proofs(ONE, 64)) == 64


def test_an_erased_entry_is_forgotten(ledger: Ledger) -> None:
    ledger.append("a", [ENTRY, ENTRY])
    key = key_of(ledger, "a")
    ledger.store.remember_proofs([(ONE, key, 1), (ONE, key, 2), (OTHER, key, 1)])
    ledger.erase("a", 1, ["text"], reason="leaked")
    assert (found(ledger, ONE), found(ledger, OTHER)) == ([("a", 2)], [])


def test_it_is_no_part_of_what_verifies(ledger: Ledger) -> None:
    ledger.append("a", ENTRY)
    before = ledger.head("a")
    ledger.store.remember_proofs([(ONE, key_of(ledger, "a"), 1)])
    assert ledger.head("a") == before
    ledger.verify()


def test_a_ledger_opened_for_reading_finds_and_keeps_nothing_new(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("a", ENTRY)
    key = key_of(ledger, "a")
    ledger.store.remember_proofs([(ONE, key, 1)])
    reading = store.open(read_only=True)
    assert found(reading, ONE) == [("a", 1)]
    with pytest.raises(StoreUnavailableError):
        reading.store.remember_proofs([(OTHER, key, 1)])
