"""Going on where connections break: for how long, and what to say in the end."""

from __future__ import annotations

import random
import time

from tallystick.errors import StoreUnavailableError


class UnknownOutcome(Exception):
    """Whether something was committed cannot be found out."""


class Patience:
    """How long a call goes on trying, and how it waits in between: the first time not at all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = 0.0
        self._delay = 0.0

    def wait(self) -> bool:
        """Wait for the next attempt; False where there shall be none."""
        if not self._deadline:
            self._deadline = time.monotonic() + self._seconds
        if time.monotonic() + self._delay > self._deadline:
            return False
        time.sleep(self._delay * random.uniform(0.5, 1))
        self._delay = min(max(self._delay * 2, 0.05), 1.0)
        return True


def nothing_recorded(error: StoreUnavailableError) -> StoreUnavailableError:
    """The error, saying what became of what was to be appended."""
    advice = "; ".join(filter(None, (error.advice, "nothing of this was recorded")))
    return StoreUnavailableError(error.what, where=error.where, advice=advice)
