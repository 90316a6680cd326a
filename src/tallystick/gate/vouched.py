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
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.evidence import Evidence
    from tallystick.gate.history import SessionHistory
    from tallystick.gate.trusted import Quorum, TrustedKey
    from tallystick.trust.statements import Statement


class Vouched:
    """The statements in a task's sessions that keys with the right role signed."""

    def __init__(self, evidence: Evidence, keys: Mapping[str, TrustedKey | Quorum]) -> None:
        self._evidence = evidence
        self._trusted = TrustedKeys(keys)
        self._attested: dict[tuple[str, str, int], set[str]] | None = None
        self._approved: dict[str, set[str]] | None = None
        self._covered: dict[tuple[str, str, str], int] = {}

    def _in_time(self, session: SessionHistory, position: int, key: TrustedKey) -> bool:
        """Whether the key had not retired when that entry was recorded."""
        if key.until is None:
            return True
        place = (session.key.ledger_id, session.key.task_id, key.name)
        if place not in self._covered:
            self._covered[place] = self._trusted.covered(session.store, session.key, key)
        return position <= self._covered[place]

    def _statements(self, type_: str, role: str) -> Iterable[tuple[SessionHistory, Statement, set[str]]]:
        """Statements of that type, with the names of the keys that signed each and count in that role."""
        keys = self._trusted.counting(role)
        trusted = {name: key.verifier() for name, key in keys.items()}
        entries = self._evidence.by_type(type_) if trusted else []
        if not entries:
            return
        from tallystick.trust.statements import parse_statement

        for session, recorded in entries:
            text = as_object(recorded.entry.details.get(type_)).get("note")
            try:
                statement = parse_statement(str(text))
                signed = statement.signers(trusted.values())
            except (InputError, CheckFailedError):
                continue
            named = {name for name, key in trusted.items() if key in signed}
            named = {name for name in named if self._in_time(session, recorded.position, keys[name])}
            if named and statement.kind == type_ and statement.task_id == session.key.task_id:
                session.prove(recorded.position)
                yield session, statement, named

    def attested_by(self, attempt: Attempt) -> set[str]:
        """The names of the trusted keys and quorums that stand behind a result: empty for none."""
        if self._attested is None:
            self._attested = {}
            for session, statement, named in self._statements("attestation", "attest"):
                if statement.ledger_id != session.key.ledger_id:
                    continue
                for position, leaf in statement.entries.items():
                    if session.leaf_at(position) == leaf:
                        place = (session.key.ledger_id, session.key.task_id, position)
                        self._attested.setdefault(place, set()).update(named)
        signed = self._attested.get((attempt.ledger_id, attempt.task_id, attempt.position), set())
        return self._trusted.standing("attest", signed)

    def graded(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """The attempts with what the keys add to their grades.

        A result is reproduced where two trusted keys stand, one behind it and another behind a run of it again, on
        a clean checkout of the same content, that came to the same.
        """
        found = list(attempts)
        if not self._trusted.counting("attest"):
            return found
        again: dict[tuple[str, int], set[str]] = {}
        for one in found:
            repeats = as_object(one.run.get("reproduces"))
            position = repeats.get("position")
            if repeats.get("same") is True and isinstance(position, int):
                again.setdefault((one.ledger_id, position), set()).update(self.attested_by(one))
        return [self._graded(one, again) for one in found]

    def _graded(self, one: Attempt, again: Mapping[tuple[str, int], set[str]]) -> Attempt:
        named = self.attested_by(one)
        if one.kind != "result" or not named:
            return one
        others = again.get((one.ledger_id, one.position), set())
        return one.replace(grade=Grade.REPRODUCED if others - named else Grade.ATTESTED)

    def approved_by(self, fields: Mapping[str, Any]) -> set[str]:
        """The names of the trusted keys and quorums that let a weakening pass: empty for none."""
        if self._approved is None:
            self._approved = {}
            for _, statement, named in self._statements("approval", "approve"):
                for digest in statement.weakenings:
                    self._approved.setdefault(digest, set()).update(named)
        if not self._approved:
            return set()
        from tallystick.trust.statements import weakening_digest

        return self._trusted.standing("approve", self._approved.get(weakening_digest(fields), set()))
