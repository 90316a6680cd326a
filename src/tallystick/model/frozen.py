"""Values that never change once made."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Self

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
        return hash(tuple(_hashable(getattr(self, name)) for name in self.FIELDS))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name in self.FIELDS if (value := getattr(self, name)))
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {name: getattr(self, name) for name in self.FIELDS})


def _rebuild(kind: type[Frozen], fields: dict[str, Any]) -> Frozen:
    return kind(**fields)


def _hashable(value: Any) -> Any:
    """What stands for a field in a hash: equal for equal values, whatever order their keys are in."""
    if isinstance(value, Mapping):
        return frozenset(value)
    return len(value) if isinstance(value, list) else value


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("this value never changes; make a changed copy")


class FrozenDict(dict[str, object]):
    """A JSON object that never changes. A `dict` to all that reads it."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen_json, (dict(self),)


class FrozenList(list[object]):
    """A JSON array that never changes. A `list` to all that reads it."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen_json, (list(self),)


EMPTY = FrozenDict()
_FROZEN = frozenset((str, int, bool, float, type(None), FrozenDict, FrozenList))
_DEPTH = 66
"""One level more than can be recorded, so that what is nested deeper (or in itself) is left to be refused."""


def frozen_json(value: Any, depth: int = _DEPTH) -> Any:
    """A copy of a JSON value that never changes, at any level. What is no JSON stays as it is."""
    if not depth:
        return value
    if isinstance(value, list | tuple):
        return FrozenList([i if i.__class__ in _FROZEN else frozen_json(i, depth - 1) for i in value])
    if isinstance(value, Mapping):
        return FrozenDict({key: i if i.__class__ in _FROZEN else frozen_json(i, depth - 1) for key, i in value.items()})
    return value
