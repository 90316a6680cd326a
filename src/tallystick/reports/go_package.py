"""A Go package's tests: which of them are groups of subtests, how each ended, and what was a re-run.

A package may stand in a report several times: `-count`, a matrix written to one file, one `go test` after another.
Those runs are of equal standing, and a test that failed in one of them failed. Only a run of some of the tests that
had failed and of nothing else is a re-run, as gotestsum makes them, whose later pass counts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set

    from tallystick.reports.tally import Tally

MAX_DEPTH = 64
"""How many levels of subtests are looked up."""

OUTCOMES = ("pass", "fail", "skip")
_BAD = ("failed", "error")


class PackageRun:
    """What the events of one run of a package came to."""

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

    def measured(self, name: str) -> None:
        """Take a benchmark's measurement, which is all that is printed at its end."""
        if name in self.tests and not self.tests[name][-1]:
            self.tests[name][-1] = "pass"

    def outcome(self, name: str) -> str:
        """The verdict on a test: one of `passed`, `failed`, `error`, `skipped`.

        One without an end is an error unless the package passed: then its end was only not told.
        """
        outcomes = self.tests[name]
        if "fail" in outcomes:
            return "failed"
        if not outcomes[-1]:
            return "passed" if self.verdict == "pass" else "error"
        return "passed" if "pass" in outcomes else "skipped"

    def leaves(self) -> Set[str]:
        """Its tests that are no group of others."""
        return self.tests.keys() - {_group(name, self.tests.keys()) for name in self.tests}


class Package:
    """What all runs of a package came to."""

    __slots__ = ("runs",)

    def __init__(self) -> None:
        self.runs = [PackageRun()]

    @property
    def run(self) -> PackageRun:
        """The run that goes on."""
        return self.runs[-1]

    def begin(self) -> PackageRun:
        """Begin another run, unless the one that goes on has not shown anything."""
        run = self.run
        if run.verdict or run.tests or run.broken:
            self.runs.append(PackageRun())
        return self.run

    def outcomes(self) -> dict[str, str]:
        """The verdict on each test: one of `passed`, `failed`, `error`, `skipped`, `flaky`."""
        settled: dict[str, str] = {}
        last: dict[str, str] = {}
        for run in self.runs:
            again = _is_rerun(run, last)
            for name in run.tests:
                outcome = run.outcome(name)
                settled[name] = _together(settled.get(name, ""), outcome, again=again)
                last[name] = outcome
        return settled

    def count(self, tally: Tally, package: str) -> None:
        """Count its tests: those without subtests, and groups that failed of their own account."""
        outcomes = self.outcomes()
        groups, failed_below = set(), set()
        for name, outcome in outcomes.items():
            group = _group(name, outcomes.keys())
            groups.add(group)
            if outcome in _BAD:
                failed_below.add(group)
        for name, outcome in outcomes.items():
            if name in groups and (name in failed_below or outcome not in _BAD):
                continue
            if outcome == "passed":
                tally.passed()
            else:
                getattr(tally, outcome)(f"{package}.{name}" if package else name)
        for run in self.runs:
            _note_problem(tally, package or "the package", run)


def _note_problem(tally: Tally, package: str, run: PackageRun) -> None:
    """Note why the run of the package does not hold, its tests apart."""
    if not run.verdict and not run.broken:
        tally.problem(f"{package}: no result, the run may have been cut short")
    elif run.broken or (run.verdict == "fail" and not any(run.outcome(name) in _BAD for name in run.tests)):
        tally.problem(f"{package}: failed {run.broken}".rstrip())


def _is_rerun(run: PackageRun, last: dict[str, str]) -> bool:
    """Whether the run repeats tests that failed, and leaves out others: nobody but a re-run chooses so."""
    leaves = run.leaves()
    return (
        bool(leaves)
        and all(last.get(name) in _BAD for name in leaves)
        and any(name not in run.tests and _group(name, run.tests.keys()) not in leaves for name in last)
    )


def _together(before: str, now: str, *, again: bool) -> str:
    """The verdict on a test that ran before and now, `again` in a re-run."""
    if not before:
        return now
    if again and before in _BAD:
        return "flaky" if now == "passed" else now if now in _BAD else before
    return next(kind for kind in ("failed", "error", "flaky", "passed", "skipped") if kind in (before, now))


def _group(name: str, names: Set[str]) -> str:
    """The test that this one is a subtest of; empty if it is none."""
    for _ in range(MAX_DEPTH):
        name = name.rpartition("/")[0]
        if not name or name in names:
            return name
    return ""
