"""An append-only evidence ledger for work that has to be proved."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.errors import (
        CheckFailedError,
        ConcurrencyError,
        IdempotencyConflict,
        InputError,
        NotFoundError,
        StoreUnavailableError,
        TallystickError,
        TamperedError,
    )
    from tallystick.ledger import Ledger
    from tallystick.model import Entry, Session
    from tallystick.recorded import Recorded
    from tallystick.stores.base import Head

__all__ = [
    "CheckFailedError",
    "ConcurrencyError",
    "Entry",
    "Head",
    "IdempotencyConflict",
    "InputError",
    "Ledger",
    "NotFoundError",
    "Recorded",
    "Session",
    "StoreUnavailableError",
    "TallystickError",
    "TamperedError",
]

_HOMES = {
    "Entry": "tallystick.model",
    "Head": "tallystick.stores.base",
    "Ledger": "tallystick.ledger",
    "Recorded": "tallystick.recorded",
    "Session": "tallystick.model",
}


def __getattr__(name: str) -> object:
    """Public names are imported when first used, so that `notch` starts fast (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES.get(name, "tallystick.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
