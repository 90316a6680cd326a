"""The log of checkpoints, copied behind the sessions that it is about: every leaf, head map and note as it was."""

from __future__ import annotations

from tallystick.errors import TamperedError
from tallystick.proof.merkle import read_root
from tallystick.recorded import StoredTree
from tallystick.stores.checkpoints import LogTree, MovedHead, newest, stored
from tallystick.stores.copying import elsewhere
from tallystick.stores.headmaps import next_map
from tallystick.stores.log_faults import log_faults

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.proof.checkpoint import CheckpointLeaf
    from tallystick.stores.base import Store
    from tallystick.stores.checkpoints import Change, StoredCheckpoint


class LogCopy:
    """The source's checkpoints as of now, to be copied once all sessions are."""

    def __init__(self, source: Store, target: Store) -> None:
        self._source = source
        self._target = target
        self.size = source.log.size()
        """How many there are."""

    def check(self) -> None:
        """Verify what is to be copied, and that the target has no other history. Raises TamperedError."""
        source, target = self._source.log, self._target.log
        have = target.size()
        shared = min(have, self.size)
        if shared and read_root(shared, LogTree(source)) != read_root(shared, LogTree(target)):
            pairs = ((stored(source, n), stored(target, n)) for n in range(1, shared + 1))
            differs = next((ours.number for ours, theirs in pairs if ours.leaf != theirs.leaf), shared)
            raise TamperedError(
                f"another history: checkpoint {differs} of the target is not the one of the source",
                where=self._target.url,
                advice="one ledger went on in two places: find out which of them holds; nothing was written",
            )
        if have < self.size:
            for task_id, position, what in log_faults(source, self._source.ledger_id):
                raise TamperedError(what, task_id=task_id, position=position, where="" if task_id else self._source.url)

    def run(self) -> int:
        """Copy the checkpoints that the target has not; returns how many. Raises TamperedError, CheckFailedError."""
        have = self._target.log.size()
        changes = _by_checkpoint(self._source.log.changes(have))
        for number in range(have + 1, self.size + 1):
            self._copy(stored(self._source.log, number), next(changes, []))
        return max(self.size - have, 0)

    def _copy(self, checkpoint: StoredCheckpoint, changes: list[Change]) -> None:
        log, number = self._target.log, checkpoint.number
        moved = [self._moved(number, change) for change in changes if change[0] == number]
        last = newest(log)
        found = next_map(log, last.statement() if last else None, number - 1, moved)
        self._require_map(number, checkpoint.statement(), found.root, found.tasks)
        if not log.add(number, moved, found.tiles, anew=found.anew, signed=lambda: checkpoint):
            raise elsewhere(f"checkpoint {number}")

    def _moved(self, number: int, change: Change) -> MovedHead:
        """A head that is new in the checkpoint, once the target's session is known to have it."""
        _, _, task_id, position, root = change
        key = None if task_id is None else self._target.find(task_id)
        if task_id is None or key is None:
            raise TamperedError(
                f"checkpoint {number} is about it, and its session is gone", task_id=task_id or "a task"
            )
        tip = self._target.tip(key)
        if tip.position == position:
            found = tip.edge.root()
        else:
            found = read_root(position + 1, StoredTree(self._target, key)) if position < tip.position else b""
        if found != root:
            raise TamperedError(
                f"the history differs from the head that is in checkpoint {number}", task_id=task_id, position=position
            )
        before = self._target.log.heads_of(key) if number > 1 else []
        return MovedHead(key.number, task_id, position, root, before[-1][1:] if before else None)

    def _require_map(self, number: int, statement: CheckpointLeaf, root: bytes, tasks: int) -> None:
        if (statement.heads, statement.tasks) != (root, tasks):
            raise TamperedError(
                f"the {tasks} heads kept for checkpoint {number} are not those of its {statement.tasks} tasks",
                where=self._source.url,
            )


def _by_checkpoint(chunks: Iterator[list[Change]]) -> Iterator[list[Change]]:
    """The changes of one checkpoint after the other: a list each, of the next that has any."""
    group: list[Change] = []
    for change in (one for chunk in chunks for one in chunk):
        if group and group[0][0] != change[0]:
            yield group
            group = []
        group.append(change)
    if group:
        yield group
