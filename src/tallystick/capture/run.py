"""Running a command and recording it: that it began, and what it showed.

`run_started` goes into the ledger before the command runs, so that a run which is killed is known to have no
end; a command whose beginning cannot be recorded is not run at all.
"""

from __future__ import annotations

import os
import shlex

from tallystick.capture.identity import this_process
from tallystick.capture.process import require_command, run_process
from tallystick.errors import TallystickError
from tallystick.inherited import INSIDE, child_environment
from tallystick.model.entry import Entry
from tallystick.model.record import dropped_details
from tallystick.model.secrets import SecretMask
from tallystick.pipeline import may_be_ci, pipeline_of
from tallystick.workspace.binding import content_details
from tallystick.workspace.changes import change_times, touched
from tallystick.workspace.paths import recorded_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from tallystick.capture.inbox import RunControl
    from tallystick.capture.products import Left, Products
    from tallystick.capture.result import Finished
    from tallystick.ledger import Ledger
    from tallystick.stores.base import Head
    from tallystick.workspace import Snapshot, Workspace
    from tallystick.workspace.snapshot import State

NOT_RECORDED = 125
"""The exit code where the run could not be recorded."""
DEFAULT_SECONDS = 24 * 3600
"""How long a run without a timeout may take before it is held to be interrupted."""
DEADLINE_SLACK = 60
NAMED_PATHS = 100
"""How many paths are named of those that moved."""
SIGINT = 2
DETAILS_ROOM = 900_000
"""Bytes that an entry's details may take, with room for what is added to them."""


class Judgement:
    """What a command's end comes to: the recorded status, why, and what goes into `details.run` besides."""

    __slots__ = ("details", "reason", "status")

    def __init__(self, status: str, reason: str, details: Mapping[str, Any] | None = None) -> None:
        self.status = status
        self.reason = reason
        self.details = details or {}


class Run:
    """What is to be run, for which task and criterion, and what it is bound to."""

    __slots__ = (
        "argv",
        "criterion_id",
        "cwd",
        "ends_leftovers",
        "environment",
        "judge",
        "keep_env",
        "outside",
        "patterns",
        "phase_id",
        "products",
        "task_id",
        "timeout",
    )

    def __init__(
        self,
        task_id: str,
        argv: Sequence[str] | str,
        *,
        criterion_id: str = "",
        phase_id: str = "",
        timeout: float | None = None,
        cwd: str | None = None,
        patterns: Sequence[str] = (),
        products: Callable[..., Products] | None = None,
        environment: Mapping[str, Any] | None = None,
        judge: Callable[[Finished], Judgement] | None = None,
        keep_env: Sequence[str] = (),
        ends_leftovers: bool = False,
    ) -> None:
        self.task_id = task_id
        self.argv = argv
        self.criterion_id = criterion_id
        self.phase_id = phase_id
        self.timeout = timeout
        self.cwd = cwd
        """The folder to run it in; None for the caller's."""
        self.patterns = patterns
        self.outside: Callable[[Snapshot], Mapping[str, State] | None] | None = None
        """Given the content, which files outside the inputs differ from the base; None if that is not known."""
        self.products = products
        """Given snapshots, what earlier runs left as it concerns those: no inputs while they are that."""
        self.environment = environment or {}
        """`variables`, `versions`, `platform` as the plan declares them."""
        self.judge = judge or by_exit_code
        self.keep_env = keep_env
        """Names of variables that the command inherits all the same; see `child_environment`."""
        self.ends_leftovers = ends_leftovers
        """Whether to end what the command leaves running in its session."""

    @property
    def command(self) -> str:
        """The command as it is recorded: the string itself, or the list as a shell would take it."""
        return self.argv if isinstance(self.argv, str) else shlex.join(self.argv)


class RunResult:
    """How a recorded run ended, where it stands in the ledger, and the content that it left."""

    __slots__ = ("after", "entry", "finished", "head", "left", "left_running", "reason", "status")

    def __init__(
        self,
        finished: Finished,
        head: Head,
        judgement: Judgement,
        after: Snapshot,
        *,
        entry: Entry,
        left: bool = False,
        left_running: Sequence[str] = (),
    ) -> None:
        self.finished = finished
        self.head = head
        self.status = judgement.status
        self.reason = judgement.reason
        self.after: Snapshot | None = after
        self.entry = entry
        """The result as it was recorded."""
        self.left = left
        """Whether it left products."""
        self.left_running = left_running
        """The processes that it left running, which were ended: name and id."""

    def release(self) -> None:
        """Let go of what was printed and of the content, which may be large."""
        from tallystick.model.output import OutputKeeper

        self.finished.output = OutputKeeper(0)
        self.after = None


class NotRecordedError(TallystickError):
    """The run could not be recorded; `ran` is the command's end, or None where it was not run."""

    exit_code = NOT_RECORDED

    def __init__(self, cause: TallystickError, ran: Finished | None) -> None:
        not_run = "was not run, since it cannot be recorded"
        what = not_run if ran is None else f"ended with {ran.exit_code}, but is not recorded"
        super().__init__(f"the command {what}: {cause}")
        self.ran = ran


def by_exit_code(finished: Finished) -> Judgement:
    """`pass` for exit code 0, else `fail`; what was cut short never passes."""
    if finished.timed_out:
        return Judgement("fail", "timed out")
    if number := cut_short_by(finished):
        return Judgement("fail", f"cut short by signal {number}")
    if finished.signal is not None:
        return Judgement("fail", f"ended by signal {finished.signal}")
    return Judgement("pass" if finished.exit_code == 0 else "fail", f"exit code was {finished.exit_code}")


def cut_short_by(finished: Finished) -> int:
    """The signal by which a person, or whoever started it, ended the run before its end; 0 for none.

    What they passed through us counts, whatever the command made of it, and so does an end by SIGINT, which is how
    Ctrl-C on a terminal of the command's own looks.
    """
    if finished.timed_out:
        return 0
    if finished.forwarded is not None:
        return finished.forwarded
    return SIGINT if finished.signal == SIGINT or finished.exit_code == 128 + SIGINT else 0


def run_command(
    ledger: Ledger,
    workspace: Workspace,
    run: Run,
    *,
    before: Snapshot | None = None,
    now: Callable[[float], str],
    control: RunControl | None = None,
    streams: tuple[int | None, int | None, int | None] = (0, 1, 2),
    on_output: Callable[[bytes], None] | None = None,
    begin: Callable[[Entry], Head] | None = None,
    end: Callable[[Entry], Head] | None = None,
) -> RunResult:
    """Run the command and record `run_started` before and the result after it.

    `before`: the content as it is now, where it was already looked at; it is closed. `now` gives the time that
    many seconds from now (RFC 3339). `begin` and `end` append the `run_started` and the result in another way; what
    `begin` raises other than a TallystickError ends all this before the command runs. Raises InputError for a
    command that is none, NotRecordedError where the ledger cannot take the entries.
    """
    from tallystick.capture.executable import DigestTask

    require_command(run.argv)
    mask = SecretMask(os.environ)
    digest = DigestTask(run.argv, cwd=run.cwd)
    try:
        content = before or workspace.snapshot()
        environ = child_environment(os.environ, run.keep_env)
        surroundings = {**_where(run, workspace), **_observed(run, workspace, environ)}
        entry = masked(_start_entry(run, content, surroundings, now), mask)
        started = begin(entry) if begin is not None else ledger.append(run.task_id, entry)
        times = change_times(workspace, content.paths(run.patterns))
    except TallystickError as error:
        raise NotRecordedError(error, None) from None
    stdin, stdout, stderr = streams
    finished = run_process(
        run.argv,
        timeout=run.timeout,
        cwd=run.cwd,
        env={**environ, INSIDE: run.task_id},
        on_output=on_output,
        kept_through=mask.filter(),
        stdin=stdin,
        stdout_fd=stdout,
        stderr_fd=stderr,
        control=control,
    )
    left_running = _ended_leftovers(run, finished)
    finished.command = run.command
    try:
        with content, workspace.snapshot() as after:
            judgement = run.judge(finished)
            told, bound = _content_run(workspace, run, content, after, times)
            details = {
                "run": {
                    **_outcome(finished, started.position, digest.result()),
                    **surroundings,
                    **told,
                    **({"left_running": left_running[:NAMED_PATHS]} if left_running else {}),
                    **judgement.details,
                },
                "content": bound,
            }
        result = masked(_result_entry(run, finished, judgement, details), mask)
        head = end(result) if end is not None else ledger.append(run.task_id, result)
        if run.criterion_id:
            from tallystick.capture.proved import remember_proof

            remember_proof(ledger, run.task_id, head.position, result)
    except TallystickError as error:
        raise NotRecordedError(error, finished) from None
    left = "products" in told
    return RunResult(finished, head, judgement, after, entry=result, left=left, left_running=left_running)


def _ended_leftovers(run: Run, finished: Finished) -> list[str]:
    if not run.ends_leftovers or not finished.session:
        return []
    from tallystick.capture.leftovers import end_session

    return end_session(finished.session)


def masked(entry: Entry, mask: SecretMask) -> Entry:
    """The entry without the secrets of the environment in its texts and details; its output is masked as it comes."""
    if not mask:
        return entry
    texts = {name: mask.text(getattr(entry, name)) for name in ("reason", "command", "path")}
    return entry.replace(**texts, details=mask.value(entry.details))


def _start_entry(run: Run, content: Snapshot, surroundings: Mapping[str, Any], now: Callable[[float], str]) -> Entry:
    limit = run.timeout if run.timeout is not None else DEFAULT_SECONDS
    watcher = {name: value for name, value in this_process().items() if value}
    bound = content_details(content, run.patterns, without=_known(run, content).left_out(content))
    bound.pop("changes", None)
    pipeline = pipeline_of(os.environ) if may_be_ci(os.environ) else None
    of_pipeline = {"pipeline": pipeline.as_dict()} if pipeline else {}
    details = {
        "run": {**watcher, "deadline": now(limit + DEADLINE_SLACK), **of_pipeline, **surroundings},
        "content": bound,
    }
    return Entry(
        type="run_started",
        criterion_id=run.criterion_id,
        status="running",
        command=run.command,
        details=details,
    )


def _known(run: Run, *snapshots: Snapshot) -> Products:
    """What earlier runs left, as it is known at this moment."""
    from tallystick.capture.products import Products

    return run.products(*snapshots) if run.products else Products()


def _outcome(finished: Finished, started: int, executable: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "exit_code": finished.exit_code,
        "started": started,
        "duration_ms": finished.duration_ms,
    }
    if finished.signal is not None:
        found["signal"] = finished.signal
    if finished.timed_out:
        found["timed_out"] = True
    if number := cut_short_by(finished):
        found["cut_short"] = number
    if executable is not None:
        found["executable"] = dict(executable)
    return found


def _where(run: Run, workspace: Workspace) -> dict[str, Any]:
    """The folder that it runs in, from the root; left out for the root itself."""
    folder = os.path.relpath(os.path.realpath(run.cwd or os.getcwd()), workspace.root)
    return {} if folder == "." else {"cwd": folder}


def _observed(run: Run, workspace: Workspace, environ: Mapping[str, str]) -> dict[str, Any]:
    if not run.environment:
        return {}
    from tallystick.capture.environment import observe_environment

    return {"environment": observe_environment(**run.environment, cwd=workspace.root, environ=environ)}


def _content_run(
    workspace: Workspace,
    run: Run,
    before: Snapshot,
    after: Snapshot,
    times: Mapping[str, tuple[int, int, int, int]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run did to the content, for `details.run`, and what its result is bound to.

    It is bound to the content before it, which is the content after it where no input moved.
    """
    from tallystick.capture.products import Left

    left = Left(before, after, _known(run, before, after))
    told: dict[str, Any] = {"before": before.fingerprint(), "after": after.fingerprint()}
    bound = content_details(before, run.patterns, without=left.before)
    if (outside := _outside(run, before, after, left)) is not None:
        bound["outside"] = {recorded_path(path): " ".join(state).strip() for path, state in outside.items()}
    if recorded := left.recorded():
        told["products"] = {recorded_path(path): blob for path, blob in recorded.items()}
    if moved := moved_inputs(run, before, after, left):
        told["moved"] = list(map(recorded_path, moved))
        del bound["inputs"]
    else:
        written = touched(times, change_times(workspace, times))
        if put_back := [path for path in written if before.blob(path) not in left.before.get(path, ())]:
            told["touched"] = list(map(recorded_path, put_back[:NAMED_PATHS]))
    _make_room(told, bound)
    return told, bound


def _outside(run: Run, before: Snapshot, after: Snapshot, left: Left) -> Mapping[str, State] | None:
    """The files outside the inputs that differ from the base, products apart; None if they are not known.

    They are not known either if they were others after the run: nobody can tell which of the two it saw.
    """
    if not run.patterns or run.outside is None:
        return None

    def counted(snapshot: Snapshot, without: Mapping[str, Collection[str]]) -> dict[str, State] | None:
        found = run.outside(snapshot) if run.outside is not None else None
        if found is None:
            return None
        return {path: state for path, state in found.items() if state[1] not in without.get(path, ())}

    if before.fingerprint() != after.fingerprint():
        excused = left.excused()
        if counted(before, excused) != counted(after, excused):
            return None
    return counted(before, left.before)


def moved_inputs(run: Run, before: Snapshot, after: Snapshot, left: Left) -> list[str]:
    """The inputs whose content differs after the run, products apart; at most `NAMED_PATHS`."""
    if before.fingerprint() == after.fingerprint():
        return []
    excused = left.excused()
    if before.inputs_digest(run.patterns, without=excused) == after.inputs_digest(run.patterns, without=excused):
        return []

    def counted(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
        matching = snapshot.matching(run.patterns)
        return {path: (mode, blob) for mode, _, blob, path in matching if blob not in excused.get(path, ())}

    old, new = counted(before), counted(after)
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))[:NAMED_PATHS]


def _make_room(told: dict[str, Any], bound: dict[str, Any]) -> None:
    """Drops the names of changed files, then of products, where an entry could not hold them all."""
    changes, products = bound.get("changes", {}), told.get("products", {})
    if _size(changes) + _size(products) > DETAILS_ROOM:
        del bound["changes"]
        bound["changes_left_out"] = len(changes) + bound.get("changes_left_out", 0)
    if _size(products) > DETAILS_ROOM:
        del told["products"]


def _size(names: Mapping[str, str]) -> int:
    """About the bytes that they take as JSON."""
    return sum(len(name.encode("utf-8", "surrogateescape")) + len(value) + 6 for name, value in names.items())


def _result_entry(run: Run, finished: Finished, judgement: Judgement, details: dict[str, Any]) -> Entry:
    keeper = finished.output
    if keeper.dropped is not None:
        details["output"] = dropped_details(*keeper.dropped)
    return Entry(
        type="criterion" if run.criterion_id else "run",
        criterion_id=run.criterion_id,
        phase_id=run.phase_id,
        status=judgement.status,
        reason=judgement.reason,
        command=run.command,
        exit_code=finished.exit_code,
        output=keeper.kept(),
        details=details,
    )


def own_files(ledger: Ledger) -> list[str]:
    """The files that the ledger itself lies in: never content."""
    files: list[str] = getattr(ledger.store, "files", list)()
    return [os.path.abspath(path) for path in files]
