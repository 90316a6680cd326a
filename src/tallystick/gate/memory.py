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
    from collections.abc import Callable, Mapping
    from typing import Any

    from tallystick.ledger import Ledger


EARLIER_KEPT = 16
"""Of how many ledgers that once were at a place the heads are kept."""


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
        self._lost = ""
        self._earlier: dict[str, dict[str, Any]] = {}
        self._tasks = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        """What was seen of each task; beside it since when a ledger is lost, and what was seen of earlier ones."""
        self._lost, self._earlier = "", {}
        try:
            with open(open_plain(self._path), "rb") as file:
                document = json.load(file)
            tasks = {str(task): dict(seen) for task, seen in document["tasks"].items()}
            earlier = {str(id): dict(seen) for id, seen in document.get("earlier", {}).items()}
            self._lost, self._earlier = str(document.get("lost", "")), earlier
            return tasks
        except (OSError, InputError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}

    @property
    def any(self) -> bool:
        """Whether anything was ever seen here."""
        return bool(self._tasks)

    @property
    def lost(self) -> str:
        """Since when earlier evidence is known to be lost here (RFC 3339); empty if none is, or a gate opened since."""
        return self._lost

    def settle(self, ledger: Ledger | None, at: str) -> None:
        """Take note that the ledger which was seen here is gone, or another one is in its place; or is back.

        That is lost, and not tampered with: what is there now is judged by itself. The heads of the lost ledger are
        kept, so that it still has to extend them if it comes back. `at` is the time (RFC 3339).
        """
        here = ledger.ledger_id if ledger is not None else ""
        if here in self._earlier or any(seen.get("ledger_id") != here for seen in self._tasks.values()):
            self._change(lambda: self._settle(here, at))

    def _settle(self, here: str, at: str) -> None:
        others = {task: seen for task, seen in self._tasks.items() if seen.get("ledger_id") != here}
        self._tasks = {task: seen for task, seen in self._tasks.items() if task not in others}
        gone = {task: seen for task, seen in others.items() if isinstance(seen.get("ledger_id"), str)}
        is_back = here in self._earlier
        for task, seen in self._earlier.pop(here, {}).items():
            self._tasks.setdefault(task, seen)
        for task, seen in gone.items():
            self._earlier.setdefault(seen["ledger_id"], {})[task] = seen
        while len(self._earlier) > EARLIER_KEPT:
            del self._earlier[next(iter(self._earlier))]
        if is_back:
            self._lost = ""
        elif gone:
            self._lost = self._lost or at

    def opened(self) -> None:
        """A gate opened on what is there now: that earlier evidence was lost is no news any more."""
        if self._lost:
            self._change(lambda: setattr(self, "_lost", ""))

    def _change(self, change: Callable[[], None]) -> None:
        """Change what is kept, as it is now; where it cannot be kept, what this process knows."""
        if not self._path:
            change()
            return
        changed = False
        try:
            make_folder(os.path.dirname(self._path))
            with _Lock(f"{self._path}.lock"):
                self._tasks = self._read()
                change()
                changed = True
                self._write()
        except (OSError, StoreUnavailableError):
            if not changed:
                change()

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
        if self._path:
            self._change(lambda: self._remember(ledger, task_id, head))

    def _remember(self, ledger: Ledger, task_id: str, head: Head) -> None:
        known = self.seen(task_id)
        if known is None or not (known[1].position >= head.position or self.contradiction(ledger, task_id)):
            self._tasks[task_id] = {"ledger_id": ledger.ledger_id, "position": head.position, "root": head.root}

    def _write(self) -> None:
        told = {"lost": self._lost, "earlier": self._earlier}
        kept = {name: value for name, value in told.items() if value}
        document = json.dumps({"ledger": self._place, "tasks": self._tasks, **kept})
        # Not synced: what a loss of power takes from it is a reminder, and every gate would wait for the disk.
        write_whole(self._path, [document.encode("utf-8", "surrogateescape")], exact=True, durable=False)

    def forget(self) -> None:
        """What was seen no longer counts: the user knows why the history is another."""
        self._tasks, self._lost, self._earlier = {}, "", {}
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
