"""Recomputing the log of checkpoints from its leaves and from the heads that each is about, as a stream.

Leaves, stored nodes, signatures, every head map and the order of it all are derived again and compared. That the
heads themselves lie on their sessions' histories is verified with the sessions.
"""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError, TamperedError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.headmap import HeadMap, key_range, map_key
from tallystick.proof.keys import VerifierKey
from tallystick.proof.merkle import leaf_hash, read_edge
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import LogTree, checkpoints, epoch_of, origin_of, require_newest_leaf
from tallystick.stores.headmaps import heads_as_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tallystick.proof.checkpoint import CheckpointLeaf
    from tallystick.proof.headmap import Head
    from tallystick.stores.checkpoints import Change, CheckpointLog, StoredCheckpoint

    Fault = tuple[str, int | None, str]

TILED = 1 << 16
"""A map of that many tasks is tiled so finely that one head more costs little, however few tasks there are."""


def log_faults(log: CheckpointLog, ledger_id: str, *, known: Checkpoint | None = None) -> Iterator[Fault]:
    """Everything wrong with the log of that ledger: (task id or "", position or None, what).

    `known`: a checkpoint that the log is known to extend; only what came after it is looked at. Raises TamperedError
    if the heads that are kept for it are not those it is about.
    """
    size = log.size()
    verification = _Verification(log, ledger_id, known)
    for one in checkpoints(log, known.size if known else 0):
        if one.number > size:
            break
        yield from verification.checkpoint(one)
    yield from verification.beyond(size)


class _Verification:
    def __init__(self, log: CheckpointLog, ledger_id: str, known: Checkpoint | None) -> None:
        self._log = log
        self._ledger_id = ledger_id
        self._last = known.size if known else 0
        self._edge = read_edge(self._last, LogTree(log))
        self._epoch = epoch_of(known.origin, ledger_id) if known else 1
        self._at = ""
        self._map = ScratchMap()
        self._changes = _Grouped(log.changes(self._last))
        self._spoiled: set[str] = set()
        if known is not None:
            _, newest = require_newest_leaf(log, known.size)
            assert newest is not None, "a checkpoint is about one leaf at least"
            leaf = newest.statement()
            self._at = leaf.at
            for key, position, root in heads_as_of(log, known.size, leaf):
                self._map.move(key, position, root)

    def checkpoint(self, stored: StoredCheckpoint) -> Iterator[Fault]:
        self._last += 1
        if stored.number != self._last:
            yield "", None, f"checkpoint {self._last} is missing"
            self._spoiled.add("tree")
            self._last = stored.number
        if self._edge.append(leaf_hash(stored.leaf)) != stored.node and not self._once("tree"):
            yield "", None, f"the leaf or the tree node of checkpoint {stored.number} was changed"
        try:
            leaf = stored.statement()
        except TamperedError as error:
            yield "", None, error.what
            leaf = None
        if leaf is not None:
            yield from self._leaf(stored.number, leaf)
        yield from self._note(stored)
        yield from self._heads(stored.number, leaf)

    def _once(self, what: str) -> bool:
        """Whether this was found before: what comes after a change differs, too, and says nothing new."""
        found = what in self._spoiled
        self._spoiled.add(what)
        return found

    def _leaf(self, number: int, leaf: CheckpointLeaf) -> Iterator[Fault]:
        if leaf.at < self._at:
            yield "", None, f"the time of checkpoint {number} is earlier than that of the one before it"
        self._at = leaf.at
        if leaf.epoch and leaf.epoch <= self._epoch:
            yield "", None, f"checkpoint {number} begins epoch {leaf.epoch} after epoch {self._epoch}"
        if leaf.after is not None and not 0 < epoch_of(leaf.after.origin, self._ledger_id) < leaf.epoch:
            yield "", None, f"checkpoint {number} begins an epoch after one of another log, {leaf.after.origin}"
        self._epoch = max(self._epoch, leaf.epoch)

    def _note(self, stored: StoredCheckpoint) -> Iterator[Fault]:
        number = stored.number
        try:
            note = SignedNote.parse(stored.note)
            checkpoint = Checkpoint.parse(note.text)
            key = VerifierKey.parse(stored.key)
            if stored.note != str(note) or key.name != checkpoint.origin:
                raise CheckFailedError("it is not the key of the note")
            note.verify([key])
        except (CheckFailedError, InputError) as error:
            yield "", None, f"the note of checkpoint {number} or its key was changed ({error.what})"
            return
        if (checkpoint.origin, checkpoint.size) != (origin_of(self._ledger_id, self._epoch), number):
            yield "", None, f"the note of checkpoint {number} is that of {checkpoint.origin} with {checkpoint.size}"
        elif checkpoint.root != self._edge.root() and not self._once("tree"):
            yield "", None, f"checkpoint {number} was signed over another log"

    def _heads(self, number: int, leaf: CheckpointLeaf | None) -> Iterator[Fault]:
        for change in self._changes.up_to(number):
            yield from self._change(number, change)
        if leaf is None:
            self._once("map")
        elif (leaf.tasks, leaf.heads) != self._map.state() and not self._once("map"):
            kept = self._map.state()[0]
            yield "", None, f"the {kept} heads kept for checkpoint {number} are not those of its {leaf.tasks} tasks"

    def _change(self, number: int, change: Change) -> Iterator[Fault]:
        checkpoint, session, task_id, position, root = change
        if checkpoint != number:
            yield task_id or "", position, f"a head belongs to no checkpoint ({checkpoint})"
            return
        if task_id is None:
            known = self._log.known_task(session)
            what = f"checkpoint {number} is about it at position {position}, and its session is gone"
            yield known or f"session {session}", None, what
            task_id = known
        if task_id is None or position < 0 or len(root) != 32:
            yield task_id or "", position, f"checkpoint {number} has what cannot be a head"
            return
        if not self._map.move(map_key(task_id), position, root):
            yield task_id, position, f"its head in checkpoint {number} is not after the one before it"

    def beyond(self, size: int) -> Iterator[Fault]:
        """Heads beyond the newest checkpoint, which belong to none.

        Others may go on meanwhile; what is there by then is looked at the next time.
        """
        self._changes = _Grouped(self._log.changes(size))
        found = [
            (change[2] or "", change[3], f"a head belongs to no checkpoint ({change[0]})")
            for change in self._changes.up_to(None)
        ]
        if found and self._log.size() == size:
            yield from found
        self._map.close()


class _Grouped:
    """Heads in the order of their checkpoints, taken checkpoint by checkpoint."""

    def __init__(self, chunks: Iterator[list[Change]]) -> None:
        self._changes = (change for chunk in chunks for change in chunk)
        self._next = next(self._changes, None)

    def up_to(self, number: int | None) -> Iterator[Change]:
        """Those of checkpoints up to that one; None: all that are left."""
        while self._next is not None and (number is None or self._next[0] <= number):
            yield self._next
            self._next = next(self._changes, None)


class ScratchMap:
    """A head map that grows head by head, in a temporary file where it does not fit into memory. See `MapStore`."""

    def __init__(self) -> None:
        import sqlite3

        self._tiles: dict[tuple[int, int], bytes] = {}
        self._moved: list[bytes] = []
        self._tasks = 0
        self._root = bytes(32)
        self._heads = sqlite3.connect("", isolation_level=None)
        self._heads.execute("PRAGMA journal_mode = OFF")
        self._heads.execute(
            "CREATE TABLE head (key BLOB PRIMARY KEY, position INTEGER, root BLOB) STRICT, WITHOUT ROWID"
        )

    def move(self, key: bytes, position: int, root: bytes) -> bool:
        """Set a head; False where there is one that is not before it."""
        old = self._heads.execute("SELECT position FROM head WHERE key = ?", (key,)).fetchone()
        self._heads.execute("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (key, position, root))
        self._moved.append(key)
        self._tasks += old is None
        return old is None or old[0] < position

    def state(self) -> tuple[int, bytes]:
        """(number of tasks, root of the map)."""
        if self._moved:
            self._root = HeadMap(self, max(self._tasks, TILED)).update(self._moved)
            self._moved = []
        return self._tasks, self._root

    def heads(self, depth: int, prefix: int) -> Iterable[Head]:
        """See `MapStore.heads`."""
        return self._heads.execute(
            "SELECT key, position, root FROM head WHERE key BETWEEN ? AND ? ORDER BY key", key_range(depth, prefix)
        )

    def get_tile(self, depth: int, prefix: int) -> bytes | None:
        """See `MapStore.get_tile`."""
        return self._tiles.get((depth, prefix))

    def put_tile(self, depth: int, prefix: int, tile: bytes) -> None:
        """See `MapStore.put_tile`."""
        self._tiles[depth, prefix] = tile

    def close(self) -> None:
        """Give the temporary file back."""
        self._heads.close()
