"""Large outputs, cut into rows: pieces of 1 MiB, compressed, each with the digest of its stored bytes."""

from __future__ import annotations

import zlib
from hashlib import sha256

from tallystick.errors import TamperedError
from tallystick.stores.base import CHUNK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LOWEST = -(1 << 63)


def pack(output: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(digest of the stored bytes, stored bytes) of each piece."""
    for start in range(0, len(output), CHUNK_BYTES):
        data = zlib.compress(output[start : start + CHUNK_BYTES], 6)
        yield sha256(data).digest(), data


def unpack(
    first_from: Callable[[int], Sequence[tuple[int, bytes, bytes]]], *, task_id: str, position: int
) -> Iterator[bytes]:
    """The output that `pack` stored, piece by piece.

    `first_from` gives the row (chunk, digest, stored bytes) with the lowest number from the one given on, if
    there is any.
    Raises TamperedError where the rows are not those that `pack` made.
    """

    def tampered(what: str) -> TamperedError:
        return TamperedError(what, task_id=task_id, position=position)

    found, expected = first_from(_LOWEST), 0
    while found:
        chunk, digest, data = found[0]
        if chunk != expected:
            raise tampered("a piece of the output is missing or out of place")
        if sha256(data).digest() != digest:
            raise tampered("a piece of the output was changed")
        piece = _inflate(data)
        found, expected = first_from(chunk + 1), expected + 1
        if not piece or (found and len(piece) != CHUNK_BYTES):
            raise tampered("a piece of the output cannot be one")
        yield piece


def _inflate(data: bytes) -> bytes:
    """The piece; empty for anything but one complete zlib stream of at most 1 MiB."""
    reader = zlib.decompressobj()
    try:
        piece = reader.decompress(data, CHUNK_BYTES)
        rest = reader.decompress(reader.unconsumed_tail, 1)
    except zlib.error:
        return b""
    return piece if reader.eof and not rest and not reader.unused_data else b""
