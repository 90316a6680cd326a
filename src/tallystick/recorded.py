"""What a ledger gives back: entries as it holds them, where a task stands, and a session's tree."""

from __future__ import annotations

from tallystick.errors import InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.record import BULK, missing_parts, open_entry, record_decoder
from tallystick.proof.merkle import leaf_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from tallystick.model.entry import Entry, StateRecord
    from tallystick.stores.base import Head, Row, SessionKey, Store


class Recorded(Frozen):
    """An entry as the ledger holds it."""

    FIELDS = ("position", "at", "entry", "erased")
    __slots__ = FIELDS

    position: int
    """Its place in the session, counted from 1."""
    at: str
    """When the store recorded it (RFC 3339, UTC)."""
    entry: Entry
    """The entry; erased parts read as empty."""
    erased: tuple[str, ...]
    """Which of `text`, `details`, `output` were erased."""

    def __init__(self, position: int, at: str, entry: Entry, erased: tuple[str, ...] = ()) -> None:
        set_once(self, "position", position)
        set_once(self, "at", at)
        set_once(self, "entry", entry)
        set_once(self, "erased", erased)


class Watched(Recorded):
    """An entry as it was appended, of one task among others."""

    FIELDS = (*Recorded.FIELDS, "task_id")  # type: ignore[assignment]
    __slots__ = ("task_id",)

    task_id: str
    """The task it was appended to."""

    def __init__(self, position: int, at: str, entry: Entry, erased: tuple[str, ...], task_id: str) -> None:
        super().__init__(position, at, entry, erased)
        set_once(self, "task_id", task_id)


class State(Frozen):
    """Where a task stands, from indexes alone."""

    FIELDS = ("task_id", "ledger_id", "head", "criteria", "phases")
    __slots__ = FIELDS

    task_id: str
    ledger_id: str
    head: Head
    """The session's head: what the state is as of."""
    criteria: dict[str, StateRecord]
    """The state of each criterion, by id, in byte order."""
    phases: dict[str, StateRecord]
    """The state of each phase, by id, in byte order."""

    def __init__(
        self,
        task_id: str,
        ledger_id: str,
        head: Head,
        criteria: dict[str, StateRecord],
        phases: dict[str, StateRecord],
    ) -> None:
        for name, value in zip(self.FIELDS, (task_id, ledger_id, head, criteria, phases), strict=True):
            set_once(self, name, value)


class StoredTree:
    """A session's tree, read from its store: what proofs are made from."""

    def __init__(self, store: Store, key: SessionKey) -> None:
        self._store = store
        self._key = key

    def leaf(self, index: int) -> bytes:
        """See `NodeReader.leaf`."""
        return leaf_hash(self._row(index).record if index else self._key.header)

    def node(self, index: int) -> bytes:
        """See `NodeReader.node`."""
        return self._row(index).node if index else self.leaf(0)

    def _row(self, position: int) -> Row:
        row = self._store.row(self._key, position)
        if row is None:
            raise TamperedError("the record is missing", task_id=self._key.task_id, position=position)
        return row


def records_of(rows: Sequence[Row], task_id: str, *, many: bool = False) -> Iterator[Any]:
    """What the record of each row says, in order. `many`: they are some of a great many, decoded together.

    Raises TamperedError at the first one that cannot be read.
    """
    decode = record_decoder(BULK if many else 1)
    if many:
        from tallystick.model.bulk import decode_many

        try:
            yield from decode_many([row.record for row in rows])
        except InputError:
            pass
        else:
            return
    for row in rows:
        try:
            yield decode(row.record)
        except InputError as error:
            raise TamperedError(error.what, task_id=task_id, position=row.position) from None


def open_row(row: Row, task_id: str, *, outputs: bool) -> Recorded:
    """The entry that a stored row stands for. Raises TamperedError if it cannot be read."""
    return open_record(row, next(records_of([row], task_id)), task_id, outputs=outputs)


def open_record(row: Row, record: Any, task_id: str, *, outputs: bool) -> Recorded:
    """The entry that a stored row stands for, its record read already. Raises TamperedError."""
    try:
        entry = open_entry(record, row.sealed, outputs=outputs)
    except InputError as error:
        raise TamperedError(error.what, task_id=task_id, position=row.position) from None
    return Recorded(row.position, record.at, entry, missing_parts(record, row.sealed))
