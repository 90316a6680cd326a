"""What earlier runs left in the content in front of us, found in the ledger."""

from __future__ import annotations

from tallystick.capture.products import Products
from tallystick.errors import TallystickError
from tallystick.gate.evidence import products_of
from tallystick.gate.history import SessionHistory
from tallystick.workspace.paths import path_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    from tallystick.gate.provenance import Provenance
    from tallystick.ledger import Ledger
    from tallystick.workspace import Snapshot

    class OwnProducts(Protocol):
        """Who knows what a task's own runs left: its `Evidence`, or somebody who asked that."""

        task_id: str
        provenance: Provenance

        def products(self) -> Mapping[str, frozenset[str]]:
            """See `Evidence.products`."""


SESSIONS = 16
"""Of how many other tasks the newest runs are looked at: those that were begun last."""
ENTRIES = 32
"""How many of their newest entries."""


def known_products(
    ledger: Ledger | None, evidence: OwnProducts, *snapshots: Snapshot, protected: Sequence[str] = ()
) -> Products:
    """What runs left, as far as it may lie in some content; never a file that one of the `protected` patterns matches.

    Other tasks of the ledger share the work tree: what their runs left stays there when the branch is switched. They
    are looked at only where there are untracked files that this task's own runs did not leave.
    """
    guarded = {path for snapshot in snapshots for path in snapshot.paths(protected)} if protected else ()
    own = {path: blobs for path, blobs in evidence.products().items() if path not in guarded}
    if ledger is None:
        return Products(own)
    unknown: set[bytes] = set()
    for snapshot in snapshots:
        left = {path_bytes(path) for path, blobs in own.items() if snapshot.blob(path) in blobs}
        unknown |= snapshot.untracked() - left
    if not unknown:
        return Products(own)
    elsewhere: dict[str, frozenset[str]] = {}
    for found in _of_others(ledger, evidence):
        for path, blobs in found.items():
            if path_bytes(path) in unknown and path not in guarded:
                elsewhere[path] = elsewhere.get(path, frozenset()) | blobs
    return Products(own, elsewhere)


def _of_others(ledger: Ledger, evidence: OwnProducts) -> Iterator[dict[str, frozenset[str]]]:
    """What the runs of each other task left. One that cannot be read costs what its own runs left, and no verdict."""
    for key in ledger.store.newest_sessions(SESSIONS):
        if key.ledger_id != ledger.ledger_id or key.task_id == evidence.task_id:
            continue
        try:
            yield products_of([SessionHistory(ledger, key, window=ENTRIES)], evidence.provenance)
        except TallystickError as error:
            _unread[key.task_id] = str(error)


_unread: dict[str, str] = {}


def unread() -> dict[str, str]:
    """The other tasks whose sessions could not be read in this process, and why; each is told once."""
    told = dict(_unread)
    _unread.clear()
    return told
