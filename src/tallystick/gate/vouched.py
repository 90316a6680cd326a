"""What trusted keys stand behind: attested results, approved weakenings. Which keys count, the base's plan says."""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError
from tallystick.gate.attempts import as_object
from tallystick.gate.grades import Grade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.evidence import Evidence
    from tallystick.gate.history import SessionHistory
    from tallystick.gate.plan import TrustedKey
    from tallystick.proof.keys import VerifierKey
    from tallystick.trust.statements import Statement


class Vouched:
    """The statements in a task's sessions that keys with the right role signed."""

    def __init__(self, evidence: Evidence, keys: Mapping[str, TrustedKey]) -> None:
        self._evidence = evidence
        self._keys = keys
        self._attested: dict[tuple[str, str, int], set[str]] | None = None
        self._approved: dict[str, set[str]] | None = None

    def _trusted(self, role: str) -> dict[str, VerifierKey]:
        from tallystick.proof.keys import VerifierKey

        return {name: VerifierKey.parse(key.public) for name, key in self._keys.items() if role in key.roles}

    def _statements(self, type_: str, role: str) -> Iterable[tuple[SessionHistory, Statement, set[str]]]:
        """Statements of that type, with the names of the trusted keys that signed each."""
        trusted = self._trusted(role)
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
            if named and statement.kind == type_ and statement.task_id == session.key.task_id:
                session.prove(recorded.position)
                yield session, statement, named

    def attested_by(self, attempt: Attempt) -> set[str]:
        """The names of the trusted keys that stand behind a result: empty for none."""
        if self._attested is None:
            self._attested = {}
            for session, statement, named in self._statements("attestation", "attest"):
                if statement.ledger_id != session.key.ledger_id:
                    continue
                for position, leaf in statement.entries.items():
                    if session.leaf_at(position) == leaf:
                        place = (session.key.ledger_id, session.key.task_id, position)
                        self._attested.setdefault(place, set()).update(named)
        return self._attested.get((attempt.ledger_id, attempt.task_id, attempt.position), set())

    def graded(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """The attempts with what the keys add to their grades.

        A result is reproduced where two trusted keys stand, one behind it and another behind a run of it again, on
        a clean checkout of the same content, that came to the same.
        """
        found = list(attempts)
        if not any("attest" in key.roles for key in self._keys.values()):
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
        """The names of the trusted keys that let a weakening pass: empty for none."""
        if self._approved is None:
            self._approved = {}
            for _, statement, named in self._statements("approval", "approve"):
                for digest in statement.weakenings:
                    self._approved.setdefault(digest, set()).update(named)
        if not self._approved:
            return set()
        from tallystick.trust.statements import weakening_digest

        return self._approved.get(weakening_digest(fields), set())
