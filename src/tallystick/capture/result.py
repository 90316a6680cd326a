"""How a command ended, and the exit code that says so."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.capture.executable import CommandNotRunError
    from tallystick.capture.output import OutputRecorder
    from tallystick.model.output import OutputKeeper

TIMED_OUT = 124
"""The exit code of a command that was ended because its time was up, as timeout(1) has it."""


class Finished:
    """How a command ended. Nothing of it runs any more, except what it left in the background.

    - `command`: what was run, as it is recorded; empty if nobody said
    - `exit_code`: as a shell would have it
    - `signal`: the signal that ended it, or None
    - `timed_out`: its time was up before it ended; the exit code is then 124
    - `forwarded`: the last of SIGINT, SIGTERM, SIGHUP, SIGQUIT that was passed on to it, or None
    - `spawned`: False where it could not be run (126, 127)
    - `started_at_monotonic`: seconds, see `time.monotonic`
    - `duration_ms`: from there to the command's own end
    - `session`: the id of the session that it had to itself, or 0
    - `output`: what was kept
    - `undelivered`: the error that kept output from the caller's own streams (disk full), or None. A reader
      that went away is no error.
    """

    __slots__ = (
        "command",
        "duration_ms",
        "exit_code",
        "forwarded",
        "output",
        "session",
        "signal",
        "spawned",
        "started_at_monotonic",
        "timed_out",
        "undelivered",
    )

    def __init__(self, output: OutputKeeper, started_at_monotonic: float) -> None:
        self.command = ""
        self.exit_code = 0
        self.signal: int | None = None
        self.timed_out = False
        self.forwarded: int | None = None
        self.spawned = True
        self.session = 0
        self.started_at_monotonic = started_at_monotonic
        self.duration_ms = 0
        self.output = output
        self.undelivered: OSError | None = None

    def ended_with(self, code: int) -> None:
        """Sets what follows from an exit code (minus the number where it was a signal) and from `timed_out`."""
        if code < 0:
            self.signal = -code
        self.exit_code = TIMED_OUT if self.timed_out else code if code >= 0 else 128 - code

    def not_run(self, reason: CommandNotRunError, recorder: OutputRecorder, stderr: int | None) -> None:
        """Sets what follows from a command that cannot be run, and says so in one line, which is recorded."""
        line = f"notch: {reason}\n".encode("utf-8", "surrogateescape")
        recorder.record(line)
        self.exit_code = reason.exit_code
        self.spawned = False
        try:
            os.write(-1 if stderr is None else stderr, line)
        except OSError:
            return
