"""Attempts on a criterion, as the ledger tells of them: runs that began, and results.

Details come from whoever wrote the entry, so nothing in them is taken for granted: what has not the form that
`notch` writes reads as absent.
"""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.gate.grades import Grade
from tallystick.model.frozen import Frozen, set_once
from tallystick.workspace.paths import named_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick.recorded import Recorded

STARTED = "run_started"
GIVEN_UP = "run_interrupted"
"""The type of the entry by which whoever watched a run says that it comes to no end."""
RESULTS = frozenset({"criterion", "manual_evidence"})
RERUN = "rerun"
"""What `details.run` has where `notch falsify` or `notch reproduce` begins a run, or gives one up."""
UNDECIDED = frozenset({"", "pending", "skipped", "running", "unknown"})
"""Statuses of result entries that say neither pass nor fail."""


class Attempt(Frozen):
    """One attempt: that a run began (`started`), or a result."""

    __slots__ = FIELDS = (
        "position", "ledger_id", "at", "kind", "criterion_id", "command", "status", "reason", "exit_code",
        "grade", "run", "content", "erased", "output_known", "task_id", "given_up", "lapsed", "doubt",
    )  # fmt: skip

    position: int
    ledger_id: str
    at: str
    kind: str
    """`started` or `result`."""
    criterion_id: str
    command: str
    status: str
    reason: str
    exit_code: int
    grade: Grade
    """What stands behind it, as far as the entry alone tells."""
    run: Mapping[str, Any]
    """`details.run`; of a claim only the `tests` that a report told of."""
    content: Mapping[str, Any]
    """`details.content`; empty where it is not known."""
    erased: tuple[str, ...]
    output_known: bool
    task_id: str
    """The task whose session it stands in: another one's where it is cited."""
    given_up: bool
    """Of a beginning: whether whoever watched the run said that it comes to no end."""
    lapsed: str
    """Why it no longer counts though it is cited; empty where it does."""

    doubt: str
    """Of a watched run that counts as claimed: why it is not observed; else empty."""

    def __init__(self, *, given_up: bool = False, lapsed: str = "", doubt: str = "", **fields: Any) -> None:
        set_once(self, "given_up", given_up)
        set_once(self, "lapsed", lapsed)
        set_once(self, "doubt", doubt)
        for name in self.FIELDS[:-3]:
            set_once(self, name, fields[name])

    @property
    def session(self) -> tuple[str, str]:
        """The session that it stands in: ledger and task."""
        return self.ledger_id, self.task_id

    @property
    def watched(self) -> bool:
        """Whether it is the end of a run that the ledger bears out, and not somebody's word."""
        return "exit_code" in self.run

    @property
    def inputs(self) -> str:
        """The digest of the inputs it is bound to; empty where that is not known, or where they moved."""
        return _text(self.content.get("inputs"))

    @property
    def patterns(self) -> tuple[str, ...]:
        """The pathspecs of those inputs; none for the whole tree."""
        return _texts(self.content.get("patterns"))

    @property
    def changes(self) -> Mapping[str, Any]:
        """What differed from that commit, as far as it was kept: path -> blob id."""
        return named_files(self.content.get("changes"))

    @property
    def commit(self) -> str:
        """The commit that was checked out; empty where there was none."""
        return _text(self.content.get("commit"))

    @property
    def moved(self) -> tuple[str, ...]:
        """The inputs that were not the same after the run as before."""
        return tuple(map(named_path, _texts(self.run.get("moved"))))

    @property
    def touched(self) -> tuple[str, ...]:
        """The inputs that were written during the run and were the same after it."""
        return tuple(map(named_path, _texts(self.run.get("touched"))))

    @property
    def products(self) -> dict[str, str]:
        """What the run left: path -> blob id."""
        return {path: blob for path, blob in named_files(self.run.get("products")).items() if isinstance(blob, str)}

    @property
    def cut_short(self) -> int:
        """The signal by which somebody ended the run before its end, so that it shows nothing; 0 for none."""
        return _integer(self.run.get("cut_short")) or 0

    @property
    def environment(self) -> Mapping[str, Any]:
        """The declared environment as it was: `variables`, `versions`, `platform`."""
        return as_object(self.run.get("environment"))

    @property
    def cwd(self) -> str:
        """The folder that it ran in, from the root of the work tree; empty for the root."""
        return _text(self.run.get("cwd"))

    @property
    def began(self) -> int:
        """The position of the `run_started` that this result ends; 0 for none."""
        return _integer(self.run.get("started")) or 0

    @property
    def on_purpose(self) -> bool:
        """Whether `notch falsify` or `notch reproduce` ran it: that never tells how the task stands."""
        return is_rerun(self.run)

    @property
    def not_run(self) -> str:
        """What could not be started, as whoever watched it read in its output; empty if it is a result."""
        return _text(self.run.get("not_run"))

    @property
    def is_control(self) -> bool:
        """Whether it had to pass before it was seen whether it can fail."""
        return bool(as_object(self.run.get("falsifies")).get("control"))

    @property
    def tests(self) -> Mapping[str, Any]:
        """What was counted in the run's output or report; empty where nothing was."""
        return as_object(self.run.get("tests"))

    @property
    def executed(self) -> int | None:
        """How many tests were executed; None where nobody counted."""
        return self._count("executed")

    @property
    def skipped(self) -> int | None:
        """How many tests were skipped; None where nobody counted."""
        return self._count("skipped")

    @property
    def xfailed(self) -> int:
        """How many tests failed as their authors said they would."""
        return self._count("xfailed") or 0

    @property
    def passed(self) -> int | None:
        """How many tests passed, those that were expected to fail among them; None where nobody counted."""
        if self.executed is None:
            return None
        return max(0, self.executed - (self._count("failed") or 0) - self.errors)

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of tests that `failed`, were `skipped` or were `flaky`, as far as they are known."""
        return _texts(as_object(self.tests.get("names")).get(kind))

    @property
    def errors(self) -> int:
        """How many tests broke without a verdict."""
        return self._count("errors") or 0

    def _count(self, name: str) -> int | None:
        return _integer(as_object(self.tests.get("counts")).get(name))


def attempt_of(
    recorded: Recorded,
    session: tuple[str, str],
    *,
    borne_out: bool = False,
    grade: Grade = Grade.CLAIMED,
    given_up: bool = False,
    doubt: str = "",
) -> Attempt | None:
    """The attempt that an entry is; None where it is neither the beginning of a run nor a result.

    `session`: its ledger and task. `borne_out`: whether the ledger bears out what it says of a run (`ends_run`);
    `grade` is what that makes of it. `given_up`, `doubt`: see `Attempt`.
    """
    entry = recorded.entry
    if entry.type == STARTED:
        kind = "started"
    elif entry.type in RESULTS and entry.status not in UNDECIDED:
        kind = "result"
    else:
        return None
    watched = borne_out or kind == "started"
    run = as_object(entry.details.get("run")) if watched else {"tests": as_object(entry.details.get("report"))}
    code = _integer(run.get("exit_code"))
    return Attempt(
        position=recorded.position,
        ledger_id=session[0],
        task_id=session[1],
        given_up=given_up,
        doubt=doubt,
        at=recorded.at,
        kind=kind,
        criterion_id=entry.criterion_id,
        command=entry.command,
        status=entry.status,
        reason=entry.reason,
        exit_code=entry.exit_code if code is None else code,
        grade=grade,
        run=run,
        content=as_object(entry.details.get("content")),
        erased=recorded.erased,
        output_known="output" not in recorded.erased,
    )


def is_rerun(run: Mapping[str, Any]) -> bool:
    """Whether `details.run` is of a run by `notch falsify` or `notch reproduce`, be it under way or ended."""
    return any(run.get(name) for name in (RERUN, "falsifies", "reproduces"))


def started_by(recorded: Recorded) -> int:
    """The position of the `run_started` that a result says it ends, or whoever watched gave up; 0 for none."""
    return _integer(as_object(recorded.entry.details.get("run")).get("started")) or 0


def ends_run(recorded: Recorded, started: Recorded | None) -> bool:
    """Whether a result is what a run that `started` came to: the same command on the same content.

    That is what `notch run` writes; a result that only says so of itself is a claim.
    """
    entry = recorded.entry
    run = as_object(entry.details.get("run"))
    if started is None or _integer(run.get("exit_code")) is None or started_by(recorded) != started.position:
        return False
    began = started.entry
    if began.type != STARTED or started.position >= recorded.position or began.criterion_id != entry.criterion_id:
        return False
    if not {"text", "details"}.isdisjoint((*started.erased, *recorded.erased)):
        return "details" not in recorded.erased
    tree = as_object(began.details.get("content")).get("tree")
    return began.command == entry.command and tree == as_object(run.get("before")).get("tree")


def as_object(value: Any) -> Mapping[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def named_files(value: Any) -> dict[str, Any]:
    """What an entry says of files, by their paths; empty where that is no JSON object."""
    return {named_path(path): said for path, said in as_object(value).items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
