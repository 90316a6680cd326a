"""Values that never change once made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Self

set_once = object.__setattr__
"""How a constructor fills the fields of a frozen value."""


class Frozen:
    """A value with named fields, compared, copied and pickled by them.

    Hand-written rather than a dataclass: importing `dataclasses` costs more than a whole `notch status`.
    """

    __slots__ = ()
    FIELDS: tuple[str, ...] = ()

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in self.FIELDS}, **changes})

    def __replace__(self, **changes: Any) -> Self:
        return self.replace(**changes)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} never changes; use replace({name}=…)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} never changes")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.FIELDS)

    def __hash__(self) -> int:
        return hash(tuple(repr(getattr(self, name)) for name in self.FIELDS))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name in self.FIELDS if (value := getattr(self, name)))
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {name: getattr(self, name) for name in self.FIELDS})


def _rebuild(kind: type[Frozen], fields: dict[str, Any]) -> Frozen:
    return kind(**fields)
