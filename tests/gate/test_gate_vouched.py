"""Statements of a trusted key that somebody moves to where they do not belong are worth nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Entry, Ledger
from tallystick.gate.evidence import Evidence
from tallystick.gate.provenance import OUTSIDE_CI
from tallystick.gate.trusted import TrustedKey
from tallystick.gate.vouched import Vouched
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.recorded import StoredTree
from tallystick.trust.keys import Key
from tallystick.trust.statements import approve, attest

SECRET = SigningKey("boss", ED25519, b"\7" * 32)
KEY = Key("boss", "file", ED25519, SECRET.key.public, secret=SECRET)
TRUSTED = {"boss": TrustedKey("boss", str(SECRET.key), ("attest", "approve"))}
WEAKENING = {"criterion": "tests", "what": "command changed", "was": "make", "now": "true"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        for task in ("t", "u"):
            for status in ("pass", "fail"):
                ledger.append(task, Entry(type="criterion", criterion_id="tests", status=status))
        yield ledger


def leaf(ledger: Ledger, task: str, position: int) -> str:
    return StoredTree(ledger.store, ledger.sessions_of(task)[0]).leaf(position).hex()


def attested(ledger: Ledger, task: str) -> list[int]:
    """The positions of results that a trusted key stands behind."""
    evidence = Evidence(ledger, task, OUTSIDE_CI)
    vouched = Vouched(evidence, TRUSTED)
    return [one.position for one in evidence.attempts("tests") if vouched.attested_by(one)]


def put(ledger: Ledger, task: str, kind: str, note: str) -> None:
    ledger.append(task, Entry(type=kind, details={kind: {"note": note}}))


def test_an_attestation_holds_for_its_own_entry_alone(ledger: Ledger) -> None:
    note = attest(KEY, ledger.ledger_id, "t", {1: leaf(ledger, "t", 1)})
    put(ledger, "t", "attestation", note)
    put(ledger, "u", "attestation", note)
    assert (attested(ledger, "t"), attested(ledger, "u")) == ([1], [])


@pytest.mark.parametrize("why", ["position", "task", "ledger", "kind", "text", "key"])
def test_an_attestation_that_was_moved(ledger: Ledger, why: str) -> None:
    own = leaf(ledger, "t", 1)
    other = Key("x", "file", ED25519, b"", secret=SigningKey("boss", ED25519, b"\6" * 32))
    other.public = SigningKey("boss", ED25519, b"\6" * 32).key.public
    notes = {
        "position": attest(KEY, ledger.ledger_id, "t", {2: own}),
        "task": attest(KEY, ledger.ledger_id, "u", {1: own}),
        "ledger": attest(KEY, "f" * 32, "t", {1: own}),
        "kind": approve(KEY, ledger.ledger_id, "t", [WEAKENING]),
        "text": attest(KEY, ledger.ledger_id, "t", {2: leaf(ledger, "t", 2)}).replace("entry 2", "entry 1"),
        "key": attest(other, ledger.ledger_id, "t", {1: own}),
    }
    put(ledger, "t", "attestation", notes[why])
    assert attested(ledger, "t") == []


def approved(ledger: Ledger, task: str, fields: dict[str, str]) -> bool:
    return bool(Vouched(Evidence(ledger, task, OUTSIDE_CI), TRUSTED).approved_by(fields))


def test_an_approval_holds_for_its_weakening_and_task_alone(ledger: Ledger) -> None:
    note = approve(KEY, ledger.ledger_id, "t", [WEAKENING])
    put(ledger, "t", "approval", note)
    put(ledger, "u", "approval", note)
    assert approved(ledger, "t", WEAKENING)
    assert not approved(ledger, "u", WEAKENING)
    for name, value in (("now", "false"), ("was", "test"), ("criterion", "lint"), ("what", "inputs narrowed")):
        assert not approved(ledger, "t", {**WEAKENING, name: value})


def test_an_attestation_is_no_approval(ledger: Ledger) -> None:
    put(ledger, "t", "approval", attest(KEY, ledger.ledger_id, "t", {1: leaf(ledger, "t", 1)}))
    put(ledger, "t", "attestation", approve(KEY, ledger.ledger_id, "t", [WEAKENING]))
    assert not approved(ledger, "t", WEAKENING)
    assert attested(ledger, "t") == []
