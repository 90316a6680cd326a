"""Two ledgers, a fork and their bundles, for the tamper corpus; and what can be done to a bundle's lines."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tallystick import Entry, Ledger
from tallystick.exchange.bundle import write_bundle
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
            self.bundles["old"] = self.export(ledger, "t")
            ledger.append("t", [_entry(n) for n in range(5, 9)])
            ledger.erase("t", 3, ["text"], reason="leaked")
            ledger.append("u", _entry(10))
            self.notes["second"] = self.sign(ledger, self.key, "memory")
            self.bundles["t"] = self.export(ledger, "t", since=self.notes["first"], artifacts=True)
            self.bundles["u"] = self.export(ledger, "u")
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
        output="x" * 70_000 if number == 6 else f"output {number}",
        details={"number": number},
    )


# --- what can be done to a bundle's lines: each takes the lines and arguments, and returns the bundle


def edited(lines: Lines, number: int, path: Iterable[Any], change: Callable[[Any], Any]) -> Lines:
    """The lines with the value at a path in one of them changed."""
    fields = json.loads(lines[number])
    *outer, last = path
    place = fields
    for step in outer:
        place = place[step]
    place[last] = change(place[last])
    return [*lines[: number % len(lines)], dumped(fields), *lines[number % len(lines) + 1 :]]


def dumped(fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def flip_base64(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(bytes(data)).decode()


def flip_hex(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def flip_text(text: str) -> str:
    place = len(text) // 2
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
