"""scafld's session file, read and written byte for byte, in both of its dialects.

`2.3` (scafld 2.3.2 to 2.4.6) is the base format; its sessions replay by rules V1. `2.5` (since 2.5.2) has
more fields and a chain of signed receipts, and replays by rules V2. What only 2.5 says of an entry lies in
`details.scafld`; what it says of states and of the chain is computed.
"""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.exchange.scafld_fields import (
    DIALECTS,
    ENTRY_EXTRAS,
    SESSION_23,
    SESSION_25,
    SESSION_EXTRAS,
    STATE_EXTRAS,
)
from tallystick.exchange.scafld_json import parse, read
from tallystick.exchange.scafld_write import dumps
from tallystick.model import Entry, Origin, Replayer, Rules, Session, replay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.model import StateRecord

__all__ = [
    "DIALECTS",
    "Reading",
    "comparable",
    "dumps",
    "loads",
    "read_session",
    "require_importable",
    "same_history",
]

FORMAT = "scafld"


class Reading:
    """What was read from a session file."""

    __slots__ = ("dropped", "session")

    def __init__(self, session: Session, dropped: Mapping[str, int]) -> None:
        self.session = session
        """The session, replayed."""
        self.dropped = dropped
        """How often a field that the dialect does not have was passed over, by its path (`entries.note`)."""


def loads(data: bytes, dialect: str | None = None, *, rules: Rules | None = None, where: str = "") -> Session:
    """The session that a file holds, replayed.

    `dialect` is `2.3` or `2.5`, None to tell by the file; `rules` None: those the dialect and the file tell.
    Raises InputError naming `where` and line and column or path for malformed JSON and wrong types.
    """
    return read_session(data, dialect, rules=rules, where=where).session


def read_session(data: bytes, dialect: str | None = None, *, rules: Rules | None = None, where: str = "") -> Reading:
    """As `loads`, and what was passed over."""
    if dialect is not None and dialect not in DIALECTS:
        raise InputError(f"no such dialect: {dialect!r}", advice=f"one of {', '.join(DIALECTS)}")
    dropped: dict[str, int] = {}
    fields = read(SESSION_23 if dialect == "2.3" else SESSION_25, parse(data, where), where, dropped)
    told = dialect or ("2.5" if _has_extras(fields) else "2.3")
    listed = fields.get("entries")
    entries = tuple(map(_entry, listed or ()))
    if rules is None:
        rules = Rules.V1 if told == "2.3" else Rules.V2
        if dialect is None and told == "2.5" and _only_v1_gives(fields.get("phase_blocks") or {}, entries):
            rules = Rules.V1
    origin = Origin(
        format=FORMAT,
        dialect=told,
        schema_version=fields.get("schema_version", 0),
        updated_at=fields.get("updated_at", ""),
        entries="null" if listed is None else "" if listed else "[]",
        ledger_error=fields.get("ledger_error", ""),
    )
    session = Session(
        schema_version=origin.schema_version,
        task_id=fields.get("task_id", ""),
        created_at=fields.get("created_at", ""),
        updated_at=origin.updated_at,
        entries=entries,
        rules=rules,
        origin=origin,
    )
    return Reading(replay(session), dropped)


_ENTRY_EXTRAS = frozenset(ENTRY_EXTRAS)
_STATE_EXTRAS = frozenset(STATE_EXTRAS)


def _has_extras(fields: dict[str, Any]) -> bool:
    """Whether a file has any field that only dialect 2.5 has."""
    if any(name in fields for name in SESSION_EXTRAS):
        return True
    if any(not _ENTRY_EXTRAS.isdisjoint(entry) for entry in fields.get("entries") or ()):
        return True
    states = [*(fields.get("criterion_states") or {}).values(), *(fields.get("phase_blocks") or {}).values()]
    return any(not _STATE_EXTRAS.isdisjoint(state) for state in states)


def _entry(fields: dict[str, Any]) -> Entry:
    if _ENTRY_EXTRAS.isdisjoint(fields):
        return Entry(**fields)
    extras = {name: value for name in ENTRY_EXTRAS if (value := fields.get(name))}
    base = {name: value for name, value in fields.items() if name not in _ENTRY_EXTRAS}
    return Entry(**base, details={FORMAT: extras} if extras else None)


def _only_v1_gives(stated: dict[str, dict[str, Any]], entries: Iterable[Entry]) -> bool:
    """Whether a file's own phases are what rules V1, but not V2, make of its entries."""
    v1, v2 = Replayer(Rules.V1), Replayer(Rules.V2)
    for entry in entries:
        v1.add(entry)
        v2.add(entry)
    return not _same_states(v2.phase_blocks(), stated) and _same_states(v1.phase_blocks(), stated)


def _same_states(replayed: Mapping[str, StateRecord], stated: dict[str, dict[str, Any]]) -> bool:
    names = ("status", "reason", "updated_at", "source_id")
    return replayed.keys() == stated.keys() and all(
        getattr(state, name) == stated[key].get(name, "") for key, state in replayed.items() for name in names
    )


def require_importable(session: Session, *, where: str = "") -> Session:
    """The session, where a ledger can hold it.

    Raises InputError for an empty `task_id`, NUL in an id and a `schema_version` above 1.
    """
    if not session.task_id:
        raise InputError("the session has no task_id", where=where, advice="name its task with -t")
    if session.schema_version > 1:
        raise InputError(
            f"schema_version {session.schema_version} is not read, 1 is",
            where=where,
            advice="another generation of scafld wrote it; import what scafld 2.3 or later writes",
        )
    if "\0" in session.task_id:
        raise InputError("task_id has a NUL character", where=where)
    for index, entry in enumerate(session.entries):
        for name in ("id", "type", "criterion_id", "phase_id"):
            if "\0" in getattr(entry, name):
                path = f"entries[{index}].{name}"
                raise InputError("NUL character", where=f"{where}: {path}" if where else path)
    return session


def same_history(old: Session, new: Session, *, where: str = "") -> tuple[Entry, ...]:
    """The entries that a file imported again has beyond those imported before.

    `old` is the session as a ledger holds it, `new` the file as read. `trust_status` and `trust_reason` are
    not compared: scafld rewrites them. Raises InputError naming the first position at which the two differ, 0
    for what the session itself says; so also where entries were appended to `old` since.
    """
    if problem := _header_difference(old, new):
        raise InputError(f"at position 0 {problem}", where=where, advice="import it as another task with -t")
    for position, (had, has) in enumerate(zip(old.entries, new.entries, strict=False), start=1):
        if name := _difference(had, has):
            raise InputError(f"at position {position} the file's {name} is not what the ledger has", where=where)
    if len(old.entries) > len(new.entries):
        raise InputError(
            f"the ledger's session has an entry at position {len(new.entries) + 1} that the file does not",
            where=where,
        )
    return new.entries[len(old.entries) :]


def _header_difference(old: Session, new: Session) -> str:
    if old.origin is None or old.origin.format != FORMAT:
        return "the ledger has a session of its own, not an import"
    for what, had, has in (
        ("task_id", old.task_id, new.task_id),
        ("created_at", old.created_at, new.created_at),
        ("schema_version", old.schema_version, new.schema_version),
    ):
        if had != has:
            return f"the file's {what} is {has!r}, not {had!r} as the ledger has"
    return ""


def comparable(entry: Entry) -> Entry:
    """The entry without `trust_status` and `trust_reason`, which scafld rewrites when it replays."""
    extras = entry.details.get(FORMAT)
    if not isinstance(extras, dict) or _TRUST.isdisjoint(extras):
        return entry
    kept = {name: value for name, value in extras.items() if name not in _TRUST}
    rest = {name: value for name, value in entry.details.items() if name != FORMAT}
    return entry.replace(details={**rest, FORMAT: kept} if kept else rest)


_TRUST = frozenset(("trust_status", "trust_reason"))


def _difference(had: Entry, has: Entry) -> str:
    """The first field that two entries differ in, but for trust; empty for none."""
    had, has = comparable(had), comparable(has)
    if had == has:
        return ""
    for name in Entry.FIELDS[:-1]:
        if getattr(had, name) != getattr(has, name):
            return name
    was, now = had.details.get(FORMAT) or {}, has.details.get(FORMAT) or {}
    return next((name for name in ENTRY_EXTRAS if was.get(name) != now.get(name)), "details")
