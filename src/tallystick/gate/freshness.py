"""The state of a criterion, for the content and environment in front of it.

A result counts by what it is bound to, not by when it arrived: a slow pass on an old tree never hides a newer
failure, and a killed attempt never leaves an older pass standing.
"""

from __future__ import annotations

from tallystick.gate.attempts import Attempt
from tallystick.gate.content import environment_difference, pathspecs
from tallystick.gate.grades import Grade
from tallystick.gate.judgement import failure_of
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from tallystick.gate.content import ContentInFront
    from tallystick.gate.plan import Criterion

RUNNING, INTERRUPTED, FLAKY = "running", "interrupted", "flaky"
PASS, FAIL, STALE, MISSING = "pass", "fail", "stale", "missing"


class CriterionState(Frozen):
    """What is known about a criterion, for what is in front of it."""

    __slots__ = FIELDS = (
        "criterion", "state", "ok", "grade", "reason", "deciding", "changed", "passes", "fails", "unfalsified",
    )  # fmt: skip

    criterion: Criterion
    state: str
    """`running`, `interrupted`, `flaky`, `pass`, `fail`, `stale` or `missing`."""
    ok: bool
    """Whether it has what it needs: a fresh pass of a sufficient grade."""
    grade: Grade | None
    """The grade of the result that decides; None where there is none."""
    reason: str
    """Why it stands so, in a line."""
    deciding: Attempt | None
    """The attempt that decides: the newest that counts; for `stale` the newest there is."""
    changed: tuple[str, ...]
    """For `stale`: which files changed since, and how."""
    passes: int
    fails: int
    """How many results on this very content passed and failed."""
    unfalsified: bool
    """Whether no attempt on it ever failed in the ledger: nobody has seen that it can."""

    def __init__(self, **fields: Any) -> None:
        for name in self.FIELDS:
            set_once(self, name, fields[name])


class _Standing:
    """A criterion's attempts, sorted by what they say about the content in front of it."""

    __slots__ = ("current", "elsewhere", "fails", "open", "passes", "refused", "weak")

    def __init__(self) -> None:
        self.current: list[tuple[Attempt, str]] = []
        """Results on this content that count, newest first, each with why it fails (empty: it passes)."""
        self.open: list[Attempt] = []
        """Runs on this content that began and have no end, newest first."""
        self.weak: list[Attempt] = []
        """Results on this content of too low a grade."""
        self.elsewhere: list[tuple[Attempt, str]] = []
        """Results of the command on other content, with why they do not count here."""
        self.refused: list[Attempt] = []
        """Results of another command."""
        self.passes = self.fails = 0


def judge_criterion(
    criterion: Criterion,
    attempts: Sequence[Attempt],
    content: ContentInFront,
    *,
    output: Callable[[Attempt], bytes],
    interrupted: Callable[[Attempt], bool],
    flaky_passes: int,
) -> CriterionState:
    """The criterion's state. `attempts` are newest first; `output` reads a result's output.

    `interrupted` tells of a run without an end whether it can still come to one.
    """
    standing = _sort(criterion, attempts, content, output)
    unfalsified = not any(
        failure_of(one, criterion.expect, _reader(output, one)) for one in attempts if _is_result_of(criterion, one)
    )
    state, ok, reason, deciding = _state(standing, interrupted, flaky_passes)
    changed: tuple[str, ...] = ()
    if state == STALE and deciding is not None:
        reason, changed = _since(deciding, reason, criterion, content)
    return CriterionState(
        criterion=criterion,
        state=state,
        ok=ok,
        grade=deciding.grade if deciding is not None and deciding.kind == "result" else None,
        reason=reason,
        deciding=deciding,
        changed=changed,
        passes=standing.passes,
        fails=standing.fails,
        unfalsified=unfalsified,
    )


def _is_result_of(criterion: Criterion, attempt: Attempt) -> bool:
    return attempt.kind == "result" and _is_its_command(criterion, attempt)


def _is_its_command(criterion: Criterion, attempt: Attempt) -> bool:
    """Whether the attempt ran what the plan says, where the plan runs it: at the root."""
    return criterion.manual or (attempt.command == criterion.command and not attempt.cwd)


def _reader(output: Callable[[Attempt], bytes], attempt: Attempt) -> Callable[[], str]:
    return lambda: decode_text(output(attempt))


def _sort(
    criterion: Criterion,
    attempts: Sequence[Attempt],
    content: ContentInFront,
    output: Callable[[Attempt], bytes],
) -> _Standing:
    standing = _Standing()
    ended = {(one.ledger_id, one.began) for one in attempts if one.kind == "result" and one.began}
    here = content.environment(criterion.environment)
    for one in attempts:
        if one.kind == "started":
            if _may_be_open(criterion, one, ended) and content.holds(one.inputs, one.patterns, criterion):
                standing.open.append(one)
            continue
        if not _is_its_command(criterion, one):
            standing.refused.append(one)
            continue
        why_not = _why_not_here(criterion, one, content, here)
        if why_not:
            standing.elsewhere.append((one, why_not))
        elif one.grade < criterion.grade:
            standing.weak.append(one)
        else:
            failure = failure_of(one, criterion.expect, _reader(output, one))
            standing.current.append((one, failure))
            standing.passes, standing.fails = standing.passes + (not failure), standing.fails + bool(failure)
    return standing


def _may_be_open(criterion: Criterion, started: Attempt, ended: set[tuple[str, int]]) -> bool:
    return started.command == criterion.command and (started.ledger_id, started.position) not in ended


def _why_not_here(criterion: Criterion, one: Attempt, content: ContentInFront, here: dict[str, Any]) -> str:
    """Why a result says nothing about the content and environment in front; empty where it does."""
    if one.moved:
        more = f" and {len(one.moved) - 1} more" if len(one.moved) > 1 else ""
        return f"{one.moved[0]}{more} changed while it ran"
    if "details" in one.erased:
        return "what it was bound to was erased"
    holds = content.holds(one.inputs, one.patterns, criterion)
    if holds is None:
        return "it is not known for which content it was" if not one.inputs else "its inputs were declared otherwise"
    if not holds:
        return "the inputs changed since"
    return environment_difference(one.environment, here)


def _state(
    standing: _Standing, interrupted: Callable[[Attempt], bool], flaky_passes: int
) -> tuple[str, bool, str, Attempt | None]:
    under_way = [one for one in standing.open if not interrupted(one)]
    if under_way:
        return RUNNING, False, f"began at {under_way[0].at} and is under way", under_way[0]
    newest = standing.current[0][0] if standing.current else None
    if standing.open and (newest is None or _later(standing.open[0], newest)):
        return INTERRUPTED, False, f"the run that began at {standing.open[0].at} has no end", standing.open[0]
    if newest is not None:
        return _of_results(standing, newest, flaky_passes)
    if standing.elsewhere:
        one, why_not = standing.elsewhere[0]
        return STALE, False, why_not, one
    if standing.weak:
        weak = standing.weak[0]
        return MISSING, False, f"a result that is only {weak.grade} does not count", weak
    if standing.refused:
        return MISSING, False, _refusal(standing.refused[0]), None
    return MISSING, False, "nothing was recorded for it", None


def _refusal(other: Attempt) -> str:
    if other.cwd:
        return f"it was run in {other.cwd}, not at the root of the work tree"
    return f"only another command was run: {other.command or 'none'}"


def _of_results(standing: _Standing, newest: Attempt, flaky_passes: int) -> tuple[str, bool, str, Attempt | None]:
    failure = standing.current[0][1]
    passes, fails = standing.passes, standing.fails
    if passes and fails:
        streak = next((n for n, (_, why) in enumerate(standing.current) if why), len(standing.current))
        told = f"{passes} passed and {fails} failed on the same inputs"
        if streak >= flaky_passes:
            return FLAKY, True, f"{told}; the newest {streak} passed", newest
        if not failure:
            told += f"; passed on attempt {passes + fails}, {flaky_passes} passes in a row are needed"
        return FLAKY, False, told, newest
    if fails:
        return FAIL, False, failure, newest
    reason = newest.reason or "recorded as pass"
    if newest.touched:
        more = f" and {len(newest.touched) - 1} more" if len(newest.touched) > 1 else ""
        reason += f"; {newest.touched[0]}{more} was written while it ran and was the same after"
    return PASS, True, reason, newest


def _later(one: Attempt, other: Attempt) -> bool:
    if one.ledger_id == other.ledger_id:
        return one.position > other.position
    return (one.at, one.position) > (other.at, other.position)


def _since(attempt: Attempt, reason: str, criterion: Criterion, content: ContentInFront) -> tuple[str, tuple[str, ...]]:
    """The reason with the files that changed since, as far as they can be named."""
    if attempt.moved or not attempt.content or "details" in attempt.erased:
        return reason, attempt.moved
    found = content.changed(attempt.content, pathspecs(criterion.inputs))
    if found is None:
        if reason == "the inputs changed since":
            commit = attempt.commit[:12] or "what it was bound to"
            reason = f"the inputs changed since, and {commit} is gone, so the files cannot be named"
        return reason, ()
    named = tuple(described(change.path, change.how, change.was) for change in found)
    if reason == "the inputs changed since" and named:
        reason = f"{_listed([change.path for change in found])} changed since"
    return reason, named


def described(path: str, how: str, was: str) -> str:
    """A changed file in words: `src/a.py (modified)`."""
    return f"{path} (renamed from {was})" if was else f"{path} ({how})"


def _listed(names: Iterable[str]) -> str:
    first, *rest = names
    if not rest:
        return first
    return f"{first} and {rest[0]}" if len(rest) == 1 else f"{first} and {len(rest)} more files"
