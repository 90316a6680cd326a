"""What evidence says of the content it is bound to: `details.content`, written once and read for ever.

`commit`, `tree`, `dirty`, `excludes` are the fingerprint; `patterns` the inputs as pathspecs (left out for
the whole tree) and `inputs` their digest; `changes` what differed from the commit, so that a stale result can
name files; `changes_left_out` how many of those were not kept.
"""

from __future__ import annotations

from tallystick.workspace.paths import recorded_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from tallystick.workspace.snapshot import Snapshot

CHANGES_KEPT = 2_000
"""More files than this do not help anybody to find what went stale, and would make an entry large."""


def content_details(
    snapshot: Snapshot,
    patterns: Sequence[str] = (),
    *,
    without: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """What to record of this content. `without`: products of runs, path -> blob ids that a run left."""
    details: dict[str, Any] = snapshot.fingerprint()
    if patterns:
        details["patterns"] = list(patterns)
    details["inputs"] = snapshot.inputs_digest(patterns, without=without)
    changes = snapshot.changes
    if changes:
        details["changes"] = {recorded_path(path): was for path, was in list(changes.items())[:CHANGES_KEPT]}
        if len(changes) > CHANGES_KEPT:
            details["changes_left_out"] = len(changes) - CHANGES_KEPT
    return details
