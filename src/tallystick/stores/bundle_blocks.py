"""Blocks of a bundle's entries, verified together: what `BundleReader` does one by one, some ten times faster.

A block counts only if writing out again what was read from its lines, and from the records in them, gives the same
bytes. Everything else, and everything in which anything is wrong, is left to the reader, which
accepts it or says what is wrong: nothing passes here that would not pass there.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

import msgspec

from tallystick.errors import InputError
from tallystick.model.bulk import are_current, decode_many
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.record import REDACTION, SALT_BYTES
from tallystick.model.spelling import is_digest
from tallystick.proof.subtrees import perfect_subtrees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

ERASED, OMITTED = "erased", "omitted"
MARK = "-"
"""What stands for a mark among digests: nothing that a record says counts as one."""


class _Part(msgspec.Struct, gc=False):
    salt: Annotated[bytes, msgspec.Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    data: Annotated[bytes, msgspec.Meta(min_length=1)]


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """A line of an entry; a part that its record does not have is None."""

    record: bytes
    text: _Part | str | None = None
    details: _Part | str | None = None
    output: _Part | str | None = None


_decode_lines = msgspec.json.Decoder(_Line).decode_lines
_encoder = msgspec.json.Encoder()


class Block(Frozen):
    """What a block of entries comes to, by itself: made of plain values, so that another process can tell it."""

    __slots__ = FIELDS = ("count", "first_at", "last_at", "subtrees", "missing", "erases", "omitted")

    count: int
    """How many entries there are."""
    first_at: str
    last_at: str
    """The times of its first and last record; none between them is earlier than the one before it."""
    subtrees: list[tuple[int, bytes]]
    """The perfect subtrees of the session's tree that its leaves make up, as (leaves, root), in order."""
    missing: list[tuple[int, str]]
    """(position, part) of what is marked as erased."""
    erases: list[tuple[int, str]]
    """(position, part) of what its redactions name."""
    omitted: int
    """How many parts were left out."""

    def __init__(
        self,
        count: int,
        first_at: str,
        last_at: str,
        subtrees: Sequence[tuple[int, bytes]],
        missing: Sequence[tuple[int, str]],
        erases: Sequence[tuple[int, str]],
        omitted: int,
    ) -> None:
        values = (count, first_at, last_at, list(subtrees), list(missing), list(erases), omitted)
        for name, value in zip(self.FIELDS, values, strict=True):
            set_once(self, name, value)


def check_block(data: bytes, position: int) -> Block | None:
    """What these whole lines come to, the first of them being the entry at `position`.

    None where anything about them is out of the ordinary: then the reader has to look at each.
    """
    try:
        lines = _decode_lines(data)
        if not lines or _encoder.encode_lines(lines) != data:
            return None
        raw = [line.record for line in lines]
        records = decode_many(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, InputError):
        return None
    times = [record.at for record in records]
    if times != sorted(times) or not are_current(records):
        return None
    marks = _Marks(position)
    for part, said, given in (
        ("text", [record.text for record in records], [line.text for line in lines]),
        ("details", [record.details for record in records], [line.details for line in lines]),
        ("output", [record.output for record in records], [line.output for line in lines]),
    ):
        if not marks.take(part, said, given):
            return None
    erases: list[tuple[int, str]] = []
    redactions = [(at, record) for at, record in enumerate(records, position) if record.erases is not None]
    for at, record in redactions:
        erased, parts = record.erases or (0, [])
        if record.type != REDACTION or erased >= at:
            return None
        erases += [(erased, part) for part in parts]
    leaves = [sha256(b"\x00" + one).digest() for one in raw]
    subtrees = perfect_subtrees(position, leaves)
    return Block(len(lines), times[0], times[-1], subtrees, marks.missing, erases, marks.omitted)


class _Marks:
    """Compares parts with what records say of them, and notes those that are not there."""

    def __init__(self, position: int) -> None:
        self._position = position
        self.missing: list[tuple[int, str]] = []
        self.omitted = 0

    def take(self, part: str, said: list[str], given: list[Any]) -> bool:
        """Whether every part is the one that its record commits to, or is marked as gone."""
        if given.count(None) == len(given):
            return not any(said)
        try:
            digests = b"".join([sha256(one.salt + one.data).digest() for one in given])
        except AttributeError:
            pass
        else:
            return digests.hex() == "".join(said) and {*map(len, said)} == {64}
        found = [
            sha256(one.salt + one.data).hexdigest() if one.__class__ is _Part else ("" if one is None else MARK)
            for one in given
        ]
        if found == said and MARK not in found:
            return True
        for position, (has, says, mark) in enumerate(zip(found, said, given, strict=True), self._position):
            if has != MARK:
                if has != says:
                    return False
                continue
            if not is_digest(says) or mark not in (ERASED, OMITTED):
                return False
            if mark == ERASED:
                self.missing.append((position, part))
            else:
                self.omitted += 1
        return True
