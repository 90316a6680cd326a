"""What the files are: the tree git would commit now, its fingerprint, inputs and changes, the baseline.

`from tallystick.workspace import Workspace` is enough for most; what it offers besides is listed in `__all__`
and loaded when first asked for.
"""

from __future__ import annotations

from tallystick.workspace.content import Workspace
from tallystick.workspace.snapshot import PendingSnapshot, Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.baseline import capture_baseline
    from tallystick.workspace.changes import Change, change_times, changed_paths, changed_states, products, touched

__all__ = [
    "Change",
    "PendingSnapshot",
    "Snapshot",
    "Workspace",
    "capture_baseline",
    "change_times",
    "changed_paths",
    "changed_states",
    "products",
    "touched",
]


def __getattr__(name: str) -> object:
    if name == "capture_baseline":
        from tallystick.workspace.baseline import capture_baseline

        return capture_baseline
    if name in __all__:
        from tallystick.workspace import changes

        return getattr(changes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
