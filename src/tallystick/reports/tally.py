"""Counting outcomes and collecting names, within bounds."""

from __future__ import annotations

import json

from tallystick.model.text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

COUNTS = ("passed", "failed", "errors", "skipped", "flaky", "xfailed")
NAMED = ("failed", "skipped", "flaky")

MAX_NAMES = 1_000
"""How many names of one kind a report lists; the counts go on."""

MAX_NAME_CHARACTERS = 300
MAX_NAME_BYTES = 192 * 1024
"""How much room the names of one kind may take as JSON, so that details stay far under their limit."""

MAX_PROBLEMS = 20
MAX_COUNT = 2**53


def shortened(text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """The text in at most `limit` characters, in one line, without NUL and lone surrogates."""
    if len(text) <= limit and text.isprintable():
        return text
    text = " ".join(text[: 4 * limit].replace("\0", "\ufffd").split())
    return clean_text(text if len(text) <= limit else text[: limit - 1] + "…")


class Names:
    """Collects names; keeps the first `MAX_NAMES` of them in sorted order, in memory of that size."""

    __slots__ = ("_kept", "count")

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[str] = []

    def add(self, *names: str, unlisted: int = 0) -> None:
        """Add names, shortened where they are long, and so many more that nobody knows."""
        self.count += len(names) + unlisted
        for name in names:
            self._keep(name)

    def absorb(self, other: Names, prefix: str = "") -> None:
        """Add the names of another collection, `prefix` before each."""
        self.count += other.count
        for name in other._kept:
            self._keep(prefix + name)

    def _keep(self, name: str) -> None:
        self._kept.append(shortened(name))
        if len(self._kept) >= 4 * MAX_NAMES:
            self._kept.sort()
            del self._kept[MAX_NAMES:]

    def listed(self) -> tuple[str, ...]:
        """The names to list, within `MAX_NAMES` and `MAX_NAME_BYTES`."""
        room, names = MAX_NAME_BYTES, []
        for name in sorted(self._kept)[:MAX_NAMES]:
            room -= len(json.dumps(name)) + 1
            if room < 0:
                break
            names.append(name)
        return tuple(names)

    def left_out(self) -> int:
        """How many of the names `listed` does not have."""
        return self.count - len(self.listed())


class Tally:
    """Counts outcomes one by one; every reader fills one and takes the report from it."""

    __slots__ = ("counts", "milliseconds", "names", "notes", "problems")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTS, 0)
        self.names = {kind: Names() for kind in NAMED}
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.milliseconds: float | None = None

    def passed(self, count: int = 1) -> None:
        """Count so many that passed."""
        self.counts["passed"] += count

    def failed(self, name: str) -> None:
        """Count one that failed."""
        self.counts["failed"] += 1
        self.names["failed"].add(name)

    def error(self, name: str) -> None:
        """Count one that broke, or ended without a verdict."""
        self.counts["errors"] += 1
        self.names["failed"].add(name)

    def skipped(self, name: str) -> None:
        """Count one that does not count towards the result."""
        self.counts["skipped"] += 1
        self.names["skipped"].add(name)

    def xfailed(self) -> None:
        """Count one that failed as its author said it would."""
        self.counts["xfailed"] += 1

    def flaky(self, name: str) -> None:
        """Count one that passed after an attempt that failed."""
        self.counts["passed"] += 1
        self.counts["flaky"] += 1
        self.names["flaky"].add(name)

    def absorb(self, kind: str, names: Names) -> None:
        """Count all of a collection as `failed` or `skipped`."""
        self.counts[kind] += names.count
        self.names[kind].absorb(names)

    def problem(self, text: str) -> None:
        """Note why the run as a whole does not hold; the first `MAX_PROBLEMS` are kept."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(shortened(text))

    def note(self, text: str) -> None:
        """Note something that decides nothing; the first `MAX_PROBLEMS` different ones are kept."""
        if len(self.notes) < MAX_PROBLEMS and (text := shortened(text)) not in self.notes:
            self.notes.append(text)

    def add_ms(self, milliseconds: float | None) -> None:
        """Add to the duration; what is None, negative or not finite is no duration and adds nothing."""
        if milliseconds is not None and 0 <= milliseconds < MAX_COUNT:
            self.milliseconds = (self.milliseconds or 0.0) + milliseconds

    def report(
        self,
        format: str,
        *,
        tool: str = "",
        unit: str = "tests",
        findings: dict[str, int] | None = None,
        replayed: str = "",
    ) -> Report:
        """What was counted, as a report."""
        from tallystick.reports.base import Report

        return Report(
            format,
            tool=shortened(tool, 100),
            unit=unit,
            counts=self.counts,
            names={kind: names.listed() for kind, names in self.names.items()},
            left_out={kind: names.left_out() for kind, names in self.names.items()},
            duration_ms=None if self.milliseconds is None else min(round(self.milliseconds), MAX_COUNT),
            findings=findings,
            problems=self.problems,
            replayed=replayed,
            notes=self.notes,
        )
