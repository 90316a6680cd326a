"""What a verdict is about: a task, its plan, its evidence and the content in front of us."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.gate.base import PendingBase
from tallystick.gate.content import ContentInFront, pathspecs
from tallystick.gate.evidence import Evidence
from tallystick.gate.freshness import Bench, CriterionState, judge_criterion
from tallystick.gate.plan import PLAN_FILE, Plan, read_plan
from tallystick.gate.products import known_products
from tallystick.gate.reasons import described
from tallystick.gate.subject import InFront
from tallystick.gate.versions import VersionCommands
from tallystick.gate.weakening import Weakening, in_force, loosened_for_others, weakened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.base import Base, BaseRules
    from tallystick.gate.history import SessionHistory
    from tallystick.gate.plan import Criterion, TaskPlan
    from tallystick.gate.provenance import Provenance
    from tallystick.gate.reuse import Sources
    from tallystick.gate.vouched import Vouched
    from tallystick.ledger import Ledger
    from tallystick.recorded import Recorded
    from tallystick.workspace import PendingSnapshot, Snapshot, Workspace


class PlanInForce:
    """The plan that holds for a task: the base's, and what the work tree's adds."""

    __slots__ = ("base", "loosened", "task", "tree", "weakened", "whole")

    def __init__(self, task_id: str, tree: Plan | None, base: Base) -> None:
        self.base = base
        self.tree = tree
        before = base.before or Plan()
        self.whole = in_force(base.plan, tree, before)
        self.task: TaskPlan = self.whole.for_task(task_id)
        self.weakened: list[Weakening] = weakened(base.plan, tree, task_id, before)
        self.loosened: list[str] = loosened_for_others(base.plan, tree, task_id, before)
        """What judges others less strictly once the tree's plan is merged."""

    def accept(self, evidence: Evidence, in_front: InFront) -> Vouched:
        """Let the tree's version of each criterion hold whose every weakening a trusted key approved."""
        from tallystick.gate.vouched import Vouched

        vouched = Vouched(evidence, self.whole.keys, in_front)
        if self.weakened:
            self._accept(lambda one: bool(vouched.approved_by(one.as_dict())))
        return vouched

    def _accept(self, approved: Callable[[Weakening], bool]) -> None:
        accepted = {one.criterion for one in self.weakened if one.criterion}
        theirs = (self.tree or Plan()).for_task(self.task.task_id)
        # All that it asks less than the base, and not only what the work made weaker, has to be approved.
        weaker = weakened(self.base.plan, self.tree, self.task.task_id)
        accepted -= {one.criterion for one in weaker if not approved(one)}
        if not accepted:
            return
        kept = [theirs.criterion(one.id) if one.id in accepted else one for one in self.task.criteria]
        self.task = self.task.replace(criteria=tuple(one for one in kept if one is not None))

    @property
    def protected(self) -> tuple[str, ...]:
        """The patterns of files that the base protects."""
        return self.whole.gate.protect if self.base.plan is not None and self.base.commit else ()

    @property
    def known(self) -> bool:
        """Whether there is a plan at all, on the base or in the tree."""
        return self.tree is not None or self.base.plan is not None


class PendingPlan:
    """The search for the plan in force, begun in the background."""

    def __init__(self, workspace: Workspace, rules: BaseRules) -> None:
        self._base = PendingBase(workspace, rules)

    def discard(self) -> None:
        """Give it up."""
        self._base.discard()

    def result(self, task_id: str, snapshot: Snapshot) -> PlanInForce:
        """The plan for the task, for the content of that snapshot. Raises PlanError, InputError."""
        data = snapshot.read(PLAN_FILE)
        tree = None if data is None else read_plan(data)
        changed = PLAN_FILE in snapshot.own_changes or data is None or _blob_id(data) != snapshot.blob(PLAN_FILE)
        return PlanInForce(task_id, tree, self._base.result(snapshot.commit, tree, data, changed=changed))


class KnownBase:
    """A base that was found already: the tree's plan is read as it is now, the base's is not looked for again.

    What a check runs could have moved the refs that name it.
    """

    def __init__(self, base: Base) -> None:
        self._base = base

    def discard(self) -> None:
        """Nothing is under way."""

    def result(self, task_id: str, snapshot: Snapshot) -> PlanInForce:
        """See `PendingPlan.result`."""
        data = snapshot.read(PLAN_FILE)
        return PlanInForce(task_id, None if data is None else read_plan(data), self._base)


def _blob_id(content: bytes) -> str:
    """The id that git gives it where no filter changes it; else the base's plan is read, which is only slower."""
    from hashlib import sha1

    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _is_unseen(started: Attempt) -> bool:
    from tallystick.capture.identity import is_seen_from_here

    return not is_seen_from_here(started.run)


class Case:
    """A task as it stands in front of the gate. Close it, or use it in a `with`."""

    def __init__(
        self,
        ledger: Ledger | None,
        workspace: Workspace,
        task_id: str,
        *,
        snapshot: PendingSnapshot | None = None,
        plan: PendingPlan | KnownBase,
        interrupted: Callable[[Attempt], bool],
        provenance: Provenance,
        now: str,
        command: str = "notch",
        runs: bool = False,
    ) -> None:
        """`now` is the time to judge as of (RFC 3339).

        `command` is how `notch` is called for this ledger, in the commands that are proposed.

        `provenance`: which runs count as observed. `runs`: the caller runs the tree's own commands anyway; else
        nothing is run that the branch could have brought.
        """
        pending = snapshot or workspace.start_snapshot()
        self.task_id = task_id
        self.ledger = ledger
        """None where there is no ledger yet: then nothing is proved."""
        self.workspace = workspace
        self.command = command
        self.evidence = Evidence(ledger, task_id, provenance)
        self.snapshot = pending.result()
        if self.snapshot.committed_hidden:
            from tallystick.workspace.tracked import require_uncommitted

            require_uncommitted(self.snapshot)
        self.plan = plan.result(task_id, self.snapshot)
        products = known_products(ledger, self.evidence, self.snapshot, protected=self.plan.protected)
        versions = VersionCommands(self.plan.base.plan, self.snapshot, all_of_them=runs)
        self.content = ContentInFront(workspace, self.snapshot, products, versions)
        self.is_interrupted = interrupted
        """Tells of a run without an end whether it can no longer come to one."""
        self.bench = Bench(
            self.content,
            output=lambda one: self._session_of(one).output(one.position),
            interrupted=interrupted,
            unseen=_is_unseen,
            flaky_passes=self.plan.whole.gate.flaky_passes,
        )
        self._sources: Sources | None = None
        self._attempts: dict[str, list[Attempt]] = {}
        self.in_front = InFront(workspace, self.snapshot, self.plan, now)
        """What statements of keys are held against."""
        self.vouched = self.plan.accept(self.evidence, self.in_front)
        """What trusted keys stand behind."""
        self._states: list[CriterionState] | None = None
        self._weakened: list[Weakening] | None = None
        self._protected: list[str] | None = None
        self._base: Snapshot | None = None
        self._base_evidence: list[Evidence] | None = None

    @property
    def sources(self) -> Sources:
        """Where results are cited from."""
        if self._sources is None:
            from tallystick.gate.reuse import Sources

            self._sources = Sources(self)
        return self._sources

    def attempts(self, criterion_id: str) -> list[Attempt]:
        """The attempts on a criterion, newest first, those that `reuse` entries cite among them."""
        if criterion_id not in self._attempts:
            self._attempts[criterion_id] = self.vouched.graded(self._find_attempts(criterion_id))
        return self._attempts[criterion_id]

    def _find_attempts(self, criterion_id: str) -> list[Attempt]:
        criterion = self.plan.task.criterion(criterion_id)
        own = self.evidence.attempts(criterion_id, self._digests(criterion))
        if criterion is None or criterion.manual or self.ledger is None:
            return own
        cited = self.sources.attempts(criterion) if self.evidence.by_type("reuse") else []
        others = [*cited, *self.sources.against(criterion, own)]
        if not others:
            return own
        from tallystick.gate.reuse import newest_first

        found = {(one.session, one.position): one for one in (*others, *own)}
        return newest_first(list(found.values()))

    def _session_of(self, one: Attempt) -> SessionHistory:
        """The session that an attempt stands in, be it cited."""
        if one.task_id == self.task_id:
            return self.evidence.session(one.ledger_id)
        history = self.sources.history(one.ledger_id, one.task_id)
        assert history is not None, "an attempt was read from it"
        return history

    @property
    def states(self) -> list[CriterionState]:
        """The state of every criterion in force, in the plan's order."""
        if self._states is None:
            self._states = [self.state(criterion) for criterion in self.plan.task.criteria]
        return self._states

    def state(self, criterion: Criterion) -> CriterionState:
        """The criterion's state. What decides it is proved to lie under the session's head."""
        state = judge_criterion(criterion, self.attempts(criterion.id), self.bench)
        if state.deciding is not None:
            self._session_of(state.deciding).prove(state.deciding.position)
        return state

    @property
    def weakened(self) -> list[Weakening]:
        """Where the plan asks less than on the base, and where less was counted than before."""
        if self._weakened is None:
            from tallystick.gate.denominator import shrunken

            self._weakened = [*self.plan.weakened, *shrunken(self)]
        return self._weakened

    @property
    def unapproved(self) -> list[Weakening]:
        """Where the plan asks less, or less was counted, and no trusted key let that pass."""
        return [one for one in self.weakened if not self.vouched.approved_by(one.as_dict())]

    @property
    def unapproved_files(self) -> list[str]:
        """The protected files that differ, in words, if no trusted key let exactly these pass."""
        return self.protected if self.protected and not self.vouched.protected_approved_by() else []

    @property
    def protected(self) -> list[str]:
        """The files that the base protects and that are not as they are there."""
        patterns = self.plan.protected
        if not patterns:
            return []
        if self._protected is None:
            from tallystick.workspace import changed_paths

            found = changed_paths(self.workspace, (self.plan.base.commit, {}), self.snapshot, patterns) or []
            self._protected = [described(change.path, change.how, change.was) for change in found]
        return self._protected

    @property
    def protected_since(self) -> list[str]:
        """The protected files that the base changed since the work left it."""
        base, patterns = self.plan.base, self.plan.protected
        if not patterns or base.tip == base.commit:
            return []
        from tallystick.workspace import changed_states

        with self.workspace.tree_snapshot(base.tip) as newest:
            return sorted(changed_states(self.workspace, base.commit, newest, patterns))

    def base_snapshot(self) -> Snapshot:
        """The content of the base."""
        if self._base is None:
            self._base = self.workspace.tree_snapshot(self.plan.base.commit)
        return self._base

    def attempts_on_base(self, criterion_id: str, about: Sequence[str] = ()) -> list[Attempt]:
        """The attempts on a criterion in the session of the protected branch, if the ledger has that.

        Those that may say something about content with these inputs digests, or else about what is in front.
        """
        if self._base_evidence is None:
            names = [name for name in self.plan.base.tasks if name != self.task_id]
            self._base_evidence = [Evidence(self.ledger, name, self.evidence.provenance) for name in names]
        about = about or self._digests(self.plan.task.criterion(criterion_id))
        return [one for evidence in self._base_evidence for one in evidence.attempts(criterion_id, about)]

    def _digests(self, criterion: Criterion | None) -> Sequence[str]:
        """The inputs digests that a result about the content in front can have."""
        return (self.content.digest(pathspecs(criterion.inputs)),) if criterion else ()

    def is_about_this(self, recorded: Recorded) -> bool:
        """Whether an entry (a review) is about the whole content in front of us."""
        content = as_object(recorded.entry.details.get("content"))
        if content.get("patterns") or not content.get("inputs"):
            return False
        same = content["inputs"] == self.content.digest(())
        return same or (bool(self.content.left_out) and self.content.changed(content, ()) == [])

    def close(self) -> None:
        """Give the snapshots and the ledger back."""
        self.snapshot.close()
        if self.ledger is not None:
            self.ledger.close()
        if self._base is not None:
            self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
