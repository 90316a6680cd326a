"""How a check goes on, on standard error: a live line for each run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time

from tallystick.cli.terminal import paint, shorten
from tallystick.model.text import decode_text, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from tallystick.capture.run import RunResult
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.plan import Criterion
    from tallystick.gate.runner import Outcome

TAIL_LINES, TAIL_BYTES = 20, 4_096
"""How much of the end of a failing run's output is shown."""
_HEARD_BYTES = 512


class Silent:
    """Says nothing."""

    def began(self, criterion: Criterion) -> None:
        """See `Progress`."""

    def heard(self, criterion: Criterion, output: bytes) -> None:
        """See `Progress`."""

    def waits(self, state: CriterionState) -> None:
        """See `Progress`."""

    def ended(self, outcome: Outcome) -> None:
        """See `Progress`."""

    def done(self, criterion: Criterion, lines: Sequence[str]) -> None:
        """It does not run any more; say these lines."""

    def tick(self) -> None:
        """See `Progress`."""

    def close(self) -> None:
        """Take away what is not to stay."""


class Lines(Silent):
    """A line when a run begins and one when it ended; of a failing one also the end of what it printed."""

    def __init__(self, task_id: str, width: int, stream: TextIO | None = None) -> None:
        """`width` is that of the longest criterion's id."""
        self._stream: TextIO | None = stream or sys.stderr
        self._task_id = task_id
        self._width = width

    def began(self, criterion: Criterion) -> None:
        """See `Progress`."""
        self._say(f"  {self._name(criterion)}  running: {printable(criterion.command)}")

    def waits(self, state: CriterionState) -> None:
        """See `Progress`."""
        self._say(f"  {self._name(state.criterion)}  running elsewhere, waiting for that")
        if state.unseen:
            self._say(f"  {self._name(state.criterion)}  {_unseen(state, self._task_id)}")

    def ended(self, outcome: Outcome) -> None:
        """See `Progress`."""
        self.done(outcome.criterion, self._told(outcome))

    def done(self, criterion: Criterion, lines: Sequence[str]) -> None:  # noqa: ARG002
        """See `Silent.done`."""
        for line in lines:
            self._say(line)

    def _say(self, line: str) -> None:
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        """Write to whoever reads; where nobody does any more, the check goes on without a word."""
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._stream = None

    def _name(self, criterion: Criterion) -> str:
        return f"{printable(criterion.id):<{self._width}}"

    def _told(self, outcome: Outcome) -> list[str]:
        status, took, reason = _summary(outcome)
        mark = self._paint("✓" if outcome.passed else "✗", "pass" if outcome.passed else "fail")
        name = self._name(outcome.criterion)
        line = f"{mark} {name}  {self._paint(f'{status:<11}', status)} {took:>9}  {printable(reason)}"
        if outcome.result is not None and outcome.result.left_running:
            line += f"\n    left running, and ended: {printable(', '.join(outcome.result.left_running))}"
        if outcome.result is None or outcome.passed:
            return [line]
        return [line, *tail_of(outcome.result, self._task_id)]

    def _paint(self, words: str, kind: str) -> str:
        return paint(words, kind, self._stream)


class LiveLines(Lines):
    """The same with a live line at the bottom for each run that is under way: how long, and what it said last."""

    def __init__(self, task_id: str, width: int, stream: TextIO | None = None) -> None:
        super().__init__(task_id, width, stream)
        self._since: dict[str, float] = {}
        self._criteria: dict[str, Criterion] = {}
        self._last: dict[str, bytes] = {}
        self._elsewhere: set[str] = set()
        self._drawn = 0

    def began(self, criterion: Criterion) -> None:
        """See `Progress`."""
        self._elsewhere.discard(criterion.id)
        self._add(criterion)

    def waits(self, state: CriterionState) -> None:
        """See `Progress`."""
        if state.unseen:
            self.done(state.criterion, [f"  {self._name(state.criterion)}  {_unseen(state, self._task_id)}"])
        self._elsewhere.add(state.criterion.id)
        self._add(state.criterion)

    def _add(self, criterion: Criterion) -> None:
        self._criteria[criterion.id] = criterion
        self._since[criterion.id] = time.monotonic()
        self._last[criterion.id] = b""
        self.tick()

    def heard(self, criterion: Criterion, output: bytes) -> None:
        """See `Progress`. Called from the run's own thread: it only keeps the newest bytes."""
        self._last[criterion.id] = (self._last.get(criterion.id, b"") + output)[-_HEARD_BYTES:]

    def done(self, criterion: Criterion, lines: Sequence[str]) -> None:
        """See `Silent.done`."""
        self._criteria.pop(criterion.id, None)
        self._erase()
        super().done(criterion, lines)
        self.tick()

    def tick(self) -> None:
        """See `Progress`."""
        columns, rows = self._size()
        shown = list(self._criteria.values())[: max(rows - 2, 1)]
        lines = [self._live(criterion, columns) for criterion in shown]
        self._write(self._up() + "".join(f"\x1b[K{line}\n" for line in lines) + "\x1b[J")
        self._drawn = len(lines)

    def close(self) -> None:
        """See `Silent.close`."""
        self._criteria.clear()
        self._erase()

    def _live(self, criterion: Criterion, columns: int) -> str:
        took = _duration(1000 * (time.monotonic() - self._since[criterion.id]))
        elsewhere = criterion.id in self._elsewhere
        last = "elsewhere" if elsewhere else _last_line(self._last[criterion.id])
        line = f"  {self._name(criterion)}  {'running':<11} {took:>9}  {last}"
        return shorten(line, columns - 1)

    def _erase(self) -> None:
        self._write(self._up() + "\x1b[J")
        self._drawn = 0

    def _up(self) -> str:
        return f"\r\x1b[{self._drawn}A" if self._drawn else "\r"

    def _size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno() if self._stream else -1)
        except OSError:
            return 80, 24
        return max(columns, 20), max(rows, 3)


def progress_for(task_id: str, width: int, *, quiet: bool = False) -> Silent:
    """What fits standard error: live lines on a terminal that can move its cursor, plain ones elsewhere."""
    stream = sys.stderr
    if quiet or stream is None:
        return Silent()
    live = stream.isatty() and os.environ.get("TERM") not in (None, "dumb")
    return LiveLines(task_id, width) if live else Lines(task_id, width)


def _unseen(state: CriterionState, task_id: str) -> str:
    """What to do about a run that nobody here can see."""
    import shlex

    words = f"-t {shlex.quote(task_id)} -c {shlex.quote(state.criterion.id)}"
    return printable(f"it {state.reason}; if it does not: notch run --abandon {words}")


def _summary(outcome: Outcome) -> tuple[str, str, str]:
    """Status, duration and why, in words."""
    if outcome.result is not None:
        return outcome.result.status, _duration(outcome.result.finished.duration_ms), outcome.result.reason
    if outcome.citation is not None:
        cited = outcome.citation
        return "reused", "", f"shown by {cited.task_id} #{cited.position}, saved {_duration(cited.saved_ms)}"
    if outcome.state is not None:
        return outcome.state.state, "", f"{outcome.state.reason}; run by somebody else meanwhile"
    return "interrupted", "", "stopped while it ran; it has no result"


def _duration(milliseconds: float) -> str:
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes}:{seconds:02} min"


duration = _duration


def _lines(output: bytes) -> list[str]:
    """Lines of what a command printed, as a terminal would leave them standing, without colours."""
    from re import sub

    text = sub(r"\x1b\[[0-9;:]*[A-Za-z]", "", decode_text(output))
    return [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]


def tail_of(result: RunResult, task_id: str) -> list[str]:
    """The end of what a run printed, quoted, and how to see all of it where that is more."""
    tail = _tail(result.finished.output.kept())
    more = f"    notch artifact {printable(task_id)} {result.head.position} prints all of it"
    return [*(f"    | {each}" for each in tail), *([more] if len(tail) >= TAIL_LINES else [])]


def _tail(output: bytes) -> list[str]:
    lines = _lines(output[-TAIL_BYTES:])
    if len(output) > TAIL_BYTES and len(lines) > 1:
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines.pop()
    return [printable(line) for line in lines[-TAIL_LINES:]]


def _last_line(output: bytes) -> str:
    return next((printable(line.strip()) for line in reversed(_lines(output)) if line.strip()), "")
