"""What a store knows of a session of its own between appends, and an append that needs to know nothing else."""

from __future__ import annotations

from _thread import allocate_lock
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct

from tallystick.stores.appending import input_digest
from tallystick.stores.base import Tip, extend
from tallystick.stores.group_commit import GroupCommit
from tallystick.stores.postgres_errors import Interrupted
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import elements, int8, integers, row_values, statements_of, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from tallystick.stores.appending import Standing, Work
    from tallystick.stores.base import Head, Row
    from tallystick.stores.group_commit import Request
    from tallystick.stores.postgres_connection import Link

INLINE_POINTERS = 64
"""How many pointers lie in the head's own row, which every append writes anyway; more get rows of their own."""
INLINE_BYTES = 1_000
"""How long their names may be in all: a row over 2 kB would be compressed at every append."""
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
        "until",
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
        self.until = ""
        """Up to which time the database takes one entry without looking at its clock."""
        self.locking = False
        """Whether others were met on this session the last time."""

    def accept(self, standing: Standing, packed: bytes, pointers: HeadPointers, until: str) -> None:
        """Remember where a commit of ours left the session."""
        standing.pointers.update(standing.moved)
        standing.moved = {}
        standing.new = False
        self.standing, self.packed, self.pointers, self.until = standing, packed, pointers, until
        self.forget_some()

    def forget_some(self) -> None:
        """Keep what is remembered of the session small."""
        if self.standing is not None and len(self.standing.pointers) > KNOWN_POINTERS:
            self.standing.pointers = self.pointers.positions()


class HeadPointers:
    """The pointers in a head's own row: names and where they lead, in two arrays; others have rows of their own."""

    __slots__ = ("more", "names", "places", "size", "slots")

    def __init__(self, names: Iterable[str] = (), places: Iterable[int] = (), *, more: bool = False) -> None:
        self.slots = {name: slot for slot, name in enumerate(names)}
        """Where in the arrays each name stands."""
        self.names = texts(self.slots)
        """The first array, as PostgreSQL writes it."""
        self.places = integers(places)
        """The second one."""
        self.size = sum(len(name.encode()) for name in self.slots)
        """The names' bytes."""
        self.more = more
        """Whether there are others."""

    @classmethod
    def unpack(cls, names: bytes | None, places: bytes | None, more: bytes | None, known: HeadPointers) -> HeadPointers:
        """Those that the columns of a head's row hold; `known`: those that were there the last time.

        What leads nowhere counts as 0: verification tells of it.
        """
        if names == known.names and places is not None and known._is_like(places):
            return known._with(places, more=more == TRUE)
        there = [(name or b"").decode("utf-8", "replace") for name in elements(names)]
        found = [max(0, int.from_bytes(place or b"", "big", signed=True)) for place in elements(places)]
        found += [0] * (len(there) - len(found))
        return cls(there, found[: len(there)], more=more == TRUE)

    def _is_like(self, places: bytes) -> bool:
        """Whether it is an array of as many numbers as ours, none of them missing or below 0."""
        if len(places) != len(self.places) or places[:_HEADER_BYTES] != self.places[:_HEADER_BYTES]:
            return False
        if not self.slots:
            return True
        found = _elements(len(self.slots)).unpack_from(places, _HEADER_BYTES)
        return found[::2].count(8) == len(self.slots) and min(found) >= 0

    def _with(self, places: bytes, *, more: bool) -> HeadPointers:
        made = HeadPointers.__new__(HeadPointers)
        made.slots, made.names, made.size = self.slots, self.names, self.size
        made.places, made.more = places, more
        return made

    def positions(self) -> dict[str, int]:
        """Where each leads."""
        found = _elements(len(self.slots)).unpack_from(self.places, _HEADER_BYTES) if self.slots else ()
        return dict(zip(self.slots, found[1::2], strict=True))

    def led(self, moved: Mapping[str, int]) -> bytes | None:
        """The second array once these have moved; None where one of them is not here."""
        places = bytearray(self.places)
        for name, position in moved.items():
            slot = self.slots.get(name)
            if slot is None:
                return None
            at = _HEADER_BYTES + slot * _ELEMENT_BYTES + _LENGTH_BYTES
            places[at : at + 8] = int8(position)
        return bytes(places)

    def moved(self, moved: Mapping[str, int], known: Container[str]) -> tuple[HeadPointers, dict[str, int]]:
        """(those after some have moved, those of the moved ones that have or get rows of their own).

        `known`: the names of all that were set before. A pointer that has a row keeps it.
        """
        if (places := self.led(moved)) is not None:
            return self._with(places, more=self.more), {}
        positions, size, rows = self.positions(), self.size, {}
        for name, position in moved.items():
            length = 0 if name in positions else len(name.encode())
            fits = len(positions) < INLINE_POINTERS and size + length <= INLINE_BYTES
            if name in positions or (fits and name not in known):
                positions[name] = position
                size += length
            else:
                rows[name] = position
        return HeadPointers(positions, positions.values(), more=self.more or bool(rows)), rows


@lru_cache(INLINE_POINTERS + 1)
def _elements(count: int) -> Struct:
    """The elements of an array of that many numbers: length and number each."""
    return Struct(">" + "iq" * count)


def append_alone(link: Link, track: Track, work: Work, now: str) -> Head | None:
    """One entry after the head that the track knows, by one statement. What `PostgresBatch` does, and nothing else.

    None where that does not decide it: nothing was written. Raises Miss where the session is elsewhere, Interrupted
    where nobody says that the commit is durable.
    """
    standing = track.standing
    if standing is None or not standing.tip.position:
        return None
    known = standing.tip
    if work.expected_position not in (None, known.position):
        raise Miss
    tip = Tip(known.position, known.at, known.edge.copy())
    extension = extend(
        tip, work.drafts, now=now, rules=standing.rules, pointers=standing.pointers, defaults=work.defaults
    )
    stands = track.pointers.led(extension.pointers)
    if stands is None or tip.at > track.until:
        return None
    row, packed, key = extension.rows[0], tip.edge.pack(), work.key
    statement = track.statements.append_one
    parameters = append_values(track.key, (int8(known.position), track.packed), packed, stands, row)
    if key is not None:
        statement, salt = track.statements.append_keyed, key.salt
        parameters += (key.key.encode(), salt, None if salt is None else input_digest(work.drafts, salt))
    head = tip.head()
    link.unconfirmed = False
    work.attempts.append((tip.position, row.record))
    if link.run(statement, parameters).get_value(0, 0) != TRUE:
        work.attempts.pop()
        raise Miss
    if link.unconfirmed:
        raise Interrupted("no standby confirmed the commit")
    standing.tip, track.packed, track.pointers.places = tip, packed, stands
    standing.pointers.update(extension.pointers)
    track.forget_some()
    return head


def append_values(key: bytes, known: tuple[bytes, bytes], packed: bytes, stands: bytes, row: Row) -> list[bytes | None]:
    """What `append` takes, but for the idempotency key. `known`: where the session stood, position and edge."""
    _, record, node, *rest = row_values(row)
    return [key, *known, record, node, packed, stands, *rest]


def rfc3339(microseconds: int) -> str:
    """The moment, counted from 1970, as records carry it."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
