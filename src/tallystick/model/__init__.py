"""What evidence is: entries, sessions, replay, and the bytes that stand for them. No I/O, no clock."""

from tallystick.model.entry import (
    ENTRY_WORKSPACE_BASELINE,
    Entry,
    StateRecord,
    first_workspace_baseline,
    workspace_baseline_snapshot,
)
from tallystick.model.session import (
    Origin,
    Replayer,
    Rules,
    Session,
    new_session,
    ordered_criterion_ids,
    replay,
)

__all__ = [
    "ENTRY_WORKSPACE_BASELINE",
    "Entry",
    "Origin",
    "Replayer",
    "Rules",
    "Session",
    "StateRecord",
    "first_workspace_baseline",
    "new_session",
    "ordered_criterion_ids",
    "replay",
    "workspace_baseline_snapshot",
]
