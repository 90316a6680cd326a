"""Moving a ledger: its sessions from one store to another, byte for byte, verified on the way.

A target that is new or empty becomes the same ledger: it takes its id over, and the ledger goes on there. What the
target has already must be the beginning of what the source has, or the other way round, so a copy that was
interrupted goes on where it ended, and a copy made again brings what is new. Another ledger keeps what is copied
into it beside its own sessions, read-only, and only where that is asked for.
"""

from __future__ import annotations

import os

from tallystick.errors import InputError, NotFoundError, TamperedError
from tallystick.exchange.copy_checkpoints import LogCopy
from tallystick.exchange.copy_session import PIECE_BYTES, PIECE_ROWS, Kept, SessionStream
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.merkle import read_root
from tallystick.recorded import StoredTree
from tallystick.stores.findings import raise_first
from tallystick.verification import verify_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tallystick.stores.base import SessionKey, Store, Tip
    from tallystick.stores.copying import CopyTarget, Piece

    Progress = Callable[[int, int], None]
    """Told how many entries of how many are copied."""

PIECES = 256
"""How many pieces share a transaction, at most."""
COMPARED_ROWS = 512


class Copied(Frozen):
    """What copying came to."""

    __slots__ = FIELDS = ("ledger_id", "sessions", "moved", "entries", "checkpoints")

    ledger_id: str
    """The target's ledger."""
    sessions: int
    """How many sessions there were to copy."""
    moved: int
    """How many of them were not there, or not as far."""
    entries: int
    """How many entries were copied now."""
    checkpoints: int
    """How many checkpoints were copied now."""

    def __init__(self, ledger_id: str, sessions: int, moved: int, entries: int, checkpoints: int) -> None:
        for name, value in zip(self.FIELDS, (ledger_id, sessions, moved, entries, checkpoints), strict=True):
            set_once(self, name, value)


def copy(
    source: Store,
    target: CopyTarget,
    tasks: Iterable[str] = (),
    *,
    beside: bool = False,
    progress: Progress | None = None,
) -> Copied:
    """Copy the sessions of these tasks (default: all, and the checkpoints) as they are when each is begun.

    `beside`: into another ledger, which keeps them read-only. Raises InputError where the target is another ledger
    and `beside` was not asked for, NotFoundError for a task that is not there, TamperedError where the source does
    not verify (nothing of the chunk that is wrong is copied) or the target holds another history (nothing is
    copied at all), CheckFailedError where somebody else writes to the same sessions meanwhile.
    """
    if _place(source) == _place(target):
        raise InputError("source and target are the same ledger", where=target.url)
    wanted = list(dict.fromkeys(tasks))
    _settle_id(source, target, beside)
    own = source.ledger_id == target.ledger_id
    log = None if wanted or not own else LogCopy(source, target)
    copying = _Copying(source, target, progress)
    copying.plan(wanted)
    if log is not None:
        log.check()
    copying.run(wanted)
    checkpoints = log.run() if log is not None else 0
    if target.unfinished_erasures():
        target.finish_erasures()
    return Copied(target.ledger_id, copying.sessions, copying.moved, copying.done, checkpoints)


def _place(store: Store) -> str:
    """Where it is: the file, by whatever name it was opened, or the URL."""
    path = getattr(store, "path", None)
    return store.url if path is None else os.path.realpath(path)


def _settle_id(source: Store, target: CopyTarget, beside: bool) -> None:
    """Have an empty target become the source's ledger. Raises InputError where it is another one."""
    if source.ledger_id == target.ledger_id:
        if beside:
            raise InputError("it is a copy of this very ledger, whose sessions are its own", where=target.url)
    elif not beside:
        if next(target.sessions(), None) is not None or target.log.size():
            raise InputError(
                f"another ledger is there ({target.ledger_id}), with a history of its own",
                where=target.url,
                advice="name a place without a ledger, or have it keep these sessions read-only: --beside",
            )
        target.take_over(source.ledger_id)


class _Copying:
    """Two passes over the same sessions: whether they fit, then what is missing."""

    def __init__(self, source: Store, target: CopyTarget, progress: Progress | None) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._fresh = next(target.sessions(), None) is None
        self._total = 0
        self._waiting: list[Piece] = []
        self._size = 0
        self.sessions = self.moved = self.done = 0

    def plan(self, tasks: list[str]) -> None:
        """Look at every session before anything is written. Raises TamperedError for another history."""
        for session in self._chosen(tasks):
            tip = self._source.tip(session)
            kept = self._kept(session, tip)
            self.sessions += 1
            self._total += max(tip.position - (kept.tip.position if kept else 0), 0)

    def run(self, tasks: list[str]) -> None:
        """Copy what is missing."""
        try:
            for session in self._chosen(tasks):
                tip = self._source.tip(session)
                kept = self._kept(session, tip)
                if kept is None or kept.tip.position < tip.position:
                    self.moved += 1
                    self._session(session, kept)
        except TamperedError:
            self._flush()
            raise
        self._flush()

    def _chosen(self, tasks: list[str]) -> Iterator[SessionKey]:
        if not tasks:
            yield from self._source.sessions()
            return
        ledgers = self._source.ledgers()
        for task_id in tasks:
            found = [key for ledger_id in ledgers if (key := self._source.find(task_id, ledger_id)) is not None]
            if not found:
                raise NotFoundError("no such task in the ledger", where=task_id, advice="notch tasks lists them")
            yield from found

    def _kept(self, session: SessionKey, tip: Tip) -> Kept | None:
        """What the target has of the session; None for nothing. Raises TamperedError for another history."""
        key = None if self._fresh else self._target.find(session.task_id, session.ledger_id)
        if key is None:
            return None
        kept = Kept(self._target, key, self._target.tip(key))
        shared = min(tip.position, kept.tip.position)
        if key.header != session.header or self._root(self._source, session, tip, shared) != self._root(
            self._target, key, kept.tip, shared
        ):
            self._refuse(session, key, shared)
        foreign = self._source.ledger_id != self._target.ledger_id
        if foreign and session.ledger_id == self._target.ledger_id and kept.tip.position < tip.position:
            raise TamperedError(
                f"the target's own session ends at {kept.tip.position}, and {tip.position} entries of it were seen",
                task_id=session.task_id,
                position=kept.tip.position,
            )
        return kept

    @staticmethod
    def _root(store: Store, key: SessionKey, tip: Tip, position: int) -> bytes:
        return tip.edge.root() if position == tip.position else read_root(position + 1, StoredTree(store, key))

    def _refuse(self, session: SessionKey, key: SessionKey, shared: int) -> None:
        differs = 0 if session.header != key.header else self._first_difference(session, key, shared)
        if differs is None:
            raise_first(verify_session(self._source, session).faults)
            raise_first(verify_session(self._target, key).faults)
            differs = shared
        raise TamperedError(
            f"another history: it differs from position {differs} on from the one in the target",
            where=f"{session.task_id} at position {differs}",
            task_id=session.task_id,
            position=differs,
            advice="one ledger went on in two places, or was rewritten in one; nothing was written",
        )

    def _first_difference(self, session: SessionKey, key: SessionKey, shared: int) -> int | None:
        for start in range(1, shared + 1, COMPARED_ROWS):
            count = min(COMPARED_ROWS, shared - start + 1)
            ours, theirs = (
                {row[0]: row[1] for row in store.raw_rows(one, start, count)}
                for store, one in ((self._source, session), (self._target, key))
            )
            for position in range(start, start + count):
                if ours.get(position) != theirs.get(position):
                    return position
        return None

    def _session(self, session: SessionKey, kept: Kept | None) -> None:
        own = session.ledger_id == self._target.ledger_id
        for piece in SessionStream(self._source, session, kept, own=own).pieces():
            self._waiting.append(piece)
            self._size += len(piece.rows) * PIECE_BYTES // PIECE_ROWS + piece.size
            if self._size >= PIECE_BYTES or len(self._waiting) >= PIECES:
                self._flush()

    def _flush(self) -> None:
        """Have the target take what is waiting, in one transaction."""
        if not self._waiting:
            return
        pieces, self._waiting, self._size = self._waiting, [], 0
        self._target.take(pieces)
        self.done += sum(len(piece.rows) for piece in pieces)
        if self._progress is not None:
            self._progress(self.done, max(self._total, self.done))
