"""Results of other tasks that stand for a criterion because the very same was shown there.

A `reuse` entry names such a result: ledger, task, position, and the root of that session there. It proves nothing
itself. What it cites is read where it stands, under that session's head, each time it is judged, and with it every
other attempt on the same there: a later failure makes the criterion flaky here too, and what was erased no longer
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tallystick.capture.proved import proof_digest
from tallystick.errors import NotFoundError, TallystickError, TamperedError
from tallystick.gate.attempts import as_object, named_files
from tallystick.gate.content import pathspecs
from tallystick.gate.denominator import weaker_than
from tallystick.gate.evidence import attempts_in
from tallystick.gate.expectation import Expectation
from tallystick.gate.freshness import PASS, could_not_run, environment_of, judge_criterion
from tallystick.gate.grades import Grade
from tallystick.gate.history import SessionHistory
from tallystick.gate.vouched import Vouched
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.case import Case
    from tallystick.gate.plan import Criterion
    from tallystick.recorded import Recorded

REUSE = "reuse"
"""The type of the entries that cite."""
LOOKED_AT = 4
"""How many citations, and how many places where the same may have been shown, are looked at."""
CANDIDATES = 64
"""How many results on the same content may be asked whether they can be cited; one that is missed costs a run."""


class Citation(Frozen):
    """A result that is cited for a criterion, by what a `reuse` entry says of it."""

    __slots__ = FIELDS = ("criterion_id", "ledger_id", "task_id", "position", "root", "inputs", "saved_ms", "by")

    criterion_id: str
    """The criterion that it is cited for, which may have another id where it was shown."""
    ledger_id: str
    task_id: str
    position: int
    """Where the result stands."""
    root: str
    """The root of that session's tree at that position: what its history has to lead through."""
    inputs: str
    """The digest of the inputs that it is bound to."""
    saved_ms: int
    """How long the run took that was not repeated."""
    by: Recorded | None
    """The entry that cites; None before it is recorded."""

    def __init__(self, **fields: Any) -> None:
        for name in self.FIELDS:
            set_once(self, name, fields[name])

    def to_details(self) -> dict[str, Any]:
        """What the entry's `details` say."""
        told = {
            "criterion": self.criterion_id,
            "ledger": self.ledger_id,
            "task": self.task_id,
            "position": self.position,
            "root": self.root,
            "inputs": self.inputs,
            "saved_ms": self.saved_ms,
        }
        return {REUSE: told}


def citation_in(recorded: Recorded) -> Citation | None:
    """What a `reuse` entry cites; None where it is erased, or not as `notch` writes it."""
    told = as_object(recorded.entry.details.get(REUSE))
    texts = [told.get(name) for name in ("criterion", "ledger", "task", "root", "inputs")]
    position, saved = told.get("position"), told.get("saved_ms", 0)
    if not all(isinstance(text, str) for text in texts) or type(position) is not int or type(saved) is not int:
        return None
    criterion_id, ledger_id, task_id, root, inputs = texts
    return Citation(
        criterion_id=criterion_id,
        ledger_id=ledger_id,
        task_id=task_id,
        position=position,
        root=root,
        inputs=inputs,
        saved_ms=saved,
        by=recorded,
    )


class Sources:
    """The sessions that a case's citations lead to, each opened once, and what they say."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._histories: dict[tuple[str, str], SessionHistory | None] = {}
        self._cited: dict[str, list[Citation]] | None = None

    def citations(self, criterion_id: str) -> list[Citation]:
        """What is cited for the criterion, newest first."""
        if self._cited is None:
            self._cited = {}
            for _, recorded in self._case.evidence.by_type(REUSE):
                if citation := citation_in(recorded):
                    self._cited.setdefault(citation.criterion_id, []).append(citation)
        return self._cited.get(criterion_id, [])

    def history(self, ledger_id: str, task_id: str) -> SessionHistory | None:
        """The session; None where this store does not hold it. Raises TamperedError where it was our own."""
        place = (ledger_id, task_id)
        if place not in self._histories:
            self._histories[place] = self._find(ledger_id, task_id)
        return self._histories[place]

    def _find(self, ledger_id: str, task_id: str) -> SessionHistory | None:
        if task_id == self._case.task_id:
            known = [session for session in self._case.evidence.sessions if session.key.ledger_id == ledger_id]
            return known[0] if known else None
        ledger = self._case.ledger
        key = ledger.store.find(task_id, ledger_id) if ledger is not None else None
        if ledger is None or key is None:
            if ledger is not None and ledger_id == ledger.ledger_id:
                raise TamperedError("the session that a result is cited from is gone", task_id=task_id)
            return None
        return SessionHistory(ledger, key)

    def attempts(self, criterion: Criterion) -> list[Attempt]:
        """The attempts that citations bring to the criterion, newest first in each session."""
        found: dict[tuple[tuple[str, str], int], Attempt] = {}
        current = self._case.content.digest(pathspecs(criterion.inputs))
        cited = self.citations(criterion.id)
        on_this = [one for number, one in enumerate(cited) if number == 0 or one.inputs == current]
        for citation in on_this[:LOOKED_AT]:
            for one in self.brought_by(citation, criterion):
                found.setdefault((one.session, one.position), one)
        return list(found.values())

    def against(self, criterion: Criterion, own: Sequence[Attempt]) -> list[Attempt]:
        """What speaks against the criterion in other tasks: results of its command on this content that do not pass.

        `own`: the task's own attempts on it. What passes by the plan that it was run by need not pass by this one.
        """
        ledger = self._case.ledger
        kinds = (True,) if criterion.expect == Expectation() else (True, False)
        places: dict[tuple[str, str], set[int]] = {}
        for digest in (self.digest(criterion, own, against=kind) for kind in kinds):
            for key, position in ledger.store.proofs(digest) if ledger is not None and digest else ():
                places.setdefault((key.ledger_id, key.task_id), set()).add(position)
        return [one for place, positions in places.items() for one in self._objections(place, positions, criterion)]

    def _objections(self, place: tuple[str, str], positions: set[int], criterion: Criterion) -> Iterator[Attempt]:
        """What one session says against the criterion; what cannot be read of another task costs nobody a verdict."""
        history: SessionHistory | None = None
        about: dict[str, set[str]] = {}
        for position in positions:
            with suppress(TallystickError):
                history = self.history(*place)
                if history is not None and (recorded := history.at(position)) is not None:
                    inputs = as_object(recorded.entry.details.get("content")).get("inputs")
                    about.setdefault(recorded.entry.criterion_id, set()).add(str(inputs))
        if place[1] == self._case.task_id:
            about.pop(criterion.id, None)
        for criterion_id, digests in about.items():
            there: list[Attempt] = []
            with suppress(TallystickError):
                assert history is not None
                there = attempts_in(history, criterion_id, self._case.evidence.provenance, tuple(digests))
            for one in there:
                with suppress(TallystickError):
                    if one.position in positions and (objection := self._objection(criterion, one)):
                        yield objection

    def _objection(self, criterion: Criterion, one: Attempt) -> Attempt | None:
        if not one.watched or one.on_purpose or could_not_run(criterion, one):
            return None
        if one.moved or not self._case.content.holds(one.inputs, one.patterns, criterion):
            return None  # it says nothing of this criterion, which must not look stale because of it
        failure = self._case.bench.failure(criterion, one)
        why = one.reason if one.status == "fail" else failure
        return one.replace(reason=f"{why}; in {one.task_id} #{one.position}") if failure else None

    def digest(self, criterion: Criterion, own: Sequence[Attempt] = (), *, against: bool = False) -> bytes:
        """What a run of the criterion on the content in front of us would be a result of; see `proof_digest`.

        `own`: the task's attempts on it, which tell of the versions that nobody asks for here.
        """
        content = self._case.content
        inputs = content.digest(pathspecs(criterion.inputs))
        environment = environment_of(criterion, own, content)
        return proof_digest(criterion.command, inputs, environment, against=against)

    def brought_by(self, citation: Citation, criterion: Criterion) -> Iterator[Attempt]:
        """The result that is cited and the other attempts on the same there; one alone that has lapsed, where it has.

        Raises TamperedError where that session no longer has the history that was cited.
        """
        history = self.history(citation.ledger_id, citation.task_id)
        cited = history.at(citation.position) if history is not None else None
        if history is None or cited is None:
            if history is not None:
                self._require_root(citation)
            yield from self._lapsed(citation, "the session it is cited from is not here")
            return
        self._require_root(citation)
        there = self._graded(history, cited.entry.criterion_id)
        one = next((one for one in there if one.position == citation.position), None)
        if one is None or not is_citable(one):
            erased = not {"text", "details"}.isdisjoint(cited.erased)
            why = "the result that is cited was erased" if erased else "what is cited is no run's result"
            yield from self._lapsed(citation, why)
            return
        if differs := self.differs_outside(one.content):
            yield one.replace(lapsed=f"it is cited from {citation.task_id} #{one.position}, {differs}")
            return
        if weaker := self._weaker(criterion, one, there):
            yield one.replace(lapsed=f"it is cited from {citation.task_id} #{one.position}, where {weaker}")
            return
        left_out: set[int] = set()
        for other in self._on_the_same(one, there):
            if other.kind == "result":
                passed = not self._case.bench.failure(criterion, other)
                if other is not one and passed and self.differs_outside(other.content):
                    left_out.add(other.began)
                    continue
                yield other.replace(reason=f"{other.reason}; shown by {citation.task_id} #{other.position}")
            elif other.position not in left_out and self._is_dead(other):
                yield other

    def _graded(self, history: SessionHistory, criterion_id: str) -> list[Attempt]:
        """The attempts on a criterion there, with what trusted keys add to their grades there."""
        vouched = Vouched(_Alone(history), self._case.plan.whole.keys, self._case.in_front)
        return vouched.graded(attempts_in(history, criterion_id, self._case.evidence.provenance))

    def _require_root(self, citation: Citation) -> None:
        assert self._case.ledger is not None
        try:
            head = self._case.ledger.root_at(citation.task_id, citation.position, ledger_id=citation.ledger_id)
        except NotFoundError:
            head = None
        if head is None or head.root != citation.root:
            raise TamperedError(
                "the history is not the one that a result was cited from",
                task_id=citation.task_id,
                position=citation.position,
            )

    def _lapsed(self, citation: Citation, why: str) -> Iterator[Attempt]:
        """What tells that a citation no longer counts."""
        by = citation.by
        if by is None:
            return
        from tallystick.gate.attempts import Attempt

        own = self._case.evidence.own
        yield Attempt(
            position=by.position,
            ledger_id=own.key.ledger_id if own else citation.ledger_id,
            task_id=self._case.task_id,
            at=by.at,
            kind="result",
            criterion_id=citation.criterion_id,
            command=by.entry.command,
            status="pass",
            reason=by.entry.reason,
            exit_code=0,
            grade=Grade.OBSERVED,
            run={"exit_code": 0},
            content={"inputs": citation.inputs},
            erased=(),
            output_known=False,
            lapsed=f"{why} ({citation.task_id} #{citation.position})",
        )

    def _weaker(self, criterion: Criterion, one: Attempt, there: list[Attempt]) -> str:
        """Where that session counted less at this result than at another: in words; empty where it did not."""
        before = [other for other in there if other is not one and _is_watched(other, one.command)]
        return next((weakening.what for weakening in weaker_than(self._case, criterion, one, before)), "")

    def differs_outside(self, content: Mapping[str, Any]) -> str:
        """How files outside a result's inputs are others here than where it ran, as far as the base does not have them.

        `content`: its `details.content`. Empty if they are the same, or if the whole tree is its input.
        """
        if not content.get("patterns"):
            return ""
        then = content.get("outside")
        if not isinstance(then, Mapping):
            return "and nobody knows which files outside its inputs differed from the base there"
        for path, said in named_files(then).items():
            if " ".join(self._case.snapshot.state(path)).strip() != said:
                return f"where {path} was another, which no pattern of it names"
        return ""

    def _on_the_same(self, cited: Attempt, there: list[Attempt]) -> list[Attempt]:
        return [
            one
            for one in there
            if (one.command, one.cwd, one.inputs, one.patterns)
            == (cited.command, cited.cwd, cited.inputs, cited.patterns)
            and one.environment == cited.environment
        ]

    def _is_dead(self, started: Attempt) -> bool:
        """Whether a run began and comes to no end: one that is under way says nothing yet."""
        return started.given_up or self._case.is_interrupted(started)


class _Alone:
    """One session where all of a task's are wanted."""

    def __init__(self, history: SessionHistory) -> None:
        self._history = history

    def by_type(self, type_: str) -> list[tuple[SessionHistory, Recorded]]:
        """See `Evidence.by_type`."""
        return [(self._history, recorded) for recorded in self._history.by_type(type_, at_least=64)]

    def session(self, ledger_id: str) -> SessionHistory:  # noqa: ARG002
        """See `Evidence.session`."""
        return self._history


def _is_watched(one: Attempt, command: str) -> bool:
    return one.kind == "result" and one.watched and one.command == command


def is_citable(one: Attempt) -> bool:
    """Whether it is a run's result, all there, that nobody cut short and whose inputs nobody wrote meanwhile."""
    spoilt = one.cwd or one.moved or one.touched or one.cut_short
    return one.kind == "result" and one.watched and bool(one.command) and not spoilt


def find_proof(case: Case, criterion: Criterion) -> Citation | None:
    """A result somewhere in this store that shows the criterion for what is in front of us; None where there is none.

    It is judged as it will be each time: with it, the criterion has to pass.
    """
    ledger = case.ledger
    if ledger is None or criterion.manual:
        return None
    inputs, digest = case.content.digest(pathspecs(criterion.inputs)), case.sources.digest(criterion)
    own, looked_at = case.attempts(criterion.id), 0
    for key, position in ledger.store.proofs(digest, CANDIDATES) if digest else ():
        history = case.sources.history(key.ledger_id, key.task_id)
        cited = history.at(position) if history is not None else None
        if cited is None or (key.task_id == case.task_id and cited.entry.criterion_id == criterion.id):
            continue
        if case.sources.differs_outside(as_object(cited.entry.details.get("content"))):
            continue
        if looked_at == LOOKED_AT:
            break
        looked_at += 1
        run = as_object(cited.entry.details.get("run"))
        took = run.get("duration_ms")
        citation = Citation(
            criterion_id=criterion.id,
            ledger_id=key.ledger_id,
            task_id=key.task_id,
            position=position,
            root=ledger.root_at(key.task_id, position, ledger_id=key.ledger_id).root,
            inputs=inputs,
            saved_ms=took if type(took) is int else 0,
            by=None,
        )
        brought = list(case.sources.brought_by(citation, criterion))
        state = judge_criterion(criterion, newest_first([*brought, *own]), case.bench)
        if state.state == PASS and state.ok and state.deciding in brought:
            return citation
    return None


def newest_first(attempts: list[Attempt]) -> list[Attempt]:
    """Attempts of several sessions, the newest first."""
    return sorted(attempts, key=lambda one: (one.at, one.position), reverse=True)
