"""What the ledger holds about a task: its sessions, the attempts in them, and what their runs left."""

from __future__ import annotations

from tallystick.gate.attempts import GIVEN_UP, UNDECIDED, as_object, attempt_of, ends_run, named_files, started_by
from tallystick.gate.expectation import SHELLS_WORD
from tallystick.gate.grades import Grade
from tallystick.gate.history import SessionHistory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.provenance import Provenance
    from tallystick.ledger import Ledger
    from tallystick.recorded import Recorded

NEWEST, NEWEST_RESULTS = 8, 4
"""How many of a criterion's newest entries, and of those that are results, are always read."""


class Evidence:
    """All sessions of a task: ours, and those of other ledgers that are kept beside it."""

    def __init__(self, ledger: Ledger | None, task_id: str, provenance: Provenance) -> None:
        self.task_id = task_id
        self.provenance = provenance
        """Which runs count as observed."""
        keys = ledger.sessions_of(task_id) if ledger is not None else []
        self.sessions = [SessionHistory(ledger, key) for key in keys if ledger is not None]

    @property
    def own(self) -> SessionHistory | None:
        """Our own session of the task."""
        return next((session for session in self.sessions if session.own), None)

    def session(self, ledger_id: str) -> SessionHistory:
        """The session of that ledger."""
        return next(session for session in self.sessions if session.key.ledger_id == ledger_id)

    def attempts(self, criterion_id: str, about: Collection[str] = ()) -> list[Attempt]:
        """The attempts on the criterion in every session, newest first; see `attempts_in`."""
        found = [
            attempt
            for session in self.sessions
            for attempt in attempts_in(session, criterion_id, self.provenance, about)
        ]
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
        return products_of((session for session in self.sessions if session.own), self.provenance)


def attempts_in(
    session: SessionHistory, criterion_id: str, provenance: Provenance, about: Collection[str] = ()
) -> list[Attempt]:
    """Every attempt on the criterion in the session, newest first.

    With inputs digests given only those that may say something about such content: of the older ones on other content
    just enough to tell that it ever failed, and the most tests and fewest skips that were counted.

    A result is observed if our own ledger bears out that a run came to it, no other result ends that run, and the run
    was recorded where it counts.
    """
    found_at = list(session.positions(criterion_id))
    if about:
        found_at = _worth_reading(session, found_at, about)
    positions = {recorded.position: recorded for at in found_at if (recorded := session.at(at)) is not None}
    entries = list(positions.values())
    given_up = {started_by(recorded) for recorded in entries if recorded.entry.type == GIVEN_UP}
    place = (session.key.ledger_id, session.key.task_id)
    ended: set[int] = set()
    found = []
    for recorded in reversed(entries):
        began = started_by(recorded)
        started = positions.get(began)
        borne_out = began not in ended and _came_to(session, recorded, started)
        doubt = ""
        if borne_out and started is not None:
            ended.add(began)
            doubt = provenance.doubt(started) if session.own else "it stands in another ledger"
        grade = Grade.OBSERVED if borne_out and not doubt else Grade.CLAIMED
        gone = recorded.position in given_up
        attempt = attempt_of(recorded, place, borne_out=borne_out, grade=grade, given_up=gone, doubt=doubt)
        if attempt is not None:
            found.append(attempt)
    found.reverse()
    return found


def _worth_reading(session: SessionHistory, positions: list[int], about: Collection[str]) -> list[int]:
    """Those of the positions, which are newest first, that are worth being read in full."""
    digests = [digest.encode() for digest in about]
    chosen: set[int] = set()
    ends: dict[int, int] = {}
    results, failed, most, fewest = 0, False, -1, 1 << 62
    for number, position in enumerate(positions):
        details = session.details(position)
        began, executed, skipped = (_number(name, details) for name in (b"started", b"executed", b"skipped"))
        skipped += max(0, _number(b"xfailed", details)) if skipped >= 0 else 0
        status = session.status(position)
        shows = status not in UNDECIDED and b'"cut_short":' not in details
        shows = shows and _number(b"exit_code", details) not in SHELLS_WORD and b'"not_run":' not in details
        results, fails = results + shows, shows and status == "fail"
        ends[position] = began
        if fails:  # only what passed in it is a floor, and it sets no example of how little is skipped
            executed -= max(0, _number(b"failed", details)) + max(0, _number(b"errors", details))
        more, less = executed > most, not fails and 0 <= skipped < fewest
        newest = number < NEWEST or (shows and results <= NEWEST_RESULTS)
        if newest or more or less or (fails and not failed) or any(d in details for d in digests):
            chosen.add(position)
        failed, most = failed or fails, max(most, executed)
        fewest = min(fewest, skipped) if less else fewest
    chosen |= {position for position, began in ends.items() if began in chosen}
    chosen |= {ends[position] for position in chosen if ends[position] in ends}
    return [position for position in positions if position in chosen]


def _number(name: bytes, details: bytes) -> int:
    """The first number of that name in compact JSON; -1 where there is none."""
    _, found, rest = details.partition(b'"%b":' % name)
    digits = rest[:12].split(b",", 1)[0].split(b"}", 1)[0]
    return int(digits) if found and digits.isdigit() else -1


def _came_to(session: SessionHistory, recorded: Recorded, started: Recorded | None) -> bool:
    """Whether a run came to that result: in an imported file all entries were recorded at one moment."""
    if not ends_run(recorded, started):
        return False
    return not (session.imported and started is not None and started.at == recorded.at)


def products_of(sessions: Iterable[SessionHistory], provenance: Provenance) -> dict[str, frozenset[str]]:
    """What observed runs in these sessions left: path -> the blob ids that they left there.

    What a run that is only claimed says it left would keep an edited file from being an input.
    """
    found: dict[str, set[str]] = {}
    for session in sessions:
        for recorded in session.runs_that_left():
            left = named_files(as_object(recorded.entry.details.get("run")).get("products"))
            started = session.at(started_by(recorded)) if left else None
            if started is not None and _came_to(session, recorded, started) and not provenance.doubt(started):
                for path, blob in left.items():
                    found.setdefault(path, set()).add(str(blob))
    return {path: frozenset(blobs) for path, blobs in found.items()}
