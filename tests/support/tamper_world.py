"""Two ledgers, a fork and their bundles, for the tamper corpus."""

from __future__ import annotations

import shutil
from pathlib import Path

from tallystick import Entry, Ledger
from tallystick.exchange.bundle import write_absence, write_bundle
from tallystick.trust.keys import Key, KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import sign_checkpoint

Lines = list[str]


class World:
    """`a` with the tasks `t` and `u` and two checkpoints; `fork`, which went on from `a`'s first; `other`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = KeyFolder({"XDG_CONFIG_HOME": str(root / "config"), "HOME": str(root)})
        self.key = self.folder.new("mine")
        self.stranger = self.folder.new("stranger")
        self.notes: dict[str, str] = {}
        self.bundles: dict[str, Lines] = {}
        self._make()

    def _make(self) -> None:
        a = self.root / "a.db"
        with Ledger.open(str(a)) as ledger:
            ledger.append("t", [_entry(n) for n in range(5)])
            ledger.append("u", [_entry(9)])
            self.notes["first"] = self.sign(ledger, self.key, "memory")
            shutil.copytree(self.root / "config", self.root / "config-then")
        with Ledger.open(str(a)) as ledger:
            copy = self.root / "fork.db"
            ledger.store.backup(str(copy))  # type: ignore[attr-defined]
            ledger.store.backup(str(self.root / "then.db"))  # type: ignore[attr-defined]
            self.bundles["old"] = self.export(ledger, "t")
            self.bundles["absent then"] = self.absence(ledger, "late")
            ledger.append("t", [_entry(n) for n in range(5, 9)])
            ledger.erase("t", 3, ["text"], reason="leaked")
            ledger.append("u", _entry(10))
            ledger.append("late", _entry(12))
            self.notes["second"] = self.sign(ledger, self.key, "memory")
            self.bundles["t"] = self.export(ledger, "t", since=self.notes["first"], artifacts=True)
            self.bundles["u"] = self.export(ledger, "u")
            self.bundles["absent"] = self.absence(ledger, "never")
            ledger.append("t", _entry(11))
            self.bundles["later"] = self.export(ledger, "t", artifacts=True)
            self.ledger_id = ledger.ledger_id
            self.vkey = str(self.key.verifier(f"tallystick/{ledger.ledger_id}"))
            self.wrong_vkey = str(self.stranger.verifier(f"tallystick/{ledger.ledger_id}"))
        with Ledger.open(str(copy)) as ledger:
            ledger.append("t", [_entry(n + 100) for n in range(5, 10)])
            then = KeyFolder({"XDG_CONFIG_HOME": str(self.root / "config-then"), "HOME": str(self.root)})
            key = then.load("mine")
            made = sign_checkpoint(ledger, key, Memory(then, key, ledger.ledger_id))
            assert made is not None
            self.notes["forked"] = made.note
            self.bundles["forked"] = self.export(ledger, "t", artifacts=True)
        with Ledger.open(str(self.root / "other.db")) as ledger:
            ledger.append("t", [_entry(n) for n in range(10)])
            self.notes["other"] = self.sign(ledger, self.stranger, "memory")
            self.bundles["other"] = self.export(ledger, "t", artifacts=True)

    def sign(self, ledger: Ledger, key: Key, _: str) -> str:
        made = sign_checkpoint(ledger, key, Memory(self.folder, key, ledger.ledger_id))
        assert made is not None
        return made.note

    def absence(self, ledger: Ledger, task_id: str) -> Lines:
        return b"".join(write_absence(ledger, ledger.head_proof(task_id))).decode().splitlines(keepends=True)

    def export(self, ledger: Ledger, task_id: str, *, since: str | None = None, artifacts: bool = False) -> Lines:
        proof = ledger.head_proof(task_id)
        lines = write_bundle(ledger, task_id, artifacts=artifacts, since=since, proof=proof)
        return b"".join(lines).decode().splitlines(keepends=True)


def _entry(number: int) -> Entry:
    return Entry(
        type="criterion",
        criterion_id=f"ac{number % 3}",
        status="pass" if number % 2 else "fail",
        reason=f"reason {number}",
        output=f"{number}" * 70_000 if number in (6, 8) else f"output {number}",
        details={"number": number},
    )
