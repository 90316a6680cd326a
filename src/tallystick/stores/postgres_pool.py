"""The connections of one store: few, shared by its threads, replaced when they break, never used across a fork.

psycopg_pool was tried: it connects in threads of its own, so a wrong password comes back as a time-out, and a fork
leaves a pool without its threads.
"""

from __future__ import annotations

import gc
import time
from threading import Condition

from tallystick.errors import StoreUnavailableError
from tallystick.stores.postgres_errors import CannotConnectError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.stores.postgres_connection import Link

SIZE = 64
"""Connections of one store at most; it makes no more than it has threads at work, or than the server grants."""
WAIT_SECONDS = 60.0


class Pool:
    """Connections made by `connect` as they are needed; the one used last is used next."""

    def __init__(self, connect: Callable[[], Link], shown: str, size: int | None = None) -> None:
        self._connect = connect
        self._shown = shown
        self._size = size or SIZE
        self._free = Condition()
        self._idle: list[Link] = []
        self._taken = 0
        self._waiting = 0
        self._closed = False

    def take(self, digit: str = "") -> Link:
        """A connection for the caller alone, until it is given back. Raises StoreUnavailableError.

        One that has been at that partition before, where there is one: its statements are planned there.
        """
        while True:
            with self._free:
                if not self._idle and self._taken >= self._size and not self._closed:
                    self._wait()
                if self._closed:
                    raise StoreUnavailableError("the ledger was closed", where=self._shown, advice="open it again")
                self._taken += 1
                if self._idle:
                    return self._best(digit)
            try:
                link = self._connect()
                link.digits.add(digit)
                return link
            except BaseException as error:
                if not self._does_with_fewer(error):
                    raise

    def _does_with_fewer(self, error: BaseException) -> bool:
        """Whether to wait for a connection to be given back: the server grants no more than there are."""
        with self._free:
            self._taken -= 1
            have = self._taken + len(self._idle)
            if isinstance(error, CannotConnectError) and error.crowded and have:
                self._size = have
                return True
            if self._waiting:
                self._free.notify()
            return False

    def _best(self, digit: str) -> Link:
        idle = self._idle
        for at in range(len(idle) - 1, -1, -1):
            if digit in idle[at].digits:
                return idle.pop(at)
        link = idle.pop()
        link.digits.add(digit)
        return link

    def _wait(self) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        self._waiting += 1
        try:
            while not self._idle and self._taken >= self._size and not self._closed:
                if not self._free.wait(deadline - time.monotonic()):
                    raise StoreUnavailableError(
                        f"all {self._size} connections were in use for {WAIT_SECONDS:.0f} s",
                        where=self._shown,
                        advice="try again, or use fewer threads",
                    )
        finally:
            self._waiting -= 1

    def give_back(self, link: Link) -> None:
        """Return what `take` gave. One that is not idle, or old, is closed."""
        usable = link.idle()
        with self._free:
            self._taken -= 1
            if usable and not self._closed:
                self._idle.append(link)
                link = None  # type: ignore[assignment]
            if self._waiting:
                self._free.notify()
        if link is not None:
            link.close()

    def drop_idle(self) -> None:
        """Close what is not in use: where one connection broke, the others are likely broken too."""
        with self._free:
            dropped, self._idle = self._idle, []
        for link in dropped:
            link.close()

    def close(self) -> None:
        """Close every connection: those in use, when they are given back."""
        with self._free:
            self._closed = True
            self._free.notify_all()
        self.drop_idle()

    def abandon(self) -> bool:
        """In a forked child: keep what the parent opened from ever being used or closed, even at exit.

        Takes no lock: a thread that does not exist here may hold it. Returns whether the pool was closed.
        """
        if self._idle or self._taken:
            # A list that holds itself is never freed by counting, and frozen it is never collected.
            kept: list[object] = [*self._idle]
            kept.append(kept)
            gc.freeze()
        return self._closed
