"""What is kept of a command's output: all of it up to a limit, beyond that its beginning and its end.

`details.output` of a result says which bytes are missing; see "How an entry is stored" in the design.
"""

from __future__ import annotations

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of output that are kept of one command; where there are more, the middle is dropped."""


class OutputKeeper:
    """Takes output piece by piece and never holds more than `limit` bytes of it.

    The first half of the limit is kept as it comes; the second half is a ring that holds the newest bytes.
    `size` counts every byte ever fed, kept or not.
    """

    __slots__ = ("_first", "_first_limit", "_last", "_last_limit", "_oldest", "size")

    def __init__(self, limit: int = OUTPUT_LIMIT) -> None:
        self._last_limit = limit // 2
        self._first_limit = limit - self._last_limit
        self._first = bytearray()
        self._last = bytearray()
        self._oldest = 0
        self.size = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Takes the next bytes; costs one copy of them, whatever came before."""
        rest = memoryview(data)
        self.size += len(rest)
        room = self._first_limit - len(self._first)
        if room > 0:
            self._first += rest[:room]
            rest = rest[room:]
        if rest and self._last_limit:
            self._feed_last(rest[-self._last_limit :])

    def _feed_last(self, data: memoryview) -> None:
        room = self._last_limit - len(self._last)
        self._last += data[:room]
        data = data[room:]
        while data:
            count = min(len(data), self._last_limit - self._oldest)
            self._last[self._oldest : self._oldest + count] = data[:count]
            self._oldest = (self._oldest + count) % self._last_limit
            data = data[count:]

    def kept(self) -> bytes:
        """The kept bytes, in order, without a mark where the middle was dropped."""
        ring = memoryview(self._last)
        return b"".join((self._first, ring[self._oldest :], ring[: self._oldest]))

    @property
    def dropped(self) -> tuple[int, int] | None:
        """`(offset, count)` of the bytes that were dropped, None where all are kept."""
        count = self.size - len(self._first) - len(self._last)
        return (len(self._first), count) if count else None
