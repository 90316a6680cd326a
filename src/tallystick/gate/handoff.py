"""What the next person, or agent, has to know to take a task over: from the ledger, and the content in front of us.

Everything that somebody else wrote (reasons, notes, findings, outputs) is bounded here, and control characters are
escaped; `handoff_page` makes it a page on which all of it is quoted.
"""

from __future__ import annotations

import shlex

from tallystick.gate.freshness import FAIL, FLAKY, INTERRUPTED, MISSING, NOT_RUN, RUNNING, STALE
from tallystick.gate.policies import supplying_command
from tallystick.gate.quoting import clipped, last_lines
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tallystick.gate.case import Case
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.history import SessionHistory
    from tallystick.gate.verdict import Verdict
    from tallystick.recorded import Recorded

MAX_BYTES = 16 * 1024
LEAST_BYTES = 2048

GROUPS = ("failed", "stale", "under_way", "left", "proved")
"""The criteria by what they need, most pressing first."""
_GROUP_OF = {
    FAIL: "failed", FLAKY: "failed", STALE: "stale", RUNNING: "under_way", INTERRUPTED: "under_way", NOT_RUN: "left",
    MISSING: "left",
}  # fmt: skip
LAST_WORDS = ("note", "complete", "fail", "cancel", "approval")
"""The types of entries in which somebody says something to whoever comes after."""


class Limits(Frozen):
    """How much of everything is told."""

    __slots__ = FIELDS = ("quoted", "lines", "size", "criteria", "files", "words", "notes")

    quoted: int
    """Of how many failing criteria the output is quoted, and of how many reviews the findings."""
    lines: int
    """The last lines of each."""
    size: int
    """Bytes of each."""
    criteria: int
    """How many criteria of each group are named."""
    files: int
    """How many changed files of each criterion are named."""
    words: int
    """Bytes of a reason, a command, a name."""
    notes: int
    """How many of the newest notes and reviews."""

    def __init__(self, quoted: int, lines: int, size: int, criteria: int, files: int, words: int, notes: int) -> None:
        for name, value in zip(self.FIELDS, (quoted, lines, size, criteria, files, words, notes), strict=True):
            set_once(self, name, value)


LEVELS = (
    Limits(quoted=8, lines=40, size=4096, criteria=200, files=20, words=600, notes=5),
    Limits(quoted=8, lines=40, size=2048, criteria=100, files=10, words=600, notes=5),
    Limits(quoted=6, lines=20, size=1200, criteria=60, files=10, words=400, notes=5),
    Limits(quoted=4, lines=12, size=800, criteria=40, files=5, words=240, notes=3),
    Limits(quoted=3, lines=8, size=500, criteria=25, files=3, words=160, notes=3),
    Limits(quoted=1, lines=5, size=300, criteria=12, files=2, words=100, notes=2),
    Limits(quoted=0, lines=0, size=0, criteria=5, files=1, words=80, notes=1),
    Limits(quoted=0, lines=0, size=0, criteria=0, files=0, words=60, notes=0),
)
"""From all that is worth telling to what fits in `LEAST_BYTES`."""


class Handoff:
    """A task as it is handed over. `verdict` is None where there is no plan to judge by."""

    def __init__(self, case: Case, verdict: Verdict | None, *, at: str) -> None:
        """`at`: when it is looked at (RFC 3339)."""
        self._case = case
        self._verdict = verdict
        self._at = at

    @property
    def tampered(self) -> bool:
        """Whether evidence was found to be changed."""
        return self._verdict is not None and self._verdict.tampered

    def render(self, draw: Callable[[dict[str, Any]], str], *, max_bytes: int = MAX_BYTES) -> str:
        """What `draw` makes of the document, as much of it as fits; longer only where nothing less can be told."""
        drawn = ""
        for limits in LEVELS:
            drawn = draw(self.document(limits))
            if len(drawn.encode()) <= max_bytes:
                break
        return drawn

    def document(self, limits: Limits = LEVELS[0]) -> dict[str, Any]:
        """What `notch handoff --json` prints."""
        case, verdict, own = self._case, self._verdict, self._case.evidence.own
        head = own.head if own else None
        count, groups = self._groups(limits)
        return {
            "task_id": clipped(case.task_id, limits.words),
            "title": clipped(case.plan.task.title, limits.words),
            "ledger_id": case.ledger.ledger_id if case.ledger else None,
            "verdict": None if verdict is None else "open" if verdict.open else "shut",
            "advisory_because": [clipped(why, limits.words) for why in verdict.advisory] if verdict else [],
            "as_of": {
                "at": self._at,
                "position": head.position if head else 0,
                "root": head.root if head else None,
                "checkpoint": verdict.checkpoint if verdict else None,
            },
            "content": self._content(),
            "next": self._next(limits),
            "counts": {"proved": sum(state.ok for state in case.states), "of": len(case.states)},
            **groups,
            "left_out": {name: more for name in GROUPS if (more := count[name] - len(groups[name]))},
            "weakened": _first(limits.criteria, [clipped(str(one), limits.words) for one in case.weakened]),
            "protected": _first(limits.criteria, [clipped(one, limits.words) for one in case.protected]),
            "objections": self._other_objections(limits),
            "reviews": list(self._reviews(limits)),
            "notes": list(self._notes(limits)),
            "phases": self._phases(limits),
            "unplanned": self._unplanned(limits),
        }

    def _content(self) -> dict[str, Any]:
        snapshot = self._case.snapshot
        return {"commit": snapshot.commit or None, "tree": snapshot.tree, "dirty": snapshot.dirty}

    # --- criteria

    def _groups(self, limits: Limits) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
        """How many criteria there are of each group, and those that are named."""
        found: dict[str, list[CriterionState]] = {name: [] for name in GROUPS}
        for state in self._case.states:
            found["proved" if state.ok else _GROUP_OF[state.state]].append(state)
        named = {
            name: [self._criterion(state, limits, quote=n < limits.quoted) for n, state in enumerate(states)]
            for name, states in ((name, states[: limits.criteria]) for name, states in found.items())
        }
        return {name: len(states) for name, states in found.items()}, named

    def _criterion(self, state: CriterionState, limits: Limits, *, quote: bool) -> dict[str, Any]:
        deciding = state.deciding
        told: dict[str, Any] = {
            "id": clipped(state.criterion.id, limits.words),
            "shows": clipped(state.criterion.shows, limits.words),
            "state": state.state,
            "reason": clipped(state.reason, limits.words),
            "grade": str(state.grade) if state.grade else None,
            "position": deciding.position if deciding else None,
        }
        if state.ok:
            told["unfalsified"] = state.unfalsified
        if state.state == STALE:
            told["changed"] = [clipped(one, limits.words) for one in state.changed[: limits.files]]
            told["changed_more"] = max(0, len(state.changed) - limits.files)
        failed = state.state == FAIL or (state.state == FLAKY and not state.ok)
        if quote and failed and deciding is not None and deciding.output_known and deciding.status != "pass":
            told["output"] = _quote(self._case.bench.output(deciding), limits, limits.size)
        return told

    def _next(self, limits: Limits) -> list[str]:
        """The commands that supply what is missing, in the order to run them."""
        case, verdict = self._case, self._verdict
        task = shlex.quote(case.task_id)
        if self.tampered:
            return [f"{case.command} verify {task}"]
        if verdict is None:
            return ["notch init"]
        by_hand: list[str] = []
        runs: list[str] = []
        for state in case.states:
            if command := supplying_command(case.task_id, state, case.command):
                (by_hand if state.criterion.manual else runs).append(command)
        if len(runs) > 1:
            runs = [f"{case.command} check {task}"]
        others = [one.next for one in verdict.objections if one.next and one.rule != "criteria"]
        nothing = ["notch init"] if not case.states else []
        commands = dict.fromkeys([*nothing, *runs, *by_hand, *others])
        return [one for one in commands if len(one) <= max(2 * limits.words, 200)][: max(limits.notes, 1) * 2]

    def _other_objections(self, limits: Limits) -> list[dict[str, str]]:
        """What keeps the gate shut and is told nowhere else: history and ledger that are not as they were seen."""
        found = self._verdict.objections if self._verdict else ()
        told = ("criteria", "weakened", "protected", "review")
        others = [{"rule": one.rule, "what": clipped(one.what, limits.words)} for one in found if one.rule not in told]
        return others[: limits.criteria]

    # --- what people said

    def _newest(self, *types: str) -> list[tuple[SessionHistory, Recorded]]:
        found = [one for type_ in types for one in self._case.evidence.by_type(type_)]
        return sorted(found, key=lambda one: (one[1].at, one[1].position), reverse=True)

    def _said(self, session: SessionHistory, recorded: Recorded, limits: Limits) -> dict[str, Any]:
        entry = recorded.entry
        return {
            "position": recorded.position,
            "at": recorded.at,
            "ledger_id": None if session.own else session.key.ledger_id,
            "by": clipped(entry.provider, limits.words),
            "reason": clipped(entry.reason, limits.words),
        }

    def _reviews(self, limits: Limits) -> Iterator[dict[str, Any]]:
        for number, (session, recorded) in enumerate(self._newest("review")[: limits.notes]):
            said = self._said(session, recorded, limits)
            said |= {"verdict": recorded.entry.status, "current": self._case.is_about_this(recorded)}
            yield said | self._more(session, recorded, limits, "findings", quote=number < limits.quoted)

    def _notes(self, limits: Limits) -> Iterator[dict[str, Any]]:
        for number, (session, recorded) in enumerate(self._newest(*LAST_WORDS)[: limits.notes]):
            said = {**self._said(session, recorded, limits), "type": recorded.entry.type}
            yield said | self._more(session, recorded, limits, "text", quote=number < limits.quoted)

    def _more(
        self, session: SessionHistory, recorded: Recorded, limits: Limits, name: str, *, quote: bool
    ) -> dict[str, Any]:
        """What the entry holds besides a reason of one line, if anything."""
        if not quote or "output" in recorded.erased:
            return {}
        reason = recorded.entry.reason.strip()
        text = reason.encode() + b"\n" if "\n" in reason else b""
        text += session.output(recorded.position)
        return {name: _quote(text, limits, limits.size // 2)} if text else {}

    # --- what the ledger alone tells

    def _phases(self, limits: Limits) -> dict[str, dict[str, Any]]:
        states = self._states("phases")
        return {clipped(id, limits.words): state for id, state in list(states.items())[: limits.criteria]}

    def _unplanned(self, limits: Limits) -> list[dict[str, Any]]:
        """Criteria that entries name and the plan does not: nobody judges those."""
        planned = {criterion.id for criterion in self._case.plan.task.criteria}
        others = [(id, state) for id, state in self._states("criteria").items() if id not in planned]
        return [{"id": clipped(id, limits.words), **state} for id, state in others[: limits.criteria]]

    def _states(self, kind: str) -> dict[str, dict[str, Any]]:
        """The replayed states, each from an entry that is proved to lie under the head."""
        own = self._case.evidence.own
        if own is None or self._case.ledger is None:
            return {}
        found = {}
        for id, state in getattr(self._case.ledger.state(self._case.task_id), kind).items():
            recorded = own.at(state.position)
            if recorded is not None:
                status = recorded.entry.status or recorded.entry.type
                found[id] = {"status": clipped(status, 60), "position": recorded.position}
        return found


def _quote(data: bytes, limits: Limits, size: int) -> dict[str, Any]:
    quote = last_lines(data, lines=limits.lines, size=size)
    return {name: getattr(quote, name) for name in quote.FIELDS}


def _first(count: int, items: list[str]) -> list[str]:
    return items if len(items) <= count else [*items[:count], f"and {len(items) - count} more"]
