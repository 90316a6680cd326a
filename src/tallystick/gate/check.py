"""What a check has to do: which criteria are run, which are not, and in which order."""

from __future__ import annotations

from tallystick.gate.freshness import FAIL, FLAKY, MISSING, RUNNING, STALE
from tallystick.gate.grades import Grade
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.plan import Criterion

RUN, WAIT, SHOWN, PERSON, SIGNATURE = "run", "wait", "shown", "person", "signature"


class Step(Frozen):
    """What there is to do about one criterion."""

    __slots__ = FIELDS = ("criterion", "state", "what")

    criterion: Criterion
    state: CriterionState
    """How it stands before."""
    what: str
    """`run`; `wait` for the run of another that is under way; nothing: it is `shown`, or a `person` has to show it, or
    only a `signature` is missing."""

    def __init__(self, criterion: Criterion, state: CriterionState, what: str) -> None:
        set_once(self, "criterion", criterion)
        set_once(self, "state", state)
        set_once(self, "what", what)

    @property
    def may_be_cited(self) -> bool:
        """Whether a result from elsewhere would do: nothing is known here about what is in front of us."""
        return self.what == RUN and self.state.state in (MISSING, STALE)


def steps(states: Iterable[CriterionState], judge: Callable[[Criterion], CriterionState]) -> list[Step]:
    """A step for each criterion, in the order given. `judge` tells how one would stand if it asked for less."""
    return [Step(state.criterion, state, _what(state, judge)) for state in states]


def _what(state: CriterionState, judge: Callable[[Criterion], CriterionState]) -> str:
    criterion = state.criterion
    if state.ok:
        return SHOWN
    if criterion.manual:
        return PERSON
    if state.state == RUNNING:
        return WAIT
    if criterion.grade > Grade.OBSERVED and judge(criterion.replace(grade=Grade.OBSERVED)).ok:
        return SIGNATURE
    return RUN


def stages(planned: Sequence[Step]) -> list[list[Step]]:
    """The steps phase by phase: those of one stage may be done at the same time, in their order.

    Criteria of no phase come last, all at once. `planned` is in the plan's order.
    """
    found: dict[str, list[Step]] = {}
    for step in planned:
        found.setdefault(step.criterion.phase, []).append(step)
    without = found.pop("", None)
    return [*found.values(), *([without] if without else [])]


def runs_again(state: CriterionState, passed: int, flaky_passes: int) -> bool:
    """Whether a criterion that has just passed is run once more: it failed on this content before.

    `passed`: how often it passed in this check.
    """
    return state.state == FLAKY and not state.ok and passed < flaky_passes


def settled_since(state: CriterionState, session: tuple[str, str], position: int) -> bool:
    """Whether somebody else ran the criterion since that position of our session, so that we need not."""
    if state.ok or state.state == RUNNING:
        return True
    one = state.deciding
    by_others = one is not None and one.kind == "result" and one.session == session and one.position > position
    return by_others and state.state in (FAIL, FLAKY)
