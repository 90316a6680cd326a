"""How a session's state changed between two of its positions, and which entries did it."""

from __future__ import annotations

from tallystick.model.frozen import Frozen, set_once
from tallystick.model.session import Replayer, sets_phase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Protocol

    from tallystick.model.entry import Entry, StateRecord

    class Placed(Protocol):
        """An entry and its place in the session."""

        @property
        def position(self) -> int:
            """Counted from 1."""

        @property
        def at(self) -> str:
            """When it was recorded (RFC 3339)."""

        @property
        def entry(self) -> Entry:
            """The entry."""


CRITERION, PHASE = "criterion", "phase"


class Cause(Frozen):
    """An entry that set a state, told in short."""

    __slots__ = FIELDS = ("position", "at", "type", "status", "reason")

    position: int
    at: str
    """When it was recorded (RFC 3339)."""
    type: str
    status: str
    reason: str

    def __init__(self, position: int, at: str, type: str, status: str = "", reason: str = "") -> None:
        set_once(self, "position", position)
        set_once(self, "at", at)
        set_once(self, "type", type)
        set_once(self, "status", status)
        set_once(self, "reason", reason)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return {name: getattr(self, name) for name in self.FIELDS}


class StateChange(Frozen):
    """What became of one criterion or phase."""

    __slots__ = FIELDS = ("kind", "id", "before", "after", "causes")

    kind: str
    """`criterion` or `phase`."""
    id: str
    before: StateRecord | None
    """Its state at the first position; None where it had none."""
    after: StateRecord | None
    """Its state at the second position; None where it had none."""
    causes: tuple[Cause, ...]
    """The entries between the two that set it, in order."""

    def __init__(
        self,
        kind: str,
        id: str,
        before: StateRecord | None,
        after: StateRecord | None,
        causes: tuple[Cause, ...],
    ) -> None:
        set_once(self, "kind", kind)
        set_once(self, "id", id)
        set_once(self, "before", before)
        set_once(self, "after", after)
        set_once(self, "causes", causes)

    @property
    def how(self) -> str:
        """`appeared`, `gone` (only where it is read backwards), `changed`, or `again`: set to the same status."""
        if self.before is None:
            return "appeared"
        if self.after is None:
            return "gone"
        return "again" if self.before.status == self.after.status else "changed"

    def to_dict(self) -> dict[str, Any]:
        """The change for JSON; `from` and `to` are None where there was no state."""
        return {
            "id": self.id,
            "how": self.how,
            "from": self.before.to_dict() if self.before else None,
            "to": self.after.to_dict() if self.after else None,
            "entries": [cause.to_dict() for cause in self.causes],
        }


def state_changes(entries: Iterable[Placed], first: int, second: int, *, rules: int) -> list[StateChange]:
    """Every criterion, then every phase, that an entry between two positions set; by id, in byte order.

    `entries` are the session's, from position 1 to the later of the two; `first` may be the later one. `rules` are
    what the session replays by.
    """
    early, late = sorted((first, second))
    replayer = Replayer(rules)
    causes: dict[tuple[str, str], list[Cause]] = {}
    states = _states(replayer)
    for placed in entries:
        replayer.add(placed.entry)
        if placed.position <= early:
            if placed.position == early:
                states = _states(replayer)
        elif placed.position <= late:
            entry = placed.entry
            for name in _set_by(entry, rules):
                cause = Cause(placed.position, placed.at, entry.type, entry.status, entry.reason)
                causes.setdefault(name, []).append(cause)
    ends = _states(replayer)
    if first > second:
        states, ends = ends, states
    return [
        StateChange(*name, states.get(name), ends.get(name), tuple(causes[name]))
        for name in sorted(causes, key=lambda name: (name[0], name[1].encode("utf-8", "surrogatepass")))
    ]


def _states(replayer: Replayer) -> dict[tuple[str, str], StateRecord]:
    found = {(CRITERION, id): state for id, state in replayer.criterion_states().items()}
    return found | {(PHASE, id): state for id, state in replayer.phase_blocks().items()}


def _set_by(entry: Entry, rules: int) -> Iterator[tuple[str, str]]:
    if entry.criterion_id:
        yield CRITERION, entry.criterion_id
    if sets_phase(rules, entry.type, entry.phase_id):
        yield PHASE, entry.phase_id
