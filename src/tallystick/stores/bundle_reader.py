"""Reading a bundle: one task's session as one file that proves itself, verified as a stream.

JSON lines; `docs/formats.md` has them one by one. The order is fixed, nothing may be missing, doubled or left over.
What is verified here needs no ledger, no key and no network; whose signature counts is the caller's to say.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.header import Header, decode_header
from tallystick.model.ids import require_task_id
from tallystick.model.output import OUTPUT_LIMIT
from tallystick.model.record import PARTS, RECORD_LIMIT, REDACTION, SALT_BYTES, Record, decode_record
from tallystick.model.spelling import ENTRY, SESSION, closed, is_digest, is_later
from tallystick.proof.checkpoint import CheckpointLeaf
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.note import SignedNote
from tallystick.stores.base import CHUNK_BYTES, INLINE_OUTPUT, Head
from tallystick.stores.bundle_lines import Lines
from tallystick.stores.bundle_proof import read_proof, require_epoch, require_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

MAGIC = b'{"bundle":1,'
"""How every bundle begins."""
ERASED, OMITTED = "erased", "omitted"
MOST_PIECES = OUTPUT_LIMIT // CHUNK_BYTES
"""Of one output."""


class BundledEntry(Frozen):
    """An entry as a bundle holds it, verified as far as it alone can be."""

    __slots__ = FIELDS = ("position", "record", "salts", "parts", "erased", "omitted")

    position: int
    record: bytes
    """The record's exact bytes."""
    salts: dict[str, bytes]
    parts: dict[str, bytes]
    """The sealed parts that are there, by name."""
    erased: tuple[str, ...]
    omitted: tuple[str, ...]

    def __init__(
        self,
        position: int,
        record: bytes,
        salts: dict[str, bytes],
        parts: dict[str, bytes],
        erased: tuple[str, ...],
        omitted: tuple[str, ...],
    ) -> None:
        values = (position, record, salts, parts, erased, omitted)
        for name, value in zip(self.FIELDS, values, strict=True):
            set_once(self, name, value)


class BundleVerdict(Frozen):
    """What a bundle that verifies shows."""

    __slots__ = FIELDS = (
        "ledger_id", "task_id", "head", "erased", "omitted", "note", "leaf", "covered", "since",
    )  # fmt: skip

    ledger_id: str
    task_id: str
    head: Head | None
    """The head that its records lead to; None where it shows that the task has no session."""
    erased: int
    """How many parts were erased, each named by a later redaction."""
    omitted: int
    """How many parts were left out of the bundle."""
    note: SignedNote | None
    """The signed checkpoint, its signatures not yet checked; None where the bundle has none."""
    leaf: CheckpointLeaf | None
    """What that checkpoint states: its time, and how many tasks there were."""
    covered: int
    """Up to which position the checkpoint covers it: what came later it says nothing about."""
    since: SignedNote | None
    """The older checkpoint that is proved to be extended; its signatures are not yet checked."""

    def __init__(self, **fields: Any) -> None:
        for name in self.FIELDS:
            set_once(self, name, fields[name])


class BundleReader:
    """Reads a bundle from its lines, verifying as it goes. Iterate over `entries`, then ask for the `verdict`."""

    def __init__(self, lines: Iterable[bytes], *, where: str = "") -> None:
        self._lines = Lines(lines, where)
        self._edge = Edge()
        self._at = ""
        self._missing: dict[tuple[int, str], None] = {}
        self._erased: set[tuple[int, str]] = set()
        self._omitted = 0
        self._done = False
        self.header = b""
        """The header's record; empty where the bundle shows that the task has no session."""
        first = self._lines.fields()
        if "bundle" not in first:
            raise self._lines.wrong("there should be 'bundle'")
        if type(first["bundle"]) is not int or first["bundle"] != 1:
            raise InputError("it was written by a later version", where=where, advice="upgrade tallystick")
        absent = "absent" in first
        names = ("bundle", "ledger", "task_id", *(("absent",) if absent else ("position", "root")))
        self._lines.require_spelled(self._lines.only(first, names))
        self.ledger_id = self._lines.ledger_id(first)
        self.task_id = require_task_id(self._lines.text(first, "task_id"))
        self.head = None if absent else self._named_head(first)
        self._read_rest(first)

    def _named_head(self, first: dict[str, Any]) -> Head:
        return Head.parse(f"{self._lines.count(first, 'position')}:{self._lines.text(first, 'root')}")

    def _read_rest(self, first: dict[str, Any]) -> None:
        """What stands before the entries."""
        lines, absent = self._lines, self.head is None
        if absent and first["absent"] is not True:
            raise lines.wrong("absent can only be true")
        following = lines.fields()
        self._proof, self._since = None, None
        if absent or "proof" in following:
            self._proof, self._since = read_proof(lines, following, self.task_id, absent=absent)
            following = {} if absent else lines.fields()
        if not absent:
            self.header = lines.data(lines.only(following, ("session",))["session"], "session")
            lines.require_plain()
            self._check_header()

    def _check_header(self) -> None:
        header = self._header_in(self.header)
        if header.ledger != self.ledger_id or header.task_id != self.task_id:
            raise self._tampered("the header is that of another session", 0)
        self._at = header.at
        self._append(self.header, 0)

    def _header_in(self, data: bytes) -> Header:
        """The header that these bytes are. Raises InputError, StoreUnavailableError if a later version wrote it."""
        if is_later(data, SESSION):
            raise closed(self.task_id)
        try:
            return decode_header(data)
        except InputError as error:
            raise self._lines.wrong(error.what) from None

    def _record_in(self, data: bytes) -> Record:
        """The record that these bytes are. Raises InputError, StoreUnavailableError if a later version wrote it."""
        if is_later(data, ENTRY):
            raise closed(self.task_id)
        try:
            return decode_record(data)
        except InputError as error:
            raise self._lines.wrong(error.what) from None

    def _tampered(self, what: str, position: int | None) -> TamperedError:
        return TamperedError(what, task_id=self.task_id, position=position)

    def _append(self, record: bytes, position: int) -> None:
        self._edge.append(leaf_hash(record))
        self._check_covered(position)

    def _check_covered(self, position: int) -> None:
        if self._proof is not None and self._proof.position == position and self._edge.root() != self._proof.root:
            raise self._tampered("the history is not the one that the checkpoint is about", position)

    # --- entries

    def entries(self) -> Iterator[BundledEntry]:
        """The entries in order, each checked against its record and its record taken into the tree.

        Raises TamperedError naming the position, InputError naming the line.
        """
        last = self.head.position if self.head else 0
        for position in range(max(1, self._edge.size), last + 1):
            yield self._entry(position)
        end = self._lines.take("end")
        if end["end"] != last:
            raise self._lines.wrong("the last line names another position")
        self._lines.require_spelled({"end": last})
        self._lines.end()
        self._finish()
        self._done = True

    def _entry(self, position: int) -> BundledEntry:
        lines = self._lines
        fields = lines.fields()
        if "record" not in fields:
            raise lines.wrong("there should be 'record'")
        lines.require_plain()
        data = lines.data(fields["record"], "record")
        if len(data) > RECORD_LIMIT:
            raise lines.wrong("the record is too long")
        record = self._record_in(data)
        committed = [part for part in PARTS if getattr(record, part)]
        lines.only(fields, ("record", *committed))
        if record.at < self._at:
            raise self._tampered("its time is earlier than that of the record before it", position)
        self._at = record.at
        salts: dict[str, bytes] = {}
        parts: dict[str, bytes] = {}
        marks: dict[str, list[str]] = {ERASED: [], OMITTED: []}
        for part in committed:
            given = fields[part]
            if isinstance(given, str):
                if given not in marks:
                    raise lines.wrong(f"{part} is marked {given!r}")
                if not is_digest(getattr(record, part)):
                    raise lines.wrong(f"its {part} has no digest")
                marks[given].append(part)
                continue
            salts[part], parts[part] = self._part(given, part)
            if sha256(salts[part] + parts[part]).hexdigest() != getattr(record, part):
                raise self._tampered(f"its {part} was changed", position)
        self._missing.update(((position, part), None) for part in marks[ERASED])
        self._omitted += len(marks[OMITTED])
        if record.erases:
            erased, names = record.erases
            if record.type != REDACTION or erased >= position:
                raise self._tampered("it erases what it cannot", position)
            self._erased.update((erased, part) for part in names)
        self._append(data, position)
        return BundledEntry(position, data, salts, parts, tuple(marks[ERASED]), tuple(marks[OMITTED]))

    def _part(self, given: Any, part: str) -> tuple[bytes, bytes]:
        lines = self._lines
        if not isinstance(given, dict):
            raise lines.wrong(f"{part} is no object")
        if part == "output" and "pieces" in given:
            lines.only(given, ("salt", "pieces"))
            pieces = [self._piece() for _ in range(self._piece_count(given))]
            if any(len(piece) != CHUNK_BYTES for piece in pieces[:-1]):
                raise lines.wrong("a piece of the output is not 1 MiB")
            data = b"".join(pieces)
            if len(data) <= INLINE_OUTPUT:
                raise lines.wrong("an output that short comes in one")
        else:
            lines.only(given, ("salt", "data"))
            data = lines.data(given["data"], part)
        salt = lines.data(given["salt"], "salt")
        if len(salt) != SALT_BYTES or not data:
            raise lines.wrong(f"{part} has no salt of {SALT_BYTES} bytes, or nothing in it")
        return salt, data

    def _piece_count(self, given: dict[str, Any]) -> int:
        count = self._lines.count(given, "pieces")
        if not 1 <= count <= MOST_PIECES:
            raise self._lines.wrong(f"an output has 1 to {MOST_PIECES} pieces")
        return count

    def _piece(self) -> bytes:
        piece = self._lines.data(self._lines.take("piece")["piece"], "piece")
        self._lines.require_plain()
        if not piece or len(piece) > CHUNK_BYTES:
            raise self._lines.wrong("a piece of the output is not 1 MiB")
        return piece

    # --- the end

    def _finish(self) -> None:
        for position, part in self._missing:
            if (position, part) not in self._erased:
                raise self._tampered(f"its {part} is missing, and no redaction names it", position)
        for position, part in sorted(self._erased - self._missing.keys()):
            raise self._tampered(f"a redaction names its {part}, which is not marked as erased", position)
        proof, head = self._proof, self.head
        if head is not None and self._edge.root().hex() != head.root:
            raise self._tampered("the records do not lead to the head that the bundle names", head.position)
        if proof is None:
            return
        if head is not None and proof.position is not None and proof.position > head.position:
            raise self._tampered("the checkpoint is about a longer history: entries are missing", head.position)
        checkpoint = proof.checkpoint()
        require_own(checkpoint, self.ledger_id)
        leaf = proof.verify()
        if self._since is not None:
            self._since.verify(checkpoint, self.ledger_id)
        require_epoch(leaf, checkpoint, self.ledger_id)

    def verdict(self) -> BundleVerdict:
        """What the bundle shows. Call it after the last of `entries`; reads what is left of them otherwise."""
        if not self._done:
            for _ in self.entries():
                pass
        proof = self._proof
        return BundleVerdict(
            ledger_id=self.ledger_id,
            task_id=self.task_id,
            head=self.head,
            erased=len(self._erased & self._missing.keys()),
            omitted=self._omitted,
            note=SignedNote.parse(proof.note) if proof else None,
            leaf=CheckpointLeaf.decode(proof.leaf) if proof else None,
            covered=(proof.position or 0) if proof else 0,
            since=self._since.note if self._since else None,
        )


def verify_bundle(lines: Iterable[bytes], *, where: str = "") -> BundleVerdict:
    """Verify a whole bundle; returns what it shows.

    Raises TamperedError where evidence was changed, InputError where it is no bundle, CheckFailedError where a
    proof in it does not hold.
    """
    return BundleReader(lines, where=where).verdict()
