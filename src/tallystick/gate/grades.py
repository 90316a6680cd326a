"""How far a result can be trusted. A grade is derived from what stands behind a result, never declared."""

from __future__ import annotations

from enum import IntEnum


class Grade(IntEnum):
    """The four grades, in order: claimed < observed < attested < reproduced."""

    CLAIMED = 1
    """Somebody recorded it."""
    OBSERVED = 2
    """A run was watched and its exit code seen."""
    ATTESTED = 3
    """Covered by a signature of a key that the policy trusts."""
    REPRODUCED = 4
    """Attested, and run again on a clean checkout of the same content with the same result."""

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, word: str) -> Grade:
        """The grade of that name in lower case, as plans write it; `ValueError` for any other."""
        for grade in cls:
            if str(grade) == word:
                return grade
        raise ValueError(f"no grade is named {word!r}")

    @property
    def forgeable_by(self) -> str:
        """Who could have made up a result of this grade, in words for a person."""
        return _FORGEABLE_BY[self]


_FORGEABLE_BY = {
    Grade.CLAIMED: "anyone who can write to the ledger",
    Grade.OBSERVED: "the same user, with effort",
    Grade.ATTESTED: "the holder of the signing key",
    Grade.REPRODUCED: "two parties together",
}
