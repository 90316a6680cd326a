"""One criterion's run in a check, in a thread of its own: claimed first, so that no other process runs it too.

A run is begun by appending its `run_started` at the position up to which the ledger was judged. Whoever comes second is
refused, judges anew, and finds the criterion running.
"""

from __future__ import annotations

import copy
from _thread import allocate_lock

from tallystick.capture.inbox import RunControl
from tallystick.capture.run import Run, run_command
from tallystick.errors import ConcurrencyError
from tallystick.gate.attempts import GIVEN_UP
from tallystick.gate.case import Case
from tallystick.gate.check import settled_since
from tallystick.gate.content import files_outside, pathspecs
from tallystick.gate.evidence import Evidence
from tallystick.gate.judgement import judge_run
from tallystick.gate.products import known_products
from tallystick.model.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from tallystick.capture.products import Products
    from tallystick.capture.result import Finished
    from tallystick.capture.run import Judgement, RunResult
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.plan import Criterion
    from tallystick.gate.provenance import Provenance
    from tallystick.stores.base import Head
    from tallystick.workspace import Snapshot


class AbandonedError(Exception):
    """The run was ended by us, so that its end shows nothing."""


class SettledError(Exception):
    """Somebody else runs the criterion, or has."""

    def __init__(self, state: CriterionState) -> None:
        self.state = state


class Bounds:
    """What all runs of one check share. Threads read it; only the main thread changes `abandoned`."""

    def __init__(
        self,
        case: Case,
        *,
        now: Callable[[float], str],
        timeout: float | None,
        keep: Callable[[Snapshot], object] | None,
        keep_env: Sequence[str],
    ) -> None:
        """`case` is how the task stands when the check begins, with a ledger to write to."""
        assert case.ledger is not None
        self.ledger = case.ledger
        self.workspace = case.workspace
        self.task_id = case.task_id
        self.plan = case.plan
        self.provenance = case.evidence.provenance
        self.session = (case.ledger.ledger_id, case.task_id)
        self.first = position_of(case)
        """The position up to which the ledger was judged when the check began."""
        self.now = now
        self.timeout = timeout
        self.keep = keep
        self.keep_env = keep_env
        self.ours: set[int] = set()
        """The positions of what this check itself appended since."""
        self.abandoned = False
        """Whether what runs is being ended, and shows nothing."""
        self.left: set[int] = set()
        """The positions of results of ours that left products."""
        self._claiming = allocate_lock()
        self._products = _OwnProducts(case.task_id, self.provenance, self.first, case.evidence.products())
        self._case = case

    def look(self, snapshot: Snapshot) -> Case:
        """How the task stands now, with that content."""
        case = Case(
            self.ledger,
            self.workspace,
            self.task_id,
            snapshot=_Ready(snapshot),  # type: ignore[arg-type]
            plan=_Ready(self.plan),  # type: ignore[arg-type]
            interrupted=self._case.is_interrupted,
            provenance=self.provenance,
            now=self.now(0),
            command=self._case.command,
            runs=True,
        )
        case.content.take_environment_of(self._case.content)
        return case

    def products(self, *snapshots: Snapshot) -> Products:
        """What runs left, as far as it may lie in that content; see `known_products`."""
        known = self._products
        position = self.ledger.head(self.task_id).position if known.position or self.ours else 0
        news = range(known.position + 1, position + 1)
        if not all(one in self.ours and one not in self.left for one in news):
            evidence = Evidence(self.ledger, self.task_id, self.provenance)
            position = evidence.own.head.position if evidence.own else 0
            known = self._products = _OwnProducts(self.task_id, self.provenance, position, evidence.products())
        return known_products(self.ledger, known, *snapshots, protected=self.plan.protected)

    def append(self, entry: Entry, *, after: int | None = None) -> Head:
        """Append an entry of ours, `after` a position where one is given."""
        head = self.ledger.append(self.task_id, entry, expected_position=after)
        self.ours.add(head.position)
        return head

    def claim(self, entry: Entry, after: int) -> Head:
        """Append the beginning of a run of ours, unless others appended anything after that position.

        What this check itself appended since does not count. Raises ConcurrencyError.
        """
        with self._claiming:
            while after + 1 in self.ours:
                after += 1
            return self.append(entry, after=after)

    def end(self, entry: Entry) -> Head:
        """Append the result of a run of ours, with no claim of ours half-way."""
        with self._claiming:
            head = self.ledger.append(self.task_id, entry)
            if "products" in entry.details["run"]:
                self.left.add(head.position)
            self.ours.add(head.position)
            return head

    def are_ours(self, after: int, last: int) -> bool:
        """Whether nobody else appended anything after the one position, up to the other."""
        return after < last and all(position in self.ours for position in range(after + 1, last + 1))


class ClaimedRun:
    """The run of one criterion. `work` is what its thread does; the rest is for the main thread."""

    __slots__ = ("_bounds", "_heard", "_told", "control", "criterion", "key", "since", "started")

    def __init__(
        self,
        bounds: Bounds,
        criterion: Criterion,
        *,
        since: int,
        key: bytes,
        told: Callable[[tuple[ClaimedRun, Any]], None],
        heard: Callable[[Criterion, bytes], None],
    ) -> None:
        """`since`: the position up to which it is known what others did about the criterion.

        `told` is called from the thread: with None once the run is claimed, then with its RunResult or an exception.
        """
        self._bounds = bounds
        self._told = told
        self._heard = heard
        self.criterion = criterion
        self.since = since
        self.key = key
        """What it would be a result of; empty where that is not looked at."""
        self.control = RunControl()
        self.started: Head | None = None
        """Where its beginning is recorded."""

    def work(self, snapshot: Snapshot | None) -> None:
        """Claim it and run it. `snapshot` is the content now, where somebody looked."""
        try:
            came: RunResult | BaseException = self._run(snapshot or self._bounds.workspace.snapshot())
        except BaseException as error:
            came = error
        self._told((self, came))

    def _run(self, snapshot: Snapshot) -> RunResult:
        bounds, criterion = self._bounds, self.criterion
        if bounds.keep is not None:
            bounds.keep(snapshot)
        run = Run(
            bounds.task_id,
            criterion.run if isinstance(criterion.run, str) else list(criterion.run),
            criterion_id=criterion.id,
            phase_id=criterion.phase,
            timeout=bounds.timeout,
            cwd=bounds.workspace.root,
            patterns=pathspecs(criterion.inputs),
            environment=criterion.environment.as_dict(),
            products=bounds.products,
            judge=self._judge,
            keep_env=bounds.keep_env,
            ends_leftovers=bounds.provenance.pipeline is not None,
        )
        run.outside = files_outside(bounds.workspace, bounds.plan.base.protected_tip, run.patterns)
        return run_command(
            bounds.ledger,
            bounds.workspace,
            run,
            before=snapshot,
            now=bounds.now,
            control=self.control,
            streams=(None, None, None),
            on_output=lambda output: self._heard(criterion, output),
            begin=lambda entry: self._claim(entry, snapshot),
            end=bounds.end,
        )

    def _judge(self, finished: Finished) -> Judgement:
        if self._bounds.abandoned:
            raise AbandonedError
        return judge_run(self.criterion.expect)(finished)

    def _claim(self, entry: Entry, snapshot: Snapshot) -> Head:
        """Append the beginning of the run, unless somebody else began or ended one since it was judged."""
        bounds, position = self._bounds, self.since
        while True:
            if bounds.abandoned:
                raise AbandonedError
            try:
                self.started = bounds.claim(entry, position)
            except ConcurrencyError as error:
                if bounds.are_ours(position, error.actual):
                    position = error.actual
                    continue
                case = bounds.look(copy.copy(snapshot))
                state = case.state(self.criterion)
                if settled_since(state, bounds.session, self.since):
                    raise SettledError(state) from None
                position = position_of(case)
            else:
                self._told((self, None))
                return self.started

    def give_up(self) -> Head | None:
        """Record that it comes to no end; None where it was never begun."""
        if self.started is None:
            return None
        entry = Entry(
            type=GIVEN_UP,
            criterion_id=self.criterion.id,
            status="interrupted",
            reason="the check was stopped while it ran",
            command=self.criterion.command,
            details={"run": {"started": self.started.position}},
        )
        return self._bounds.append(entry)


class _OwnProducts:
    """What the task's own runs had left up to a position: reading that anew for each run takes a while."""

    def __init__(
        self, task_id: str, provenance: Provenance, position: int, found: Mapping[str, frozenset[str]]
    ) -> None:
        self.task_id = task_id
        self.provenance = provenance
        self.position = position
        self._found = found

    def products(self) -> Mapping[str, frozenset[str]]:
        """See `Evidence.products`."""
        return self._found


class _Ready:
    """Something that was waited for already, where something pending is wanted."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def result(self, *_: object) -> Any:
        """It."""
        return self._value


def position_of(case: Case) -> int:
    """The position up to which a case was judged."""
    own = case.evidence.own
    return own.head.position if own else 0
