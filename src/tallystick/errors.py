"""Every error that tallystick raises to a caller.

TallystickError            exit 2   bad usage or input, unless a subclass says otherwise
├── InputError             exit 2   what was given cannot be taken; nothing was written
│   ├── PlanError          exit 2   tallystick.toml cannot be read
│   ├── NotFoundError      exit 2   no such ledger, task, entry or file
│   └── IdempotencyConflict exit 2  the key was used before with another input
├── CheckFailedError       exit 1   the thing checked did not hold
│   └── ConcurrencyError   exit 1   expected_position is not the session's position
├── TamperedError          exit 3   stored evidence was changed
└── StoreUnavailableError  exit 4   the store cannot be reached, read or written
"""

from __future__ import annotations


class TallystickError(Exception):
    """Something a person can act on: what was wrong, where, and what to do."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    def __str__(self) -> str:
        """One line: `where: what; advice`."""
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.advice}" if self.advice else line


class InputError(TallystickError):
    """What was given cannot be taken; nothing was written."""


class PlanError(InputError):
    """The plan cannot be read."""


class NotFoundError(InputError):
    """No such ledger, task, entry or file."""


class IdempotencyConflict(InputError):
    """The idempotency key was used before with another input."""


class CheckFailedError(TallystickError):
    """The thing checked did not hold."""

    exit_code = 1


class ConcurrencyError(CheckFailedError):
    """The session is not at the position that the caller expected."""

    def __init__(self, task_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"expected position {expected}, but the session is at {actual}",
            where=task_id,
            advice="read the session again and retry from its newest position",
        )
        self.expected = expected
        self.actual = actual


class TamperedError(TallystickError):
    """Stored evidence was changed; `task_id` and `position` name the first thing wrong."""

    exit_code = 3

    def __init__(
        self, what: str, *, task_id: str = "", position: int | None = None, where: str = "", advice: str = ""
    ) -> None:
        if not where and task_id:
            where = task_id if position is None else f"{task_id} at position {position}"
        super().__init__(what, where=where, advice=advice)
        self.task_id = task_id
        self.position = position


class StoreUnavailableError(TallystickError):
    """The store cannot be reached, read or written."""

    exit_code = 4
