"""What a ledger gives back: entries as it holds them, where a task stands, and a session's tree."""

from __future__ import annotations

from tallystick.errors import InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.record import missing_parts, open_entry
from tallystick.proof.merkle import leaf_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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


def open_row(row: Row, task_id: str, decode: Callable[[bytes], object], *, outputs: bool) -> Recorded:
    """The entry that a stored row stands for. Raises TamperedError where it cannot be read."""
    try:
        record = decode(row.record)
        entry = open_entry(record, row.sealed, outputs=outputs)
    except InputError as error:
        raise TamperedError(error.what, task_id=task_id, position=row.position) from None
    return Recorded(row.position, record.at, entry, missing_parts(record, row.sealed))  # type: ignore[attr-defined]
