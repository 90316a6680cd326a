"""A ledger with something of everything, copied, and whether the copy is the same ledger."""

from __future__ import annotations

import os

from support.checkpoints import SignerUnderTest, all_faults
from support.contract import ENTRY
from tallystick import Entry, Ledger
from tallystick.exchange.copying import Copied, copy
from tallystick.stores.checkpoints import checkpoints

LARGE = os.urandom(100_000).hex().encode() + b"x" * 1_000_000
PROVED = Entry(
    type="criterion",
    criterion_id="ac1",
    status="pass",
    command="pytest -q",
    details={"run": {"started": 1}, "content": {"inputs": "ab" * 32}},
)


def fill(ledger: Ledger, signer: SignerUnderTest | None = None) -> None:
    """A ledger with something of everything."""
    ledger.append("t", [ENTRY, Entry(type="run", output=LARGE), PROVED], idempotency_key="first")
    many = [Entry(type=f"type{n % 40}", criterion_id=f"ac{n % 60}", phase_id=f"p{n % 3}") for n in range(700)]
    ledger.append("many", many)
    if signer:
        signer.sign(ledger)
    ledger.append("t", Entry(type="run", reason="a secret", output=LARGE[:100_000]), idempotency_key="second")
    ledger.append("u/ü", ENTRY)
    if signer:
        signer.sign(ledger)
    ledger.erase("t", 4, ["text", "output"], reason="leaked")
    ledger.append("many", Entry(type="phase", phase_id="p1"))


def move(source: Ledger, target: Ledger, *tasks: str, beside: bool = False) -> Copied:
    """Copy these tasks, or all."""
    return copy(source.store, target.store, tasks, beside=beside)  # type: ignore[arg-type]


def heads(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Every session's head: ledger, task, head."""
    return sorted((one.ledger_id, one.task_id, str(one.head)) for one in ledger.tasks())


def equal(one: Ledger, other: Ledger) -> bool:
    """Whether two ledgers verify and hold the same, as far as anybody who reads them can see."""
    assert all_faults(one) == all_faults(other) == []
    assert one.ledger_id == other.ledger_id
    for key in one.store.sessions():
        task, ledger_id = key.task_id, key.ledger_id
        assert one.session(task, ledger_id=ledger_id) == other.session(task, ledger_id=ledger_id)
        assert one.state(task, ledger_id=ledger_id) == other.state(task, ledger_id=ledger_id)
    notes = [[(c.leaf, c.node, c.note, c.key) for c in checkpoints(ledger.store.log)] for ledger in (one, other)]
    return heads(one) == heads(other) and notes[0] == notes[1]
