"""One session as pieces to copy: read, verified and cut as a stream, from wherever the target's copy ends."""

from __future__ import annotations

from itertools import islice, repeat

from tallystick.capture.proved import digests_of
from tallystick.errors import StoreUnavailableError, TamperedError
from tallystick.model.bulk import decode_bulk
from tallystick.model.record import Sealed, open_entry
from tallystick.proof.known_heads import KnownHeads
from tallystick.stores.base import HEAD_KEY, tip_from
from tallystick.stores.copying import NEW, OUTPUT, Piece, elsewhere
from tallystick.stores.findings import raise_first
from tallystick.verification import CHUNK, SessionVerification, verify_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.stores.base import SessionKey, Store, Tip
    from tallystick.stores.copying import KeyRow, RawRow

PIECE_ROWS = 4096
PIECE_BYTES = 16 << 20
"""A piece ends with the chunk that fills it."""
KEY_ROWS = 20_000
DETAILS = 8
BYTES = (1, 6, DETAILS, OUTPUT)
"""Where in a raw row the record and its parts stand."""


class Kept:
    """What a target has of a session: where it stands, and what points."""

    __slots__ = ("key", "store", "tip")

    def __init__(self, store: Store, key: SessionKey, tip: Tip) -> None:
        self.store = store
        self.key = key
        self.tip = tip

    def has(self, position: int, part: str) -> bool:
        """Whether it has that sealed part."""
        row = self.store.row(self.key, position)
        return row is not None and getattr(row.sealed, f"{part}_salt") is not None


class SessionStream(SessionVerification):
    """The records of a session behind those that the target has, verified before anything of them is given."""

    def __init__(self, source: Store, session: SessionKey, kept: Kept | None, *, own: bool) -> None:
        before = NEW if kept is None else kept.tip.position
        heads = source.log.heads_of(session) if session.ledger_id == source.ledger_id else []
        known = [(position, root.hex(), f"is in checkpoint {n}") for n, position, root in heads if position > before]
        super().__init__(source, session, KnownHeads(known))
        self._kept = kept
        self._own = own
        self._before = before
        self._keys = _Keys(source, session, max(before, 0)) if own else None
        self._rows: list[RawRow] = []
        self._size = 0
        self._redacted: list[tuple[int, str]] = []
        self._proofs: list[tuple[bytes, int]] = []
        self._named: set[tuple[int, str]] = set()
        self._checked = 0
        self._last, self._state = source.state_rows(session)
        self._header()
        if kept is not None:
            self._go_on(kept)
        self._require_sound()

    def _go_on(self, kept: Kept) -> None:
        """Stand where the target stands: its root there is the source's, which the caller has seen to."""
        tip = kept.tip
        self._edge, self._at, self._next = tip.edge.copy(), tip.at, tip.position + 1
        into = {"t": self._types, "c": self._criteria, "p": self._phases}
        for name, position, *_ in kept.store.state_rows(kept.key)[1]:
            if name == HEAD_KEY and position != tip.position:
                raise elsewhere(kept.key.task_id)
            if name[:1] in into:
                into[name[0]][name[1:]] = position

    def pieces(self) -> Iterator[Piece]:
        """The pieces, in order; one without records for a session that is new and empty.

        Raises TamperedError naming task and position, before anything of the chunk that holds what is wrong.
        """
        while self._next <= self._last:
            count = min(CHUNK - self._next % CHUNK, self._last - self._next + 1)
            rows = self._store.raw_rows(self._session, self._next, count)
            if not rows or rows[-1][0] > self._last:
                break
            self._chunk(self._next, rows)
            self._require_sound()
            self._next = rows[-1][0] + 1
            self._gather(rows)
            if self._next <= self._last and (len(self._rows) >= PIECE_ROWS or self._size >= PIECE_BYTES):
                yield self._piece()
        self._finish(self._state)
        self._require_sound()
        if self._rows or self._before == NEW:
            yield self._piece()

    def _gather(self, rows: list[RawRow]) -> None:
        self._rows += rows
        for place in BYTES:
            self._size += sum(map(len, filter(None, (row[place] for row in rows))))
        for row in rows:
            record, details = row[1], row[DETAILS]
            if b'"erases":' in record and (erases := decode_bulk(record).erases):
                self._redacted += ((erases[0], part) for part in erases[1])
            elif details is not None and b'"status":' in record and b'"inputs"' in details and b'"started"' in details:
                found = digests_of(open_entry(decode_bulk(record), Sealed(*row[5:9]), outputs=False))
                self._proofs += ((digest, row[0]) for digest in found)

    def _piece(self) -> Piece:
        tip = tip_from(self._session.task_id, (self._edge.size - 1, self._at, self._edge.pack()))
        piece = Piece(self._session, self._before, tip, own=self._own)
        piece.rows, piece.size, piece.proofs = self._rows, self._size, self._proofs
        piece.read_output = lambda position: self._store.artifact(self._session, position)
        first = max(self._before, 0)
        piece.pointers = {name: position for name, position in self._pointing() if position > first}
        piece.cleared = [(position, part) for position, part in self._redacted if self._target_has(position, part)]
        if self._keys is not None:
            piece.keys = self._keys.up_to(tip.position)
        self._before, self._rows, self._size, self._redacted, self._proofs = tip.position, [], 0, [], []
        return piece

    def _pointing(self) -> Iterator[tuple[str, int]]:
        for letter, found in (("t", self._types), ("c", self._criteria), ("p", self._phases)):
            yield from ((f"{letter}{name}", position) for name, position in found.items())

    def _target_has(self, position: int, part: str) -> bool:
        """Whether a part that is erased now is in the target, or would come to be there with these rows."""
        if (position, part) in self._missing:
            return False
        if self._kept is None or position > self._kept.tip.position:
            return True
        return self._kept.has(position, part)

    # --- what must not be

    def _require_sound(self) -> None:
        """Raises for what was found wrong so far: for parts that are gone, too, unless a redaction names them."""
        for position, part in list(islice(self._missing, self._checked, None)):
            if not self._was_redacted(position, part):
                self._fault(position, f"its {part} is missing, and no redaction names it")
        self._checked = len(self._missing)
        if self._closed:
            raise StoreUnavailableError(
                "the session was written to by a later version, and this one cannot verify it",
                where=self._session.task_id,
                advice="upgrade tallystick",
            )
        if self._faults and self._kept is not None:
            raise_first(verify_session(self._store, self._session).faults)
            raise TamperedError(
                f"what the target has of it does not fit together ({self._faults[0].what})",
                task_id=self._session.task_id,
                position=self._faults[0].position,
                advice="run notch verify on the target",
            )
        raise_first(sorted(self._faults, key=self._order))

    def _was_redacted(self, position: int, part: str) -> bool:
        """Whether a redaction names that part. The newest of them will be among what is read."""
        if (position, part) not in self._named:
            at = self._store.pointer(self._session, "tredaction")
            if at > self._last:
                self._last, self._state = self._store.state_rows(self._session)
            while row := self._store.row(self._session, at):
                erases = decode_bulk(row.record).erases
                if erases is not None:
                    self._named.update(zip(repeat(erases[0]), erases[1], strict=False))
                if row.type_before >= at:
                    break
                at = row.type_before
        return (position, part) in self._named


class _Keys:
    """The idempotency keys of a session in the order of their entries, a page of them at a time."""

    def __init__(self, source: Store, session: SessionKey, after: int) -> None:
        self._read: Callable[..., list[KeyRow]] | None = getattr(source, "idempotency_keys", None)
        self._session = session
        self._place = (after, "\U0010ffff")
        self._page: list[KeyRow] = []
        self._done = self._read is None

    def up_to(self, position: int) -> list[KeyRow]:
        """Those of entries up to that position that were not given yet."""
        given: list[KeyRow] = []
        while True:
            count = next((n for n, key in enumerate(self._page) if key[2] > position), len(self._page))
            given += self._page[:count]
            self._page = self._page[count:]
            if self._page or self._done or self._read is None:
                return given
            self._page = self._read(self._session, self._place, KEY_ROWS)
            self._done = len(self._page) < KEY_ROWS
            if self._page:
                self._place = (self._page[-1][2], self._page[-1][0])
