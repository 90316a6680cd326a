"""What a check has to do about each criterion, and in which order."""

from __future__ import annotations

import pytest

from tallystick.gate.attempts import Attempt
from tallystick.gate.check import (
    PERSON,
    RUN,
    SHOWN,
    SIGNATURE,
    WAIT,
    runs_again,
    settled_since,
    stages,
    steps,
)
from tallystick.gate.freshness import CriterionState
from tallystick.gate.grades import Grade
from tallystick.gate.plan import Criterion, Plan, Task

SESSION = ("l", "t")


def state_of(criterion: Criterion, state: str, *, ok: bool = False, deciding: Attempt | None = None) -> CriterionState:
    return CriterionState(
        criterion=criterion,
        state=state,
        ok=ok,
        grade=None,
        reason="",
        deciding=deciding,
        changed=(),
        changed_paths=(),
        passes=0,
        fails=0,
        unfalsified=True,
    )


def result(position: int, session: tuple[str, str] = SESSION, kind: str = "result") -> Attempt:
    return Attempt(
        position=position,
        ledger_id=session[0],
        task_id=session[1],
        at="",
        kind=kind,
        criterion_id="c",
        command="true",
        status="fail",
        reason="",
        exit_code=1,
        grade=Grade.OBSERVED,
        run={},
        content={},
        erased=(),
        output_known=True,
    )


RUNNABLE = Criterion("c", run="true")


@pytest.mark.parametrize(
    ("criterion", "state", "ok", "would_do", "what"),
    [
        (RUNNABLE, "pass", True, True, SHOWN),
        (RUNNABLE, "flaky", True, True, SHOWN),
        (RUNNABLE, "flaky", False, False, RUN),
        (RUNNABLE, "fail", False, False, RUN),
        (RUNNABLE, "stale", False, False, RUN),
        (RUNNABLE, "missing", False, False, RUN),
        (RUNNABLE, "interrupted", False, False, RUN),
        (RUNNABLE, "running", False, False, WAIT),
        (Criterion("c", manual=True), "missing", False, False, PERSON),
        (Criterion("c", manual=True), "pass", True, True, SHOWN),
        (RUNNABLE.replace(grade=Grade.ATTESTED), "missing", False, False, RUN),
        (RUNNABLE.replace(grade=Grade.ATTESTED), "missing", False, True, SIGNATURE),
        (RUNNABLE.replace(grade=Grade.REPRODUCED), "missing", False, True, SIGNATURE),
        (RUNNABLE.replace(grade=Grade.ATTESTED), "pass", True, True, SHOWN),
    ],
)
def test_what_there_is_to_do(criterion: Criterion, state: str, ok: bool, would_do: bool, what: str) -> None:
    def judge(asked: Criterion) -> CriterionState:
        assert asked == criterion.replace(grade=Grade.OBSERVED)
        return state_of(asked, "pass" if would_do else "missing", ok=would_do)

    (step,) = steps([state_of(criterion, state, ok=ok)], judge)
    assert (step.criterion, step.what) == (criterion, what)


@pytest.mark.parametrize("state", ["missing", "stale", "fail", "flaky", "interrupted"])
def test_only_where_nothing_is_known_here_would_a_result_from_elsewhere_do(state: str) -> None:
    (step,) = steps([state_of(RUNNABLE, state)], lambda one: state_of(one, "missing"))
    assert step.may_be_cited == (state in ("missing", "stale"))


def test_phase_by_phase_and_those_of_none_last() -> None:
    def criterion(name: str, phase: str) -> Criterion:
        return Criterion(name, run=name, phase=phase)

    standing = {one.id: one for one in (criterion("x", ""), criterion("r1", "review"), criterion("b1", "build"))}
    own = {one.id: one for one in (criterion("b2", "build"), criterion("y", ""), criterion("r2", "review"))}
    plan = Plan(standing, {"t": Task("t", phases=("build", "review"), criteria=own)})
    planned = steps(
        [state_of(one, "missing") for one in plan.for_task("t").criteria], lambda one: state_of(one, "missing")
    )
    assert [[step.criterion.id for step in stage] for stage in stages(planned)] == [
        ["b1", "b2"],
        ["r1", "r2"],
        ["x", "y"],
    ]
    assert stages([]) == []


def test_flaky_ones_run_again_until_enough_passed() -> None:
    flaky = state_of(RUNNABLE, "flaky")
    assert runs_again(flaky, 1, 3)
    assert not runs_again(flaky, 3, 3)
    assert not runs_again(state_of(RUNNABLE, "flaky", ok=True), 1, 3)
    assert not runs_again(state_of(RUNNABLE, "pass", ok=True), 1, 3)
    assert not runs_again(state_of(RUNNABLE, "fail"), 1, 3)


@pytest.mark.parametrize(
    ("state", "settled"),
    [
        (state_of(RUNNABLE, "pass", ok=True), True),
        (state_of(RUNNABLE, "running"), True),
        (state_of(RUNNABLE, "fail", deciding=result(5)), True),
        (state_of(RUNNABLE, "flaky", deciding=result(5)), True),
        (state_of(RUNNABLE, "fail", deciding=result(4)), False),
        (state_of(RUNNABLE, "fail", deciding=result(5, ("l", "other"))), False),
        (state_of(RUNNABLE, "interrupted", deciding=result(5, kind="started")), False),
        (state_of(RUNNABLE, "stale", deciding=result(5)), False),
        (state_of(RUNNABLE, "missing"), False),
    ],
)
def test_what_somebody_else_did_since_need_not_be_done(state: CriterionState, settled: bool) -> None:
    assert settled_since(state, SESSION, 4) == settled
