"""What verification finds: what is wrong, and what was verified."""

from __future__ import annotations

from tallystick.errors import TamperedError
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.stores.base import Head


class Fault(Frozen):
    """One thing that is wrong."""

    FIELDS = ("task_id", "position", "what")
    __slots__ = FIELDS

    task_id: str
    """The task; empty for the store itself."""
    position: int | None
    """The entry; None for the session or the store as a whole."""
    what: str
    """What is wrong, in a few words."""

    def __init__(self, task_id: str, position: int | None, what: str) -> None:
        set_once(self, "task_id", task_id)
        set_once(self, "position", position)
        set_once(self, "what", what)

    def __str__(self) -> str:
        where = self.task_id if self.position is None else f"{self.task_id} at position {self.position}"
        return f"{where}: {self.what}" if where else self.what


class Verified(Frozen):
    """What verifying a session found."""

    FIELDS = ("task_id", "ledger_id", "head", "erased", "faults", "closed")
    __slots__ = FIELDS

    task_id: str
    ledger_id: str
    head: Head
    """The head that the records themselves lead to."""
    erased: int
    """How many sealed parts were erased, each named by a redaction."""
    faults: tuple[Fault, ...]
    """Everything wrong, in order of position; empty for a clean session."""
    closed: bool
    """Whether a later version wrote to it: its hashes hold, but this version gives no verdict."""

    def __init__(
        self, task_id: str, ledger_id: str, head: Head, erased: int, faults: tuple[Fault, ...], closed: bool
    ) -> None:
        for name, value in zip(self.FIELDS, (task_id, ledger_id, head, erased, faults, closed), strict=True):
            set_once(self, name, value)


def raise_first(faults: Iterable[Fault]) -> None:
    """Raises TamperedError for the first fault, saying how many more there are."""
    found = list(faults)
    if found:
        first, more = found[0], len(found) - 1
        rest = f" ({more} more fault{'s' if more > 1 else ''})" if more else ""
        raise TamperedError(first.what + rest, task_id=first.task_id, position=first.position)
