"""What a store knows of a session of its own between appends, and an append that needs to know nothing else."""

from __future__ import annotations

import json
from _thread import allocate_lock
from datetime import UTC, datetime, timedelta

from tallystick.errors import TamperedError
from tallystick.stores.appending import input_digest
from tallystick.stores.base import Tip, extend, pointer_keys
from tallystick.stores.group_commit import GroupCommit
from tallystick.stores.postgres_errors import Interrupted
from tallystick.stores.postgres_schema import partition_of, session_key
from tallystick.stores.postgres_sql import int8, row_values, statements_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.stores.appending import Standing, Work
    from tallystick.stores.base import Head
    from tallystick.stores.group_commit import Request
    from tallystick.stores.postgres_connection import Link

INLINE_POINTERS = 32
"""How many pointers lie in the head's own row, which every append writes anyway; more get rows of their own."""
MORE = ""
"""Among the pointers in the head's row: whether there are rows of their own."""
_quote = json.encoder.encode_basestring_ascii
_START = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


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


def append_alone(link: Link, track: Track, work: Work, now: str) -> Head:
    """One entry after the head that the track knows, by one statement. What `PostgresBatch` does, and nothing else.

    Raises Miss, having written nothing, wherever that does not decide it, Interrupted where nobody says that the
    commit is durable.
    """
    standing, draft = track.standing, work.drafts[0]
    if standing is None or work.expected_position not in (None, standing.tip.position):
        raise Miss
    inline, known = track.inline, standing.tip
    for name in pointer_keys(standing.rules, draft.type, draft.criterion_id, draft.phase_id):
        if name not in inline and (track.more or len(inline) > INLINE_POINTERS - 3):
            raise Miss
    tip = Tip(known.position, known.at, known.edge.copy())
    extension = extend(
        tip, work.drafts, now=now, rules=standing.rules, pointers=standing.pointers, defaults=work.defaults
    )
    row, inline = extension.rows[0], {**inline, **extension.pointers}
    packed, position = tip.edge.pack(), int8(tip.position)
    parameters: list[bytes | None] = [track.key, int8(known.position), track.packed, position, tip.at.encode(), packed]
    parameters += (pack_pointers(inline, track.more), *row_values(row)[1:])
    statement, key = track.statements.append_one, work.key
    if key is not None:
        statement = track.statements.append_keyed
        digest = None if key.salt is None else input_digest(work.drafts, key.salt)
        parameters += (key.key.encode(), key.salt, digest)
    head = tip.head()
    link.unconfirmed = False
    work.attempts.append((tip.position, row.record))
    if not link.run(statement, parameters).command_tuples:
        work.attempts.pop()
        raise Miss
    if link.unconfirmed:
        raise Interrupted("no standby confirmed the commit")
    standing.tip, track.packed, track.inline = tip, packed, inline
    standing.pointers.update(extension.pointers)
    return head


def pack_pointers(inline: dict[str, int], more: bool) -> bytes:
    """The pointers of a head's row: compact JSON with sorted keys, ASCII."""
    pairs = [f"{_quote(key)}:{position}" for key, position in sorted(inline.items())]
    if more:
        pairs.insert(0, f"{_quote(MORE)}:1")
    return f"{{{','.join(pairs)}}}".encode()


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
    return f"{(_START + timedelta(microseconds=microseconds)).isoformat(timespec='microseconds')}Z"
