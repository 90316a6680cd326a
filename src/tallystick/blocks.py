"""Blocks of a session in which all is well, as far as one can tell without what lies before them.

Whoever reads the session in order needs of such a block only what is kept here. A block with anything out of the
ordinary has none of this: it is for those to read who say what is wrong, and where.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec

from tallystick.errors import InputError
from tallystick.model.bulk import are_current, decode_many
from tallystick.model.record import PARTS
from tallystick.model.session import Rules
from tallystick.proof.subtrees import perfect_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from tallystick.model.bulk import BulkRecord

CHUNK = 512
"""Leaves hashed together; a power of two."""
BLOCK = 4 * CHUNK
"""Entries of a block; a power of two, and a block begins at a multiple of it."""
HALF = "half"
"""What stands for a salt without its part, or a part without its salt: no record says this."""


class Names(msgspec.Struct, array_like=True):
    """Where entries of a type, or of a criterion, stand in a block."""

    first: dict[str, int]
    """By name: which position the first one says that the one before it has."""
    last: dict[str, int]
    """By name: the last one's position."""


class Block(msgspec.Struct, array_like=True):
    """What is left to compare of a block in which all is well."""

    start: int
    at: tuple[str, str] = ("", "")
    """When its first and its last record were made."""
    types: Names = msgspec.field(default_factory=lambda: Names({}, {}))
    criteria: Names = msgspec.field(default_factory=lambda: Names({}, {}))
    phases: dict[str, int] = msgspec.field(default_factory=dict)
    """The last position that sets each phase."""
    subtrees: list[tuple[bytes, bytes]] = msgspec.field(default_factory=list)
    """Of each chunk: its leaves' root, and the node that is stored beside the last of them."""
    nodes: dict[int, list[bytes]] = msgspec.field(default_factory=dict)
    """All stored nodes of the chunks that were asked for, by the first position."""

    @property
    def next(self) -> int:
        """The position after those that were taken."""
        return self.start + CHUNK * len(self.subtrees)

    def take(self, rows: list[tuple[Any, ...]], rules: int, wanted: Collection[int]) -> bool:
        """Take the next chunk (see `Store.raw_rows`); returns whether all is well in it.

        `wanted`: the first positions of chunks whose nodes are kept.
        """
        start = self.next
        columns = list(zip(*rows, strict=True))
        if len(rows) != CHUNK or columns[0] != tuple(range(start, start + CHUNK)):
            return False
        records, nodes = columns[1], columns[2]
        try:
            decoded = decode_many(list(records))
        except InputError:
            return False
        if not are_current(decoded):
            return False
        root = perfect_root([sha256(b"\x00" + record).digest() for record in records], nodes)
        if root is None or not self._fold(start, decoded, columns[3], columns[4], rules):
            return False
        for part, salts, data in zip(PARTS, columns[5::2], columns[6::2], strict=True):
            if not sealed([getattr(record, part) for record in decoded], salts, data):
                return False
        self.subtrees.append((root, nodes[-1]))
        if start in wanted:
            self.nodes[start] = list(nodes)
        return True

    def _fold(
        self,
        start: int,
        decoded: list[BulkRecord],
        criterion_before: Sequence[int],
        type_before: Sequence[int],
        rules: int,
    ) -> bool:
        first, at = self.at
        types, criteria, phases = self.types.last, self.criteria.last, self.phases
        any_type_sets_phase = rules == Rules.V1
        links = zip(decoded, criterion_before, type_before, strict=True)
        for position, (record, criterion_link, type_link) in enumerate(links, start):
            if record.at < at or record.erases:
                return False
            at, kind, criterion, phase = record.at, record.type, record.criterion_id, record.phase_id
            before = types.get(kind)
            if before is None:
                self.types.first[kind] = type_link
            elif before != type_link:
                return False
            types[kind] = position
            if criterion:
                before = criteria.get(criterion)
                if before is None:
                    self.criteria.first[criterion] = criterion_link
                elif before != criterion_link:
                    return False
                criteria[criterion] = position
            elif criterion_link:
                return False
            if phase and (any_type_sets_phase or kind == "phase"):
                phases[phase] = position
        self.at = (first or decoded[0].at, at)
        return True


def sealed(digests: list[Any], salts: Sequence[bytes | None], parts: Sequence[bytes | None]) -> bool:
    """Whether these salts and parts are what the records say of them: digests in hex, empty for none."""
    try:
        found = b"".join([sha256(salt + data).digest() for salt, data in zip(salts, parts, strict=True)])  # type: ignore[operator]
        if found.hex() == "".join(digests) and {*map(len, digests)} == {64}:
            return True
    except TypeError:
        pass
    return digests_of(salts, parts) == digests


def digests_of(salts: Sequence[bytes | None], parts: Sequence[bytes | None]) -> list[str]:
    """The digest of each part, empty where there is none."""
    return [
        sha256(salt + data).hexdigest()
        if salt is not None and data is not None
        else ("" if salt is None and data is None else HALF)
        for salt, data in zip(salts, parts, strict=True)
    ]
