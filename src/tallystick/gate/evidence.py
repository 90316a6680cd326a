"""What the ledger holds about a task, read so that a change to what is judged cannot go unnoticed.

Sealed parts are checked against the record whenever one is read, and what decides a verdict is proved to lie in
the tree under the session's head. Verifying the rest is `notch verify`'s work.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import CheckFailedError, InputError, TamperedError
from tallystick.gate.attempts import Attempt, as_object, attempt_of
from tallystick.ledger import Recorded, StoredTree
from tallystick.model.record import PARTS, decode_record, missing_parts, open_entry
from tallystick.proof.merkle import inclusion_proof, leaf_hash, verify_inclusion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.ledger import Ledger
    from tallystick.stores.base import Head, Row, SessionKey, Tip

THREAD_LIMIT = 1_000
"""How many entries of a criterion, a type, are looked at: the newest. More would make a hook slow."""


class SessionEvidence:
    """One session's entries by criterion and by type, newest first."""

    def __init__(self, ledger: Ledger, key: SessionKey) -> None:
        self.key = key
        self.own = key.ledger_id == ledger.ledger_id
        self._ledger = ledger
        self._store = ledger.store
        self._tree = StoredTree(ledger.store, key)
        self._rows: dict[int, tuple[Row, Recorded]] = {}
        self._proved: set[int] = set()
        self.tip: Tip = ledger.store.tip(key)
        self._prove_end()

    @property
    def head(self) -> Head:
        """The session's head, as of which all of this is."""
        return self.tip.head()

    def by_criterion(self, criterion_id: str) -> Iterator[Recorded]:
        """The entries that name the criterion, newest first."""
        return self._thread(f"c{criterion_id}", lambda row: row.criterion_before)

    def by_type(self, type_: str) -> Iterator[Recorded]:
        """The entries of that type, newest first."""
        return self._thread(f"t{type_}", lambda row: row.type_before)

    def _thread(self, pointer: str, before: Callable[[Row], int]) -> Iterator[Recorded]:
        position = self._store.pointer(self.key, pointer)
        for _ in range(THREAD_LIMIT):
            if not position:
                return
            row, recorded = self._read(position)
            if position <= self.tip.position:
                yield recorded
            following = before(row)
            if following >= position:
                raise TamperedError("its links do not lead back", task_id=self.key.task_id, position=position)
            position = following

    def at(self, position: int) -> Recorded | None:
        """The entry at a position; None where there is none up to the head."""
        if not 0 < position <= self.tip.position:
            return None
        return self._read(position)[1]

    def output(self, position: int) -> bytes:
        """The kept output of the entry, checked against its record."""
        row, _ = self._read(position)
        output = row.sealed.output
        if output is None and row.sealed.output_salt is not None:
            output = b"".join(self._store.artifact(self.key, position))
            record = decode_record(row.record)
            if sha256(row.sealed.output_salt + output).hexdigest() != record.output:
                raise TamperedError("its output was changed", task_id=self.key.task_id, position=position)
        return output or b""

    def _read(self, position: int) -> tuple[Row, Recorded]:
        if position not in self._rows:
            row = self._store.row(self.key, position)
            if row is None:
                raise TamperedError("the record is missing", task_id=self.key.task_id, position=position)
            self._rows[position] = (row, self._checked(row))
        return self._rows[position]

    def _checked(self, row: Row) -> Recorded:
        sealed = row.sealed
        try:
            record = decode_record(row.record)
            for part in PARTS:
                salt, data = getattr(sealed, f"{part}_salt"), getattr(sealed, part)
                if data is not None and (salt is None or sha256(salt + data).hexdigest() != getattr(record, part)):
                    raise InputError(f"its {part} was changed")
            entry = open_entry(record, sealed, outputs=False)
        except InputError as error:
            raise TamperedError(error.what, task_id=self.key.task_id, position=row.position) from None
        return Recorded(row.position, record.at, entry, missing_parts(record, sealed))

    def prove(self, position: int) -> None:
        """Raises TamperedError unless the record at the position lies in the tree under the head."""
        if position in self._proved:
            return
        row, _ = self._read(position)
        size = self.tip.position + 1
        try:
            proof = inclusion_proof(position, size, self._tree)
            verify_inclusion(leaf_hash(row.record), position, size, proof, self.tip.edge.root())
        except CheckFailedError:
            raise TamperedError(
                "the record is not the one that the head stands for", task_id=self.key.task_id, position=position
            ) from None
        self._proved.add(position)

    def _prove_end(self) -> None:
        """The head stands for the newest record, and nothing lies behind it."""
        position = self.tip.position
        self.prove_header()
        if position:
            self.prove(position)

    def prove_header(self) -> None:
        """Raises TamperedError unless the header is leaf 0 of the tree."""
        size = self.tip.position + 1
        try:
            proof = inclusion_proof(0, size, self._tree)
            verify_inclusion(leaf_hash(self.key.header), 0, size, proof, self.tip.edge.root())
        except CheckFailedError:
            raise TamperedError("the session's header was changed", task_id=self.key.task_id, position=0) from None


class Evidence:
    """All sessions of a task: ours, and those of other ledgers that are kept beside it."""

    def __init__(self, ledger: Ledger | None, task_id: str) -> None:
        self.task_id = task_id
        keys = ledger.sessions_of(task_id) if ledger is not None else []
        self.sessions = [SessionEvidence(ledger, key) for key in keys if ledger is not None]

    @property
    def own(self) -> SessionEvidence | None:
        """Our own session of the task."""
        return next((session for session in self.sessions if session.own), None)

    def session(self, ledger_id: str) -> SessionEvidence:
        """The session of that ledger."""
        return next(session for session in self.sessions if session.key.ledger_id == ledger_id)

    def attempts(self, criterion_id: str) -> list[Attempt]:
        """Every attempt on the criterion in every session, newest first."""
        found = [
            attempt
            for session in self.sessions
            for recorded in session.by_criterion(criterion_id)
            if (attempt := attempt_of(recorded, session.key.ledger_id)) is not None
        ]
        if len(self.sessions) > 1:
            found.sort(key=lambda attempt: (attempt.at, attempt.position), reverse=True)
        return found

    def products(self) -> dict[str, list[str]]:
        """What recorded runs left: path -> the blob ids that they left there."""
        found: dict[str, list[str]] = {}
        for session in self.sessions:
            for type_ in ("criterion", "run"):
                for recorded in session.by_type(type_):
                    made = as_object(as_object(recorded.entry.details.get("run")).get("products"))
                    for path, blob in made.items():
                        found.setdefault(path, []).append(str(blob))
        return found
