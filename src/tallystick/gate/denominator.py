"""Counts are facts over time: fewer tests and new skips are told as loudly as a failure."""

from __future__ import annotations

from tallystick.gate.content import pathspecs
from tallystick.gate.freshness import FLAKY, PASS, is_its_command
from tallystick.gate.weakening import Weakening

NO_LONGER_COUNTED = "tests are no longer counted"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.case import Case
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.plan import Criterion


def shrunken(case: Case) -> list[Weakening]:
    """Where the result that decides counted fewer tests, or more skips, than there were before.

    Before: on the base's content, where a result for that is known; else at any time in the task's sessions.
    Content that is the base's is only compared with itself: what was merged is no news.
    """
    return [weakening for state in case.states if state.state in (PASS, FLAKY) for weakening in _compared(case, state)]


def _compared(case: Case, state: CriterionState) -> Iterator[Weakening]:
    # The newest run speaks against it even if its grade lets an older one decide.
    runs = {id(one): one for one in (state.deciding, state.newest) if one is not None and one.watched}
    if not runs:
        return
    watched = list(_watched(case, state))
    found = (
        weakening
        for now in runs.values()
        for weakening in weaker_than(case, state.criterion, now, [one for one in watched if one is not now])
    )
    yield from dict.fromkeys(found)


def weaker_than(case: Case, criterion: Criterion, now: Attempt, seen: Sequence[Attempt]) -> Iterator[Weakening]:
    """Where a result counted fewer tests, or more skips, than those among the others that it is to be held to."""
    seen = [one for one in seen if one.executed is not None]
    before = _before(case, criterion, now, seen) if seen else ()
    # A run that failed may have ended before its last tests, and many runners count otherwise then, or only then.
    ended_well = criterion.expect.exit.allows
    if not before or not ended_well(now.exit_code):
        return
    if now.executed is None:
        most = max((one.executed or 0 for one in before if ended_well(one.exit_code)), default=0)
        if most:
            yield Weakening(criterion.id, NO_LONGER_COUNTED, str(most))
        return
    before = [one for one in before if _unit(one) == _unit(now)]
    most = max(((one.executed if ended_well(one.exit_code) else one.passed) or 0 for one in before), default=0)
    if now.executed < most:
        yield Weakening(criterion.id, "fewer tests were executed", str(most), str(now.executed))
    least = min((one for one in before if ended_well(one.exit_code)), key=_idle, default=None)
    if least is not None and _idle(now) > _idle(least):
        if (now.skipped or 0) > (least.skipped or 0):
            yield Weakening(criterion.id, "more tests were skipped", str(least.skipped or 0), str(now.skipped))
        else:
            yield Weakening(criterion.id, "more tests are expected to fail", str(least.xfailed), str(now.xfailed))


def _idle(one: Attempt) -> int:
    """How many tests could not have failed the run."""
    return (one.skipped or 0) + one.xfailed


def _unit(one: Attempt) -> str:
    """What its counts count: tests, packages, …"""
    return str(one.tests.get("unit", "tests"))


def _before(case: Case, criterion: Criterion, now: Attempt, seen: Sequence[Attempt]) -> Sequence[Attempt]:
    """The results to compare with: watched runs of the same command, of those that failed what passed in them."""
    patterns = pathspecs(criterion.inputs)
    base = base_digest(case, patterns)
    if base and base == case.content.digest(patterns):
        return [one for one in seen if one.inputs == now.inputs]
    on_base = [one for one in seen if base and one.inputs == base and one.patterns == patterns]
    return on_base or [one for one in seen if not (one.session == now.session and one.position > now.position)]


def _watched(case: Case, state: CriterionState) -> Iterator[Attempt]:
    """Watched runs of the criterion's command; where tests were counted, also all those on the base's content."""
    criterion = state.criterion
    found = _of_command(criterion, (*case.attempts(criterion.id), *case.attempts_on_base(criterion.id)))
    base = [base_digest(case, pathspecs(criterion.inputs))] if any(one.executed is not None for one in found) else []
    if any(base):
        more = (*case.evidence.attempts(criterion.id, base), *case.attempts_on_base(criterion.id, base))
        known = {(one.session, one.position) for one in found}
        found += [one for one in _of_command(criterion, more) if (one.session, one.position) not in known]
    yield from found


def _of_command(criterion: Criterion, attempts: Iterable[Attempt]) -> list[Attempt]:
    return [one for one in attempts if one.kind == "result" and one.watched and is_its_command(criterion, one)]


def base_digest(case: Case, patterns: tuple[str, ...]) -> str:
    """The inputs digest of the base's content; empty where there is no base."""
    if not case.plan.base.commit:
        return ""
    return case.base_snapshot().inputs_digest(patterns, without=case.content.left_out)
