"""Large outputs, cut into rows: pieces of 1 MiB, compressed, each with the digest of its stored bytes."""

from __future__ import annotations

import zlib
from hashlib import sha256

from tallystick.errors import TamperedError
from tallystick.stores.base import CHUNK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def pack(output: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(digest of the stored bytes, stored bytes) of each piece."""
    for start in range(0, len(output), CHUNK_BYTES):
        data = zlib.compress(output[start : start + CHUNK_BYTES], 6)
        yield sha256(data).digest(), data


def unpack(digest: bytes, data: bytes, *, task_id: str, position: int) -> bytes:
    """The piece that `pack` stored. Raises TamperedError for anything else."""
    if sha256(data).digest() != digest:
        raise TamperedError("a piece of the output was changed", task_id=task_id, position=position)
    reader = zlib.decompressobj()
    try:
        piece = reader.decompress(data, CHUNK_BYTES)
    except zlib.error:
        raise TamperedError("a piece of the output cannot be read", task_id=task_id, position=position) from None
    if not reader.eof or reader.unused_data:
        raise TamperedError("a piece of the output cannot be read", task_id=task_id, position=position)
    return piece
