"""Reading a bundle: one task's session as one file that proves itself, verified as a stream.

JSON lines; `docs/formats.md` has them one by one. The order is fixed, nothing may be missing, doubled or left over.
What is verified here needs no ledger, no key and no network; whose signature counts is the caller's to say.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256

from tallystick.errors import InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.header import decode_header
from tallystick.model.record import PARTS, RECORD_LIMIT, SALT_BYTES, decode_record
from tallystick.proof.checkpoint import Checkpoint, CheckpointLeaf
from tallystick.proof.head_proof import HeadProof
from tallystick.proof.headmap import MapProof
from tallystick.proof.merkle import Edge, leaf_hash, verify_consistency
from tallystick.proof.note import SignedNote
from tallystick.proof.tlog_proof import TlogProof
from tallystick.stores.base import CHUNK_BYTES, INLINE_OUTPUT, Head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

MAGIC = b'{"bundle":1,'
"""How every bundle begins."""
LINE_LIMIT = 4 << 20
"""Bytes of one line."""
ERASED, OMITTED = "erased", "omitted"


def encoded(data: bytes) -> str:
    """Bytes as a bundle has them: standard base64."""
    return b64encode(data).decode("ascii")


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
    head: Head
    """The head that its records lead to."""
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
    since: Checkpoint | None
    """The older checkpoint that is proved to be extended."""

    def __init__(self, **fields: Any) -> None:
        for name in self.FIELDS:
            set_once(self, name, fields[name])


class BundleReader:
    """Reads a bundle from its lines, verifying as it goes. Iterate over `entries`, then ask for the `verdict`."""

    def __init__(self, lines: Iterable[bytes], *, where: str = "") -> None:
        self._lines = iter(lines)
        self._where = where
        self._number = 0
        self._edge = Edge()
        self._at = ""
        self._missing: dict[tuple[int, str], None] = {}
        self._erased: set[tuple[int, str]] = set()
        self._omitted = 0
        self._done = False
        first = self._take("bundle", {"bundle", "ledger", "task_id", "position", "root"})
        if first["bundle"] != 1:
            raise InputError("it was written by a later version", where=where, advice="upgrade tallystick")
        self.ledger_id = self._text(first, "ledger")
        self.task_id = self._text(first, "task_id")
        self.head = Head.parse(f"{self._count(first, 'position')}:{self._text(first, 'root')}")
        following = self._fields()
        self._proof: HeadProof | None = None
        self._since: tuple[Checkpoint, list[bytes]] | None = None
        if "proof" in following:
            self._read_proof(self._only(following, {"proof"})["proof"])
            following = self._fields()
        self.header = self._bytes(self._only(following, {"session"})["session"], "session")
        self._check_header()

    # --- lines

    def _fields(self) -> dict[str, Any]:
        self._number += 1
        line = next(self._lines, None)
        if line is None:
            raise self._wrong("it ends too early")
        if len(line) > LINE_LIMIT:
            raise self._wrong(f"a line is over {LINE_LIMIT} bytes")
        try:
            fields = json.loads(line, object_pairs_hook=self._object)
        except (ValueError, RecursionError):
            raise self._wrong("the line is not JSON") from None
        if not isinstance(fields, dict):
            raise self._wrong("the line is not a JSON object")
        return fields

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise self._wrong("a key stands twice")
        return found

    def _take(self, name: str, names: set[str]) -> dict[str, Any]:
        fields = self._fields()
        if name not in fields:
            raise self._wrong(f"there should be {name!r}")
        return self._only(fields, names)

    def _only(self, fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
        if fields.keys() != names:
            odd = sorted(fields.keys() ^ names)
            raise self._wrong(f"the line should have {', '.join(sorted(names))}; {odd[0]!r} is odd")
        return fields

    def _wrong(self, what: str) -> InputError:
        return InputError(what, where=f"{self._where}:{self._number}" if self._where else f"line {self._number}")

    def _text(self, fields: dict[str, Any], name: str) -> str:
        value = fields[name]
        if not isinstance(value, str):
            raise self._wrong(f"{name} is no text")
        return value

    def _count(self, fields: dict[str, Any], name: str) -> int:
        value = fields[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(f"{name} is no count")
        return value

    def _bytes(self, value: Any, name: str) -> bytes:
        try:
            data = b64decode(value, validate=True)
        except (ValueError, TypeError):
            raise self._wrong(f"{name} is not base64") from None
        if encoded(data) != value:
            raise self._wrong(f"{name} is not canonical base64")
        return data

    # --- what comes first

    def _read_proof(self, proof: Any) -> None:
        if not isinstance(proof, dict):
            raise self._wrong("the proof is no object")
        names = {"position", "root", "leaf", "map", "tlog"}
        fields = self._only(proof, names | ({"since"} & proof.keys()))
        tlog = TlogProof.parse(self._text(fields, "tlog"))
        if tlog.index != Checkpoint.parse(tlog.checkpoint.text).size - 1:
            raise self._wrong("the log's proof is not about its last leaf")
        try:
            root = bytes.fromhex(self._text(fields, "root"))
        except ValueError:
            raise self._wrong("the root is not hex") from None
        self._proof = HeadProof(
            self.task_id,
            self._count(fields, "position"),
            root,
            self._text(fields, "leaf").encode(),
            MapProof.from_json(fields["map"]),
            tlog.path,
            str(tlog.checkpoint),
        )
        if "since" in fields:
            since = self._only(dict(fields["since"]), {"checkpoint", "consistency"})
            path = [bytes.fromhex(str(node)) for node in since["consistency"]]
            self._since = (Checkpoint.parse(SignedNote.parse(self._text(since, "checkpoint")).text), path)

    def _check_header(self) -> None:
        header = decode_header(self.header)
        if header.ledger != self.ledger_id or header.task_id != self.task_id:
            raise self._tampered("the header is that of another session", 0)
        self._at = header.at
        self._append(self.header, 0)

    def _tampered(self, what: str, position: int | None) -> TamperedError:
        return TamperedError(what, task_id=self.task_id, position=position)

    def _append(self, record: bytes, position: int) -> None:
        self._edge.append(leaf_hash(record))
        if self._proof is not None and self._proof.position == position and self._edge.root() != self._proof.root:
            raise self._tampered("the history is not the one that the checkpoint is about", position)

    # --- entries

    def entries(self) -> Iterator[BundledEntry]:
        """The entries in order, each checked against its record and its record taken into the tree.

        Raises TamperedError naming the position, InputError naming the line.
        """
        for position in range(1, self.head.position + 1):
            yield self._entry(position)
        last = self._take("end", {"end"})
        if last["end"] != self.head.position:
            raise self._wrong("the last line names another position")
        if next(self._lines, None) is not None:
            raise self._wrong("something stands behind the end")
        self._finish()
        self._done = True

    def _entry(self, position: int) -> BundledEntry:
        fields = self._fields()
        data = self._bytes(fields.pop("record", None), "record")
        if len(data) > RECORD_LIMIT:
            raise self._wrong("the record is too long")
        record = decode_record(data)
        committed = {part for part in PARTS if getattr(record, part)}
        self._only(fields, committed)
        if record.at < self._at:
            raise self._tampered("its time is earlier than that of the record before it", position)
        self._at = record.at
        salts: dict[str, bytes] = {}
        parts: dict[str, bytes] = {}
        marks: dict[str, list[str]] = {ERASED: [], OMITTED: []}
        for part in sorted(committed, key=PARTS.index):
            given = fields[part]
            if isinstance(given, str):
                if given not in marks:
                    raise self._wrong(f"{part} is marked {given!r}")
                marks[given].append(part)
                continue
            salts[part], parts[part] = self._part(given, part)
            if sha256(salts[part] + parts[part]).hexdigest() != getattr(record, part):
                raise self._tampered(f"its {part} was changed", position)
        self._missing.update(((position, part), None) for part in marks[ERASED])
        self._omitted += len(marks[OMITTED])
        if record.erases:
            erased, names = record.erases
            if record.type != "redaction" or not 0 < erased < position:
                raise self._tampered("it erases what it cannot", position)
            self._erased.update((erased, part) for part in names)
        self._append(data, position)
        return BundledEntry(position, data, salts, parts, tuple(marks[ERASED]), tuple(marks[OMITTED]))

    def _part(self, given: Any, part: str) -> tuple[bytes, bytes]:
        if not isinstance(given, dict):
            raise self._wrong(f"{part} is no object")
        if part == "output" and "pieces" in given:
            self._only(given, {"salt", "pieces"})
            pieces = [self._piece() for _ in range(self._count(given, "pieces"))]
            if any(len(piece) != CHUNK_BYTES for piece in pieces[:-1]):
                raise self._wrong("a piece of the output is not 1 MiB")
            data = b"".join(pieces)
            if len(data) <= INLINE_OUTPUT:
                raise self._wrong("an output that short comes in one")
        else:
            self._only(given, {"salt", "data"})
            data = self._bytes(given["data"], part)
        salt = self._bytes(given["salt"], "salt")
        if len(salt) != SALT_BYTES or not data:
            raise self._wrong(f"{part} has no salt of {SALT_BYTES} bytes, or nothing in it")
        return salt, data

    def _piece(self) -> bytes:
        piece = self._bytes(self._take("piece", {"piece"})["piece"], "piece")
        if not piece or len(piece) > CHUNK_BYTES:
            raise self._wrong("a piece of the output is not 1 MiB")
        return piece

    # --- the end

    def _finish(self) -> None:
        for position, part in self._missing:
            if (position, part) not in self._erased:
                raise self._tampered(f"its {part} is missing, and no redaction names it", position)
        if self._edge.root().hex() != self.head.root:
            raise self._tampered("the records do not lead to the head that the bundle names", self.head.position)
        if self._proof is None:
            return
        if self._proof.position is not None and self._proof.position > self.head.position:
            raise self._tampered("the checkpoint is about a longer history: entries are missing", self.head.position)
        self._proof.verify()
        if self._since is not None:
            old, path = self._since
            new = self._proof.checkpoint()
            if old.origin != new.origin:
                raise self._tampered("the older checkpoint is of another log", None)
            verify_consistency(old.size, old.root, new.size, new.root, path)

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
            since=self._since[0] if self._since else None,
        )


def lines_of(path: str) -> Iterator[bytes]:
    """The lines of a bundle's file, each at most a little over the limit, so that no line fills the memory."""
    with open(path, "rb") as file:
        while line := file.readline(LINE_LIMIT + 2):
            yield line


def verify_bundle(lines: Iterable[bytes], *, where: str = "") -> BundleVerdict:
    """Verify a whole bundle; returns what it shows.

    Raises TamperedError where evidence was changed, InputError where it is no bundle, CheckFailedError where a
    proof in it does not hold.
    """
    return BundleReader(lines, where=where).verdict()
