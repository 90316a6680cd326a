"""Random bytes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DRAWN = 32


class Salts:
    """Random bytes, as many at each call, drawn from the system for many calls at once.

    While the system is asked every other thread may run, and whoever asks waits for it: dearer than the bytes.
    """

    __slots__ = ("_drawn", "_process", "_random", "_size")

    def __init__(self, size: int, random: Callable[[int], bytes]) -> None:
        """Any `random` but the system's is asked anew at each call."""
        self._size = size
        self._random = random
        self._drawn: list[bytes] = []
        self._process = 0

    def __call__(self) -> bytes:
        """Bytes that nobody else gets, a forked child among them."""
        size = self._size
        if self._random is not os.urandom:
            return self._random(size)
        if self._process != os.getpid():
            self._drawn = []
            self._process = os.getpid()
        try:
            return self._drawn.pop()
        except IndexError:
            drawn = os.urandom(size * DRAWN)
            self._drawn += [drawn[start : start + size] for start in range(size, size * DRAWN, size)]
            return drawn[:size]
