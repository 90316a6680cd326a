"""Checkpoints of a transparency log (c2sp.org/tlog-checkpoint), what a cosigner of one signs
(c2sp.org/tlog-cosignature), and the leaf that our own log holds for each checkpoint of a ledger.
"""

from __future__ import annotations

import re

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import SAFE_INTEGER
from tallystick.model.spelling import is_time
from tallystick.proof.encoding import (
    base64_encode,
    decode_decimal,
    decode_hash,
    decode_text,
    quoted,
    require_hash,
    require_uint64,
)
from tallystick.proof.merkle import EMPTY_ROOT

MAX_CHECKPOINT_SIZE = 1 << 16
MAX_TIMESTAMP = (1 << 63) - 1

_LEAF = re.compile(
    r'\{"v":1,"kind":"checkpoint","at":"([-\d]{10}T[\d:]{8}\.\d{6}Z)",'
    r'"tasks":(0|[1-9]\d{0,15}),"heads":"([0-9a-f]{64})"'
    r'(?:,"epoch":([1-9]\d{0,8}),"after":\{"origin":"(tallystick/[0-9a-f]{32}(?:/[1-9]\d{0,8})?)",'
    r'"size":([1-9]\d{0,15}),"root":"([0-9a-f]{64})"\})?\}',
    re.ASCII,
)
_LONGEST_LEAF = 512


class Checkpoint(Frozen):
    """A log's tree head. Raises InputError where a field cannot be one."""

    __slots__ = FIELDS = ("origin", "size", "root", "extensions")

    origin: str
    """Names the log."""
    size: int
    """The number of leaves."""
    root: bytes
    """The Merkle tree hash over them: 32 bytes."""
    extensions: tuple[str, ...]
    """Further lines of the text, without meaning here."""

    def __init__(self, origin: str, size: int, root: bytes, extensions: tuple[str, ...] = ()) -> None:
        for line in (origin, *extensions):
            if not line or "\n" in decode_text(line, "a line of the checkpoint", MAX_CHECKPOINT_SIZE):
                raise InputError("the lines of a checkpoint must not be empty or hold newlines")
        set_once(self, "origin", origin)
        set_once(self, "size", require_uint64(size, "the tree size"))
        set_once(self, "root", require_hash(root, "the root hash"))
        set_once(self, "extensions", extensions)
        if size == 0 and root != EMPTY_ROOT:
            raise InputError("the root hash is not the one of an empty tree, but the tree size is 0")

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint in a note's text. Raises InputError for anything but the one spelling of it."""
        decode_text(text, "the checkpoint", MAX_CHECKPOINT_SIZE)
        lines = text.split("\n")
        if lines.pop() or len(lines) < 3:
            raise InputError("a checkpoint has at least three lines: origin, tree size and root hash")
        size = decode_decimal(lines[1], "the tree size")
        return cls(lines[0], size, decode_hash(lines[2], "the root hash"), tuple(lines[3:]))

    @property
    def text(self) -> str:
        """The note text, which is what a log signs."""
        head = (self.origin, str(self.size), base64_encode(self.root))
        return "".join(f"{line}\n" for line in (*head, *self.extensions))


def cosignature_v1_message(timestamp: int, text: str) -> bytes:
    """What an Ed25519 cosigner signs: header, time in POSIX seconds, and the whole text of the checkpoint."""
    _require_timestamp(timestamp)
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def cosigned_message(cosigner: str, timestamp: int, origin: str, end: int, root: bytes, *, start: int = 0) -> bytes:
    """What an ML-DSA-44 cosigner signs: the structure `cosigned_message` about the leaves [start, end).

    For a checkpoint `start` is 0 and `end` its size; extension lines are not covered. A `timestamp` of 0
    (it must be, where `start` is not 0) says nothing about when this was the largest tree.
    """
    _require_timestamp(timestamp)
    if start and timestamp:
        raise InputError("a cosignature of a subtree that does not start at leaf 0 has no time")
    return b"".join(
        (
            b"subtree/v1\n\0",
            _opaque(cosigner, "the cosigner's name"),
            timestamp.to_bytes(8, "big"),
            _opaque(origin, "the log's origin"),
            require_uint64(start, "the start").to_bytes(8, "big"),
            require_uint64(end, "the end").to_bytes(8, "big"),
            require_hash(root, "the root hash"),
        )
    )


def _require_timestamp(timestamp: int) -> None:
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise InputError(f"the time of a cosignature is not between 0 and 2^63 - 1: {timestamp}")


def _opaque(text: str, what: str) -> bytes:
    """`opaque text<1..2^8-1>` of RFC 8446 section 3.4."""
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise InputError(f"{what} is not 1 to 255 bytes long, which ML-DSA-44 cosignatures need: {quoted(text)}")
    return bytes((len(data),)) + data


class CheckpointLeaf(Frozen):
    """What one leaf of a ledger's own log states: at this time, so many tasks had these heads.

    A leaf that begins a new epoch of the log says which, and cites the last checkpoint that is known of the
    epochs before. Raises InputError where a field cannot be one.
    """

    __slots__ = FIELDS = ("at", "tasks", "heads", "epoch", "after")

    at: str
    """RFC 3339 in UTC with six digits of fraction and `Z`."""
    tasks: int
    """The number of tasks in the map."""
    heads: bytes
    """The root of the head map: 32 bytes."""
    epoch: int
    """The epoch that begins with this leaf, 2 or more; 0 where none does."""
    after: Checkpoint | None
    """Where an epoch begins: the last checkpoint that its signer knew, which this log need not extend."""

    def __init__(self, at: str, tasks: int, heads: bytes, epoch: int = 0, after: Checkpoint | None = None) -> None:
        set_once(self, "at", at)
        set_once(self, "tasks", tasks)
        set_once(self, "heads", require_hash(heads, "the root of the head map"))
        set_once(self, "epoch", epoch)
        set_once(self, "after", after)
        if not is_time(at):
            raise InputError(f"the time of a checkpoint does not exist: {quoted(at)}")
        if _LEAF.fullmatch(self._spelling()) is None or tasks > SAFE_INTEGER:
            raise InputError(f"a checkpoint cannot be about {tasks} tasks at {quoted(at)}")
        if (epoch < 2 or after.size > SAFE_INTEGER) if after is not None else epoch:
            raise InputError(f"the epoch {epoch} cannot begin with this checkpoint")

    def _spelling(self) -> str:
        heads = self.heads.hex()
        text = f'{{"v":1,"kind":"checkpoint","at":"{self.at}","tasks":{self.tasks},"heads":"{heads}"'
        if self.after is not None:
            origin, size, root = self.after.origin, self.after.size, self.after.root.hex()
            text += f',"epoch":{self.epoch},"after":{{"origin":"{origin}","size":{size},"root":"{root}"}}'
        return text + "}"

    def encode(self) -> bytes:
        """The leaf's bytes: compact JSON with the fields in their fixed order."""
        return self._spelling().encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> CheckpointLeaf:
        """The leaf that `encode` wrote as exactly these bytes. Raises InputError for any other spelling."""
        match = _LEAF.fullmatch(data.decode("ascii", "replace")) if len(data) < _LONGEST_LEAF else None
        if match is None:
            raise InputError("this is not a checkpoint leaf of version 1")
        at, tasks, heads, epoch, origin, size, root = match.groups()
        if epoch is None:
            return cls(at, int(tasks), bytes.fromhex(heads))
        return cls(at, int(tasks), bytes.fromhex(heads), int(epoch), Checkpoint(origin, int(size), bytes.fromhex(root)))
