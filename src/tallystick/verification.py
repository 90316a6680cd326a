"""Recomputing everything that a store says of a session, from its records alone, as a stream.

Every leaf, sealed digest, stored node, link, pointer and the head are derived again and compared. Chunks are
aligned to the tree, so that a chunk's nodes are hashed level by level.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.blocks import CHUNK, digests_of, sealed
from tallystick.errors import InputError, TamperedError
from tallystick.helping import helper_for
from tallystick.model.bulk import are_current, decode_bulk, decode_many
from tallystick.model.header import decode_header
from tallystick.model.record import PARTS, REDACTION
from tallystick.model.session import Rules
from tallystick.model.spelling import SESSION, VERSION, is_digest
from tallystick.proof.known_heads import KnownHeads
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.subtrees import append_subtree, end_node, perfect_root
from tallystick.stores.base import HEAD_KEY, Head, tip_from
from tallystick.stores.findings import Fault, Verified, raise_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from tallystick.helping import Helper
    from tallystick.model.bulk import BulkRecord
    from tallystick.stores.base import SessionKey, Store

__all__ = ["CHUNK", "Fault", "SessionVerification", "Verified", "iterate_store", "raise_first", "verify_session"]


def verify_session(
    store: Store,
    session: SessionKey,
    *,
    known: Iterable[Head] = (),
    progress: Callable[[int], None] | None = None,
) -> Verified:
    """Recompute the whole session. `known` heads must lie on its history; `progress` gets rows done.

    So must the heads that checkpoints are about. Returns what was found, faults included; raises only what
    the store raises when it cannot be read.
    """
    heads = [(head.position, head.root, "was seen here") for head in known]
    if session.ledger_id == store.ledger_id:
        heads += [(position, root.hex(), f"is in checkpoint {n}") for n, position, root in store.log.heads_of(session)]
    return SessionVerification(store, session, KnownHeads(heads)).run(progress)


class SessionVerification:
    """One session, recomputed chunk by chunk."""

    def __init__(self, store: Store, session: SessionKey, known: KnownHeads) -> None:
        self._store = store
        self._session = session
        self._faults: list[Fault] = []
        self._edge = Edge()
        self._rules: int = Rules.V1
        self._types: dict[str, int] = {}
        self._criteria: dict[str, int] = {}
        self._phases: dict[str, int] = {}
        self._at = ""
        self._next = 1
        self._gap = False
        self._changed = 0
        self._doubtful: list[Fault] = []
        self._said: Edge | None = None
        self._closed = False
        self._missing: dict[tuple[int, str], None] = {}
        self._erased: set[tuple[int, str]] = set()
        self._known = known
        self._helper: Helper | None = None

    def run(self, progress: Callable[[int], None] | None) -> Verified:
        self._header()
        self._helper = helper_for(self._store, self._session, self._rules, self._known.waiting)
        try:
            self._read(progress)
            last, rows = self._store.state_rows(self._session)
            self._read(progress, last)
        finally:
            if self._helper is not None:
                self._helper.close()
        self._finish(rows)
        head = Head(self._edge.size - 1, self._edge.root().hex())
        return Verified(
            self._session.task_id,
            self._session.ledger_id,
            head,
            len(self._erased & self._missing.keys()),
            tuple(sorted(self._faults, key=self._order)),
            self._closed,
        )

    def _read(self, progress: Callable[[int], None] | None, last: int | None = None) -> None:
        """Take rows as far as there are any, or to position `last`: others may append meanwhile."""
        while last is None or self._next <= last:
            start = self._next
            if not self._join():
                rows = self._store.raw_rows(self._session, start, CHUNK - start % CHUNK)
                if last is not None:
                    rows = [row for row in rows if row[0] <= last]
                if not rows:
                    return
                if rows[-1][0] < start:
                    task, position = self._session.task_id, rows[-1][0]
                    raise TamperedError("the rows are out of order", task_id=task, position=position)
                self._chunk(start, rows)
                self._next = rows[-1][0] + 1
            if progress is not None:
                progress(self._next - start)

    def _join(self) -> bool:
        """Go on behind the next block, where the helper has read it and it fits what comes before."""
        block = self._helper.take(self._next) if self._helper is not None else None
        if block is None or self._said is not None or self._gap or block.at[0] < self._at:
            return False
        for known, names in ((self._types, block.types), (self._criteria, block.criteria)):
            if any(known.get(name, 0) != before for name, before in names.first.items()):
                return False
        edge = self._edge.copy()
        for root, node in block.subtrees:
            if end_node(edge, root, CHUNK) != node:
                return False
            append_subtree(edge, root, CHUNK)
        for start, (root, _) in zip(range(block.start, block.next, CHUNK), block.subtrees, strict=True):
            self._take(self._known.compare_before(start, block.nodes.get(start, [b""] * CHUNK), self._edge))
            append_subtree(self._edge, root, CHUNK)
            self._take(self._known.compare(start + CHUNK - 1, self._edge))
        self._types |= block.types.last
        self._criteria |= block.criteria.last
        self._phases |= block.phases
        self._at, self._next = block.at[1], block.next
        return True

    def _order(self, fault: Fault) -> tuple[bool, int]:
        """By position; but what a changed record after it may have caused does not come before that record."""
        position = -1 if fault.position is None else fault.position
        return fault in self._doubtful and position < self._changed, position

    def _take(self, faults: Iterable[tuple[int, str]]) -> None:
        for position, what in faults:
            self._fault(position, what)

    def _fault(self, position: int | None, what: str) -> None:
        self._faults.append(Fault(self._session.task_id, position, what))

    def _header(self) -> None:
        session = self._session
        try:
            header = decode_header(session.header)
        except InputError as error:
            self._fault(0, error.what)
        else:
            self._closed = (header.v, header.kind) != (VERSION, SESSION)
            if header.task_id != session.task_id:
                self._fault(0, f"the header is that of task {header.task_id!r}")
            if header.ledger != session.ledger_id:
                self._fault(0, f"the header is that of ledger {header.ledger}")
            self._rules = header.rules
            self._at = header.at
        self._edge.append(leaf_hash(session.header))
        self._take(self._known.compare(0, self._edge))
        if any(row[0] == 0 for row in self._store.raw_rows(session, 0, 1)):
            self._fault(0, "a record lies where the header is")

    # --- one chunk

    def _chunk(self, start: int, rows: list[tuple[Any, ...]]) -> None:
        columns = list(zip(*rows, strict=True))
        positions: Sequence[int] = columns[0]
        if not self._gap and (positions[0] != start or positions[-1] != start + len(rows) - 1):
            self._gap = True
            missing = next((n for n, found in enumerate(positions, start) if n != found), start)
            self._changed = missing
            self._fault(missing, "the record is missing")
        records: list[bytes] = list(columns[1])
        self._nodes(start, records, columns[2])
        decoded = self._decode(positions, records)
        self._fold(positions, decoded, columns[3], columns[4])
        for part, salts, parts in (("text", 5, 6), ("details", 7, 8), ("output", 9, 10)):
            self._sealed(part, positions, decoded, columns[salts], columns[parts])

    def _nodes(self, start: int, records: list[bytes], stored: tuple[bytes, ...]) -> None:
        level = [sha256(b"\x00" + record).digest() for record in records]
        aligned = start % CHUNK == 0 and len(level) == CHUNK and self._said is None
        if aligned:
            root = perfect_root(level, stored)
            if root is not None and end_node(self._edge, root, CHUNK) == stored[-1]:
                self._take(self._known.compare_before(start, stored, self._edge))
                append_subtree(self._edge, root, CHUNK)
                self._take(self._known.compare(start + CHUNK - 1, self._edge))
                return
        for position, (leaf, node) in enumerate(zip(level, stored, strict=True), start):
            self._node(position, leaf, node)
            if position in self._known.waiting:
                self._take(self._known.compare(position, self._edge))

    def _node(self, position: int, leaf: bytes, node: bytes) -> None:
        """Compare one stored node with what the records give, and after a fault with what the nodes give.

        A changed record spoils every subtree above it. From the first fault on, a second edge is built of the
        stored nodes themselves: a node that fits either is not a fault of its own.
        """
        found = self._edge.append(leaf)
        if self._said is None:
            if found == node or self._gap:
                return
            self._said = self._edge.copy()
            self._change(position)
        elif node not in (found, self._said.append(leaf)) and not self._gap:
            self._change(position)
        self._said.hashes[-1] = node
        if self._said.hashes == self._edge.hashes:
            self._said = None

    def _change(self, position: int) -> None:
        """A node at an odd position is the first to cover two leaves, and cannot tell which of them is wrong."""
        self._changed = position
        if not position & 1:
            suspects = "the record"
        elif position == 1:
            suspects = "the session's header, the record"
        else:
            suspects = "the record, the one before it"
        self._fault(position, f"{suspects} or its tree node was changed")

    def _decode(self, positions: Sequence[int], records: list[bytes]) -> list[BulkRecord | None]:
        try:
            found = decode_many(records)
        except InputError:
            pass
        else:
            self._closed |= not are_current(found)
            return list(found)
        decoded: list[BulkRecord | None] = []
        for position, data in zip(positions, records, strict=True):
            try:
                record = decode_bulk(data)
            except InputError as error:
                decoded.append(None)
                self._fault(position, error.what)
            else:
                decoded.append(record)
                self._closed |= not are_current([record])
        return decoded

    def _fold(
        self,
        positions: Sequence[int],
        decoded: list[BulkRecord | None],
        criterion_before: tuple[int, ...],
        type_before: tuple[int, ...],
    ) -> None:
        criteria, phases, types = self._criteria, self._phases, self._types
        any_type_sets_phase, at = self._rules == Rules.V1, self._at
        for position, record, criterion_link, type_link in zip(
            positions, decoded, criterion_before, type_before, strict=True
        ):
            if record is None:
                continue
            if record.at < at:
                self._fault(position, "its time is earlier than that of the record before it")
            at = record.at
            kind = record.type
            if types.get(kind, 0) != type_link:
                self._link(position, "type")
            types[kind] = position
            criterion = record.criterion_id
            if criterion:
                if criteria.get(criterion, 0) != criterion_link:
                    self._link(position, "criterion")
                criteria[criterion] = position
            elif criterion_link:
                self._link(position, "criterion")
            phase = record.phase_id
            if phase and (any_type_sets_phase or kind == "phase"):
                phases[phase] = position
            if record.erases:
                self._redaction(position, record)
        self._at = at

    def _link(self, position: int, kind: str) -> None:
        if not self._gap:
            self._fault(position, f"its link to the previous entry of its {kind} was changed")

    def _redaction(self, position: int, record: BulkRecord) -> None:
        assert record.erases is not None
        erased, parts = record.erases
        if record.type != REDACTION or not 0 < erased < position or set(parts) - set(PARTS):
            self._fault(position, "it erases what it cannot")
        else:
            self._erased.update((erased, part) for part in parts)

    # --- sealed parts

    def _sealed(
        self,
        part: str,
        positions: Sequence[int],
        decoded: list[BulkRecord | None],
        salts: tuple[bytes | None, ...],
        parts: tuple[bytes | None, ...],
    ) -> None:
        digests = [getattr(record, part) if record is not None else None for record in decoded]
        if sealed(digests, salts, parts):
            return
        computed = digests_of(salts, parts)
        for offset, (digest, found) in enumerate(zip(digests, computed, strict=True)):
            if digest is not None and digest != found:
                self._odd_part(part, positions[offset], digest, salts[offset], parts[offset])

    def _odd_part(self, part: str, position: int, digest: str, salt: bytes | None, data: bytes | None) -> None:
        if digest and not is_digest(digest):
            self._fault(position, f"its {part} has no digest")
        elif salt is None and data is None and digest:
            self._missing[position, part] = None
        elif part == "output" and salt is not None and data is None and digest:
            self._artifact(position, digest, salt)
        elif not digest:
            self._fault(position, f"a {part} part lies beside a record that has none")
        else:
            self._fault(position, f"its {part} was changed")

    def _artifact(self, position: int, digest: str, salt: bytes) -> None:
        found = sha256(salt)
        try:
            for piece in self._store.artifact(self._session, position):
                found.update(piece)
        except TamperedError as error:
            what = error.what
        else:
            what = "" if found.hexdigest() == digest else "its output was changed"
        if what and self._was_erased(position, "output"):
            self._missing[position, "output"] = None
        elif what:
            self._fault(position, what)

    def _had(self, position: int, part: str) -> bool:
        """Whether the record commits to such a part; a record that cannot be read has its own fault."""
        row = self._store.row(self._session, position)
        try:
            return row is None or bool(getattr(decode_bulk(row.record), part))
        except InputError:
            return True

    def _was_erased(self, position: int, part: str) -> bool:
        """Whether the part is gone by now: somebody may have erased it since its row was read."""
        row = self._store.row(self._session, position)
        return row is not None and getattr(row.sealed, f"{part}_salt") is None

    # --- the end

    def _finish(self, rows: list[tuple[str, int, str | None, bytes | None]]) -> None:
        for position, part in self._missing.keys() - self._erased:
            self._doubt(position, f"its {part} is missing, and no redaction names it")
        for position, part in self._erased - self._missing.keys():
            if not self._was_erased(position, part):
                self._doubt(position, f"a redaction names its {part}, which is not erased")
            elif not self._had(position, part):
                self._doubt(position, f"a redaction names its {part}, which it never had")
        self._head(next((row[1:] for row in rows if row[0] == HEAD_KEY), None))
        self._pointers([row for row in rows if row[0] != HEAD_KEY])
        self._take(self._known.left(self._edge.size - 1))

    def _doubt(self, position: int, what: str) -> None:
        self._fault(position, what)
        self._doubtful.append(self._faults[-1])

    def _head(self, row: tuple[int, str | None, bytes | None] | None) -> None:
        position = self._edge.size - 1
        try:
            tip = tip_from(self._session.task_id, row)
        except TamperedError as error:
            self._fault(position, error.what)
            return
        if tip.position > position:
            if not self._gap:
                self._changed = tip.position
                self._fault(position + 1, "the record is missing")
            self._fault(tip.position, f"the head says {tip.position} entries, there are {position}")
        elif tip.position < position:
            self._fault(tip.position + 1, f"a record lies beyond the head, which says {tip.position} entries")
        elif tip.edge.hashes != self._edge.hashes:
            self._fault(position, "the head's root is not that of the records")
        elif tip.at != self._at:
            self._fault(position, "the head's time is not that of the newest record")

    def _pointers(self, rows: list[tuple[str, int, str | None, bytes | None]]) -> None:
        expected = {f"t{name}": position for name, position in self._types.items()}
        expected |= {f"c{name}": position for name, position in self._criteria.items()}
        expected |= {f"p{name}": position for name, position in self._phases.items()}
        for key, position, at, edge in rows:
            if at is not None or edge is not None:
                self._fault(position, f"the pointer {key!r} has what only a head has")
        stored = {row[0]: row[1] for row in rows}
        if stored == expected:
            return
        for key in sorted(stored.keys() | expected.keys()):
            says, found = stored.get(key), expected.get(key)
            if says != found:
                what = "is missing" if says is None else f"stands at {says}, not at {found}"
                self._fault(max(says or 0, found or 0), f"the pointer {key!r} {what}")


def iterate_store(store: Store, progress: Callable[[int], None] | None = None) -> Iterator[Verified | Fault]:
    """Verify a whole store: first what is wrong with the store itself, then session by session."""
    for task_id, position, what in store.faults():
        yield Fault(task_id, position, what)
    for session in store.sessions():
        yield verify_session(store, session, progress=progress)
