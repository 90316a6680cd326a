"""The newest heads that were seen, kept outside the store: what was rolled back, swapped or deleted shows.

In the user's state directory, one file a ledger. It is a convenience of this machine, no proof to others: whoever
keeps a head elsewhere (a CI log, a pull request) can hold a ledger to that with `--head`.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError
from tallystick.files import make_folder, open_plain, write_whole
from tallystick.pipeline import may_be_ci, pipeline_of, says_ci
from tallystick.stores.base import Head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tallystick.ledger import Ledger


def state_folder(environ: Mapping[str, str]) -> str:
    """Where this user's programs keep their state; empty where the environment names no absolute path.

    A relative one would lie in the work tree, as content that changes with every gate.
    """
    home = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "tallystick", "heads") if os.path.isabs(home) else ""


def _pipeline(environ: Mapping[str, str]) -> str:
    """What CI calls the run; the next one begins with another ledger in the same folder, and may."""
    if not may_be_ci(environ) or not says_ci(environ):
        return ""
    pipeline = pipeline_of(environ)
    return f"{pipeline.system} {pipeline.run} {pipeline.attempt}" if pipeline is not None else ""


class SeenHeads:
    """The heads seen of one ledger, known by where it is."""

    def __init__(self, place: str, environ: Mapping[str, str]) -> None:
        self._place = place
        name = sha256(f"{place}\n{_pipeline(environ)}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        folder = state_folder(environ)
        self._path = os.path.join(folder, f"{name}.json") if folder else ""
        self._tasks = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            with open(open_plain(self._path), "rb") as file:
                tasks = json.load(file)["tasks"]
            return {str(task): dict(seen) for task, seen in tasks.items()}
        except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}

    @property
    def any(self) -> bool:
        """Whether anything was ever seen here."""
        return bool(self._tasks)

    def seen(self, task_id: str) -> tuple[str, Head] | None:
        """(ledger id, head) of the newest that was seen of the task."""
        known = self._tasks.get(task_id)
        try:
            return (str(known["ledger_id"]), Head(int(known["position"]), str(known["root"]))) if known else None
        except (KeyError, ValueError, TypeError):
            return None

    def contradiction(self, ledger: Ledger, task_id: str) -> str:
        """How the ledger's history of the task contradicts what was seen; empty where it extends it."""
        known = self.seen(task_id)
        if known is None:
            return ""
        ledger_id, head = known
        if ledger_id != ledger.ledger_id:
            return f"another ledger ({ledger.ledger_id}) stands where {ledger_id} was seen with {head}"
        try:
            position = ledger.head(task_id).position
        except NotFoundError:
            return f"the task was seen with head {head}, and now it is not in the ledger"
        if position < head.position:
            return f"the task was seen with {head.position} entries, now it has {position}: it was rolled back"
        if ledger.root_at(task_id, head.position) != head:
            return f"the history up to position {head.position} is not the one that was seen there"
        return ""

    def remember(self, ledger: Ledger, task_id: str, head: Head) -> None:
        """Keep the head as seen, unless the history contradicts what was seen before.

        Where the state directory cannot be written, nothing is kept.
        """
        if self.seen(task_id) == (ledger.ledger_id, head):
            return
        if not self._path:
            return
        try:
            make_folder(os.path.dirname(self._path))
            with _Lock(f"{self._path}.lock"):
                self._tasks = self._read()
                known = self.seen(task_id)
                if known is not None and (known[1].position >= head.position or self.contradiction(ledger, task_id)):
                    return
                self._tasks[task_id] = {"ledger_id": ledger.ledger_id, "position": head.position, "root": head.root}
                self._write()
        except (OSError, StoreUnavailableError):
            return

    def _write(self) -> None:
        document = json.dumps({"ledger": self._place, "tasks": self._tasks})
        # Not synced: what a loss of power takes from it is a reminder, and every gate would wait for the disk.
        write_whole(self._path, [document.encode("utf-8", "surrogateescape")], exact=True, durable=False)

    def forget(self) -> None:
        """What was seen no longer counts: the user knows why the history is another."""
        self._tasks = {}
        try:
            os.unlink(self._path)
        except OSError:
            return


class _Lock:
    """An exclusive lock on a file, so that two commands at once do not drop what the other one saw."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: at worst a head is remembered that is not the newest
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
