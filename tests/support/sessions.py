"""Hypothesis strategies for entries and sessions, and the shared session files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tallystick.exchange.scafld_fields import ENTRY_25, ENTRY_EXTRAS
from tallystick.exchange.scafld_json import INTEGER
from tallystick.model import Entry, Rules, Session, replay

DATA = Path(__file__).parent.parent / "data"
LEDGERS = sorted((DATA / "scafld").glob("*.session.json"))

AWKWARD = (
    "<b>&amp;</b>",
    "\u2028\u2029",
    "\x00\x08\x0c\x1f\x7f",
    "a\r\nb\r\n",
    "é日本🎉",
    "\\\"'/",
    " \u00a0\u3000",
)
texts = st.one_of(st.text(max_size=12), st.sampled_from(AWKWARD))
"""Any text that can be written as UTF-8."""
ids = st.sampled_from(("", "", "a", "b", "ac1", "ac10", "ac2", "Z", "é", "🎉", "\uffee"))
types = st.one_of(st.sampled_from(("criterion", "phase", "run", "review", "note", "")), texts)
times = st.sampled_from(("", "2026-01-01T00:00:00Z", "2026-12-31T23:59:59+02:00", "t9"))
int64 = st.integers(-(2**63), 2**63 - 1)


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases of a file of replay vectors: `session` (dialect 2.3) or `scafld` (2.5)."""
    return [json.loads(line) for line in (DATA / name / "replay-vectors.jsonl").read_bytes().splitlines()]


@st.composite
def entries(draw: st.DrawFn, *, extras: bool = False) -> Entry:
    """An entry; with `extras` some of the fields that only dialect 2.5 has."""
    details = None
    if extras and draw(st.booleans()):
        chosen = draw(st.sets(st.sampled_from(ENTRY_EXTRAS), min_size=1, max_size=4))
        details = {"scafld": {name: draw(_extra(name)) for name in ENTRY_EXTRAS if name in chosen}}
    return Entry(
        id=draw(ids),
        type=draw(types),
        recorded_at=draw(times),
        criterion_id=draw(ids),
        phase_id=draw(ids),
        status=draw(st.one_of(st.sampled_from(("pass", "fail", "")), texts)),
        reason=draw(texts),
        provider=draw(texts),
        command=draw(texts),
        exit_code=draw(st.one_of(st.sampled_from((0, 1, -9)), int64)),
        output=draw(texts),
        path=draw(texts),
        details=details,
    )


def _extra(name: str) -> st.SearchStrategy[Any]:
    if name == "reviewed_scope":
        return st.lists(texts, min_size=1, max_size=3)
    if ENTRY_25.fields[name] is INTEGER:
        return int64.filter(bool)
    return texts.filter(bool)


@st.composite
def sessions(draw: st.DrawFn, *, extras: bool = False) -> Session:
    """A replayed session of up to five entries, by either set of rules."""
    return replay(
        Session(
            schema_version=draw(st.sampled_from((0, 1, 2))),
            task_id=draw(texts),
            created_at=draw(times),
            updated_at=draw(times),
            entries=draw(st.lists(entries(extras=extras), max_size=5)),
            rules=draw(st.sampled_from(Rules)),
        )
    )
