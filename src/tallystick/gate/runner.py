"""Doing what a check has to do: several runs at once, each criterion by one process alone.

The main thread decides, draws and looks after signals; each run has a thread of its own (`claimed_run`). What is
running when the check is stopped is ended and gets no result; an entry of its own says that it comes to none.
"""

from __future__ import annotations

import copy
import time
from _thread import start_new_thread
from collections import deque
from queue import Empty, SimpleQueue

from tallystick.capture.run import NotRecordedError
from tallystick.errors import ConcurrencyError, NotFoundError, TallystickError
from tallystick.gate.check import RUN, WAIT, runs_again, settled_since, stages, steps
from tallystick.gate.claimed_run import AbandonedError, Bounds, ClaimedRun, SettledError, position_of
from tallystick.gate.content import pathspecs
from tallystick.gate.freshness import RUNNING
from tallystick.model.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from tallystick.capture.run import RunResult
    from tallystick.gate.case import Case
    from tallystick.gate.check import Step
    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.plan import Criterion
    from tallystick.gate.reuse import Citation
    from tallystick.stores.base import Head
    from tallystick.workspace import Snapshot

    class Progress(Protocol):
        """Who is told how the check goes on; all of it on the main thread but `heard`."""

        def began(self, criterion: Criterion) -> None:
            """A run has been begun."""

        def heard(self, criterion: Criterion, output: bytes) -> None:
            """A run printed something."""

        def waits(self, state: CriterionState) -> None:
            """Somebody else runs it, and we wait for that."""

        def ended(self, outcome: Outcome) -> None:
            """This is what came of it."""

        def tick(self) -> None:
            """A tenth of a second has passed, or less."""


TICK = 0.1
"""Seconds between two looks at the clock while runs are under way."""
POLL, POLL_AT_LEAST = 0.3, 2.0
"""Seconds between looks at the ledger for what others run, and at whether they still do."""
FRESH = 1.0
"""Seconds for which a look at the files is taken for how they are before a run; what moved since still shows."""


class Outcome:
    """What came of one criterion: it was run, cited from elsewhere, settled by somebody else, or given up."""

    __slots__ = ("citation", "criterion", "head", "how", "result", "state")

    def __init__(
        self,
        criterion: Criterion,
        how: str,
        *,
        result: RunResult | None = None,
        citation: Citation | None = None,
        head: Head | None = None,
        state: CriterionState | None = None,
    ) -> None:
        self.criterion = criterion
        self.how = how
        """`ran`, `reused`, `settled` (by somebody else), `interrupted`."""
        self.result = result
        """Of one that was run."""
        self.citation = citation
        """Of one that was reused."""
        self.head = head
        """The session's head at its entry, where one was written."""
        self.state = state
        """How it stands by what somebody else did."""

    @property
    def passed(self) -> bool:
        """Whether it is shown."""
        if self.result is not None:
            return self.result.status == "pass"
        return self.how == "reused" or (self.state is not None and self.state.ok)


class Runner:
    """One check. `run` does all of it; `stop` may be called from a signal handler meanwhile."""

    def __init__(
        self,
        case: Case,
        progress: Progress,
        *,
        now: Callable[[float], str],
        jobs: int = 1,
        reuse: bool = True,
        fail_fast: bool = False,
        timeout: float | None = None,
        keep: Callable[[Snapshot], object] | None = None,
        keep_env: Sequence[str] = (),
    ) -> None:
        """`case` is how the task stands now, with a ledger to write to. `now`: see `run_command`.

        `timeout` is in seconds for each run. `keep` is called with the content before each run. `keep_env`: see `Run`.
        """
        self._bounds = Bounds(case, now=now, timeout=timeout, keep=keep, keep_env=keep_env)
        self._progress = progress
        self._jobs = max(1, jobs)
        self._reuse = reuse
        self._fail_fast = fail_fast
        self._case = case
        self._seen = case.snapshot
        self._seen_at = self._looked_at = time.monotonic()
        self._events: SimpleQueue[tuple[ClaimedRun, Any] | None] = SimpleQueue()
        self._active: list[ClaimedRun] = []
        self._todo: deque[Step] = deque()
        self._waiting: list[Step] = []
        self._error: BaseException | None = None
        self.stopped = False
        """Whether it was told to stop."""
        self.outcomes: list[Outcome] = []
        """What came of it, in the order of the ends."""

    def stop(self) -> None:
        """Begin nothing more and end what runs: politely, and at once when called again."""
        self.stopped = True
        self._events.put(None)

    def run(self) -> list[Outcome]:
        """Do it all; returns the outcomes. Raises TallystickError where something could not be recorded.

        Whatever it raises, nothing runs any more then.
        """
        try:
            self._run()
        except BaseException:
            self._abandon()
            while self._active:
                self._drain()
            raise
        if self._error is not None:
            raise self._error
        return self.outcomes

    def _run(self) -> None:
        done: set[str] = set()
        while not self._is_over():
            stage = next((one for one in stages(self._steps()) if any(s.criterion.id not in done for s in one)), None)
            if stage is None:
                break
            done.update(step.criterion.id for step in stage)
            self._do(stage)

    def _drain(self) -> None:
        """Take the end of one more run, without a word."""
        event = self._events.get()
        if event is None or event[1] is None:
            return
        run, came = event
        self._active.remove(run)
        if isinstance(came, AbandonedError):
            try:
                run.give_up()
            except TallystickError:
                return

    def _steps(self) -> list[Step]:
        if self.outcomes:
            self._look()
        return steps([self._case.state(one) for one in self._bounds.plan.task.criteria], self._case.state)

    def _is_over(self) -> bool:
        failed = self._fail_fast and not all(outcome.passed for outcome in self.outcomes)
        return self.stopped or failed or self._error is not None

    # --- one stage

    def _do(self, stage: list[Step]) -> None:
        self._todo = deque(step for step in stage if step.what == RUN)
        self._waiting = []
        for step in stage:
            if step.what == WAIT:
                self._wait_for(step)
        polled = time.monotonic()
        while self._active or ((self._todo or self._waiting) and not self._is_over()):
            if not self._is_over():
                self._begin_what_can_be()
            if self._waiting and not self._is_over() and time.monotonic() - polled >= POLL:
                polled = time.monotonic()
                self._look_at_others()
            if self._active or self._waiting:
                self._take_event()

    def _begin_what_can_be(self) -> None:
        for _ in range(len(self._todo)):
            if len(self._active) >= self._jobs or self._is_over():
                return
            step = self._todo.popleft()
            key = self._key(step)
            if key and any(run.key == key for run in self._active):
                self._todo.append(step)
            elif not (key and self._cite(step, key)):
                self._begin(step, key)

    def _key(self, step: Step) -> bytes:
        """What a run of it would be a result of; empty where nothing from elsewhere would do."""
        if not self._reuse or not step.may_be_cited:
            return b""
        from tallystick.capture.proved import proof_digest

        criterion, content = step.criterion, self._case.content
        environment = content.environment(criterion.environment)
        return proof_digest(criterion.command, content.digest(pathspecs(criterion.inputs)), environment)

    def _begin(self, step: Step, key: bytes) -> None:
        heads = [one.head for one in self.outcomes if one.criterion.id == step.criterion.id and one.head is not None]
        since = max((head.position for head in heads), default=self._bounds.first)
        heard, told = self._progress.heard, self._events.put
        run = ClaimedRun(self._bounds, step.criterion, since=since, key=key, told=told, heard=heard)
        snapshot = copy.copy(self._seen) if time.monotonic() - self._seen_at < FRESH else None
        self._active.append(run)
        start_new_thread(run.work, (snapshot,))

    def _take_event(self) -> None:
        try:
            event = self._events.get(timeout=TICK)
        except Empty:
            self._progress.tick()
            return
        if event is None:
            self._abandon()
            return
        run, came = event
        if came is None:
            self._progress.began(run.criterion)
            return
        self._active.remove(run)
        if isinstance(came, SettledError):
            self._settle(run.criterion, came.state)
        elif isinstance(came, AbandonedError):
            self._give_up(run)
        elif isinstance(came, BaseException):
            self._fail(run, came)
        else:
            self._end(run, came)

    # --- ends

    def _end(self, run: ClaimedRun, result: RunResult) -> None:
        if result.left:
            self._bounds.left.add(result.head.position)
        self._bounds.ours.add(result.head.position)
        if result.after is not None:
            self._seen, self._seen_at = result.after, time.monotonic()
        criterion = run.criterion
        self._tell(Outcome(criterion, "ran", result=result, head=result.head))
        result.release()
        if result.status != "pass" or not self._case.state(criterion).fails or self._is_over():
            return
        self._look()
        state = self._case.state(criterion)
        passed = sum(one.passed for one in self.outcomes if one.criterion.id == criterion.id)
        if runs_again(state, passed, self._bounds.plan.whole.gate.flaky_passes):
            self._todo.appendleft(steps([state], self._case.state)[0])

    def _settle(self, criterion: Criterion, state: CriterionState) -> None:
        if state.state == RUNNING:
            self._wait_for(steps([state], self._case.state)[0])
        else:
            self._tell(Outcome(criterion, "settled", state=state))

    def _abandon(self) -> None:
        self._bounds.abandoned = True
        for run in self._active:
            run.control.terminate()

    def _give_up(self, run: ClaimedRun) -> None:
        head = None
        try:
            head = run.give_up()
        except TallystickError as error:
            self._error = self._error or error
        if run.started is not None:
            self._tell(Outcome(run.criterion, "interrupted", head=head))

    def _fail(self, run: ClaimedRun, error: BaseException) -> None:
        """Nothing can be recorded any more, so that nothing more is run."""
        self._error = self._error or error
        self._abandon()
        if not isinstance(error, NotRecordedError) or error.ran is not None:
            self._tell(Outcome(run.criterion, "interrupted"))

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._progress.ended(outcome)

    # --- others

    def _wait_for(self, step: Step) -> None:
        self._waiting.append(step)
        self._progress.waits(step.state)

    def _look_at_others(self) -> None:
        """Whether what others run has come to an end, or whoever watched it is gone."""
        bounds = self._bounds
        try:
            position = bounds.ledger.head(bounds.task_id).position
        except NotFoundError:
            position = 0
        if position == position_of(self._case) and time.monotonic() - self._looked_at < POLL_AT_LEAST:
            return
        self._look()
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            state = self._case.state(step.criterion)
            if state.state == RUNNING:
                self._waiting.append(step)
            elif settled_since(state, bounds.session, bounds.first):
                self._tell(Outcome(step.criterion, "settled", state=state))
            else:
                self._todo += [one for one in steps([state], self._case.state) if one.what == RUN]

    def _look(self) -> None:
        """Judge anew, by the files as they are now or were a moment ago."""
        if time.monotonic() - self._seen_at >= FRESH:
            self._seen, self._seen_at = self._bounds.workspace.snapshot(), time.monotonic()
        self._looked_at = time.monotonic()
        self._case = self._bounds.look(self._seen)

    def _cite(self, step: Step, key: bytes) -> bool:
        """Record that the same was shown elsewhere, if it was."""
        bounds = self._bounds
        if not bounds.ledger.store.proofs(key, 1):
            return False
        from tallystick.gate.reuse import find_proof

        while True:
            self._look()
            state = self._case.state(step.criterion)
            settled = settled_since(state, bounds.session, bounds.first)
            citation = None if settled else find_proof(self._case, step.criterion)
            if citation is None:
                return False
            entry = Entry(
                type="reuse",
                status="pass",
                reason=f"shown by {citation.task_id} #{citation.position}",
                command=step.criterion.command,
                details=citation.to_details(),
            )
            try:
                head = bounds.append(entry, after=position_of(self._case))
            except ConcurrencyError:
                continue
            self._tell(Outcome(step.criterion, "reused", citation=citation, head=head))
            return True
