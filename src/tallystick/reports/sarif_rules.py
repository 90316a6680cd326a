"""Which level a SARIF result has: its own, else that of its rule as it was configured for the run (SARIF 3.27.10).

A rule is found by index, GUID or id, in the driver or an extension (3.52), by the leading parts of a hierarchical
id (3.5.4), and may be configured otherwise for an invocation (3.20.5) or by a policy (3.14.9).
"""

from __future__ import annotations

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LEVELS = ("none", "note", "warning", "error")
"""From the one that weighs least to the one that weighs most."""

DEFAULT = "warning"


class Struct(msgspec.Struct, rename="camel"):
    """A SARIF object; what is not named is not read."""


class Configuration(Struct):
    """A `reportingConfiguration`."""

    level: str | None = None


class Descriptor(Struct):
    """A `reportingDescriptor`: a rule, or a kind of notification."""

    id: str = ""
    name: str = ""
    guid: str = ""
    deprecated_ids: list[str] | None = None
    default_configuration: Configuration | None = None


class Component(Struct):
    """A `toolComponent`: the driver, an extension or a policy."""

    name: str = ""
    guid: str = ""
    rules: list[Descriptor] | None = None
    notifications: list[Descriptor] | None = None


class ComponentReference(Struct):
    """A `toolComponentReference`."""

    index: int = -1
    guid: str = ""
    name: str = ""


class Reference(Struct):
    """A `reportingDescriptorReference`."""

    id: str = ""
    index: int = -1
    guid: str = ""
    tool_component: ComponentReference | None = None

    def __bool__(self) -> bool:
        """Whether it refers to anything."""
        return bool(self.id or self.index >= 0 or self.guid)

    def __str__(self) -> str:
        return self.id or self.guid or f"number {self.index}"


class Override(Struct):
    """A `configurationOverride`."""

    descriptor: Reference
    configuration: Configuration


def worst(levels: Iterable[str]) -> str:
    """The level that weighs most; one that SARIF does not have before all others."""
    return max(levels, key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS))


class Descriptors:
    """The rules of a run (or its kinds of notifications), and the levels that they give."""

    def __init__(
        self,
        driver: Sequence[Descriptor],
        extensions: Sequence[tuple[Component, Sequence[Descriptor]]],
        *,
        driver_guid: str = "",
        policies: Iterable[Descriptor] = (),
        overrides: Sequence[Sequence[Override]] = (),
    ) -> None:
        """`overrides`: those of each invocation."""
        self._lists = [driver, *(rules for _, rules in extensions)]
        self._components = [Component(guid=driver_guid), *(component for component, _ in extensions)]
        self._names = [_by_name(rules) for rules in self._lists]
        self._policies = _by_name(list(policies))
        self._overrides = [self._overridden(one) for one in overrides]

    def level(self, reference: Reference, invocation: int = -1) -> str | None:
        """The level that the descriptor has in that invocation, in any of them if that is not known (-1).

        None if it cannot be found. If the reference fits several, or several invocations configured it otherwise,
        the level that weighs most.
        """
        found = list(self._find(reference))
        if not found:
            return None
        known = 0 <= invocation < len(self._overrides)
        overridden = [self._overrides[invocation]] if known else self._overrides or [{}]
        levels = []
        for place, descriptor in found:
            default = descriptor.default_configuration
            stated = (default.level if default else None) or DEFAULT
            levels += [one.get(place, stated) for one in overridden]
            levels += [policy for name in _names(descriptor) if (policy := self._policy(name))]
        return worst(levels)

    def _policy(self, name: str) -> str:
        place = self._policies.get(name)
        configuration = place[1].default_configuration if place else None
        return (configuration.level if configuration else None) or ""

    def _overridden(self, overrides: Sequence[Override]) -> dict[tuple[int, int], str]:
        """The level that an invocation gives to each descriptor that it configures otherwise."""
        levels: dict[tuple[int, int], str] = {}
        for override in overrides:
            if level := override.configuration.level:
                for place, _ in self._find(override.descriptor):
                    levels[place] = worst([level, levels[place]]) if place in levels else level
        return levels

    def _find(self, reference: Reference) -> Iterator[tuple[tuple[int, int], Descriptor]]:
        """The descriptors that the reference may mean, each with its place."""
        named = self._component(reference.tool_component)
        rules = self._lists[named] if named is not None else []
        seen: set[tuple[int, int]] = set()
        if 0 <= reference.index < len(rules) and _fits(reference, rules[reference.index]):
            seen.add((named or 0, reference.index))
        for name in _leading(reference):
            holders = [named] if named is not None and name in self._names[named] else range(len(self._names))
            fitting = {(at, self._names[at][name][0]) for at in holders if name in self._names[at]}
            if fitting:
                seen |= fitting
                break
        for place in sorted(seen):
            yield place, self._lists[place[0]][place[1]]

    def _component(self, reference: ComponentReference | None) -> int | None:
        """Which component is meant: 0 for the driver; None if it cannot be found."""
        if reference is None:
            return 0
        if reference.index >= 0:
            return reference.index + 1 if reference.index + 1 < len(self._components) else None
        for at, component in enumerate(self._components):
            if (reference.guid and component.guid == reference.guid) or (
                reference.name and not reference.guid and component.name == reference.name
            ):
                return at
        return None if reference.guid or reference.name else 0


def _fits(reference: Reference, descriptor: Descriptor) -> bool:
    """Whether the descriptor that an index leads to may be the one that is named beside it."""
    if not reference.id or not descriptor.id:
        return True
    called = {descriptor.id, descriptor.name, *(descriptor.deprecated_ids or ())}
    return not called.isdisjoint(_leading(Reference(id=reference.id)))


def _names(descriptor: Descriptor) -> list[str]:
    return [name for name in (descriptor.id, descriptor.guid, *(descriptor.deprecated_ids or ())) if name]


def _by_name(descriptors: Sequence[Descriptor]) -> dict[str, tuple[int, Descriptor]]:
    """Descriptors by their ids and GUIDs, and by what they were called before."""
    found: dict[str, tuple[int, Descriptor]] = {}
    for number, descriptor in enumerate(descriptors):
        for name in (descriptor.id, descriptor.guid):
            found.setdefault(name, (number, descriptor))
    for number, descriptor in enumerate(descriptors):
        for name in descriptor.deprecated_ids or ():
            found.setdefault(name, (number, descriptor))
    found.pop("", None)
    return found


def _leading(reference: Reference) -> Iterator[str]:
    """The names that the descriptor may have: its GUID, its id, and the leading parts of a hierarchical id."""
    if reference.guid:
        yield reference.guid
    name = reference.id
    while name:
        yield name
        name = name.rpartition("/")[0]
