"""A bundle as a store: one session, read-only, verified whole before anything of it is shown."""

from __future__ import annotations

import time

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError
from tallystick.files import open_plain
from tallystick.model.header import decode_header
from tallystick.model.record import Sealed, decode_record
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.stores.base import HEAD_KEY, Row, SessionKey, Tip, pointer_keys
from tallystick.stores.bundle_lines import lines_of
from tallystick.stores.bundle_reader import MAGIC, BundleReader
from tallystick.stores.checkpoints import NoLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, NoReturn

    from tallystick.stores.base import Head
    from tallystick.stores.bundle_reader import BundledEntry, BundleVerdict

CHUNK_ROWS = 512


def is_bundle(path: str) -> bool:
    """Whether the file begins as bundles do. A database is told apart before it is ever opened so."""
    try:
        with open(open_plain(path), "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class BundleStore:
    """The session in a bundle. Raises what verifying it raises.

    It is held in memory: for a session of a million entries verify the file instead, which streams.
    """

    read_only = True

    def __init__(self, path: str) -> None:
        self.url = path
        self.log = NoLog()
        reader = BundleReader(lines_of(path), where=path)
        if reader.head is None:
            raise InputError("it shows that a task has no session, and holds none", where=path, advice="notch verify")
        self.ledger_id = reader.ledger_id
        self.head: Head = reader.head
        """The head that it leads to."""
        self._rows: list[Row] = []
        self._pointers: dict[str, int] = {}
        self._edge = Edge()
        self._edge.append(leaf_hash(reader.header))
        header = decode_header(reader.header)
        self._at = header.at
        for entry in reader.entries():
            self._take(entry, header.rules)
        self.verdict: BundleVerdict = reader.verdict()
        """What the bundle shows."""
        self._key = SessionKey(1, reader.ledger_id, reader.task_id, reader.header)

    def _take(self, entry: BundledEntry, rules: int) -> None:
        record = decode_record(entry.record)
        type_before = self._pointers.get(f"t{record.type}", 0)
        criterion_before = self._pointers.get(f"c{record.criterion_id}", 0) if record.criterion_id else 0
        for key in pointer_keys(rules, record.type, record.criterion_id, record.phase_id):
            self._pointers[key] = entry.position
        node = self._edge.append(leaf_hash(entry.record))
        sealed = Sealed()
        for part, data in entry.parts.items():
            setattr(sealed, part, data)
            setattr(sealed, f"{part}_salt", entry.salts[part])
        for part in entry.omitted:
            setattr(sealed, f"{part}_salt", b"")
        self._at = record.at
        self._rows.append(Row(entry.position, entry.record, node, criterion_before, type_before, sealed))

    def find(self, task_id: str, ledger_id: str = "") -> SessionKey | None:
        """See `Store.find`."""
        return self._key if task_id == self._key.task_id and ledger_id in ("", self.ledger_id) else None

    def ledgers(self) -> list[str]:
        """See `Store.ledgers`."""
        return [self.ledger_id]

    def sessions(self) -> Iterator[SessionKey]:
        """See `Store.sessions`."""
        yield self._key

    def newest_sessions(self, count: int) -> list[SessionKey]:
        """See `Store.newest_sessions`."""
        return [self._key][:count]

    def changes(
        self, known: Mapping[int, int], *, only: Sequence[str] | None = None, interval: float = 1.0
    ) -> Iterator[list[tuple[SessionKey, int]]]:
        """See `Store.changes`. A bundle never changes."""
        if (only is None or self._key.task_id in only) and len(self._rows) > known.get(1, -1):
            yield [(self._key, len(self._rows))]
        while True:
            yield []
            time.sleep(interval)

    def tip(self, session: SessionKey) -> Tip:  # noqa: ARG002 - there is one
        """See `Store.tip`."""
        return Tip(len(self._rows), self._at, self._edge.copy())

    def state_rows(self, session: SessionKey) -> tuple[int, list[tuple[str, int, str | None, bytes | None]]]:
        """See `Store.state_rows`."""
        tip = self.tip(session)
        pointers = [(key, position, None, None) for key, position in self._pointers.items()]
        return tip.position, [(HEAD_KEY, tip.position, tip.at, tip.edge.pack()), *pointers]

    def pointer(self, session: SessionKey, key: str) -> int:  # noqa: ARG002
        """See `Store.pointer`."""
        return self._pointers.get(key, 0)

    def rows(
        self,
        session: SessionKey,  # noqa: ARG002
        start: int = 1,
        stop: int | None = None,
        *,
        outputs: bool = True,  # noqa: ARG002 - they are in memory already
    ) -> Iterator[list[Row]]:
        """See `Store.rows`."""
        last = len(self._rows) if stop is None else min(stop, len(self._rows))
        for first in range(max(start, 1) - 1, last, CHUNK_ROWS):
            yield self._rows[first : min(first + CHUNK_ROWS, last)]

    def raw_rows(self, session: SessionKey, start: int, count: int) -> list[tuple[Any, ...]]:  # noqa: ARG002
        """See `Store.raw_rows`."""
        first = max(start, 1) - 1
        return [_raw(row) for row in self._rows[first : first + count - (start == 0)]]

    def row(self, session: SessionKey, position: int) -> Row | None:  # noqa: ARG002
        """See `Store.row`."""
        return self._rows[position - 1] if 0 < position <= len(self._rows) else None

    def artifact(self, session: SessionKey, position: int) -> Iterator[bytes]:  # noqa: ARG002
        """See `Store.artifact`. Outputs lie beside their records here."""
        return iter(())

    def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:  # noqa: ARG002
        """See `Store.faults`. What can be wrong was found on opening."""
        return iter(())

    def proofs(self, digest: bytes, limit: int | None = None) -> list[tuple[SessionKey, int]]:  # noqa: ARG002
        """See `Store.proofs`."""
        return []

    def remember_proofs(self, proofs: Sequence[tuple[bytes, SessionKey, int]]) -> None:  # noqa: ARG002
        """See `Store.remember_proofs`. A bundle remembers nothing."""
        return

    def _refuse(self) -> NoReturn:
        raise StoreUnavailableError(
            "a bundle is never written to", where=self.url, advice="import it into a ledger, or name a ledger"
        )

    def append(self, *_: object, **__: object) -> Head:
        """Raises StoreUnavailableError."""
        self._refuse()

    def create(self, *_: object) -> Head:
        """Raises StoreUnavailableError."""
        self._refuse()

    def erase(self, *_: object) -> Head:
        """Raises StoreUnavailableError."""
        self._refuse()

    def finish_erasures(self, *_: object, **__: object) -> None:
        """Raises StoreUnavailableError."""
        self._refuse()

    def unfinished_erasures(self) -> list[tuple[str, int]]:
        """None: nothing is ever erased in a bundle."""
        return []

    def close(self) -> None:
        """See `Store.close`."""


def _raw(row: Row) -> tuple[Any, ...]:
    sealed = row.sealed
    return (
        row.position,
        row.record,
        row.node,
        row.criterion_before,
        row.type_before,
        sealed.text_salt,
        sealed.text,
        sealed.details_salt,
        sealed.details,
        sealed.output_salt,
        sealed.output,
    )


def require_complete(store: BundleStore) -> None:
    """Raises InputError where parts were left out of the bundle: a ledger could not verify the rest."""
    if store.verdict.omitted:
        raise InputError(
            f"{store.verdict.omitted} parts were left out of the bundle",
            where=store.url,
            advice="ask for one made with --artifacts and without --omit; notch verify and log read it as it is",
        )


def open_bundle(path: str) -> BundleStore:
    """The store over a bundle's file. Raises NotFoundError where there is none."""
    try:
        return BundleStore(path)
    except FileNotFoundError:
        raise NotFoundError("no such file", where=path) from None
