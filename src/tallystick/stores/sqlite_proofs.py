"""Where in a SQLite ledger passing results stand, by what they were results of: so that none is made twice.

An index of this store alone: no proof covers it, whatever it finds is verified where it stands, and it can be made
anew from the records.
"""

from __future__ import annotations

from tallystick.stores.base import SessionKey
from tallystick.stores.sqlite_schema import POSITION_BITS, POSITION_MASK, SINCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from typing import Any

    Query = Callable[..., list[Any]]


def remember(connection: sqlite3.Connection, proofs: Sequence[tuple[bytes, SessionKey, int]]) -> None:
    """Keep (digest, session, position) of results. In the caller's transaction."""
    connection.executemany(
        "INSERT OR IGNORE INTO local_proof (digest, record) VALUES (?, ?)",
        [(digest, (session.number << POSITION_BITS) + position) for digest, session, position in proofs],
    )


def find(query: Query, digest: bytes, limit: int | None) -> list[tuple[SessionKey, int]]:
    """See `Store.proofs`."""
    ((version,),) = query("PRAGMA user_version")
    if version < SINCE["local_proof"]:
        return []
    rows = query(
        "SELECT s.number, l.ledger_id, s.task_id, s.header, p.record FROM local_proof p"
        f" JOIN session s ON s.number = p.record >> {POSITION_BITS} JOIN ledger l ON l.number = s.ledger"
        " WHERE p.digest = ? ORDER BY p.record DESC LIMIT ?",
        (digest, -1 if limit is None else limit),
    )
    return [(SessionKey(*row[:4]), row[4] & POSITION_MASK) for row in rows]
