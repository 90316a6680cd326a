"""Verified replay over a bare decode of the same records, and how much memory streaming takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from measure import Figure, entry, folder, interleaved, median, ratios
from tallystick import Ledger

FIELDS = ["id", "type", "recorded_at", "criterion_id", "phase_id", "status", "reason", "command", "exit_code", "output"]
Plain = msgspec.defstruct("Plain", [(name, int if name == "exit_code" else str) for name in FIELDS])


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file."""
    total = int(100_000 * max(scale, 0.3)) // 10_000 * 10_000
    with folder() as place:
        path = str(place / "ledger.db")
        with Ledger.open(path) as ledger:
            for start in range(0, total, 10_000):
                ledger.append("big", [entry(n) for n in range(start, start + 10_000)])
            blobs = _blobs(ledger)
            decode = msgspec.json.Decoder(Plain).decode
            pairs = interleaved(
                lambda: [decode(blob) for blob in blobs], lambda: ledger.verify("big"), max(5, int(11 * scale))
            )
            found = [one * total / len(blobs) for one in ratios(pairs)]
            rate = total / median([ours for _, ours in pairs])
            yield Figure(
                "verified replay ÷ bare decode of the same entries", median(found), ">= 0.25", f"{rate:,.0f}/s", found
            )
            text = json.dumps([json.loads(blob) for blob in blobs])
            peers = [
                one * total / len(blobs)
                for one in ratios(interleaved(lambda: json.loads(text), lambda: ledger.verify("big"), 5))
            ]
            yield Figure(
                "  peer: verified replay ÷ reading them with the standard library's json", median(peers), "", "", peers
            )
        yield Figure("memory of streaming verification, MB", _memory(path), "<= 40", f"{total:,} entries")


def _blobs(ledger: Ledger) -> list[bytes]:
    entries = ledger.session("big").entries[:30_000]
    return [msgspec.json.encode({name: getattr(one, name) for name in FIELDS}) for one in entries]


def _memory(path: str) -> float:
    program = (
        "import sys\nfrom tallystick import Ledger\n"
        "with Ledger.open(sys.argv[1], read_only=True) as ledger:\n    ledger.verify('big')\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
