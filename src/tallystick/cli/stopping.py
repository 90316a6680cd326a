"""What becomes of the signals that would end this process while it watches others."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopping:
    """While it lasts, each signal that would end this process calls `stop` instead."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for name in _ENDING:
            number = getattr(signal, name, None)
            # What was ignored when we were started (nohup) stays so.
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, lambda *_: self._stop())

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
