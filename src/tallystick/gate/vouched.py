"""What trusted keys stand behind: attested results, approved weakenings. Which keys count, the base's plan says.

A key that retired counts for what a trusted checkpoint up to its last one is about.
"""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError
from tallystick.gate.attempts import as_object
from tallystick.gate.grades import Grade
from tallystick.gate.trusted import TrustedKeys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, Protocol, TypeAlias

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.history import SessionHistory
    from tallystick.gate.subject import InFront
    from tallystick.gate.trusted import Quorum, TrustedKey
    from tallystick.recorded import Recorded
    from tallystick.trust.statements import Statement

    Place: TypeAlias = tuple[str, str, int]
    """Ledger, task and position of an entry."""

    class Sessions(Protocol):
        """Who knows the sessions that statements stand in: the `Evidence` of a task."""

        def by_type(self, type_: str) -> Iterable[tuple[SessionHistory, Recorded]]:
            """See `Evidence.by_type`."""

        def session(self, ledger_id: str) -> SessionHistory:
            """See `Evidence.session`."""


class Vouched:
    """The statements in a task's sessions that keys with the right role signed."""

    def __init__(self, evidence: Sessions, keys: Mapping[str, TrustedKey | Quorum], in_front: InFront) -> None:
        """`in_front` is what statements are held against."""
        self._evidence = evidence
        self._trusted = TrustedKeys(keys)
        self._in_front = in_front
        self._attested: dict[Place, dict[str, set[bool]]] | None = None
        self._approved: list[tuple[Statement, set[str]]] | None = None
        self._covered: dict[tuple[str, str, str], int] = {}

    def _in_time(self, session: SessionHistory, position: int, key: TrustedKey) -> bool:
        """Whether the key had not retired when that entry was recorded."""
        if key.until is None:
            return True
        place = (session.key.ledger_id, session.key.task_id, key.name)
        if place not in self._covered:
            self._covered[place] = self._trusted.covered(session.store, session.key, key)
        return position <= self._covered[place]

    def _statements(self, type_: str, role: str) -> Iterator[tuple[SessionHistory, Statement, set[str]]]:
        """Statements of that type that count here, with the names of the keys that signed each and have that role."""
        keys = self._trusted.counting(role)
        trusted = {name: key.verifier() for name, key in keys.items()}
        entries = self._evidence.by_type(type_) if trusted else []
        if not entries:
            return
        from tallystick.trust.statements import KINDS, parse_statement

        for session, recorded in entries:
            text = as_object(recorded.entry.details.get(type_)).get("note")
            try:
                statement = parse_statement(str(text))
                signed = statement.signers(trusted.values())
            except (InputError, CheckFailedError):
                continue
            named = {name for name, key in trusted.items() if key in signed}
            named = {name for name in named if self._in_time(session, recorded.position, keys[name])}
            if named and statement.kind in KINDS[type_] and not self._in_front.objection(statement, session):
                session.prove(recorded.position)
                yield session, statement, named

    def _attestations(self) -> dict[Place, dict[str, set[bool]]]:
        """Who stands behind which entry; True if the statement also says what the entry cites."""
        if self._attested is None:
            self._attested = {}
            for session, statement, named in self._statements("attestation", "attest"):
                subject = statement.subject
                for position, leaf in statement.entries.items():
                    if session.leaf_at(position) == leaf:
                        binds = subject is not None and position <= subject.head.position
                        place = (session.key.ledger_id, session.key.task_id, position)
                        found = self._attested.setdefault(place, {})
                        for name in named:
                            found.setdefault(name, set()).add(binds)
        return self._attested

    def attested_by(self, attempt: Attempt, *, with_what_it_cites: bool = False) -> set[str]:
        """The names of the trusted keys and quorums that stand behind a result: empty for none.

        `with_what_it_cites`: and behind the entries that it names by their positions.
        """
        found = self._attestations().get((attempt.ledger_id, attempt.task_id, attempt.position), {})
        signed = {name for name, binds in found.items() if not with_what_it_cites or True in binds}
        return self._trusted.standing("attest", signed)

    def graded(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """The attempts with what the keys add to their grades.

        A result is reproduced if two parties stand, one behind it and another behind a run of it again, on a clean
        checkout of the same content, that came to the same.
        """
        found = list(attempts)
        if not self._trusted.counting("attest"):
            return found
        places = {_place(one): one for one in found}
        again: dict[Place, set[str]] = {}
        for one in found:
            repeated = self._repeated_by(one, places)
            if repeated is not None:
                again.setdefault(_place(repeated), set()).update(self.attested_by(one, with_what_it_cites=True))
        return [self._graded(one, again) for one in found]

    def _repeated_by(self, one: Attempt, places: Mapping[Place, Attempt]) -> Attempt | None:
        """The result that a run repeats, if it is bound to that by hash and is about the very same; else None."""
        repeats = as_object(one.run.get("reproduces"))
        position, leaf = repeats.get("position"), repeats.get("leaf")
        if repeats.get("same") is not True or type(position) is not int or not isinstance(leaf, str):
            return None
        repeated = places.get((one.ledger_id, one.task_id, position))
        if repeated is None or position >= one.position or self._leaf(repeated) != leaf:
            return None
        return repeated if _about(repeated) == _about(one) else None

    def _leaf(self, one: Attempt) -> str:
        return self._evidence.session(one.ledger_id).leaf_at(one.position)

    def _graded(self, one: Attempt, again: Mapping[Place, set[str]]) -> Attempt:
        named = self.attested_by(one)
        if one.kind != "result" or not named:
            return one
        others = again.get(_place(one), set())
        return one.replace(grade=Grade.REPRODUCED if others - named else Grade.ATTESTED)

    def _approvals(self) -> list[tuple[Statement, set[str]]]:
        if self._approved is None:
            found = self._statements("approval", "approve")
            self._approved = [(statement, named) for _, statement, named in found]
        return self._approved

    def approved_by(self, fields: Mapping[str, Any]) -> set[str]:
        """The names of the trusted keys and quorums that let a weakening pass: empty for none."""
        if not self._approvals():
            return set()
        from tallystick.trust.statements import weakening_digest

        digest = weakening_digest(fields)
        signed = {name for statement, named in self._approvals() if digest in statement.weakenings for name in named}
        return self._trusted.standing("approve", signed)

    def protected_approved_by(self) -> set[str]:
        """The names of the trusted keys and quorums that let the protected files be as they are: empty for none."""
        signed = {name for _, named in self._approvals() for name in named}
        return self._trusted.standing("approve", signed) if self._in_front.protected else set()


def _place(one: Attempt) -> Place:
    return one.ledger_id, one.task_id, one.position


def _about(one: Attempt) -> tuple[Any, ...]:
    """What a result is about: two that agree in it are results of the very same."""
    return one.criterion_id, one.command, one.cwd, one.inputs, one.patterns, one.environment
