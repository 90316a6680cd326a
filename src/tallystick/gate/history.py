"""One session's entries, read so that a change to what is judged cannot go unnoticed.

The newest entries are read at once and proved together: they and the stored edge before them must lead to the root
of the session's head. What is older is proved entry by entry when it is asked for. Sealed parts are checked against
the record whenever one is read. Verifying all the rest is `notch verify`'s work.
"""

from __future__ import annotations

import json
from hashlib import sha256

from tallystick.errors import CheckFailedError, InputError, StoreUnavailableError, TamperedError
from tallystick.model.header import decode_header
from tallystick.model.record import VERSION, decode_record, missing_parts, open_entry
from tallystick.proof.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    read_edge,
    verify_consistency,
    verify_inclusion,
)
from tallystick.recorded import Recorded, StoredTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.model.header import Header
    from tallystick.model.record import Record
    from tallystick.stores.base import Head, Row, SessionKey, Store, Tip

WINDOW = 512
"""How many of the newest entries are read at once."""
RUNS = ("criterion", "run")
"""The types of entries that a run's result has."""
AT_LEAST = 8
"""How many entries of a criterion, a type, are looked at where the newest have fewer. More makes a hook slow."""


class SessionHistory:
    """One session's entries by criterion and by type, newest first.

    Raises TamperedError where the newest entries are not what the head stands for, StoreUnavailableError where a
    later version wrote to the session.
    """

    def __init__(self, ledger: Ledger, key: SessionKey, *, window: int = WINDOW) -> None:
        self.key = key
        self.own = key.ledger_id == ledger.ledger_id
        """Whether it is the ledger's own, and not one of another ledger that is kept beside those."""
        self._store = ledger.store
        self._tree = StoredTree(ledger.store, key)
        self._tip: Tip = ledger.store.tip(key)
        self._first = max(1, self._tip.position - window + 1)
        self._rows: dict[int, Row] = {}
        self._told: dict[int, dict[str, Any]] = {}
        self._opened: dict[int, Recorded] = {}
        self._proved: set[int] = set()
        self._threads: dict[str, list[int]] = {}
        self._header: Header | None = None
        self._read_newest()

    @property
    def store(self) -> Store:
        """Where the session is kept."""
        return self._store

    @property
    def head(self) -> Head:
        """The session's head, as of which all of this is."""
        return self._tip.head()

    @property
    def imported(self) -> bool:
        """Whether the session came from a file, at least its beginning."""
        return self._read_header().origin is not None

    def by_criterion(self, criterion_id: str, *, at_least: int = AT_LEAST) -> Iterator[Recorded]:
        """The entries that name the criterion, newest first: those among the newest, else `at_least` so many."""
        return map(self._at, self.positions(criterion_id, at_least=at_least))

    def positions(self, criterion_id: str, *, at_least: int = AT_LEAST) -> Iterator[int]:
        """The positions of those entries, which are not read yet."""
        return self._thread(f"c{criterion_id}", lambda row: row.criterion_before, at_least)

    def by_type(self, type_: str, *, at_least: int = AT_LEAST) -> Iterator[Recorded]:
        """The entries of that type, newest first: those among the newest, else `at_least` so many."""
        return map(self._at, self._thread(f"t{type_}", lambda row: row.type_before, at_least))

    def runs_that_left(self) -> Iterator[Recorded]:
        """The results of runs that name products, of those among the newest entries."""
        for type_ in RUNS:
            for position in self._thread(f"t{type_}", lambda row: row.type_before, 0):
                if b'"products":{' in self.details(position):
                    yield self._at(position)

    def status(self, position: int) -> str:
        """The entry's status, as its record has it."""
        self.prove(position)
        return str(self._fields(position).get("status", ""))

    def details(self, position: int) -> bytes:
        """The entry's details as they are stored, checked against its record; empty where there are none."""
        self.prove(position)
        self._check_part(position, "details")
        return self._row(position).sealed.details or b""

    def at(self, position: int) -> Recorded | None:
        """The entry at a position; None where there is none up to the head."""
        if not 0 < position <= self._tip.position:
            return None
        if position not in self._opened:
            self.prove(position)
            self._opened[position] = self._open(position)
        return self._opened[position]

    def output(self, position: int) -> bytes:
        """The kept output of the entry, checked against its record."""
        self.prove(position)
        row = self._store.row(self.key, position)
        if row is None:
            raise self._tampered("the record is missing", position)
        output = row.sealed.output
        if output is None and row.sealed.output_salt is not None:
            output = b"".join(self._store.artifact(self.key, position))
        if output is None:
            return b""
        if sha256((row.sealed.output_salt or b"") + output).hexdigest() != self._record(position).output:
            raise self._tampered("its output was changed", position)
        return output

    def leaf_at(self, position: int) -> str:
        """The leaf hash of the record at a position in hex; empty where there is none up to the head."""
        return self._tree.leaf(position).hex() if 0 < position <= self.head.position else ""

    def extends(self, head: Head) -> bool:
        """Whether the session, up to the head that was read, extends that one. It is proved, not looked up."""
        size, root = self._tip.position + 1, self._tip.edge.root()
        if not 0 <= head.position < size:
            return False
        try:
            proof = consistency_proof(head.position + 1, size, self._tree)
            verify_consistency(head.position + 1, bytes.fromhex(head.root), size, root, proof)
        except (CheckFailedError, InputError, TamperedError):
            return False
        return True

    def prove(self, position: int) -> None:
        """Raises TamperedError unless the record at the position lies in the tree under the head."""
        if position >= self._first or position in self._proved:
            return
        self._prove_leaf(
            position,
            self._row(position).record,
            "the record, or one that its proof needs, was changed; notch verify names it",
        )
        self._proved.add(position)

    def _prove_leaf(self, index: int, record: bytes, otherwise: str) -> None:
        size = self._tip.position + 1
        try:
            proof = inclusion_proof(index, size, self._tree)
            verify_inclusion(leaf_hash(record), index, size, proof, self._tip.edge.root())
        except CheckFailedError:
            raise self._tampered(otherwise, index) from None

    # --- the newest entries

    def _read_newest(self) -> None:
        first, last = self._first, self._tip.position
        if first > 1 or last == 0:
            self._prove_leaf(
                0,
                self.key.header,
                "the session's header, or a record that its proof needs, was changed; notch verify names it",
            )
        self._read_header()
        edge = read_edge(first, self._tree)
        position = first - 1
        for row in (row for rows in self._store.rows(self.key, first, last, outputs=False) for row in rows):
            position += 1
            if row.position != position:
                raise self._tampered("the record is missing", position)
            if edge.append(leaf_hash(row.record)) != row.node:
                raise self._tampered("the record, or one before it, was changed", position)
            self._rows[position] = row
            self._index(position)
        if position != last:
            raise self._tampered("the record is missing", position + 1)
        if edge.root() != self._tip.edge.root():
            raise self._tampered("the head does not stand for the records", last)
        if self._store.row(self.key, last + 1) is not None and self._store.tip(self.key).position <= last:
            raise self._tampered("a record lies behind the head", last + 1)

    def _index(self, position: int) -> None:
        fields = self._fields(position)
        self._threads.setdefault(f"t{fields.get('type', '')}", []).append(position)
        if criterion := fields.get("criterion_id"):
            self._threads.setdefault(f"c{criterion}", []).append(position)

    def _thread(self, name: str, before: Callable[[Row], int], at_least: int) -> Iterator[int]:
        """The positions of a thread: of the newest all that belong to it, before those along the stored links."""
        newest = self._threads.get(name, ())
        yield from reversed(newest)
        if self._first == 1 or len(newest) >= at_least:
            return
        position = before(self._row(newest[0])) if newest else self._pointer(name, before)
        for _ in range(at_least - len(newest)):
            if not position:
                return
            if position >= (newest[0] if newest else self._first):
                raise self._tampered("its links do not lead back", position)
            yield position
            following = before(self._row(position))
            if following >= position:
                raise self._tampered("its links do not lead back", position)
            position = following

    def _pointer(self, name: str, before: Callable[[Row], int]) -> int:
        """Where the thread's newest entry up to our head is; others may have been appended since."""
        position = self._store.pointer(self.key, name)
        while position > self._tip.position:
            row = self._store.row(self.key, position)
            if row is None or before(row) >= position:
                raise self._tampered("its links do not lead back", position)
            position = before(row)
        return position

    # --- one entry

    def _at(self, position: int) -> Recorded:
        found = self.at(position)
        if found is None:
            raise self._tampered("the record is missing", position)
        return found

    def _row(self, position: int) -> Row:
        if position not in self._rows:
            rows = [row for some in self._store.rows(self.key, position, position, outputs=False) for row in some]
            if not rows:
                raise self._tampered("the record is missing", position)
            self._rows[position] = rows[0]
        return self._rows[position]

    def _fields(self, position: int) -> dict[str, Any]:
        """What the record says, before it is looked at closely: most entries of a long session are not opened."""
        if position not in self._told:
            try:
                fields = json.loads(self._row(position).record)
            except ValueError:
                fields = None
            if not isinstance(fields, dict):
                raise self._tampered("the record is not a JSON object", position)
            self._require_known(fields.get("v"), fields.get("kind") == "entry")
            self._told[position] = fields
        return self._told[position]

    def _record(self, position: int) -> Record:
        self._fields(position)
        try:
            return decode_record(self._row(position).record)
        except InputError as error:
            raise self._tampered(error.what, position) from None

    def _check_part(self, position: int, part: str) -> None:
        """Raises TamperedError unless the part is the one that the record commits to, or was erased whole."""
        sealed = self._row(position).sealed
        salt, data = getattr(sealed, f"{part}_salt"), getattr(sealed, part)
        if data is not None and (salt is None or sha256(salt + data).hexdigest() != self._fields(position).get(part)):
            raise self._tampered(f"its {part} was changed", position)
        if data is None and salt is not None:
            raise self._tampered(f"its {part} is missing", position)

    def _open(self, position: int) -> Recorded:
        record, sealed = self._record(position), self._row(position).sealed
        for part in ("text", "details"):
            self._check_part(position, part)
        try:
            missing = missing_parts(record, sealed)
            if missing and not set(missing) <= self._erased(position):
                raise InputError(f"its {missing[0]} is missing, and no redaction names it")
            return Recorded(position, record.at, open_entry(record, sealed, outputs=False), missing)
        except InputError as error:
            raise self._tampered(error.what, position) from None

    def _erased(self, position: int) -> set[str]:
        """The parts of an entry that redactions after it name, those that were appended just now too."""
        parts: set[str] = set()
        at = self._store.pointer(self.key, "tredaction")
        while at > position:
            self.prove(at)
            erases = self._record(at).erases
            if erases and erases[0] == position:
                parts.update(erases[1])
            following = self._row(at).type_before
            if following >= at:
                raise self._tampered("its links do not lead back", at)
            at = following
        return parts

    def _read_header(self) -> Header:
        if self._header is None:
            try:
                self._header = decode_header(self.key.header)
            except InputError as error:
                raise self._tampered(error.what, 0) from None
            self._require_known(self._header.v, self._header.kind == "session")
        return self._header

    def _require_known(self, version: object, known_kind: bool) -> None:
        if version != VERSION or not known_kind:
            raise StoreUnavailableError(
                "a later version wrote to this session, so this one gives no verdict",
                where=self.key.task_id,
                advice="upgrade tallystick",
            )

    def _tampered(self, what: str, position: int) -> TamperedError:
        return TamperedError(what, task_id=self.key.task_id, position=position)
