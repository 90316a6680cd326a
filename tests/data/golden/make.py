"""Makes the golden ledger and its vectors: make.py FOLDER writes `ledger.db` and `vectors.json` there.

The committed files were made by the first release and never change: every later version has to open, verify and
replay the ledger, and to make the very bytes of the vectors from their inputs. So this script is kept as it was.
"""

from __future__ import annotations

import base64
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from tallystick import Entry, Ledger, Session
from tallystick.model import Origin, Rules
from tallystick.proof.merkle import leaf_hash

LARGE = b"".join(sha256(b"golden output %d" % n).digest() for n in range(2500))
"""80,000 bytes: beyond 64 KiB, so an artifact."""

ENTRIES = [
    Entry(
        id="first",
        type="criterion",
        recorded_at="2026-01-01T10:00:00Z",
        criterion_id="ac1",
        phase_id="build",
        status="pass",
        reason='the unit tests pass: ünïcödé, 🎋, "quotes" and a \\ backslash',
        provider="pytest",
        command="pytest -q 'tests/a b'",
        output="3 passed\n",
        path="tests/test_a.py",
        details={"run": {"exit_code": 0, "duration_ms": 1250.5}, "a": [None, True, False, -1, 1.5, "x"], "B": {}},
    ),
    Entry(type="run", status="fail", command="make", exit_code=2, output=b"not UTF-8: \xff\xfe\x00\n"),
    Entry(type="note"),
    Entry(type="phase", phase_id="build", status="done"),
    Entry(
        type="criterion",
        criterion_id="ac2",
        phase_id="review",
        status="fail",
        reason="this reason is erased",
        command="grep secret",
        exit_code=-11,
        output="this output is erased\n",
        details={"kept": "these details are not erased"},
    ),
    Entry(type="run", output=LARGE, details={"output": {"dropped_at": 40_000, "dropped": 123}}),
    Entry(
        type="manual_evidence",
        criterion_id="käse/\u2028",
        reason="controls \x00\x01\x1b[31m\x7f\u0085\n\t, a lone surrogate \ud800, a pair \ud83d\ude00",
        output="",
    ),
    Entry(
        type="review",
        id="twice",
        recorded_at="whenever",
        provider="me",
        details={
            "deep": {"er": [[[[{"x": [1e-7, 1e16, -0.0, 123456789.125]}]]]]},
            "limits": [2**53, -(2**53)],
            "scafld": {"wide": [2**63 - 1, -(2**63)]},
            "zeta": "",
            "Alpha": "\ud800",
            "é": "byte order",
        },
    ),
]
IMPORTED = Session(
    task_id="imported/ß",
    created_at="2025-12-24T18:00:00+01:00",
    updated_at="2025-12-25T00:00:00Z",
    rules=Rules.V2,
    origin=Origin(format="scafld", dialect="2.5", schema_version=1, updated_at="2025-12-25T00:00:00Z"),
    entries=[
        Entry(),
        Entry(id="twice", type="criterion", criterion_id="ac1", recorded_at="2025-12-24T19:00:00Z", status="pass"),
        Entry(id="twice", type="review", phase_id="not a phase of V2", output="o", details={"scafld": {"n": 2**60}}),
        Entry(id="id with spaces\nand a newline", type="phase", phase_id="p1", reason="r"),
    ],
)
KEY = "the key of the first entry"


class Clock:
    """A minute later each time it is looked at."""

    def __init__(self) -> None:
        self.minute = -1

    def __call__(self) -> str:
        self.minute += 1
        return f"2026-01-02T03:{self.minute:02}:05.000678Z"


class Chance:
    """Bytes that look random, and a list of all that were given out."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, count: int) -> bytes:
        seed = len(self.given).to_bytes(8, "big")
        blocks = (sha256(b"tallystick golden" + seed + bytes([n])).digest() for n in range(count // 32 + 1))
        self.given.append(b"".join(blocks)[:count])
        return self.given[-1]


def make(folder: Path) -> None:
    """Write both files."""
    chance = Chance()
    with Ledger.open(str(folder / "ledger.db"), clock=Clock(), random=chance) as ledger:
        ledger.append("golden", ENTRIES[0], idempotency_key=KEY)
        for entry in ENTRIES[1:]:
            ledger.append("golden", entry)
        ledger.import_session(IMPORTED)
        before = {task: rows(ledger, task) for task in ("golden", IMPORTED.task_id)}
        ledger.erase("golden", 5, ["text", "output"], reason="it named a secret", actor="an auditor")
        before["golden"].append(rows(ledger, "golden")[-1])
        salts = [given for given in chance.given if len(given) == 48]
        inputs = [*ENTRIES, Entry(type="redaction", reason="it named a secret", details={"actor": "an auditor"})]
        order = [salts[: len(ENTRIES)], salts[len(ENTRIES) : -1], salts[-1:]]
        vectors = {
            "ledger_id": ledger.ledger_id,
            "large": {"rule": "SHA-256 of `golden output N` for N from 0 to 2499", "sha256": sha256(LARGE).hexdigest()},
            "golden": session_vectors(ledger, "golden", inputs, before["golden"], order[0] + order[2]),
            "imported": session_vectors(ledger, IMPORTED.task_id, IMPORTED.entries, before[IMPORTED.task_id], order[1]),
        }
    (folder / "vectors.json").write_text(json.dumps(vectors, indent=1, ensure_ascii=True) + "\n", "ascii")


def rows(ledger: Ledger, task_id: str) -> list[dict[str, Any]]:
    """What is stored for each entry."""
    key = ledger.store.find(task_id)
    assert key is not None
    found = []
    for raw in ledger.store.raw_rows(key, 1, 100):
        output = raw[10] if raw[9] is None or raw[10] is not None else b"".join(ledger.store.artifact(key, raw[0]))
        found.append({"record": raw[1], "node": raw[2], "text": raw[6], "details": raw[8], "output": output})
    return found


def session_vectors(
    ledger: Ledger, task_id: str, inputs: Any, stored: list[dict[str, Any]], salts: list[bytes]
) -> dict[str, Any]:
    """All that stands for a session, position by position; bytes are base64, digests hexadecimal."""
    key = ledger.store.find(task_id)
    assert key is not None
    header = leaf_hash(key.header)
    positions: list[dict[str, Any]] = [
        {"record": key.header.decode(), "leaf": header.hex(), "node": header.hex(), "root": header.hex()}
    ]
    for position, (entry, row, salt) in enumerate(zip(inputs, stored, salts, strict=True), 1):
        parts = {name: encoded(row[name]) for name in ("text", "details", "output") if row[name]}
        positions.append(
            {
                "input": given(entry),
                "at": json.loads(row["record"])["at"],
                "salts": salt.hex(),
                "record": row["record"].decode(),
                "parts": parts,
                "leaf": leaf_hash(row["record"]).hex(),
                "node": row["node"].hex(),
                "root": ledger.root_at(task_id, position).root,
            }
        )
    session = ledger.session(task_id)
    return {
        "task_id": task_id,
        "positions": positions,
        "updated_at": session.updated_at,
        "criterion_states": {name: state.to_dict() for name, state in sorted(session.criterion_states.items())},
        "phase_blocks": {name: state.to_dict() for name, state in sorted(session.phase_blocks.items())},
    }


def given(entry: Entry) -> dict[str, Any]:
    """The entry as it was given to `append`; the output as base64."""
    fields = {name: getattr(entry, name) for name in Entry.FIELDS if getattr(entry, name)}
    return {**fields, "output": encoded(entry.output_bytes)}


def encoded(data: bytes) -> str:
    """Base64, or `large`."""
    return "large" if data == LARGE else base64.b64encode(data).decode()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
