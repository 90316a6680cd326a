"""The gate's rules, one idea each. A rule looks at a case and says what it objects to."""

from __future__ import annotations

import shlex

from tallystick.gate.denominator import NO_LONGER_COUNTED
from tallystick.gate.freshness import RUNNING
from tallystick.gate.grades import Grade
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol

    from tallystick.gate.case import Case
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.memory import SeenHeads
    from tallystick.gate.weakening import Weakening
    from tallystick.stores.base import Head

    class Policy(Protocol):
        """One rule of the gate."""

        def objections(self, case: Case) -> Iterable[Objection]:
            """What speaks against opening; nothing where the rule is satisfied."""


class Objection(Frozen):
    """One reason why the gate stays shut."""

    __slots__ = FIELDS = ("rule", "what", "criterion", "next", "tampered")

    rule: str
    """Which rule objects: `criteria`, `weakened`, `protected`, `review`, `history`, `ledger`."""
    what: str
    """What is missing or wrong, in a line."""
    criterion: str
    """The criterion it is about; empty for none."""
    next: str
    """The one command that supplies what is missing; empty where no command does."""
    tampered: bool
    """Whether it is evidence that was changed."""

    def __init__(self, rule: str, what: str, *, criterion: str = "", next: str = "", tampered: bool = False) -> None:
        set_once(self, "rule", rule)
        set_once(self, "what", what)
        set_once(self, "criterion", criterion)
        set_once(self, "next", next)
        set_once(self, "tampered", tampered)


class AllOf:
    """Every one of some rules."""

    def __init__(self, *policies: Policy) -> None:
        self._policies = policies

    def objections(self, case: Case) -> Iterator[Objection]:
        """What any of them objects to, in their order."""
        for policy in self._policies:
            yield from policy.objections(case)


class EveryCriterionProved:
    """Every criterion in force has fresh passing evidence of the grade it asks for."""

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        if not case.plan.task.criteria:
            yield Objection("criteria", "the plan asks for nothing, so nothing can be proved", next="notch init")
        for state in case.states:
            if not state.ok:
                yield Objection(
                    "criteria",
                    f"{state.state}: {state.reason}",
                    criterion=state.criterion.id,
                    next=supplying_command(case.task_id, state, case.command),
                )


def supplying_command(task_id: str, state: CriterionState, notch: str = "notch") -> str:
    """The command that supplies what a criterion lacks; empty where only waiting, or another's signature, does."""
    waits = state.state == RUNNING and not state.unseen
    if state.ok or waits or state.criterion.grade > Grade.OBSERVED:
        return ""
    task, criterion = shlex.quote(task_id), shlex.quote(state.criterion.id)
    if state.criterion.manual:
        return f'{notch} record -t {task} --type criterion -c {criterion} --status pass --reason "…"'
    return f"{notch} run -t {task} -c {criterion}"


class NothingWeakened:
    """The plan asks no less than on the base, and no fewer tests were counted than before, unless that is approved."""

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        for weakening in case.unapproved:
            yield Objection(
                "weakened", str(weakening), criterion=weakening.criterion, next=_counted_again(case, weakening)
            )


def _counted_again(case: Case, weakening: Weakening) -> str:
    """The command that has tests counted that no longer are; empty for another weakening."""
    if weakening.what != NO_LONGER_COUNTED:
        return ""
    task, criterion = shlex.quote(case.task_id), shlex.quote(weakening.criterion)
    return f"{case.command} run -t {task} -c {criterion} --report FILE"


class ProtectedFilesUntouched:
    """No file that the base protects differs from the base, unless that is approved."""

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        for told in case.unapproved_files:
            yield Objection("protected", f"{told} is protected")


class NoReviewFails:
    """No review failed, unless a later one passed on the content in front of us."""

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        for _, review in case.evidence.by_type("review"):
            if review.entry.status == "pass" and case.is_about_this(review):
                return
            if review.entry.status == "fail":
                who = review.entry.provider or "a reviewer"
                yield Objection(
                    "review",
                    f"{who} reviewed it as failing: {review.entry.reason or 'no reason given'}",
                    next=f'{case.command} review -t {shlex.quote(case.task_id)} --verdict pass --by "…"',
                )
                return


class HistoryExtends:
    """The history extends every head that was seen of it: here, and the ones that are named."""

    def __init__(self, seen: SeenHeads | None = None, heads: Sequence[Head] = ()) -> None:
        self._seen = seen
        self._heads = heads

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        if (
            self._seen is not None
            and case.ledger is not None
            and (why := self._seen.contradiction(case.ledger, case.task_id))
        ):
            accept = f"{case.command} gate {shlex.quote(case.task_id)} --accept-history"
            yield Objection("history", why, next=accept, tampered=True)
        for head in self._heads:
            own = case.evidence.own
            position = own.head.position if own else 0
            if own is None or head.position > position:
                what = f"the head {head} was seen, and the history ends at position {position}"
                yield Objection("history", what, tampered=True)
            elif case.ledger is not None and case.ledger.root_at(case.task_id, head.position) != head:
                what = f"the history up to position {head.position} is not the one of the head that was seen"
                yield Objection("history", what, tampered=True)


class LedgerVerifies:
    """All of the task's sessions verify, entry by entry."""

    def objections(self, case: Case) -> Iterator[Objection]:
        """See `Policy.objections`."""
        from tallystick.verification import Fault

        if case.ledger is None:
            return
        for session in case.evidence.sessions:
            for found in case.ledger.inspect(case.task_id, ledger_id=session.key.ledger_id):
                faults = [found] if isinstance(found, Fault) else found.faults
                for fault in faults:
                    yield Objection("ledger", str(fault), next="notch verify", tampered=True)
