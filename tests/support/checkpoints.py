"""Somebody with a key who signs ledgers, and somebody who keeps every note and would notice a fork."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from tallystick import Ledger
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.headmap import map_root
from tallystick.proof.keys import VerifierKey
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import origin_of
from tallystick.trust.keys import Key, KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import Made, sign_checkpoint
from tallystick.verification import Fault


class Witness:
    """Keeps every note that left a signer."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, int], bytes] = {}

    def see(self, note: str, key: VerifierKey | None = None) -> Checkpoint:
        """What the note says. AssertionError where another history was signed before under the same origin."""
        signed = SignedNote.parse(note)
        checkpoint = Checkpoint.parse(signed.text)
        if key is not None:
            signed.verify([key.replace(name=checkpoint.origin)])
        known = self.seen.setdefault((checkpoint.origin, checkpoint.size), checkpoint.root)
        assert known == checkpoint.root, f"a second history was signed: {checkpoint.origin} {checkpoint.size}"
        return checkpoint


class SignerUnderTest:
    """A key in a configuration folder of its own."""

    def __init__(self, home: Path, name: str = "k") -> None:
        self.environ: Mapping[str, str] = {"XDG_CONFIG_HOME": str(home)}
        self.folder = KeyFolder(self.environ)
        self.key: Key = self.folder.load(name) if name in self.folder.names() else self.folder.new(name)
        self.witness = Witness()

    def memory(self, ledger: Ledger) -> Memory:
        """What the key signed of this ledger."""
        return Memory(self.folder, self.key, ledger.ledger_id)

    def make(self, ledger: Ledger, *, against: Checkpoint | None = None, new_epoch: bool = False) -> Made | None:
        """Sign, and have the witness see it."""
        made = sign_checkpoint(ledger, self.key, self.memory(ledger), against=against, new_epoch=new_epoch)
        if made is not None:
            self.witness.see(made.note)
        return made

    def sign(self, ledger: Ledger, *, against: Checkpoint | None = None, new_epoch: bool = False) -> Checkpoint:
        """The checkpoint that was signed now. AssertionError where nothing moved."""
        made = self.make(ledger, against=against, new_epoch=new_epoch)
        assert made is not None
        assert made.signed
        return self.witness.see(made.note, self.key.verifier(origin_of(ledger.ledger_id)))


def heads_now(ledger: Ledger) -> list[tuple[bytes, int, bytes]]:
    """The newest head of every task of the ledger, by SHA-256 of its id."""
    states = [one for one in ledger.tasks() if one.ledger_id == ledger.ledger_id]
    return [(sha256(one.task_id.encode()).digest(), one.head.position, bytes.fromhex(one.head.root)) for one in states]


def map_now(ledger: Ledger) -> tuple[int, bytes]:
    """(tasks, root) of the head map as it should be now."""
    heads = heads_now(ledger)
    return len(heads), map_root(heads)


def all_faults(ledger: Ledger) -> list[Fault]:
    """Everything that verifying the whole ledger finds wrong."""
    found: list[Fault] = []
    for one in ledger.inspect():
        found += [one] if isinstance(one, Fault) else one.faults
    return found
