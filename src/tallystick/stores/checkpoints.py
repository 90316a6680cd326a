"""The ledger's own log: one leaf for each checkpoint, and the heads that each is about. What all stores share.

A checkpoint comes with the heads that moved and its signature, in one transaction: a store never holds half of one.
What moved follows from the sessions and the heads that checkpoints are about; no marker is believed.
"""

from __future__ import annotations

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.checkpoint import CheckpointLeaf
from tallystick.proof.merkle import Edge, inclusion_proof, leaf_hash, read_root, root_from_inclusion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Protocol, TypeAlias

    from tallystick.proof.head_proof import HeadProof
    from tallystick.proof.headmap import Head as MapHead
    from tallystick.stores.base import SessionKey, Store, Tip

    Change: TypeAlias = tuple[int, int, str | None, int, bytes]
    """(checkpoint, session number, task id, position, root): a head that is new in a checkpoint.

    The task is None where the ledger has no such session of its own.
    """
    Tiles: TypeAlias = Mapping[tuple[int, int], bytes]
    """Tiles of a head map by (depth, prefix)."""

ORIGIN = "tallystick/"


class StoredCheckpoint(Frozen):
    """A checkpoint as the store has it."""

    FIELDS = ("number", "leaf", "node", "note", "key")
    __slots__ = FIELDS

    number: int
    """Its place in the log, counted from 1: its leaf has the index one below, and its log has that many leaves."""
    leaf: bytes
    """What it states: see `CheckpointLeaf`."""
    node: bytes
    """The root of the largest perfect subtree of the log that ends at its leaf: 32 bytes."""
    note: str
    """The C2SP signed note."""
    key: str
    """The vkey of whoever signed it. Kept to find changes; nobody trusts it for standing here."""

    def __init__(self, number: int, leaf: bytes, node: bytes, note: str, key: str) -> None:
        for name, value in zip(self.FIELDS, (number, leaf, node, note, key), strict=True):
            set_once(self, name, value)

    def statement(self) -> CheckpointLeaf:
        """What the leaf states. Raises TamperedError where it cannot be read."""
        return decode_leaf(self.number, self.leaf)


class MovedHead:
    """A session whose newest head is another than the one that the newest checkpoint is about."""

    __slots__ = ("before", "position", "root", "session", "task_id")

    def __init__(
        self, session: int, task_id: str, position: int, root: bytes, before: tuple[int, bytes] | None
    ) -> None:
        self.session = session
        self.task_id = task_id
        self.position = position
        self.root = root
        """The root of its tree at that position: 32 bytes."""
        self.before = before
        """(position, root) of the head before this one; None for a task that no checkpoint was about yet."""


class Moved:
    """The sessions that moved, and how much the newest checkpoint is about: as of one moment."""

    __slots__ = ("entries", "heads", "tasks")

    def __init__(self, heads: list[MovedHead], tasks: int, entries: int) -> None:
        self.heads = heads
        self.tasks = tasks
        """How many heads are kept for the newest checkpoint."""
        self.entries = entries
        """How many entries and headers those heads cover. A head that somebody moved forward, so that its session
        would not count as moved, makes it larger; nothing but another moved head makes it smaller."""


def moved_since(
    session: int, task_id: str, tip: Tip, newest: tuple[int, bytes | None], before: int | None, root: bytes | None
) -> MovedHead | None:
    """The session's head if it is another than (`before`, `root`), the one that the newest checkpoint is about.

    `newest` is (position, node) of its newest record; `before` None: no checkpoint is about the session yet. Raises
    TamperedError for a session that became shorter, or whose head is not that of its newest record.
    """
    last, node = newest
    if tip.position != last:
        raise TamperedError(
            f"its head was set back: it is about {tip.position} entries, there are {last}"
            if tip.position < last
            else f"its newest entries are gone: its head is about {tip.position}, there are {last}",
            task_id=task_id,
            position=tip.position,
        )
    if before is not None and tip.position < before:
        raise TamperedError(
            f"it was shortened: a checkpoint is about {before} entries, there are {tip.position}",
            task_id=task_id,
            position=tip.position,
        )
    if tip.position == before:
        return None
    if node is not None and tip.edge.hashes[-1] != node:
        raise TamperedError("its head is not that of its newest entry", task_id=task_id, position=last)
    known = None if before is None or root is None else (before, root)
    return MovedHead(session, task_id, tip.position, tip.edge.root(), known)


if TYPE_CHECKING:

    class CheckpointLog(Protocol):
        """A store's log of checkpoints. A store whose schema is too old for one has an empty log.

        Heads are those of our own sessions: sessions of other ledgers are not in the map.
        """

        def size(self) -> int:
            """How many checkpoints there are, the number of the newest; 0 for none."""

        def read(self, start: int, count: int) -> list[StoredCheckpoint]:
            """Up to `count` checkpoints from number `start` on, in order."""

        def moved(self, size: int) -> Moved:
            """Every session that moved since checkpoint `size`, the newest; all of them for 0.

            Every session's newest record is looked up, and the head that the newest checkpoint is about. Raises
            TamperedError.
            """

        def add(
            self,
            number: int,
            moved: Sequence[MovedHead],
            tiles: Tiles,
            *,
            anew: bool,
            signed: Callable[[], StoredCheckpoint],
        ) -> bool:
            """Store checkpoint `number` with the heads that moved; durable on return.

            `signed` makes it, and is called once nobody else can take the number any more; again if the store has to
            begin again. `tiles` are those of the new map that differ from the kept ones; with `anew` they are all
            there are, and the index of tasks by key is made again. False, and nothing is written, if somebody else
            was faster. Raises TamperedError if heads of that checkpoint are there already.
            """

        def changes(self, after: int = 0) -> Iterator[list[Change]]:
            """The heads that are new in each checkpoint above number `after`, in order."""

        def heads_of(self, session: SessionKey) -> list[tuple[int, int, bytes]]:
            """The session's heads that checkpoints are about: (checkpoint, position, root) in order."""

        def heads(self, number: int, low: bytes, high: bytes) -> Iterator[MapHead]:
            """The heads as of a checkpoint whose keys lie from `low` to `high`, in the order of the keys.

            They are found by an index of tasks that no proof covers: check what comes of them.
            """

        def all_heads(self, number: int) -> Iterator[tuple[str, int, bytes]]:
            """(task id, position, root) as of a checkpoint, in no order, without any such index."""

        def tile(self, depth: int, prefix: int) -> bytes | None:
            """A kept tile of the newest map."""

        def known_task(self, session: int) -> str | None:
            """The task that a session number stood for, where the session itself is gone and this is not."""


class NoLog:
    """The log of a store that keeps none: empty, and nothing can be added. See `CheckpointLog`."""

    def size(self) -> int:
        """See `CheckpointLog.size`."""
        return 0

    def read(self, start: int, count: int) -> list[StoredCheckpoint]:
        """See `CheckpointLog.read`."""
        del start, count
        return []

    def moved(self, size: int) -> Moved:
        """See `CheckpointLog.moved`. Raises StoreUnavailableError."""
        del size
        raise StoreUnavailableError("this store keeps no checkpoints", advice="sign those of a SQLite ledger")

    def add(
        self,
        number: int,
        moved: Sequence[MovedHead],
        tiles: Tiles,
        *,
        anew: bool,
        signed: Callable[[], StoredCheckpoint],
    ) -> bool:
        """See `CheckpointLog.add`."""
        del number, moved, tiles, anew, signed
        return False

    def changes(self, after: int = 0) -> Iterator[list[Change]]:
        """See `CheckpointLog.changes`."""
        del after
        return iter(())

    def heads_of(self, session: SessionKey) -> list[tuple[int, int, bytes]]:
        """See `CheckpointLog.heads_of`."""
        del session
        return []

    def heads(self, number: int, low: bytes, high: bytes) -> Iterator[MapHead]:
        """See `CheckpointLog.heads`."""
        del number, low, high
        return iter(())

    def all_heads(self, number: int) -> Iterator[tuple[str, int, bytes]]:
        """See `CheckpointLog.all_heads`."""
        del number
        return iter(())

    def tile(self, depth: int, prefix: int) -> None:
        """See `CheckpointLog.tile`."""
        del depth, prefix

    def known_task(self, session: int) -> None:
        """See `CheckpointLog.known_task`."""
        del session


class LogTree:
    """The log's tree, read from its store: what proofs about it are made from."""

    def __init__(self, log: CheckpointLog) -> None:
        self._log = log
        self._read: dict[int, StoredCheckpoint] = {}

    def leaf(self, index: int) -> bytes:
        """See `NodeReader.leaf`."""
        return leaf_hash(self._at(index).leaf)

    def node(self, index: int) -> bytes:
        """See `NodeReader.node`."""
        return self._at(index).node

    def _at(self, index: int) -> StoredCheckpoint:
        if index not in self._read:
            self._read[index] = stored(self._log, index + 1)
        return self._read[index]


def stored(log: CheckpointLog, number: int) -> StoredCheckpoint:
    """The checkpoint of that number. Raises TamperedError where the log has it no more."""
    found = log.read(number, 1)
    if not found or found[0].number != number:
        raise TamperedError(f"checkpoint {number} is missing")
    return found[0]


def newest(log: CheckpointLog) -> StoredCheckpoint | None:
    """The newest checkpoint; None for an empty log."""
    size = log.size()
    return stored(log, size) if size else None


def checkpoints(log: CheckpointLog, after: int = 0) -> Iterator[StoredCheckpoint]:
    """Every checkpoint above number `after`, in order, as they lie there."""
    while found := log.read(after + 1, 256):
        yield from found
        after = found[-1].number


def unowned_head(number: int) -> TamperedError:
    """The error for heads that are kept for a checkpoint which is not there."""
    return TamperedError(f"a head belongs to no checkpoint ({number})", advice="notch verify tells more")


def decode_leaf(number: int, leaf: bytes) -> CheckpointLeaf:
    """What the leaf of that checkpoint states. Raises TamperedError where it cannot be read."""
    try:
        return CheckpointLeaf.decode(leaf)
    except InputError:
        raise TamperedError(f"the leaf of checkpoint {number} cannot be read") from None


def origin_of(ledger_id: str, epoch: int = 1) -> str:
    """The origin of the ledger's log, which is also the name that its keys sign under, in that epoch."""
    return f"{ORIGIN}{ledger_id}" if epoch == 1 else f"{ORIGIN}{ledger_id}/{epoch}"


def epoch_of(origin: str, ledger_id: str) -> int:
    """The epoch that an origin of the ledger's log names; 0 where it is another log's."""
    base = origin_of(ledger_id)
    rest = origin.removeprefix(base + "/")
    if origin == base:
        return 1
    is_epoch = rest != origin and rest.isascii() and rest.isdigit() and not rest.startswith("0") and len(rest) < 10
    return int(rest) if is_epoch and rest != "1" else 0


def require_newest_leaf(log: CheckpointLog, size: int) -> tuple[bytes, StoredCheckpoint | None]:
    """(root of the log at that size, its newest checkpoint), once its leaf is known to be in that tree.

    Raises TamperedError.
    """
    if not size:
        return Edge().root(), None
    tree = LogTree(log)
    root, last = read_root(size, tree), stored(log, size)
    if (
        root_from_inclusion(
            leaf_hash(last.leaf),
            size - 1,
            size,
            inclusion_proof(size - 1, size, tree),
        )
        != root
    ):
        raise TamperedError(f"the leaf of checkpoint {size} is not the one in the log's tree")
    return root, last


def head_proof(store: Store, task_id: str, number: int | None = None) -> HeadProof:
    """What a checkpoint says about a task: its newest head as of then, or that it has no session.

    The newest checkpoint, unless another is named: maps before the newest are made again, which costs every
    head. Raises NotFoundError where there is no such checkpoint, TamperedError.
    """
    from tallystick.proof.head_proof import HeadProof
    from tallystick.proof.headmap import map_key
    from tallystick.stores.headmaps import prove_head

    log = store.log
    size = log.size()
    at = size if number is None else number
    if not 0 < at <= size:
        what = f"no checkpoint {number}" if number else "no checkpoint was made yet"
        raise NotFoundError(what, advice="notch checkpoint makes one")
    tree, checkpoint = LogTree(log), stored(log, at)
    head, proof = prove_head(log, checkpoint, map_key(task_id), newest=at == size)
    position, root = head if head is not None else (None, b"")
    path = inclusion_proof(at - 1, at, tree)
    return HeadProof(task_id, position, root, checkpoint.leaf, proof, path, checkpoint.note)
