"""The gate's verdict as CI takes it: printed, and for GitHub also written to the files that it names."""

from __future__ import annotations

import os
import sys

from tallystick.cli.terminal import print_json
from tallystick.errors import StoreUnavailableError
from tallystick.gate import render_ci

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.verdict import Verdict

SUMMARY, OUTPUTS = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"


def print_for_ci(verdict: Verdict, format_: str) -> None:
    """Print it as `github`, `gitlab` or `junit`."""
    if format_ == "gitlab":
        print_json(render_ci.gitlab(verdict))
    elif format_ == "junit":
        sys.stdout.write("\n".join([*render_ci.junit(verdict), ""]))
    else:
        print("\n".join(render_ci.github(verdict)))
        if path := os.environ.get(SUMMARY):
            room = render_ci.SUMMARY_LIMIT - (os.path.getsize(path) if os.path.exists(path) else 0)
            _append(path, render_ci.github_summary(verdict, room))
        if path := os.environ.get(OUTPUTS):
            _append(path, render_ci.github_outputs(verdict))


def _append(path: str, words: str) -> None:
    try:
        with open(path, "a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(words)
    except OSError as error:
        raise StoreUnavailableError(f"cannot be written: {error.strerror}", where=path) from None
