"""What a statement made now would be about, and what one that is read is held against: built and checked in one place.

An approval counts while repository, task, both plans and the protected files are exactly those that the approver saw,
its base is still part of the protected branch, and it has not expired. New commits and a rebase keep it; a merge, which
makes the one plan of the two, ends it.
"""

from __future__ import annotations

from tallystick.gate.plan import PLAN_FILE
from tallystick.trust.statements import APPROVAL, NOT_BEGUN, Subject, files_digest
from tallystick.workspace.git import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.gate.case import PlanInForce
    from tallystick.gate.history import SessionHistory
    from tallystick.stores.base import Head
    from tallystick.trust.statements import File, Statement
    from tallystick.workspace import Snapshot, Workspace

APPROVAL_DAYS = 30
"""How long an approval counts."""


class InFront:
    """What is in front of the gate, as far as statements name it. Each part is looked up when it is first asked for."""

    def __init__(self, workspace: Workspace, snapshot: Snapshot, plan: PlanInForce, now: str) -> None:
        """`now` is the time to judge as of (RFC 3339)."""
        self._workspace = workspace
        self._snapshot = snapshot
        self._plan = plan
        self._now = now
        self._plans: tuple[str, str] | None = None
        self._protected: tuple[File, ...] | None = None
        self._changes = ""
        self._ancestors: dict[str, bool] = {}

    @property
    def repository(self) -> str:
        """The id of the repository, from the plan on the base; empty if that has none."""
        base = self._plan.base.plan
        return base.gate.id if base is not None else ""

    @property
    def plans(self) -> tuple[str, str]:
        """The blob ids of the base's plan and of the work tree's; empty for none."""
        if self._plans is None:
            base = ""
            if self._plan.base.plan is not None:
                asked = f"{self._plan.base.tip}:{PLAN_FILE}"
                printed = self._workspace.git.run("rev-parse", "--verify", "--quiet", asked, ok=(0, 1))
                base = printed.decode("ascii", "replace").strip()
            self._plans = base, self._snapshot.blob(PLAN_FILE)
        return self._plans

    @property
    def protected(self) -> tuple[File, ...]:
        """The files that the base protects and that differ from the merge base, by path."""
        if self._protected is None:
            patterns = self._plan.protected
            self._protected = self._changed(patterns) if patterns else ()
        return self._protected

    def changes(self) -> str:
        """The digest of every file that differs from the merge base."""
        if not self._changes:
            self._changes = files_digest(self._changed(()))
        return self._changes

    def _changed(self, patterns: Sequence[str]) -> tuple[File, ...]:
        from tallystick.workspace import changed_states
        from tallystick.workspace.paths import recorded_path

        moved = changed_states(self._workspace, self._plan.base.commit, self._snapshot, patterns)
        return tuple(
            sorted((recorded_path(path), now[0] or then[0], then[1], now[1]) for path, (then, now) in moved.items())
        )

    def subject(self, head: Head, *, kind: str, exactly: bool = False) -> Subject:
        """What a statement of that kind that is made now is about. `exactly`: bound to every changed file as well."""
        approves = kind == APPROVAL
        return Subject(
            self._plan.task.task_id,
            head,
            repository=self.repository,
            base=self._plan.base.tip,
            plans=self.plans if approves else ("", ""),
            protected=self.protected if approves else (),
            changes=self.changes() if exactly else "",
            expires=self._expiry() if approves else "",
        )

    def _expiry(self) -> str:
        from datetime import timedelta

        from tallystick.clock import format_time, parse_time

        return format_time(parse_time(self._now) + timedelta(days=APPROVAL_DAYS))

    def objection(self, statement: Statement, session: SessionHistory) -> str:
        """Why a statement that stands in that session does not count here; empty if it does."""
        subject = statement.subject
        if statement.task_id != session.key.task_id:
            return "it is about another task"
        if subject is None:
            return self._objection_to_old(statement, session)
        if subject.repository and subject.repository != self.repository:
            return "it is about another repository"
        if statement.kind == APPROVAL:
            return self._objection_to_approval(statement, subject, session)
        if statement.ledger_id != session.key.ledger_id:
            return "it is about another ledger"
        return "" if session.extends(subject.head) else "the history up to it is another one"

    @staticmethod
    def _objection_to_old(statement: Statement, session: SessionHistory) -> str:
        """One of the first version proves which records it is about, and nothing of what they cite."""
        if statement.kind == APPROVAL:
            return "it does not say for which change it was made; approve again"
        return "" if statement.ledger_id == session.key.ledger_id else "it is about another ledger"

    def _objection_to_approval(self, statement: Statement, subject: Subject, session: SessionHistory) -> str:
        own = session.own and statement.ledger_id == session.key.ledger_id
        if not subject.repository and not own:
            return "it was made for another ledger, and names no repository"
        if own and subject.head != NOT_BEGUN and not session.extends(subject.head):
            return "the history up to it is another one"
        if subject.expires and subject.expires <= self._now:
            return f"it expired at {subject.expires}"
        if subject.plans != self.plans:
            return "it is about another plan"
        if subject.protected != self.protected:
            return "it is about other protected files"
        if not self._is_on_base(subject.base):
            return "its base is not part of the protected branch"
        if subject.changes and subject.changes != self.changes():
            return "it is about exactly another change"
        return ""

    def _is_on_base(self, commit: str) -> bool:
        tip = self._plan.base.tip
        if commit == tip:
            return True
        if not commit or not tip:
            return False
        if commit not in self._ancestors:
            asked = ("merge-base", "--is-ancestor", commit, tip)
            try:
                self._workspace.git.run(*asked)
                self._ancestors[commit] = True
            except GitError:
                self._ancestors[commit] = False
        return self._ancestors[commit]
