"""Signing a whole ledger: one checkpoint over the newest head of every task.

A signer trusts nothing that it did not recompute. The log must extend what its key signed last; checkpoints of others
after it are verified; what moved follows from every session's newest record against the heads that are known to be
those of the newest checkpoint. What it is about to sign is in its memory, on disk, before there is a signature.
"""

from __future__ import annotations

from tallystick.clock import now, parse_time
from tallystick.errors import CheckFailedError, InputError, StoreUnavailableError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.merkle import consistency_proof, leaf_hash, read_edge, read_root, verify_consistency
from tallystick.proof.note import sign
from tallystick.recorded import StoredTree
from tallystick.stores.checkpoints import (
    LogTree,
    MovedHead,
    StoredCheckpoint,
    checkpoints,
    decode_leaf,
    epoch_of,
    origin_of,
    require_newest_leaf,
)
from tallystick.stores.headmaps import heads_as_of, next_map
from tallystick.stores.log_faults import log_faults
from tallystick.trust.memory import Pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tallystick.ledger import Ledger
    from tallystick.stores.checkpoints import CheckpointLog, Moved
    from tallystick.stores.headmaps import NextMap
    from tallystick.trust.keys import Key
    from tallystick.trust.memory import Memory

ATTEMPTS = 20
"""How often to begin again if others make checkpoints at the same time."""
CLOCKS_DIFFER = 300
"""By how many seconds the clocks of two signers may differ: no checkpoint is signed after one that is later still."""


class UnknownHistoryError(InputError):
    """The key has no memory of a log that has checkpoints, so it cannot tell whether this is its history."""


class Made(Frozen):
    """What signing came to."""

    __slots__ = FIELDS = ("note", "number", "signed")

    note: str
    """The newest checkpoint: a C2SP signed note."""
    number: int
    """Its number."""
    signed: bool
    """Whether it was signed now; False where nothing moved since."""

    def __init__(self, note: str, number: int, signed: bool) -> None:
        set_once(self, "note", note)
        set_once(self, "number", number)
        set_once(self, "signed", signed)


def sign_checkpoint(
    ledger: Ledger,
    key: Key,
    memory: Memory,
    *,
    against: Checkpoint | None = None,
    new_epoch: bool = False,
    clock: Callable[[], str] = now,
) -> Made | None:
    """Make and sign a checkpoint of the ledger where anything moved since the last one; None for an empty ledger.

    `against`: a checkpoint that the caller vouches for, which the ledger must extend. `new_epoch`: begin anew,
    under another origin, since the ledger does not extend what is known of it. Raises TamperedError, saying
    what happened, where it does not; UnknownHistoryError, InputError, StoreUnavailableError.
    """
    with memory:
        for _ in range(ATTEMPTS):
            signing = _Signing(ledger, key, memory, clock)
            done, made = signing.begin_epoch(against) if new_epoch else signing.go_on(against)
            if done:
                return made
    raise StoreUnavailableError("others make checkpoints all the time", where=ledger.url, advice="try again")


def require_extends(ledger: Ledger, checkpoints: Iterable[Checkpoint]) -> None:
    """Raises TamperedError if the ledger does not extend one of these checkpoints."""
    standing = Standing(ledger.store.log)
    for one in checkpoints:
        if why := standing.differs_from(one):
            raise TamperedError(
                f"the ledger does not extend checkpoint {one.size} that was given: {why}", where=ledger.url
            )


class Standing:
    """Where a ledger's log stands, as of one moment."""

    __slots__ = ("last", "leaf", "root", "size", "tree")

    def __init__(self, log: CheckpointLog) -> None:
        """Raises TamperedError."""
        self.size = log.size()
        self.tree = LogTree(log)
        self.root, self.last = require_newest_leaf(log, self.size)
        self.leaf = self.last.statement() if self.last else None
        """What the newest checkpoint states."""

    def differs_from(self, checkpoint: Checkpoint) -> str:
        """How the log does not extend that one; empty if it does."""
        if checkpoint.size <= self.size:
            same = checkpoint.size > 0 and read_root(checkpoint.size, self.tree) == checkpoint.root
            return "" if same else f"checkpoint {checkpoint.size} of the ledger is another one: it was rewritten"
        count = f"{self.size} checkpoint{'' if self.size == 1 else 's'}"
        return f"the ledger has {count}: it was restored from before, rolled back, or is a copy"

    def is_followed_by(self, pending: Pending) -> bool:
        """Whether that one is the next of this log: it was not stored, and nothing else was."""
        if pending.checkpoint.size != self.size + 1:
            return False
        edge = read_edge(self.size, self.tree)
        edge.append(leaf_hash(pending.leaf))
        return edge.root() == pending.checkpoint.root


class _Signing:
    """One attempt. Its two ways return (whether it is done, what was made)."""

    def __init__(self, ledger: Ledger, key: Key, memory: Memory, clock: Callable[[], str]) -> None:
        self._ledger = ledger
        self._log = ledger.store.log
        self._key = key
        self._memory = memory
        self._standing = Standing(self._log)
        self._clock = clock

    # --- the two ways

    def go_on(self, against: Checkpoint | None) -> tuple[bool, Made | None]:
        """The next checkpoint of the log as it is."""
        standing = self._standing
        pending = self._unstored(against)
        if pending is not None:
            made = self._store_again(pending)
            return made is not None, made
        known = self._established(against)
        epoch = self._require_told(known)
        moved = self._log.moved(standing.size)
        self._require_known_heads(known, moved)
        if not moved.heads:
            last = standing.last
            return True, Made(last.note, last.number, signed=False) if last else None
        made = self._make(moved, epoch)
        return made is not None, made

    def begin_epoch(self, against: Checkpoint | None) -> tuple[bool, Made | None]:
        """The first checkpoint under a new origin, which cites the last one that is known and not extended."""
        pending = self._memory.pending()
        if pending is not None and self._standing.is_followed_by(pending):
            return self.go_on(against)
        signed = [self._memory.last(), pending.checkpoint if pending else None, against]
        known = [one for one in signed if one is not None]
        if not known:
            raise InputError(
                f"a new epoch cites the last checkpoint that is known, and {self._key} remembers none",
                where=self._ledger.url,
                advice="name one with --against",
            )
        broken = [one for one in known if self._standing.differs_from(one)]
        if not broken:
            raise InputError(
                "the ledger extends what is known of it, so no new epoch is needed", where=self._ledger.url
            )
        cited = max(broken, key=self._rank)
        epoch = 1 + max(self._epoch_of_log(), *(epoch_of(one.origin, self._ledger.ledger_id) for one in known))
        moved = self._log.moved(self._standing.size)
        self._require_known_heads(None, moved)
        made = self._make(moved, epoch, Checkpoint(cited.origin, cited.size, cited.root))
        return made is not None, made

    # --- what is known

    def _unstored(self, against: Checkpoint | None) -> Pending | None:
        """The checkpoint that the key was about to sign and that the log has not, to be stored now.

        Raises TamperedError if the log went on without it, and nobody vouches for how.
        """
        pending = self._memory.pending()
        if pending is None or self._standing.is_followed_by(pending):
            return pending
        why = self._standing.differs_from(pending.checkpoint)
        if not why:
            self._memory.remember(pending.checkpoint)
            return None
        vouched = against is not None and self._rank(against) >= self._rank(pending.checkpoint)
        if vouched and against is not None and not self._standing.differs_from(against):
            self._memory.forget_pending()
            return None
        raise TamperedError(
            f"{self._key} was about to sign checkpoint {pending.checkpoint.size} of this ledger, and {why}",
            where=self._ledger.url,
            advice="bring the newer ledger back, vouch for this one with --against CHECKPOINT, or --new-epoch",
        )

    def _established(self, against: Checkpoint | None) -> Checkpoint | None:
        """The newest checkpoint that is known and that the log extends; None for a log without any."""
        standing, last = self._standing, self._memory.last()
        accepted = []
        if against is not None:
            if why := standing.differs_from(against):
                raise TamperedError(f"the ledger does not extend checkpoint {against.size} that was given: {why}")
            accepted.append(against)
        if last is not None:
            why = standing.differs_from(last)
            if not why:
                accepted.append(last)
            elif against is None or self._rank(against)[0] <= self._rank(last)[0]:
                raise TamperedError(
                    f"{self._key} signed checkpoint {last.size} of this ledger before, and {why}; it signs no second"
                    " history",
                    where=self._ledger.url,
                    advice="bring the newer ledger back, or begin a new epoch: notch checkpoint --new-epoch",
                )
        if not accepted and standing.size:
            raise UnknownHistoryError(
                f"{self._key} has no memory of this ledger, which has {standing.size} checkpoints",
                where=self._ledger.url,
                advice="vouch for its history: notch checkpoint --against CHECKPOINT",
            )
        return max(accepted, key=lambda one: one.size, default=None)

    def _rank(self, checkpoint: Checkpoint) -> tuple[int, int]:
        return epoch_of(checkpoint.origin, self._ledger.ledger_id), checkpoint.size

    def _require_told(self, known: Checkpoint | None) -> int:
        """The epoch of the log, which is that of the checkpoint that is known.

        Raises UnknownHistoryError if a later one began an epoch: somebody has to vouch for that.
        """
        start, epoch = (0, 1) if known is None else (known.size, self._rank(known)[0])
        for one in checkpoints(self._log, start):
            if began := one.statement().epoch:
                raise UnknownHistoryError(
                    f"checkpoint {one.number} began epoch {began}, and {self._key} was not told of it",
                    where=self._ledger.url,
                    advice=f"vouch for checkpoint {one.number} or a later one: notch checkpoint --against CHECKPOINT",
                )
        return epoch

    def _epoch_of_log(self) -> int:
        return max([1, *(one.statement().epoch for one in checkpoints(self._log))])

    def _require_known_heads(self, known: Checkpoint | None, moved: Moved) -> None:
        """Check that the heads kept for the newest checkpoint are those it is about, whoever signed it.

        A session whose kept head somebody set to its newest would not count as moved, and be signed as it was. The
        number of entries that all kept heads cover is then larger than it was when the checkpoint was made.
        Raises TamperedError.
        """
        standing = self._standing
        if standing.leaf is None:
            return
        if known is not None and known.size == standing.size:
            if self._memory.covered(known) == (moved.tasks, moved.entries):
                return
        else:
            self._check_steps(known.size if known else 0, standing.size)
            for task_id, position, what in log_faults(self._log, self._ledger.ledger_id, known=known):
                raise TamperedError(what, task_id=task_id, position=position, where="" if task_id else self._ledger.url)
        heads = heads_as_of(self._log, standing.size, standing.leaf)
        covered = len(heads), sum(position + 1 for _, position, _ in heads)
        if covered != (moved.tasks, moved.entries):
            raise TamperedError("the heads kept for checkpoints change while they are read", where=self._ledger.url)
        if known is not None and self._memory.last() == known and known.size == standing.size:
            self._memory.remember(known, covered)

    def _require_not_retired(self) -> None:
        retired = self._memory.retired()
        if retired is not None and self._standing.size >= retired:
            raise InputError(
                f"{self._key} retired at checkpoint {retired}, and signs none after it",
                where=self._ledger.url,
                advice="use another one: --key NAME",
            )

    # --- heads

    def _check_steps(self, start: int, end: int) -> None:
        """Check that heads in the checkpoints above `start` up to `end` extend those as of `start`."""
        newest: dict[int, tuple[str | None, int, bytes]] = {}
        for changes in self._log.changes(start) if start < end else ():
            for number, session, task_id, position, root in changes:
                if number <= end:
                    newest[session] = task_id, position, root
        for session, (task_id, position, root) in newest.items():
            if task_id is None:
                name = self._log.known_task(session) or f"session {session}"
                raise TamperedError("it was dropped: a checkpoint is about it, and it is gone", task_id=name)
            found = self._ledger.store.find(task_id)
            heads = self._log.heads_of(found) if found is not None else []
            before = [head[1:] for head in heads if head[0] <= start]
            self._check_extends(task_id, before[-1] if before else None, position, root)

    def _check_extends(self, task_id: str, before: tuple[int, bytes] | None, position: int, root: bytes) -> None:
        """Check that a task's head is that of its entries and extends the one before it: nobody rewrote its history."""
        if before is None and position and not position & (position + 1):
            return  # one perfect tree, whose root is the node of its newest record
        found = self._ledger.store.find(task_id)
        if found is None:
            raise TamperedError("it was dropped: a checkpoint is about it, and it is gone", task_id=task_id)
        if before is None:
            if read_root(position + 1, StoredTree(self._ledger.store, found)) != root:
                raise TamperedError("its head is not that of its entries", task_id=task_id, position=position)
            return
        old, new = before[0] + 1, position + 1
        try:
            proof = consistency_proof(old, new, StoredTree(self._ledger.store, found))
            verify_consistency(old, before[1], new, root, proof)
        except (CheckFailedError, InputError):
            raise TamperedError(
                f"it was rewritten: its {position} entries do not extend the {before[0]} that a checkpoint is about",
                task_id=task_id,
                position=before[0],
            ) from None

    # --- making it

    def _make(self, moved: Moved, epoch: int, after: Checkpoint | None = None) -> Made | None:
        """Sign and store the next checkpoint; None, and nothing is signed, if somebody else was faster."""
        standing = self._standing
        self._require_not_retired()
        for one in moved.heads:
            self._check_extends(one.task_id, one.before, one.position, one.root)
        found = next_map(self._log, standing.leaf, standing.size, moved.heads)
        leaf = CheckpointLeaf(self._time(), found.tasks, found.root, 0 if after is None else epoch, after)
        edge = read_edge(standing.size, standing.tree)
        edge.append(leaf_hash(leaf.encode()))
        checkpoint = Checkpoint(origin_of(self._ledger.ledger_id, epoch), standing.size + 1, edge.root())
        pending = Pending(checkpoint, leaf.encode(), {one.task_id: one.position for one in moved.heads})
        fresh = sum(one.position - (one.before[0] if one.before else -1) for one in moved.heads)
        return self._store(pending, moved.heads, found, (found.tasks, moved.entries + fresh))

    def _store_again(self, pending: Pending) -> Made | None:
        """Sign and store what the key was about to sign before, as it was: it may be signed already."""
        standing, leaf = self._standing, decode_leaf(pending.checkpoint.size, pending.leaf)
        self._require_not_retired()
        heads = [self._head_at(task_id, position) for task_id, position in pending.heads.items()]
        found = next_map(self._log, standing.leaf, standing.size, heads)
        if (found.tasks, found.root) != (leaf.tasks, leaf.heads):
            raise TamperedError(
                f"the ledger no longer has what {self._key} was about to sign as checkpoint {pending.checkpoint.size}",
                where=self._ledger.url,
                advice="bring that ledger back, or begin a new epoch: notch checkpoint --new-epoch",
            )
        return self._store(pending, heads, found)

    def _head_at(self, task_id: str, position: int) -> MovedHead:
        """A task's head as it was at that position. Raises TamperedError."""
        key = self._ledger.store.find(task_id)
        if key is None or self._ledger.store.tip(key).position < position:
            raise TamperedError(f"it was shortened: its head was signed at {position}", task_id=task_id)
        root = read_root(position + 1, StoredTree(self._ledger.store, key))
        before = [head[1:] for head in self._log.heads_of(key) if head[0] <= self._standing.size]
        return MovedHead(key.number, task_id, position, root, before[-1] if before else None)

    def _time(self) -> str:
        """Now, but not before the newest checkpoint. Raises InputError if that is later than clocks may differ."""
        now, leaf = self._clock(), self._standing.leaf
        if leaf is None or leaf.at <= now:
            return now
        if (parse_time(leaf.at) - parse_time(now)).total_seconds() > CLOCKS_DIFFER:
            raise InputError(
                f"checkpoint {self._standing.size} is dated {leaf.at}, and it is {now} here: nothing is signed now",
                where=self._ledger.url,
                advice="set the clock, or wait until then",
            )
        return leaf.at

    def _store(
        self, pending: Pending, heads: Sequence[MovedHead], found: NextMap, covered: tuple[int, int] | None = None
    ) -> Made | None:
        """Remember, sign, store: in this order, so that no signature is ever forgotten."""
        checkpoint, data = pending.checkpoint, pending.leaf
        node = read_edge(self._standing.size, self._standing.tree).append(leaf_hash(data))
        signer = self._key.signer(checkpoint.origin)
        notes: list[str] = []

        def signed() -> StoredCheckpoint:
            self._memory.prepare(pending)
            notes[:] = [str(sign(checkpoint.text, [signer]))]
            return StoredCheckpoint(checkpoint.size, data, node, notes[0], str(signer.key))

        if not self._log.add(checkpoint.size, heads, found.tiles, anew=found.anew, signed=signed):
            there = self._log.read(checkpoint.size, 1)
            if not there or there[0].leaf != data:
                return None
            notes[:] = [there[0].note]
        self._memory.remember(checkpoint, covered)
        return Made(notes[0], checkpoint.size, signed=True)
