"""A task's entries in order, and the state replayed from them."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType

from tallystick.model.entry import Entry, StateRecord
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Protocol

    class Replayable(Protocol):
        """What the fold looks at in an entry, or in a record of one."""

        @property
        def id(self) -> str: ...
        @property
        def type(self) -> str: ...
        @property
        def recorded_at(self) -> str: ...
        @property
        def criterion_id(self) -> str: ...
        @property
        def phase_id(self) -> str: ...
        @property
        def status(self) -> str: ...


class Rules(IntEnum):
    """The rules a session replays by, for ever. They differ in which entries set a phase."""

    V1 = 1
    """Any entry with a `phase_id`."""
    V2 = 2
    """Only an entry of type `phase`."""


class Origin(Frozen):
    """Where an imported session came from. Immutable."""

    FIELDS = ("format", "dialect", "schema_version", "updated_at", "entries", "ledger_error")
    __slots__ = FIELDS

    format: str
    """The format it was read from: `scafld`."""
    dialect: str
    """`2.3` or `2.5`."""
    schema_version: int
    """As the file had it."""
    updated_at: str
    """As the file had it."""
    entries: str
    """`null` or `[]` where the file had no entries, else empty."""
    ledger_error: str
    """What the file itself said is wrong with its receipt chain."""

    def __init__(
        self,
        format: str = "",
        dialect: str = "",
        schema_version: int = 0,
        updated_at: str = "",
        entries: str = "",
        ledger_error: str = "",
    ) -> None:
        set_once(self, "format", format)
        set_once(self, "dialect", dialect)
        set_once(self, "schema_version", schema_version)
        set_once(self, "updated_at", updated_at)
        set_once(self, "entries", entries)
        set_once(self, "ledger_error", ledger_error)

    def to_dict(self) -> dict[str, Any]:
        """Fields in the header's order, empty ones left out."""
        return {name: value for name in self.FIELDS if (value := getattr(self, name))}


def sets_phase(rules: int, type_: str, phase_id: str) -> bool:
    """Whether an entry of this type with this phase sets the phase's state."""
    return bool(phase_id) and (rules == Rules.V1 or type_ == "phase")


class Replayer:
    """The fold from entries to state: one entry at a time, in order.

    It keeps, per criterion and phase, the last entry that set it; `reason` is read only from those.
    """

    __slots__ = ("criteria", "last", "phases", "position", "rules")

    def __init__(self, rules: int = Rules.V1, position: int = 0) -> None:
        self.rules = rules
        self.position = position
        self.last: Any = None
        self.criteria: dict[str, tuple[int, Any]] = {}
        self.phases: dict[str, tuple[int, Any]] = {}

    def add(self, entry: Replayable) -> None:
        """Take the next entry."""
        self.position += 1
        self.last = entry
        if entry.criterion_id:
            self.criteria[entry.criterion_id] = (self.position, entry)
        if sets_phase(self.rules, entry.type, entry.phase_id):
            self.phases[entry.phase_id] = (self.position, entry)

    def criterion_states(self) -> dict[str, StateRecord]:
        """The state of every criterion named so far."""
        return {key: state_of(entry, position) for key, (position, entry) in self.criteria.items()}

    def phase_blocks(self) -> dict[str, StateRecord]:
        """The state of every phase set so far."""
        return {key: state_of(entry, position) for key, (position, entry) in self.phases.items()}

    def updated_at(self, before: str) -> str:
        """The last entry's `recorded_at`; `before` where that is empty or there was none."""
        return (self.last.recorded_at if self.last is not None else "") or before


def state_of(entry: Any, position: int) -> StateRecord:
    """The state that an entry leaves behind."""
    return StateRecord(
        status=entry.status or entry.type,
        reason=entry.reason,
        updated_at=entry.recorded_at,
        source_id=entry.id or entry.type,
        position=position,
    )


class Session(Frozen):
    """A task's entries in order, and the state replayed from them. Immutable."""

    FIELDS = (
        "schema_version",
        "task_id",
        "created_at",
        "updated_at",
        "entries",
        "criterion_states",
        "phase_blocks",
        "rules",
        "origin",
    )
    __slots__ = FIELDS

    schema_version: int
    """1; an imported session keeps the file's."""
    task_id: str
    """The task it belongs to."""
    created_at: str
    """When it was begun (RFC 3339, or as an import had it)."""
    updated_at: str
    """The last entry's `recorded_at`."""
    entries: tuple[Entry, ...]
    """In order; position n is `entries[n - 1]`."""
    criterion_states: Mapping[str, StateRecord]
    """The state of each criterion, by id."""
    phase_blocks: Mapping[str, StateRecord]
    """The state of each phase, by id."""
    rules: Rules
    """What it replays by; not in the session file."""
    origin: Origin | None
    """Where it was imported from; not in the session file."""

    def __init__(
        self,
        *,
        schema_version: int = 1,
        task_id: str = "",
        created_at: str = "",
        updated_at: str = "",
        entries: Iterable[Entry] = (),
        criterion_states: Mapping[str, StateRecord] | None = None,
        phase_blocks: Mapping[str, StateRecord] | None = None,
        rules: Rules = Rules.V1,
        origin: Origin | None = None,
    ) -> None:
        set_once(self, "schema_version", schema_version)
        set_once(self, "task_id", task_id)
        set_once(self, "created_at", created_at)
        set_once(self, "updated_at", updated_at)
        set_once(self, "entries", tuple(entries))
        set_once(self, "criterion_states", MappingProxyType(dict(criterion_states or {})))
        set_once(self, "phase_blocks", MappingProxyType(dict(phase_blocks or {})))
        set_once(self, "rules", Rules(rules))
        set_once(self, "origin", origin)

    def with_entry(self, entry: Entry) -> Session:
        """A replayed copy with one entry more; this session stays as it was."""
        return replay(self.replace(entries=(*self.entries, entry)))

    def __repr__(self) -> str:
        return (
            f"Session(task_id={self.task_id!r}, {len(self.entries)} entries, "
            f"criterion_states={dict(self.criterion_states)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (kind, fields) = super().__reduce__()
        states = {name: dict(fields[name]) for name in ("criterion_states", "phase_blocks")}
        return rebuild, (kind, {**fields, **states})


def new_session(task_id: str, now: str) -> Session:
    """An empty session, created and updated at `now` (RFC 3339)."""
    return Session(task_id=task_id, created_at=now, updated_at=now)


def replay(session: Session, rules: Rules | None = None) -> Session:
    """A copy with `criterion_states` and `phase_blocks` rebuilt from the entries alone.

    `rules` None: the session's own. Nothing of the old indexes survives.
    """
    replayer = Replayer(session.rules if rules is None else Rules(rules))
    for entry in session.entries:
        replayer.add(entry)
    return session.replace(
        updated_at=replayer.updated_at(session.updated_at),
        criterion_states=replayer.criterion_states(),
        phase_blocks=replayer.phase_blocks(),
        rules=Rules(replayer.rules),
    )


def ordered_criterion_ids(session: Session) -> list[str]:
    """The criteria that have a state, in byte order of their UTF-8."""
    return sorted(session.criterion_states, key=lambda key: key.encode("utf-8", "surrogatepass"))
