"""The gate's answer: open or shut, for which content, as of when, and what would open it."""

from __future__ import annotations

from tallystick.gate.policies import supplying_command
from tallystick.model.frozen import Frozen, set_once
from tallystick.workspace.paths import recorded_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick.gate.case import Case
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.policies import Objection, Policy
    from tallystick.gate.weakening import Weakening
    from tallystick.stores.base import Head

OPEN, SHUT = "open", "shut"
NAMED = 3
LISTED = 100
"""How many names of tests a document lists."""


class Verdict(Frozen):
    """The gate's answer for one task."""

    __slots__ = FIELDS = (
        "task_id", "states", "objections", "weakened", "protected", "advisory", "at", "head", "checkpoint",
        "command",
    )  # fmt: skip

    task_id: str
    states: tuple[CriterionState, ...]
    """Every criterion in force, in the plan's order."""
    objections: tuple[Objection, ...]
    """Everything that keeps it shut."""
    weakened: tuple[Weakening, ...]
    protected: tuple[str, ...]
    """Protected files that differ from the base."""
    advisory: tuple[str, ...]
    """Why it is only advice; empty where it is not."""
    at: str
    """When it was judged (RFC 3339)."""
    head: Head | None
    """The session's head as of which it holds; None where nothing is recorded."""
    checkpoint: str | None
    """The signed checkpoint as of which it holds; None where there is no key."""
    command: str
    """How `notch` is called for this ledger, in the commands that are proposed."""

    def __init__(self, **fields: Any) -> None:
        for name in self.FIELDS:
            set_once(self, name, fields[name])

    @property
    def open(self) -> bool:
        """Whether the gate is open."""
        return not self.objections

    @property
    def tampered(self) -> bool:
        """Whether an objection is that evidence was changed."""
        return any(objection.tampered for objection in self.objections)

    @property
    def exit_code(self) -> int:
        """0 open, 1 shut, 3 tampered with."""
        return 3 if self.tampered else 0 if self.open else 1

    def to_dict(self) -> dict[str, Any]:
        """What `notch gate --json` prints."""
        return {
            "task_id": self.task_id,
            "verdict": OPEN if self.open else SHUT,
            "advisory": bool(self.advisory),
            "advisory_because": list(self.advisory),
            "as_of": {
                "at": self.at,
                "position": self.head.position if self.head else 0,
                "root": self.head.root if self.head else None,
                "checkpoint": self.checkpoint,
            },
            "criteria": [self._criterion(state) for state in self.states],
            "weakened": [weakening.as_dict() for weakening in self.weakened],
            "protected": list(self.protected),
            "objections": [
                {name: getattr(objection, name) for name in objection.FIELDS} for objection in self.objections
            ],
        }

    def _criterion(self, state: CriterionState) -> dict[str, Any]:
        return {
            "id": state.criterion.id,
            "state": state.state,
            "ok": state.ok,
            "grade": str(state.grade) if state.grade else None,
            "reason": state.reason,
            "changed": list(map(recorded_path, state.changed_paths)),
            "next": supplying_command(self.task_id, state, self.command),
            "passes": state.passes,
            "fails": state.fails,
            "unfalsified": state.unfalsified,
            "failing": list(state.failing[:LISTED]),
            "flaky": list(state.flaky[:LISTED]),
        }


def judge(
    case: Case, policy: Policy, *, at: str, watched_by_ci: bool, checkpoint: str | None = None, lost: str = ""
) -> Verdict:
    """The verdict on a case by a policy, at that time (RFC 3339).

    `watched_by_ci`: whether this runs where whoever is judged does not rule the machine. `lost`: since when earlier
    evidence is known to be lost here (RFC 3339); empty if none is.
    """
    own = case.evidence.own
    return Verdict(
        task_id=case.task_id,
        states=tuple(case.states),
        objections=tuple(policy.objections(case)),
        weakened=tuple(case.unapproved),
        protected=tuple(case.protected),
        advisory=(*_lost(lost), *_advice(case, watched_by_ci)),
        at=at,
        head=own.head if own else None,
        checkpoint=checkpoint,
        command=case.command,
    )


def _lost(at: str) -> list[str]:
    return [f"earlier evidence lost on {at[:10]}: the ledger that was seen here is gone"] if at else []


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return f"{', '.join(words[:NAMED])}{more}"


def _advice(case: Case, watched_by_ci: bool) -> list[str]:
    reasons = []
    if case.plan.base.plan is None:
        reasons.append("no base yet: no protected commit has a plan, so the work tree's own is used")
    if case.plan.base.word:
        reasons.append(case.plan.base.word)
    if since := case.protected_since:
        reasons.append(
            f"the base changed protected files since: {_listed(since)}; rebase, or judge what the merge makes"
        )
    if case.plan.loosened:
        reasons.append(f"once merged, this change asks less of others: {_listed(case.plan.loosened)}")
    if said := case.evidence.provenance.advice():
        reasons.append(said)
    if not watched_by_ci:
        reasons.append("this machine is not CI: whoever works here could have changed what is judged")
    return reasons
