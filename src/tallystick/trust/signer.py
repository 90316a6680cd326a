"""Signing a whole ledger: one checkpoint over the newest head of every task.

Before it signs, the signer checks that the log extends what its key signed last, and that every head which moved
extends the one before it. What it is about to sign is in its memory, on disk, before there is a signature.
"""

from __future__ import annotations

from tallystick.clock import now
from tallystick.errors import CheckFailedError, InputError, StoreUnavailableError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.merkle import consistency_proof, leaf_hash, read_edge, read_root, verify_consistency
from tallystick.proof.note import sign
from tallystick.recorded import StoredTree
from tallystick.stores.checkpoints import (
    LogTree,
    StoredCheckpoint,
    checkpoints,
    decode_leaf,
    epoch_of,
    origin_of,
    require_newest_leaf,
    stored,
)
from tallystick.stores.headmaps import heads_as_of, next_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tallystick.ledger import Ledger
    from tallystick.stores.checkpoints import CheckpointLog, MovedHead
    from tallystick.trust.keys import Key
    from tallystick.trust.memory import Memory

ATTEMPTS = 20
"""How often to begin anew where others make checkpoints at the same time."""


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
            standing = Standing.read(ledger.store.log)
            if standing is None:
                continue
            signing = _Signing(ledger, key, memory, standing, clock)
            done, made = signing.begin_epoch(against) if new_epoch else signing.go_on(against)
            if done:
                return made
    raise StoreUnavailableError("others make checkpoints all the time", where=ledger.url, advice="try again")


class Standing:
    """Where a ledger's log stands, as of one moment."""

    __slots__ = ("last", "leaf", "pending", "root", "size", "tree")

    def __init__(self, log: CheckpointLog, size: int, pending: bytes | None) -> None:
        self.size = size
        self.tree = LogTree(log)
        self.root, self.last = require_newest_leaf(log, size)
        self.leaf = self.last.statement() if self.last else None
        """What the newest checkpoint states."""
        self.pending = pending
        """The leaf of the checkpoint that comes next, where it was prepared and not finished."""

    @classmethod
    def read(cls, log: CheckpointLog) -> Standing | None:
        """None where others change it at this moment. Raises TamperedError."""
        size, pending = log.size(), log.pending()
        if pending is None:
            return cls(log, size, None)
        number, leaf = pending
        if number == size + 1:
            return cls(log, size, leaf)
        if (log.size(), log.pending()) == (size, pending):
            raise TamperedError(f"checkpoint {number} is pending, but the newest one is {size}")
        return None

    def differs_from(self, checkpoint: Checkpoint) -> str:
        """How the log, the pending checkpoint included, does not extend that one; empty where it does."""
        if checkpoint.size <= self.size:
            same = checkpoint.size > 0 and read_root(checkpoint.size, self.tree) == checkpoint.root
            return "" if same else f"checkpoint {checkpoint.size} of the ledger is another one: it was rewritten"
        if checkpoint.size == self.size + 1 and self.pending is not None:
            edge = read_edge(self.size, self.tree)
            edge.append(leaf_hash(self.pending))
            return "" if edge.root() == checkpoint.root else "the one that is pending is another"
        count = f"{self.size} checkpoint{'' if self.size == 1 else 's'}"
        return f"the ledger has {count}: it was restored from before, rolled back, or is a copy"


class _Signing:
    """One attempt. Its two ways return (whether it is done, what was made)."""

    def __init__(self, ledger: Ledger, key: Key, memory: Memory, standing: Standing, clock: Callable[[], str]) -> None:
        self._ledger = ledger
        self._log = ledger.store.log
        self._key = key
        self._memory = memory
        self._standing = standing
        self._clock = clock

    # --- the two ways

    def go_on(self, against: Checkpoint | None) -> tuple[bool, Made | None]:
        """The next checkpoint of the log as it is."""
        standing = self._standing
        known = self._established(against)
        epoch = self._epoch_after(known)
        if standing.pending is not None:
            return True, self._finish(self._check_pending(standing.pending, known.size if known else 0), epoch)
        moved = self._log.moved()
        if not moved:
            last = standing.last
            return True, Made(last.note, last.number, signed=False) if last else None
        self._require_not_retired()
        self._check_steps(known.size if known else 0, standing.size)
        leaf = self._prepare(moved)
        return (True, self._finish(leaf, epoch)) if leaf else (False, None)

    def begin_epoch(self, against: Checkpoint | None) -> tuple[bool, Made | None]:
        """The first checkpoint under a new origin, which cites the last one that is known and not extended."""
        standing = self._standing
        known = [one for one in (self._memory.last(), against) if one is not None]
        if not known:
            raise InputError(
                f"a new epoch cites the last checkpoint that is known, and {self._key} remembers none",
                where=self._ledger.url,
                advice="name one with --against",
            )
        pending = decode_leaf(standing.size + 1, standing.pending) if standing.pending is not None else None
        broken = [one for one in known if standing.differs_from(one)]
        if not broken:
            if pending is not None and pending.epoch:
                return self.go_on(against)
            raise InputError(
                "the ledger extends what is known of it, so no new epoch is needed", where=self._ledger.url
            )
        self._require_not_retired()
        cited = max(broken, key=self._rank)
        if pending is not None and pending.after == cited and standing.pending is not None:
            return True, self._finish(self._check_pending(standing.pending, standing.size), pending.epoch)
        epoch = 1 + max(self._epoch_after(None), *(epoch_of(one.origin, self._ledger.ledger_id) for one in known))
        after = Checkpoint(cited.origin, cited.size, cited.root)
        if standing.pending is None:
            leaf = self._prepare(self._log.moved(), epoch, after)
        else:
            leaf = self._replace(self._check_pending(standing.pending, standing.size), epoch, after)
        return (True, self._finish(leaf, epoch)) if leaf else (False, None)

    # --- what is known

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

    def _epoch_after(self, known: Checkpoint | None) -> int:
        """The epoch of the log where it stands, counted from a checkpoint that it extends."""
        start, epoch = (0, 1) if known is None else (known.size, self._rank(known)[0])
        for one in checkpoints(self._log, start):
            epoch = max(epoch, one.statement().epoch)
        if self._standing.pending is not None:
            epoch = max(epoch, decode_leaf(self._standing.size + 1, self._standing.pending).epoch)
        return epoch

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
        """Check that a task's head extends the one before it: its history was not rewritten."""
        if before is None:
            return
        found = self._ledger.store.find(task_id)
        if found is None:
            raise TamperedError("it was dropped: a checkpoint is about it, and it is gone", task_id=task_id)
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

    def _check_pending(self, data: bytes, start: int) -> CheckpointLeaf:
        """What somebody prepared and did not finish, once it is known to be what may be signed."""
        number = self._standing.size + 1
        leaf = decode_leaf(number, data)
        self._require_not_retired()
        self._check_steps(start, number)
        heads_as_of(self._log, number, leaf)
        return leaf

    # --- making it

    def _prepare(
        self, moved: Sequence[MovedHead], epoch: int = 0, after: Checkpoint | None = None
    ) -> CheckpointLeaf | None:
        """The leaf of the next checkpoint, made pending; None where somebody else was faster."""
        standing = self._standing
        for one in moved:
            self._check_extends(one.task_id, one.before, one.position, one.root)
        found = next_map(self._log, standing.leaf, standing.size, moved)
        leaf = CheckpointLeaf(self._time(), found.tasks, found.root, epoch, after)
        ready = self._log.prepare(standing.size + 1, leaf.encode(), moved, found.tiles, anew=found.anew)
        return leaf if ready else None

    def _replace(self, pending: CheckpointLeaf, epoch: int, after: Checkpoint) -> CheckpointLeaf | None:
        leaf = CheckpointLeaf(max(self._time(), pending.at), pending.tasks, pending.heads, epoch, after)
        return leaf if self._log.replace_pending(self._standing.size + 1, leaf.encode()) else None

    def _time(self) -> str:
        """Now, but not before the newest checkpoint."""
        leaf = self._standing.leaf
        return max(self._clock(), leaf.at) if leaf else self._clock()

    def _finish(self, leaf: CheckpointLeaf, epoch: int) -> Made:
        """Remember, sign, store: in this order, so that no signature is ever forgotten."""
        number, data = self._standing.size + 1, leaf.encode()
        edge = read_edge(number - 1, self._standing.tree)
        node = edge.append(leaf_hash(data))
        origin = origin_of(self._ledger.ledger_id, epoch)
        checkpoint = Checkpoint(origin, number, edge.root())
        signer = self._key.signer(origin)
        self._memory.remember(checkpoint)
        note = str(sign(checkpoint.text, [signer]))
        if not self._log.finish(StoredCheckpoint(number, data, node, note, str(signer.key))):
            other = stored(self._log, number)
            if other.leaf != data:
                raise TamperedError(f"checkpoint {number} was replaced while it was signed", where=self._ledger.url)
            note = other.note
        return Made(note, number, signed=True)
