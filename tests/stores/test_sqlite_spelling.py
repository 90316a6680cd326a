"""A store whose rows all fit together, but hold what no writer writes: found when verified and when read."""

from __future__ import annotations

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from support.command import Notch
from support.forge import LEDGER, TASK, Forge
from support.spellings import CLOSED, HEADER_CASES, HOLDS, RECORD_CASES, REFUSED, forged
from support.tampering import BITS
from tallystick import Entry, Ledger, StoreUnavailableError, TamperedError
from tallystick.exchange.bundle import write_bundle
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.note import sign
from tallystick.trust.keys import KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import sign_checkpoint

OF_BUNDLES = {"an erased part marked as omitted", "a record that is too long"}
"""What is no matter of a store, or what it cannot hold."""
CASES = {name: case for name, case in {**RECORD_CASES, **HEADER_CASES}.items() if name not in OF_BUNDLES}


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")


def _fields(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, forge: Forge) -> None:
    """Keep the forged session as one of another ledger, with nodes, links and pointers that fit its records."""
    Ledger.open(str(path)).close()
    connection = sqlite3.connect(path, isolation_level=None)
    header, edge = _bytes(forge.header), Edge()
    edge.append(leaf_hash(header))
    at = str(_fields(header).get("at", ""))
    connection.execute("INSERT INTO ledger VALUES (2, ?)", (LEDGER,))
    connection.execute("INSERT INTO session VALUES (1, 2, ?, ?)", (TASK, header))
    connection.execute("INSERT INTO state VALUES (1, '', 0, ?, ?)", (at, edge.pack()))
    pointers: dict[str, int] = {}
    for position, (text, parts) in enumerate(zip(forge.records, forge.parts, strict=True), 1):
        record = _bytes(text)
        fields = _fields(record)
        node = edge.append(leaf_hash(record))
        names = [f"t{fields.get('type', '')}", f"c{fields.get('criterion_id', '')}"]
        type_before, criterion_before = (pointers.get(name, 0) for name in names)
        sealed: list[bytes | None] = []
        for part in ("text", "details", "output"):
            given = parts.get(part)
            there = isinstance(given, dict)
            sealed += [base64.b64decode(given[name]) if there else None for name in ("salt", "data")]
        connection.execute(
            "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((1 << BITS) + position, record, node, criterion_before, type_before, *sealed),
        )
        at = str(fields.get("at", at))
        connection.execute("UPDATE state SET position = ?, at = ?, edge = ?", (position, at, edge.pack()))
        pointers |= {name: position for name in names if name != "c"}
    connection.executemany("INSERT INTO state VALUES (1, ?, ?, NULL, NULL)", pointers.items())
    connection.close()


@pytest.mark.parametrize("name", CASES)
def test_what_no_writer_writes_is_found(name: str, tmp_path: Path) -> None:
    path, expected = tmp_path / "ledger.db", CASES[name][1]
    write(path, forged(name))
    with Ledger.open(str(path), read_only=True) as ledger:
        if expected == HOLDS:
            assert ledger.verify(TASK, ledger_id=LEDGER)[0].head.position == 4
            assert len(list(ledger.entries(TASK, ledger_id=LEDGER))) == 4
            return
        with pytest.raises(StoreUnavailableError if expected == CLOSED else TamperedError) as caught:
            ledger.verify(TASK, ledger_id=LEDGER)
        assert "\n" not in str(caught.value)
        if expected == REFUSED and name in RECORD_CASES and "part" not in name:
            with pytest.raises(TamperedError):
                list(ledger.entries(TASK, ledger_id=LEDGER))


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("a status twice", 3, "position 2: the record is not spelled as records are"),
        ("the 31st of November", 3, "position 2: its time does not exist"),
        (
            "erases of a part that the record never had",
            3,
            "position 1: a redaction names its output, which it never had",
        ),
        ("a later version", 4, "written to by a later version; upgrade tallystick"),
    ],
)
def test_the_command_says_so(name: str, code: int, told: str, tmp_path: Path, notch: Notch) -> None:
    path = tmp_path / "ledger.db"
    write(path, forged(name))
    assert told in notch("--ledger", path, "verify", code=code).stdout


def test_a_bundle_of_such_a_session_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(path, forged("a status twice"))
    with Ledger.open(str(path), read_only=True) as ledger:
        lines = write_bundle(ledger, TASK, ledger_id=LEDGER)
        with pytest.raises(TamperedError, match="add-cache at position 2: the record is not spelled as records are"):
            list(lines)


def test_a_bundle_that_is_refused_is_not_imported(tmp_path: Path, notch: Notch) -> None:
    for name, code in (("a status twice", 2), ("a later version", 4), ("an erased part that is there", 3)):
        (tmp_path / "forged.bundle").write_bytes(forged(name).bundle())
        for command in (("import", tmp_path / "forged.bundle"), ("--ledger", tmp_path / "forged.bundle", "log", TASK)):
            done = notch(*command, code=code)
            assert (done.stdout, done.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize("after", [f"tallystick/{LEDGER}", "the epoch itself"])
def test_an_epoch_after_another_log_is_found(after: str, tmp_path: Path) -> None:
    """Somebody with the key could state that a checkpoint was given up that never was."""
    path, folder = tmp_path / "restored.db", KeyFolder({"XDG_CONFIG_HOME": str(tmp_path)})
    key = folder.new()
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        origin = f"tallystick/{ledger.ledger_id}"
        for _ in range(2):
            ledger.append("t", Entry(type="note"))
            sign_checkpoint(ledger, key, Memory(folder, key, ledger.ledger_id))
            if not path.exists():
                ledger.store.backup(str(path))  # type: ignore[attr-defined]
    with Ledger.open(str(path)) as ledger:
        ledger.append("t", Entry(type="note", reason="it went on otherwise"))
        sign_checkpoint(ledger, key, Memory(folder, key, ledger.ledger_id), new_epoch=True)
        ledger.verify()
        first, second = ledger.store.log.read(1, 2)
    cited = f"{origin}/2" if after == "the epoch itself" else after
    leaf = second.leaf.replace(f'"origin":"{origin}"'.encode(), f'"origin":"{cited}"'.encode())
    assert leaf != second.leaf
    edge = Edge()
    edge.append(leaf_hash(first.leaf))
    node = edge.append(leaf_hash(leaf))
    text = Checkpoint(f"{origin}/2", 2, edge.root()).text
    note = str(sign(text, [key.signer(f"{origin}/2")]))
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for trigger, _ in triggers:
        connection.execute(f'DROP TRIGGER "{trigger}"')
    connection.execute("UPDATE checkpoint SET leaf = ?, node = ?, note = ? WHERE number = 2", (leaf, node, note))
    for _, statement in triggers:
        connection.execute(statement)
    connection.close()
    told = "checkpoint 2 begins an epoch after one of another log"
    with Ledger.open(str(path), read_only=True) as ledger, pytest.raises(TamperedError, match=told):
        ledger.verify()
