"""How a command ended, and the exit code that says so."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.model.output import OutputKeeper

TIMED_OUT = 124
"""The exit code of a command that was ended because its time was up, as timeout(1) has it."""


class Finished:
    """How a command ended. Nothing of it runs any more, except what it left in the background.

    - `exit_code`: as a shell would have it
    - `signal`: the signal that ended it, or None
    - `timed_out`: its time was up before it ended; the exit code is then 124
    - `forwarded`: the last of SIGINT, SIGTERM, SIGHUP, SIGQUIT that was passed on to it, or None
    - `spawned`: False where it could not be run (126, 127)
    - `started_at_monotonic`: seconds, see `time.monotonic`
    - `duration_ms`: from there to the command's own end
    - `output`: what was kept
    - `undelivered`: the error that kept output from the caller's own streams (disk full), or None. A reader
      that went away is no error.
    """

    __slots__ = (
        "duration_ms",
        "exit_code",
        "forwarded",
        "output",
        "signal",
        "spawned",
        "started_at_monotonic",
        "timed_out",
        "undelivered",
    )

    def __init__(self, output: OutputKeeper, started_at_monotonic: float) -> None:
        self.exit_code = 0
        self.signal: int | None = None
        self.timed_out = False
        self.forwarded: int | None = None
        self.spawned = True
        self.started_at_monotonic = started_at_monotonic
        self.duration_ms = 0
        self.output = output
        self.undelivered: OSError | None = None

    def ended_by(self, status: int) -> None:
        """Sets what follows from a wait status (see `os.waitpid`) and from `timed_out`."""
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
            self.exit_code = 128 + self.signal
        else:
            self.exit_code = os.WEXITSTATUS(status)
        if self.timed_out:
            self.exit_code = TIMED_OUT
