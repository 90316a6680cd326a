"""What the ledger holds about a task: its sessions, the attempts in them, and what their runs left."""

from __future__ import annotations

from tallystick.gate.attempts import GIVEN_UP, as_object, attempt_of, ends_run, started_by
from tallystick.gate.grades import Grade
from tallystick.gate.history import SessionHistory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tallystick.gate.attempts import Attempt
    from tallystick.ledger import Ledger
    from tallystick.recorded import Recorded

RUNS = ("criterion", "run")
"""The types of entries that a run's result has."""


class Evidence:
    """All sessions of a task: ours, and those of other ledgers that are kept beside it."""

    def __init__(self, ledger: Ledger | None, task_id: str) -> None:
        self.task_id = task_id
        keys = ledger.sessions_of(task_id) if ledger is not None else []
        self.sessions = [SessionHistory(ledger, key) for key in keys if ledger is not None]

    @property
    def own(self) -> SessionHistory | None:
        """Our own session of the task."""
        return next((session for session in self.sessions if session.own), None)

    def session(self, ledger_id: str) -> SessionHistory:
        """The session of that ledger."""
        return next(session for session in self.sessions if session.key.ledger_id == ledger_id)

    def attempts(self, criterion_id: str) -> list[Attempt]:
        """Every attempt on the criterion in every session, newest first."""
        found = [attempt for session in self.sessions for attempt in attempts_in(session, criterion_id)]
        if len(self.sessions) > 1:
            found.sort(key=lambda attempt: (attempt.at, attempt.position), reverse=True)
        return found

    def by_type(self, type_: str) -> list[tuple[SessionHistory, Recorded]]:
        """Every entry of that type in every session, newest first."""
        found = [(session, recorded) for session in self.sessions for recorded in session.by_type(type_, at_least=64)]
        if len(self.sessions) > 1:
            found.sort(key=lambda each: (each[1].at, each[1].position), reverse=True)
        return found

    def products(self) -> dict[str, frozenset[str]]:
        """What watched runs of our own left: path -> the blob ids that they left there."""
        return products_of(session for session in self.sessions if session.own)


def attempts_in(session: SessionHistory, criterion_id: str) -> list[Attempt]:
    """Every attempt on the criterion in the session, newest first.

    A result is observed where our own ledger bears out that a run came to it, and no other result ends that run.
    """
    entries = list(session.by_criterion(criterion_id))
    positions = {recorded.position: recorded for recorded in entries}
    given_up = {started_by(recorded) for recorded in entries if recorded.entry.type == GIVEN_UP}
    place = (session.key.ledger_id, session.key.task_id)
    ended: set[int] = set()
    found = []
    for recorded in reversed(entries):
        began = started_by(recorded)
        borne_out = began not in ended and _came_to(session, recorded, positions.get(began))
        if borne_out:
            ended.add(began)
        grade = Grade.OBSERVED if borne_out and session.own else Grade.CLAIMED
        gone = recorded.position in given_up
        attempt = attempt_of(recorded, place, borne_out=borne_out, grade=grade, given_up=gone)
        if attempt is not None:
            found.append(attempt)
    found.reverse()
    return found


def _came_to(session: SessionHistory, recorded: Recorded, started: Recorded | None) -> bool:
    """Whether a run came to that result: in an imported file all entries were recorded at one moment."""
    if not ends_run(recorded, started):
        return False
    return not (session.imported and started is not None and started.at == recorded.at)


def products_of(sessions: Iterable[SessionHistory]) -> dict[str, frozenset[str]]:
    """What watched runs in these sessions left: path -> the blob ids that they left there."""
    found: dict[str, set[str]] = {}
    for session in sessions:
        for recorded in _runs(session):
            left = as_object(as_object(recorded.entry.details.get("run")).get("products"))
            if left and _came_to(session, recorded, session.at(started_by(recorded))):
                for path, blob in left.items():
                    found.setdefault(path, set()).add(str(blob))
    return {path: frozenset(blobs) for path, blobs in found.items()}


def _runs(session: SessionHistory) -> Iterator[Recorded]:
    for type_ in RUNS:
        yield from session.by_type(type_, at_least=0)
