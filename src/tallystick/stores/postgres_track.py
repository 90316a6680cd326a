"""What a store knows of a session of its own between appends, and an append that needs to know nothing else."""

from __future__ import annotations

from _thread import allocate_lock
from datetime import UTC, datetime
from functools import lru_cache

from tallystick.stores.appending import input_digest
from tallystick.stores.base import Tip, extend, pointer_keys
from tallystick.stores.group_commit import GroupCommit
from tallystick.stores.postgres_errors import Interrupted
from tallystick.stores.postgres_moving import INLINE_BYTES, INLINE_POINTERS
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import elements, int8, integers, row_values, statements_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tallystick.stores.appending import Standing, Work
    from tallystick.stores.base import Head, Row
    from tallystick.stores.group_commit import Request
    from tallystick.stores.postgres_connection import Link

KNOWN_POINTERS = 10_000
"""How many pointers of one session are remembered between appends."""
TRUE = b"\1"
_HEADER_BYTES, _ELEMENT_BYTES, _LENGTH_BYTES = 20, 12, 4
"""Of an array of numbers as PostgreSQL writes it: what comes before the elements, each of those, its own length."""


class Miss(Exception):
    """The session does not stand where it was thought to."""


class Track:
    """What a store knows of one of our sessions between appends. One thread at a time changes it."""

    __slots__ = (
        "commits",
        "digit",
        "key",
        "lock",
        "locking",
        "packed",
        "pointers",
        "standing",
        "statements",
        "task_id",
    )

    def __init__(self, ledger_id: str, task_id: str, perform: Callable[[Track, list[Request]], None]) -> None:
        self.task_id = task_id
        self.key = session_key(ledger_id, task_id)
        self.digit = partition_of(int.from_bytes(self.key))
        self.statements = statements_of(self.digit)
        self.lock = allocate_lock()
        """Held by the one thread that appends, or leads those that do."""
        self.commits = GroupCommit(lambda requests: perform(self, requests))
        self.standing: Standing | None = None
        """Where we left the session; None where we know nothing of it."""
        self.packed = b""
        """The tree's edge there."""
        self.pointers = HeadPointers()
        """The pointers in the head's row there."""
        self.locking = False
        """Whether others were met on this session the last time."""

    def accept(self, standing: Standing, packed: bytes, pointers: HeadPointers) -> None:
        """Remember where a commit of ours left the session."""
        standing.pointers.update(standing.moved)
        standing.moved = {}
        standing.new = False
        self.standing, self.packed, self.pointers = standing, packed, pointers
        self.forget_some()

    def forget_some(self) -> None:
        """Keep what is remembered of the session small."""
        if self.standing is not None and len(self.standing.pointers) > KNOWN_POINTERS:
            self.standing.pointers = self.pointers.positions()


class HeadPointers:
    """The pointers that lie in a head's own row: names and where they lead, in two arrays; others have rows of their own.

    The database places what is new (see `postgres_moving`), and this does as it does.
    """

    __slots__ = ("more", "packed", "size", "slots")

    def __init__(self, names: Iterable[str] = (), places: Iterable[int] = (), *, more: bool = False) -> None:
        self.slots = {name: slot for slot, name in enumerate(names)}
        """Where in the arrays each name stands."""
        self.packed = integers(places)
        """The second array, as PostgreSQL writes it."""
        self.size = sum(len(name.encode()) for name in self.slots)
        """The names' bytes."""
        self.more = more
        """Whether there are others."""

    @classmethod
    def unpack(cls, names: bytes | None, places: bytes | None, more: bytes | None) -> HeadPointers:
        """Those that the columns of a head's row hold. What leads nowhere counts as 0: verification tells of it."""
        known = [(name or b"").decode("utf-8", "replace") for name in elements(names)]
        found = [int.from_bytes(place or b"", "big", signed=True) for place in elements(places)]
        found += [0] * (len(known) - len(found))
        return cls(known, found[: len(known)], more=more == TRUE)

    def positions(self) -> dict[str, int]:
        """Where each leads."""
        return {name: int.from_bytes(self.packed[at : at + 8], "big") for name, at in self._offsets()}

    def _offsets(self) -> Iterable[tuple[str, int]]:
        return ((name, _offset(slot)) for name, slot in self.slots.items())

    def led(self, names: Sequence[str], position: int) -> bytes | None:
        """The second array once these lead to a position; None where one of them is not here."""
        packed, place = bytearray(self.packed), int8(position)
        for name in names:
            slot = self.slots.get(name)
            if slot is None:
                return None
            at = _offset(slot)
            packed[at : at + 8] = place
        return bytes(packed)

    def moved(self, moved: Mapping[str, int], known: Mapping[str, int]) -> HeadPointers:
        """Those after some have moved; `known`: those that were set before."""
        positions, more, size = self.positions(), self.more, self.size
        for name in sorted(moved, key=str.encode):
            length = len(name.encode())
            fits = len(positions) < INLINE_POINTERS and size + length <= INLINE_BYTES
            if name in positions:
                positions[name] = moved[name]
            elif name not in known and fits:
                positions[name] = moved[name]
                size += length
            else:
                more = True
        return HeadPointers(positions, positions.values(), more=more)


def _offset(slot: int) -> int:
    return _HEADER_BYTES + slot * _ELEMENT_BYTES + _LENGTH_BYTES


def append_alone(link: Link, track: Track, work: Work, now: str) -> Head | None:
    """One entry after the head that the track knows, by one statement. What `PostgresBatch` does, and nothing else.

    None where that does not decide it: nothing was written. Raises Miss where the session is elsewhere, Interrupted
    where nobody says that the commit is durable.
    """
    standing, draft = track.standing, work.drafts[0]
    if standing is None or not standing.tip.position:
        return None
    known = standing.tip
    if work.expected_position not in (None, known.position):
        raise Miss
    stands = track.pointers.led(
        pointer_keys(standing.rules, draft.type, draft.criterion_id, draft.phase_id), known.position + 1
    )
    if stands is None:
        return None
    tip = Tip(known.position, known.at, known.edge.copy())
    extension = extend(
        tip, work.drafts, now=now, rules=standing.rules, pointers=standing.pointers, defaults=work.defaults
    )
    row, packed, key = extension.rows[0], tip.edge.pack(), work.key
    salt, name = (None, None) if key is None else (key.salt, key.key.encode())
    parameters = append_values(track.key, (int8(known.position), track.packed), tip, packed, stands, row)
    parameters += (name, salt, None if salt is None else input_digest(work.drafts, salt))
    head = tip.head()
    link.unconfirmed = False
    work.attempts.append((tip.position, row.record))
    if link.run(track.statements.append_one, parameters).get_value(0, 0) != TRUE:
        work.attempts.pop()
        raise Miss
    if link.unconfirmed:
        raise Interrupted("no standby confirmed the commit")
    standing.tip, track.packed, track.pointers.packed = tip, packed, stands
    standing.pointers.update(extension.pointers)
    track.forget_some()
    return head


def append_values(
    key: bytes, known: tuple[bytes, bytes], tip: Tip, packed: bytes, stands: bytes, row: Row
) -> list[bytes | None]:
    """What `append` takes, but for the idempotency key: `known` is where the session stood, position and edge."""
    _, record, node, criterion, kind, *parts = row_values(row)
    return [key, *known, tip.at.encode(), packed, stands, record, node, criterion, kind, *parts]


def rfc3339(microseconds: int) -> str:
    """The moment, counted from 1970, as records carry it."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
