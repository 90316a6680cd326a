"""scafld's signed receipts in imported sessions, checked with keys that somebody trusts."""

from __future__ import annotations

import json
from pathlib import Path

from support.command import Notch

DATA = Path(__file__).parent.parent / "data/scafld"
KEYS = DATA / "trusted-keys.json"


def test_receipts_of_imported_sessions_hold(notch: Notch) -> None:
    notch("import", *(str(path) for path in sorted(DATA.glob("*.session.json"))))
    found = json.loads(notch("verify", "--trusted-keys", str(KEYS), "--json").stdout)
    assert found["ok"]
    assert {one["session"] for one in found["receipts"]} == {"add-cache", "fix-sub"}


def test_a_key_that_was_revoked_by_then_does_not_count(notch: Notch, tmp_path: Path) -> None:
    notch("import", str(DATA / "add-cache.session.json"))
    keys = json.loads(KEYS.read_text(encoding="utf-8"))
    keys["keys"][0]["revoked_at"] = "2026-11-24T10:44:00Z"
    revoked = tmp_path / "keys.json"
    revoked.write_text(json.dumps(keys), encoding="utf-8")
    told = notch("verify", "--trusted-keys", str(revoked), "add-cache", code=1).stdout
    assert told.startswith("fails  add-cache #17")
