"""Running commands on other content than the one in front of us, in temporary work trees, one after the other."""

from __future__ import annotations

import os
from _thread import start_new_thread
from queue import Empty, SimpleQueue

from tallystick.capture.inbox import RunControl
from tallystick.capture.run import Run, run_command
from tallystick.errors import InputError, TallystickError
from tallystick.gate.attempts import GIVEN_UP, RERUN
from tallystick.gate.evidence import Evidence
from tallystick.gate.judgement import judge_run
from tallystick.gate.products import known_products
from tallystick.inherited import child_environment
from tallystick.model.entry import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from tallystick.capture.products import Products
    from tallystick.capture.result import Finished
    from tallystick.capture.run import Judgement, RunResult
    from tallystick.gate.plan import Criterion
    from tallystick.gate.provenance import Provenance
    from tallystick.ledger import Ledger
    from tallystick.stores.base import Head
    from tallystick.workspace import Snapshot, Workspace

TICK = 0.1
"""Seconds between two looks at the clock while a command runs."""


class StoppedError(TallystickError):
    """It was stopped before its end."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("stopped; what ran has no result")


class _AbandonedError(Exception):
    """The run was ended by us, so that its end shows nothing."""


class Reruns:
    """Runs of one task's criteria elsewhere. `stop` may be called from a signal handler meanwhile."""

    def __init__(
        self,
        ledger: Ledger,
        task_id: str,
        *,
        now: Callable[[float], str],
        timeout: float | None = None,
        tick: Callable[[], None] = lambda: None,
        heard: Callable[[Criterion, bytes], None] = lambda _criterion, _output: None,
        provenance: Provenance,
        protected: Sequence[str],
        keep_env: Sequence[str] = (),
    ) -> None:
        self._ledger = ledger
        self._task_id = task_id
        self._now = now
        self._timeout = timeout
        self._tick = tick
        self._heard = heard
        self._provenance = provenance
        self._protected = protected
        self._keep_env = keep_env
        self._stops = 0

    def stop(self) -> None:
        """End what runs: politely, and at once when called again."""
        self._stops += 1

    def prepare(self, workspace: Workspace, command: str | tuple[str, ...]) -> None:
        """Run what has to be done in a fresh work tree first. Raises InputError if it fails; nothing is recorded."""
        from tallystick.capture.process import run_process

        def work(control: RunControl) -> Finished:
            env = child_environment(os.environ, self._keep_env)
            return run_process(
                command if isinstance(command, str) else list(command),
                cwd=workspace.root,
                env=env,
                stdin=None,
                stdout_fd=None,
                stderr_fd=None,
                control=control,
            )

        finished = self._in_thread(work)
        if finished.exit_code:
            from tallystick.model.text import decode_text

            said = decode_text(finished.output.kept()).strip().rpartition("\n")[2]
            shown = command if isinstance(command, str) else " ".join(command)
            raise InputError(f"the setup ended with {finished.exit_code}{f': {said}' if said else ''}", where=shown)

    def run(
        self,
        workspace: Workspace,
        criterion: Criterion,
        *,
        patterns: Sequence[str],
        environment: Mapping[str, Any],
        told: Callable[[Finished, Judgement], Mapping[str, Any]],
        command: str | Sequence[str] | None = None,
    ) -> RunResult:
        """Run the criterion's command (or another) in that work tree, and record the result.

        `told` gives what goes into `details.run` besides. Raises StoppedError where it was stopped: then an entry says
        that the run comes to no end.
        """
        started: list[Head] = []

        def begin(entry: Entry) -> Head:
            details = {**entry.details, "run": {**entry.details["run"], RERUN: True}}
            started.append(self._ledger.append(self._task_id, entry.replace(details=details)))
            return started[0]

        def judge(finished: Finished) -> Judgement:
            if self._stops:
                raise _AbandonedError
            found = judge_run(criterion.expect)(finished)
            found.details = {**found.details, **told(finished, found)}
            return found

        argv = criterion.run if command is None else command
        run = Run(
            self._task_id,
            argv if isinstance(argv, str) else list(argv),
            criterion_id=criterion.id,
            phase_id=criterion.phase,
            timeout=self._timeout,
            cwd=workspace.root,
            patterns=patterns,
            environment=environment,
            products=self._products,
            judge=judge,
            keep_env=self._keep_env,
        )

        def work(control: RunControl) -> RunResult:
            return run_command(
                self._ledger,
                workspace,
                run,
                now=self._now,
                control=control,
                streams=(None, None, None),
                on_output=lambda output: self._heard(criterion, output),
                begin=begin,
            )

        try:
            result: RunResult = self._in_thread(work)
        except _AbandonedError:
            self._give_up(run, started)
            raise StoppedError from None
        return result

    def _give_up(self, run: Run, started: list[Head]) -> None:
        if started:
            entry = Entry(
                type=GIVEN_UP,
                criterion_id=run.criterion_id,
                status="interrupted",
                reason="it was stopped while it ran",
                command=run.command,
                details={"run": {"started": started[0].position, RERUN: True}},
            )
            self._ledger.append(self._task_id, entry)

    def _products(self, *snapshots: Snapshot) -> Products:
        return known_products(self._ledger, self._evidence(), *snapshots, protected=self._protected)

    def _evidence(self) -> Evidence:
        return Evidence(self._ledger, self._task_id, self._provenance)

    def _in_thread(self, work: Callable[[RunControl], Any]) -> Any:
        """What `work` returns or raises, from a thread of its own: this one looks after signals."""
        if self._stops:
            raise StoppedError
        control, stops = RunControl(), 0
        events: SimpleQueue[Any] = SimpleQueue()

        def run() -> None:
            try:
                events.put((work(control), None))
            except BaseException as error:
                events.put((None, error))

        start_new_thread(run, ())
        while True:
            try:
                result, error = events.get(timeout=TICK)
            except Empty:
                self._tick()
                while stops < self._stops:
                    stops += 1
                    control.terminate()
                continue
            if error is not None:
                raise error
            if self._stops:
                raise StoppedError
            return result


class Variables:
    """While it lasts, these variables have these values for what is run; None: they are not set."""

    def __init__(self, variables: Mapping[str, str | None]) -> None:
        self._wanted = variables
        self._had: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self._had = {name: os.environ.get(name) for name in self._wanted}
        _set(self._wanted)

    def __exit__(self, *_: object) -> None:
        _set(self._had)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
