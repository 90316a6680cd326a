"""Which input patterns provably match no less than others.

Patterns are git `:(glob)` pathspecs: one without wildcards matches a file, or all that is in a folder; `**`
matches across folders. Only what follows from a pattern's fixed beginning is decided here; whatever is not
proved is answered no.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE = ("**", "**/*")
_SPECIAL = "*?[\\"


def whole_tree(patterns: Iterable[str]) -> bool:
    """Whether the patterns match every file, by one of them alone."""
    return any(pattern in _WHOLE for pattern in patterns)


def uncovered(was: Iterable[str], now: Iterable[str]) -> list[str]:
    """Those patterns of `was` for which no single one of `now` provably matches all that they match."""
    wide = tuple(now)
    return [narrow for narrow in was if not any(_covers(pattern, narrow) for pattern in wide)]


def _covers(wide: str, narrow: str) -> bool:
    if wide == narrow or wide in _WHOLE:
        return True
    beginning = _fixed_beginning(narrow)
    if _fixed_beginning(wide) == wide:
        return beginning.startswith(wide.rstrip("/") + "/")
    if wide.endswith("/**") and _fixed_beginning(wide) == wide[:-2]:
        # "src/" alone also matches a submodule at src, which "src/**" does not
        return beginning.startswith(wide[:-2]) and narrow != wide[:-2]
    return False


def _fixed_beginning(pattern: str) -> str:
    """What stands before the first wildcard."""
    return pattern[: next((place for place, char in enumerate(pattern) if char in _SPECIAL), len(pattern))]
