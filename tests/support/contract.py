"""What every store has to keep, and the stores that have to keep it.

`STORES` names the stores under test; each entry makes one in an empty folder. A new store is added there and
passes `tests/stores/test_store_contract*.py` as it stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import pytest

from support.postgres import postgres_under_test
from tallystick import Entry, Head, Ledger, TallystickError
from tallystick.clock import now

TABLES = ("ledger", "session", "record", "state", "artifact", "local_idempotency")
ENTRY = Entry(type="criterion", criterion_id="ac1", status="pass", reason="shown", command="true")


class StoreUnderTest(Protocol):
    """One ledger, empty at first, of one kind of store."""

    def open(
        self,
        create: bool = True,
        *,
        read_only: bool = False,
        clock: Callable[[], str] = now,
        random: Callable[[int], bytes] | None = None,
    ) -> Ledger:
        """A ledger of its own connections on the same store; closed at the end of the test."""

    def reopen(self) -> Ledger:
        """Close every ledger opened so far, and open the store anew."""

    def sql(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement behind the ledger's back (parameters as `?`), committed; the rows it gives."""

    def close(self) -> None:
        """Close every ledger opened so far."""


class _Opened:
    """The ledgers that a store under test has open."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ledgers: list[Ledger] = []

    def open(
        self,
        create: bool = True,
        *,
        read_only: bool = False,
        clock: Callable[[], str] = now,
        random: Callable[[int], bytes] | None = None,
    ) -> Ledger:
        chance = {} if random is None else {"random": random}
        ledger = Ledger.open(self.url, create=create, read_only=read_only, clock=clock, **chance)
        self._ledgers.append(ledger)
        return ledger

    def reopen(self) -> Ledger:
        self.close()
        return self.open(create=False)

    def close(self) -> None:
        while self._ledgers:
            self._ledgers.pop().close()


class SqliteUnderTest(_Opened):
    """A ledger in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        super().__init__(str(self.path))

    def sql(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(statement, arguments).fetchall()
        finally:
            connection.close()


@contextmanager
def _sqlite(folder: Path) -> Iterator[StoreUnderTest]:
    store = SqliteUnderTest(folder)
    yield store
    store.close()


STORES: dict[str, Callable[[Path], Any]] = {"postgres": postgres_under_test, "sqlite": _sqlite}


class Clock:
    """A clock that shows what it is told to, as `Ledger.open(clock=…)` wants it."""

    def __init__(self, minute: int = 0) -> None:
        self.minute = minute

    def __call__(self) -> str:
        return f"2026-01-{1 + self.minute // 1440:02}T{self.minute // 60 % 24:02}:{self.minute % 60:02}:00.000000Z"


class Chance:
    """Random bytes that are the same on every machine."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, count: int) -> bytes:
        first, self._count = self._count, self._count + -(-count // 32)
        blocks = (sha256(self._seed + n.to_bytes(8, "big")).digest() for n in range(first, self._count))
        return b"".join(blocks)[:count]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash as RFC 6962 section 2.1 defines it, over the leaves' data."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def leaves(ledger: Ledger, task_id: str) -> list[bytes]:
    """The header's and the records' bytes, as stored."""
    key = ledger.store.find(task_id)
    assert key is not None
    rows = ledger.store.raw_rows(key, 1, 1_000_000)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return [key.header, *(row[1] for row in rows)]


def naive_head(ledger: Ledger, task_id: str, position: int | None = None) -> Head:
    """The head at a position (the last by default), worked out from the stored bytes alone."""
    stored = leaves(ledger, task_id)
    covered = stored if position is None else stored[: position + 1]
    return Head(len(covered) - 1, naive_root(covered).hex())


def everything(store: StoreUnderTest) -> list[list[tuple[Any, ...]]]:
    """Every row of every table."""
    return [sorted(store.sql(f"SELECT * FROM {table}"), key=repr) for table in TABLES]


@contextmanager
def nothing_written(store: StoreUnderTest) -> Iterator[None]:
    """Fails where the store is not afterwards as it was before."""
    before = everything(store)
    yield
    assert everything(store) == before


@contextmanager
def refused(store: StoreUnderTest, error: type[TallystickError], words: str = "") -> Iterator[Any]:
    """An error of this very class, in one line, that leaves the store as it was."""
    with nothing_written(store), pytest.raises(error, match=words or None) as caught:
        yield caught
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
