"""A Go package's tests: which of them are groups of subtests, and how each ended."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.tally import Tally

MAX_DEPTH = 64
"""How many levels of subtests are looked up."""

OUTCOMES = ("pass", "fail", "skip")


class Package:
    """What a package's events came to."""

    __slots__ = ("broken", "cached", "tests", "verdict")

    def __init__(self) -> None:
        self.verdict = ""
        self.broken = ""
        self.cached = False
        self.tests: dict[str, list[str]] = {}
        """Each test's outcomes, one for each time it ran; empty text for one that has not ended."""

    def test(self, name: str, action: str) -> None:
        """Take an event of one of its tests. Go before 1.20 makes results of what a test prints: none ran."""
        if action == "run":
            self.tests.setdefault(name, []).append("")
        elif action in OUTCOMES and name in self.tests:
            self.tests[name][-1] = action

    def outcome(self, name: str) -> str:
        """The verdict on a test: one of `passed`, `failed`, `error`, `skipped`, `flaky`."""
        outcomes = self.tests[name]
        if not outcomes[-1]:
            return "error"
        if "fail" in outcomes:
            return "flaky" if outcomes[-1] == self.verdict == "pass" else "failed"
        return "passed" if "pass" in outcomes else "skipped"

    def count(self, tally: Tally, package: str) -> None:
        """Count its tests: those without subtests, and groups that failed of their own account."""
        outcomes = {name: self.outcome(name) for name in self.tests}
        groups, failed_below = set(), set()
        for name, outcome in outcomes.items():
            group = self._group(name)
            groups.add(group)
            if outcome in ("failed", "error"):
                failed_below.add(group)
        for name, outcome in outcomes.items():
            if name in groups and (name in failed_below or outcome not in ("failed", "error")):
                continue
            if outcome == "passed":
                tally.passed()
            else:
                getattr(tally, outcome)(f"{package}.{name}" if package else name)
        if not self.verdict and not self.broken:
            tally.problem(f"{package}: no result, the run may have been cut short")
        elif self.broken or (self.verdict == "fail" and not failed_below):
            tally.problem(f"{package}: failed {self.broken}".rstrip())

    def _group(self, name: str) -> str:
        """The test that this one is a subtest of; empty where it is none."""
        for _ in range(MAX_DEPTH):
            name = name.rpartition("/")[0]
            if not name or name in self.tests:
                return name
        return ""
