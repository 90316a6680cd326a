"""Somebody who can write to the store and has no key: what the signer signs is true, or it signs nothing."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.checkpoints import SignerUnderTest
from support.contract import naive_root
from tallystick import Entry, Ledger, TallystickError
from tallystick.proof.headmap import map_key, map_root
from tallystick.stores.checkpoints import stored

NOTE = Entry(type="note")
CACHES = ("head_history", "local_task", "local_tile", "state", "checkpoint")
"""What a signer could believe in place of the records; the last as far as nobody signed it."""


class Hostile:
    """A SQLite ledger with some history, and somebody with a copy of its tables from before."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.path = folder / "ledger.db"
        self.signer = SignerUnderTest(folder / "config")
        self.chance = chance
        self.before: list[dict[str, list[tuple[Any, ...]]]] = []
        self.ledger = Ledger.open(str(self.path))
        for _ in range(chance.randrange(2, 5)):
            self.move()
            self.signer.sign(self.ledger)
        self.move()
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            self.connection.execute(f"DROP TRIGGER {name}")

    def move(self) -> None:
        for _ in range(self.chance.randrange(1, 6)):
            self.ledger.append(f"t{self.chance.randrange(6)}", [NOTE] * self.chance.randrange(1, 4))
        connection = sqlite3.connect(self.path)
        self.before.append({one: connection.execute(f"SELECT * FROM {one}").fetchall() for one in CACHES})
        connection.close()

    def close(self) -> None:
        self.connection.close()
        self.ledger.close()

    # --- what somebody does to it

    def roll_back(self) -> None:
        """One of the tables as it was at an earlier moment, or some rows of it."""
        table = self.chance.choice(CACHES[:-1])
        rows = self.chance.choice(self.before)[table]
        some = rows if self.chance.random() < 0.5 else self.chance.sample(rows, min(2, len(rows)))
        if some is rows:
            self.connection.execute(f"DELETE FROM {table}")
        self._insert(table, some)

    def empty(self) -> None:
        table = self.chance.choice(CACHES[:-1])
        self.connection.execute(f"DELETE FROM {table} {self.chance.choice(('', 'WHERE random() > 0'))}")

    def spoil(self) -> None:
        table, column, size = self.chance.choice(
            (("head_history", "root", 32), ("local_tile", "tile", 64), ("state", "edge", 32), ("local_task", "key", 32))
        )
        value = self.chance.randbytes(size)
        self.connection.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} IN (SELECT {column} FROM {table}"
            " ORDER BY random() LIMIT 1)",
            (value,),
        )

    def hide_a_move(self) -> None:
        """A kept head that is set to where its session stands: by the newest checkpoint, or a new row in an old one."""
        for session, position, edge in self.connection.execute(
            "SELECT session, position, edge FROM state WHERE key = '' ORDER BY random() LIMIT 2"
        ).fetchall():
            root = self.chance.choice((edge[-32:], bytes(32)))
            number = self.chance.randrange(1, self.ledger.store.log.size() + 2)
            self._insert("head_history", [(session, number, position, root)])

    def number_wrongly(self) -> None:
        table, column = self.chance.choice(
            (("head_history", "position"), ("head_history", "checkpoint"), ("state", "position"))
        )
        self.connection.execute(
            f"UPDATE OR IGNORE {table} SET {column} = max(0, {column} + ?) WHERE session = ?",
            (self.chance.choice((-1, 1, 2)), self.chance.randrange(1, 7)),
        )

    def forge_a_checkpoint(self) -> None:
        """One more that nobody signed, or an old one once more under the next number."""
        number = self.ledger.store.log.size() + 1
        rows = self.connection.execute("SELECT * FROM checkpoint ORDER BY random() LIMIT 1").fetchall()
        if rows:
            _, leaf, node, note, key = rows[0]
            later = leaf.replace(b'"at":"2', self.chance.choice((b'"at":"2', b'"at":"9')))
            self._insert("checkpoint", [(number, later, self.chance.choice((node, bytes(32))), note, key)])

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0])) if rows else ""
        for row in rows:
            self.connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)


@pytest.mark.parametrize("block", range(4))
def test_what_is_signed_is_true_whatever_was_written(tmp_path: Path, storm: bool, block: int) -> None:
    signed = refused = 0
    for seed in range(block * 1000, block * 1000 + (500 if storm else 25)):
        chance = random.Random(seed)
        (folder := tmp_path / str(seed)).mkdir()
        hostile = Hostile(folder, chance)
        acts: list[Callable[[], None]] = [
            *(hostile.roll_back, hostile.empty, hostile.spoil, hostile.hide_a_move),
            *(hostile.number_wrongly, hostile.forge_a_checkpoint),
        ]
        for _ in range(chance.randrange(1, 4)):
            chance.choice(acts)()
        size = hostile.ledger.store.log.size()
        try:
            made = hostile.signer.make(hostile.ledger)
        except TallystickError:
            refused += 1
            assert hostile.ledger.store.log.size() == size
        else:
            assert made is not None, seed
            leaf = stored(hostile.ledger.store.log, made.number).statement()
            assert (leaf.tasks, leaf.heads) == true_map(hostile.path), seed
            signed += 1
        hostile.close()
    assert signed
    assert refused


def true_map(path: Path) -> tuple[int, bytes]:
    """(tasks, root) of the map over the records alone: each session's newest, whatever else is written."""
    connection = sqlite3.connect(path)
    heads = []
    for number, task_id, header in connection.execute("SELECT number, task_id, header FROM session WHERE ledger = 1"):
        leaves = [header]
        low, high = number << 32, (number + 1) << 32
        leaves += [
            row[0]
            for row in connection.execute("SELECT record FROM record WHERE id > ? AND id < ? ORDER BY id", (low, high))
        ]
        heads.append((map_key(task_id), len(leaves) - 1, naive_root(leaves)))
    connection.close()
    return len(heads), map_root(sorted(heads))
