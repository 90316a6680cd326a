"""What the files are: the tree git would commit now, its fingerprint, inputs and changes, the baseline.

`from tallystick.workspace import Workspace` is enough for most; what it offers besides is listed in `__all__`
and loaded when first asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.baseline import capture_baseline
    from tallystick.workspace.changes import Change, change_times, changed_paths, changed_states, products, touched
    from tallystick.workspace.content import Workspace
    from tallystick.workspace.snapshot import PendingSnapshot, Snapshot

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


_MODULES = {
    "capture_baseline": "baseline",
    "Workspace": "content",
    "PendingSnapshot": "snapshot",
    "Snapshot": "snapshot",
}
"""Where what is not in `changes` comes from."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'changes')}"), name)
