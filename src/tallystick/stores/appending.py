"""One transaction's worth of appends, whatever the session is kept in: what is checked, in which order, and why.

A store gives the steps that touch its tables; everything that decides stands here.
"""

from __future__ import annotations

from tallystick.errors import (
    ConcurrencyError,
    IdempotencyConflict,
    InputError,
    NotFoundError,
    StoreUnavailableError,
    TallystickError,
    TamperedError,
)
from tallystick.model.header import Header, decode_header
from tallystick.model.record import PARTS
from tallystick.proof.merkle import Edge, leaf_hash, read_root
from tallystick.stores.base import Head, SessionKey, Tip, extend, pointer_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tallystick.model.record import Draft
    from tallystick.stores.base import IdempotencyKey, Row
    from tallystick.stores.group_commit import Request

    Seen = tuple[int, bytes | None, bytes | None]
    """What is remembered of an idempotency key: the last position, the salt and the digest of the input."""
    Stored = tuple[bytes, bytes | None, bytes | None, bytes | None]
    """A record, and the salts of its parts in the order of `PARTS`; None for a part that it lacks or that is erased."""

PREFIX_BYTES = 32
"""How much of a record tells its version and kind."""
ENTRY_PREFIX = b'{"v":1,"kind":"entry"'
HEADER_PREFIX = b'{"v":1,"kind":"session"'
CACHED_SESSIONS = 100_000


class Work:
    """What one caller asks of a transaction."""

    __slots__ = ("attempts", "defaults", "drafts", "erase", "expected_position", "header", "key", "task_id")

    def __init__(
        self,
        task_id: str,
        drafts: Sequence[Draft],
        *,
        expected_position: int | None = None,
        key: IdempotencyKey | None = None,
        header: Header | None = None,
        defaults: bool = True,
        erase: tuple[int, Sequence[str]] | None = None,
    ) -> None:
        self.task_id = task_id
        self.drafts = drafts
        self.expected_position = expected_position
        self.key = key
        self.header = header
        self.defaults = defaults
        self.erase = erase
        self.attempts: list[tuple[int, bytes]] = []
        """Where this may have been recorded already, and as which bytes: attempts whose outcome nobody knows."""

    @property
    def is_plain(self) -> bool:
        """Whether it appends one entry, and that is all."""
        return self.key is None and self.header is None and self.erase is None and len(self.drafts) == 1


class Standing:
    """A session while a transaction appends to it: where it stands, and which pointers have yet to be written."""

    __slots__ = ("moved", "new", "pointers", "rules", "session", "stored", "tip")

    def __init__(self, session: SessionKey, rules: int, tip: Tip, pointers: dict[str, int], *, new: bool) -> None:
        self.session = session
        self.rules = rules
        self.tip = tip
        self.pointers = pointers
        self.moved: dict[str, int] = {}
        self.new = new
        self.stored = (tip.position, tip.edge.pack())
        """What the head's row says: position and edge."""

    def settle(self) -> None:
        """All of it is written and committed."""
        self.pointers.update(self.moved)
        self.moved = {}
        self.new = False


class Batch:
    """The appends that share one transaction. Each request gets its result, or its own error and no trace."""

    def __init__(self, ledger_id: str, now: str) -> None:
        self._ledger_id = ledger_id
        self._now = now
        self._standing: dict[int, Standing] = {}

    def perform(self, requests: Sequence[Request]) -> None:
        """Do what the requests ask, up to but without the commit."""
        for request in requests:
            try:
                request.result = self._one(request.work)
            except TallystickError as error:
                request.error = error
        self._write(self._standing.values())

    # --- what the store does

    def _session(self, task_id: str) -> SessionKey | None:
        """Our session of that task, also one made earlier in this transaction."""
        raise NotImplementedError

    def _insert_session(self, task_id: str, header: bytes) -> SessionKey:
        """Make the session."""
        raise NotImplementedError

    def _recall(self, number: int) -> Standing | None:  # noqa: ARG002
        """Where the session still stands as an earlier transaction left it; None where nobody can tell."""
        return None

    def _rules(self, session: SessionKey) -> int:
        """The rules that the session replays by."""
        return rules_of(session)

    def _stand_on(self, session: SessionKey, rules: int, keys: Sequence[str]) -> Standing:
        """Where the session stands, with these pointers. Calls `_require_open`."""
        raise NotImplementedError

    def _read_pointers(self, standing: Standing, keys: Sequence[str]) -> dict[str, int]:
        """Those of these pointers that are set."""
        raise NotImplementedError

    def _newest_prefix(self, session: SessionKey, position: int) -> bytes | None:
        """The first 32 bytes of the record at that position."""
        raise NotImplementedError

    def _insert_rows(self, session: SessionKey, rows: Sequence[Row]) -> None:
        """Insert the rows, and what of their outputs does not fit beside them."""
        raise NotImplementedError

    def _seen(self, session: SessionKey, key: str) -> Seen | None:
        """What is remembered of an idempotency key."""
        raise NotImplementedError

    def _remember(self, session: SessionKey, key: IdempotencyKey, digest: bytes | None, first: int, head: Head) -> None:
        """Remember an idempotency key: whose input it stands for, and the entries from `first` to the head."""
        raise NotImplementedError

    def _hash(self, session: SessionKey, column: str, position: int) -> bytes | None:
        """The stored `record` or `node` at that position."""
        raise NotImplementedError

    def _stored(self, session: SessionKey, position: int) -> Stored | None:
        """The entry at that position, also one of this transaction; None for no such entry."""
        raise NotImplementedError

    def _clear(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        """Clear the parts at that position, and what idempotency keys remember of that entry."""
        raise NotImplementedError

    def _write(self, standings: Iterable[Standing]) -> None:
        """Write what has yet to be written, heads and pointers last."""
        raise NotImplementedError

    # --- one request

    def _one(self, work: Work) -> Head:
        session = self._session(work.task_id)
        if session is not None and (work.key is not None or work.attempts):
            first = self._first_head(session, work)
            if first is not None:
                return first
        if work.header is not None and session is not None:
            raise InputError("the task already has a session", where=work.task_id)
        if session is None:
            expected = work.expected_position
            if expected:
                raise ConcurrencyError(work.task_id, expected, 0)
            if work.erase is not None:
                raise NotFoundError("no such task", where=work.task_id, advice="notch tasks lists them")
            for position, draft in enumerate(work.drafts, 1):
                draft.record(self._now, position, defaults=work.defaults)
            session = self._create(work)
        standing = self._stand(session, work.drafts)
        if work.expected_position is not None and work.expected_position != standing.tip.position:
            raise ConcurrencyError(work.task_id, work.expected_position, standing.tip.position)
        return self._extend(session, standing, work)

    def _extend(self, session: SessionKey, standing: Standing, work: Work) -> Head:
        if work.erase is not None:
            self._require_erasable(session, *work.erase)
        first = standing.tip.position + 1
        extension = extend(
            standing.tip,
            work.drafts,
            now=self._now,
            rules=standing.rules,
            pointers=standing.pointers,
            moved=standing.moved,
            defaults=work.defaults,
        )
        self._insert_rows(session, extension.rows)
        head = standing.tip.head()
        if work.key is not None:
            salt = work.key.salt
            digest = input_digest(work.drafts, salt) if salt is not None else None
            self._remember(session, work.key, digest, first, head)
        if work.erase is not None:
            self._clear(session, *work.erase)
        return head

    def _create(self, work: Work) -> SessionKey:
        given = work.header
        header = Header(
            at=self._now,
            ledger=self._ledger_id,
            task_id=work.task_id,
            created_at=given.created_at if given else self._now,
            rules=given.rules if given else 1,
            origin=given.origin if given else None,
        ).encode()
        session = self._insert_session(work.task_id, header)
        edge = Edge()
        edge.append(leaf_hash(header))
        rules = given.rules if given else 1
        self._standing[session.number] = Standing(session, rules, Tip(0, self._now, edge), {}, new=True)
        return session

    def _stand(self, session: SessionKey, drafts: Sequence[Draft]) -> Standing:
        number = session.number
        standing = self._standing.get(number) or self._recall(number)
        rules = standing.rules if standing else self._rules(session)
        wanted: list[str] = []
        for draft in drafts:
            wanted += pointer_keys(rules, draft.type, draft.criterion_id, draft.phase_id)
        if standing is None:
            standing = self._stand_on(session, rules, wanted)
        elif not standing.new:
            missing = [key for key in wanted if key not in standing.pointers and key not in standing.moved]
            if missing:
                standing.pointers.update(self._read_pointers(standing, missing))
        self._standing[number] = standing
        return standing

    def _require_open(self, session: SessionKey, position: int) -> None:
        """A session that a later version wrote to is readable but closed."""
        is_open = session.header.startswith(HEADER_PREFIX)
        if position:
            newest = self._newest_prefix(session, position)
            if newest is None:
                raise TamperedError("the newest record is missing", task_id=session.task_id, position=position)
            is_open = is_open and newest.startswith(ENTRY_PREFIX)
        if not is_open:
            raise StoreUnavailableError(
                "the session was written to by a later version and is closed to this one",
                where=session.task_id,
                advice="upgrade tallystick",
            )

    def _first_head(self, session: SessionKey, work: Work) -> Head | None:
        """The head that the work led to when it was done before; None where it was not."""
        for position, record in work.attempts:
            if (self._hash(session, "record", position) if position else session.header) == record:
                return self._head_at(session, position)
        key = work.key
        seen = self._seen(session, key.key) if key is not None else None
        if key is None or seen is None:
            return None
        last, salt, digest = seen
        if salt is None and key.salt is not None:
            raise _conflict(work, f"was used before, for what was erased since (up to position {last})")
        if (salt is None) is not (key.salt is None) or (salt and input_digest(work.drafts, salt) != digest):
            raise _conflict(work, "was used before with another input")
        if not self._is_recorded(session, work, last):
            raise _conflict(work, f"was used before, and what is recorded up to position {last} is another input")
        return self._head_at(session, last)

    def _is_recorded(self, session: SessionKey, work: Work, last: int) -> bool:
        """Whether the entries that end at a position are these: the index of keys is proved by nothing."""
        for position, draft in enumerate(work.drafts, last - len(work.drafts) + 1):
            stored = self._stored(session, position)
            try:
                if stored is None or not draft.is_recorded_as(*stored, position=position, defaults=work.defaults):
                    return False
            except InputError as error:
                raise TamperedError(error.what, task_id=session.task_id, position=position) from None
        return True

    def _head_at(self, session: SessionKey, position: int) -> Head:
        return Head(position, read_root(position + 1, _Nodes(self, session)).hex())

    def _require_erasable(self, session: SessionKey, position: int, parts: Sequence[str]) -> None:
        stored = self._stored(session, position)
        if stored is None:
            raise NotFoundError(f"no entry at position {position}", where=session.task_id)
        gone = [part for part, salt in zip(PARTS, stored[1:], strict=True) if part in parts and salt is None]
        if gone:
            raise InputError(
                f"the entry at position {position} has no {' and no '.join(gone)} to erase",
                where=session.task_id,
            )


class _Nodes:
    """The stored nodes of a session, for roots of the past."""

    def __init__(self, batch: Batch, session: SessionKey) -> None:
        self._batch = batch
        self._session = session

    def leaf(self, index: int) -> bytes:
        """See `NodeReader.leaf`."""
        return leaf_hash(self._read("record", index) if index else self._session.header)

    def node(self, index: int) -> bytes:
        """See `NodeReader.node`."""
        return self._read("node", index) if index else self.leaf(0)

    def _read(self, column: str, position: int) -> bytes:
        found = self._batch._hash(self._session, column, position)
        if found is None:
            raise TamperedError("the record is missing", task_id=self._session.task_id, position=position)
        return found


def _conflict(work: Work, what: str) -> IdempotencyConflict:
    key = work.key.key if work.key is not None else ""
    return IdempotencyConflict(
        f"the idempotency key {key!r} {what}", where=work.task_id, advice="use a new key for a new entry"
    )


def rules_of(session: SessionKey) -> int:
    """The rules that the session's header names. Raises TamperedError where it cannot be read."""
    try:
        return decode_header(session.header).rules
    except InputError as error:
        raise TamperedError(error.what, task_id=session.task_id, position=0) from None


def input_digest(drafts: Sequence[Draft], salt: bytes) -> bytes:
    """What an idempotency key remembers of an append: 32 bytes."""
    from hashlib import sha256

    return sha256(b"".join(draft.input_digest(salt) for draft in drafts)).digest()
