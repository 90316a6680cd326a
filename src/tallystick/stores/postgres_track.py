"""What a store knows of a session of its own between appends, and an append that needs to know nothing else."""

from __future__ import annotations

import json
from _thread import allocate_lock
from datetime import UTC, datetime
from functools import lru_cache

from tallystick.errors import TamperedError
from tallystick.stores.appending import input_digest
from tallystick.stores.base import Tip, extend, pointer_keys
from tallystick.stores.group_commit import GroupCommit
from tallystick.stores.postgres_errors import Interrupted
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import int8, integers, row_values, statements_of, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tallystick.stores.appending import Standing, Work
    from tallystick.stores.base import Head
    from tallystick.stores.group_commit import Request
    from tallystick.stores.postgres_connection import Link

INLINE_POINTERS = 64
"""How many pointers lie in the head's own row, which every append writes anyway; more get rows of their own."""
INLINE_BYTES = 1_000
"""How long their keys may be in all: a row over 2 kB would be compressed at every append."""
KNOWN_POINTERS = 10_000
"""How many pointers of one session are remembered between appends."""
MORE = ""
"""Among the pointers in the head's row: whether there are rows of their own."""
_MORE = '"":1,'
"""The same, written: the empty key sorts first."""
_quote = json.encoder.encode_basestring_ascii


class Miss(Exception):
    """The session does not stand where it was thought to."""


class Track:
    """What a store knows of one of our sessions between appends. One thread at a time changes it."""

    __slots__ = (
        "commits",
        "digit",
        "inline",
        "key",
        "lock",
        "locking",
        "more",
        "packed",
        "pieces",
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
        self.inline: dict[str, int] = {}
        """The pointers in the head's row."""
        self.pieces: dict[str, str] = {}
        """Each of those as it is written, in the order in which they are; empty where that has to be made anew."""
        self.more = False
        """Whether there are pointers in rows of their own."""
        self.locking = False
        """Whether others were met on this session the last time."""

    def accept(self, standing: Standing, packed: bytes, inline: dict[str, int], more: bool) -> None:
        """Remember where a commit of ours left the session."""
        standing.pointers.update(standing.moved)
        standing.moved = {}
        standing.new = False
        self.standing, self.packed, self.inline, self.more = standing, packed, inline, more
        self.pieces = {}
        self.forget_some()

    def forget_some(self) -> None:
        """Keep what is remembered of the session small."""
        if self.standing is not None and len(self.standing.pointers) > KNOWN_POINTERS:
            self.standing.pointers = dict(self.inline)


def append_alone(link: Link, track: Track, work: Work, now: str) -> Head:
    """One entry after the head that the track knows, by one statement. What `PostgresBatch` does, and nothing else.

    Raises Miss, having written nothing, wherever that does not decide it, Interrupted where nobody says that the
    commit is durable.
    """
    standing, draft = track.standing, work.drafts[0]
    if standing is None or not standing.tip.position:
        raise Miss
    if work.expected_position not in (None, standing.tip.position):
        raise Miss
    if track.more:
        _learn(link, track, pointer_keys(standing.rules, draft.type, draft.criterion_id, draft.phase_id))
    known = standing.tip
    tip = Tip(known.position, known.at, known.edge.copy())
    extension = extend(
        tip, work.drafts, now=now, rules=standing.rules, pointers=standing.pointers, defaults=work.defaults
    )
    row, moved = extension.rows[0], extension.pointers
    inline, rows = place_pointers(track.inline, moved, standing.pointers)
    pieces, more = _written(track, inline, moved), track.more or bool(rows)
    packed, position = tip.edge.pack(), int8(tip.position)
    parameters: list[bytes | None] = [track.key, int8(known.position), track.packed, position, tip.at.encode(), packed]
    parameters += (_joined(pieces.values(), more), *row_values(row)[1:])
    statements, key = track.statements, work.key
    statement = statements.append_one
    if key is not None or rows:
        statement = statements.append_placed if rows else statements.append_keyed
        salt, name = (None, None) if key is None else (key.salt, key.key.encode())
        parameters += (name, salt, None if salt is None else input_digest(work.drafts, salt))
        if rows:
            parameters += (texts(rows), integers(rows.values()))
    head = tip.head()
    link.unconfirmed = False
    work.attempts.append((tip.position, row.record))
    if not link.run(statement, parameters).command_tuples:
        work.attempts.pop()
        raise Miss
    if link.unconfirmed:
        raise Interrupted("no standby confirmed the commit")
    standing.tip, track.packed, track.inline, track.pieces, track.more = tip, packed, inline, pieces, more
    standing.pointers.update(moved)
    track.forget_some()
    return head


def _learn(link: Link, track: Track, keys: list[str]) -> None:
    """Read those of the pointers that nobody here knows.

    They move with the head alone: what is read now is what stood there, or the head is no longer what it was.
    """
    assert track.standing is not None
    pointers = track.standing.pointers
    missing = [key for key in keys if key not in pointers]
    if missing:
        found = link.run(track.statements.pointers, (track.key, texts(missing)))
        for row in range(found.ntuples):
            key, position = found.get_value(row, 0), found.get_value(row, 1)
            pointers[(key or b"").decode()] = int.from_bytes(position or b"", "big")


def place_pointers(
    inline: dict[str, int], moved: dict[str, int], known: dict[str, int]
) -> tuple[dict[str, int], dict[str, int]]:
    """(the pointers that lie in the head's row from now on, those of the moved ones that get rows of their own).

    A pointer that has a row keeps it.
    """
    placed, rows = inline.copy(), {}
    for key, position in moved.items():
        if key in placed or (key not in known and fits(placed, key)):
            placed[key] = position
        else:
            rows[key] = position
    return placed, rows


def fits(inline: dict[str, int], key: str) -> bool:
    """Whether one more pointer goes into the head's row."""
    return len(inline) < INLINE_POINTERS and sum(map(len, inline)) + len(key) <= INLINE_BYTES


def _written(track: Track, inline: dict[str, int], moved: dict[str, int]) -> dict[str, str]:
    """The pointers of the head's row as they are written, in order."""
    if len(track.pieces) != len(inline):
        return {key: f"{_quote(key)}:{position}" for key, position in sorted(inline.items())}
    pieces = track.pieces.copy()
    for key, position in moved.items():
        if key in pieces:
            pieces[key] = f"{_quote(key)}:{position}"
    return pieces


def _joined(pieces: Iterable[str], more: bool) -> bytes:
    return f"{{{_MORE if more else ''}{','.join(pieces)}}}".encode()


def pack_pointers(inline: dict[str, int], more: bool) -> bytes:
    """The pointers of a head's row: compact JSON with sorted keys, ASCII."""
    pieces = [f"{_quote(key)}:{position}" for key, position in sorted(inline.items())]
    return _joined(pieces, more)


def read_pointers(text: str | None, task_id: str) -> tuple[dict[str, int], bool]:
    """(pointers, whether there are rows of their own) that a head's row says.

    Raises TamperedError for what `pack_pointers` did not write.
    """
    try:
        inline = json.loads(text or "")
        more = inline.pop(MORE, 0) == 1
        if all(type(position) is int for position in inline.values()) and pack_pointers(inline, more) == text.encode():  # type: ignore[union-attr]
            return inline, more
    except (ValueError, RecursionError, AttributeError, TypeError):
        pass
    raise TamperedError("the session's pointers were changed", task_id=task_id)


def rfc3339(microseconds: int) -> str:
    """The moment, counted from 1970, as records carry it."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{fraction:06}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
