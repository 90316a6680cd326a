"""The plan: what a task has to show, and by which rules that is judged. Read from `tallystick.toml`."""

from __future__ import annotations

from tallystick.gate.expectation import Expectation
from tallystick.gate.grades import Grade
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tallystick.gate.trusted import Quorum, TrustedKey

PLAN_FILE = "tallystick.toml"
"""The plan's place, from the root of the work tree."""

WHOLE_TREE = ("**",)
"""The inputs of a criterion that names none."""

FLAKY_PASSES = 3


class Environment(Frozen):
    """What of the surroundings belongs to a result, kept and compared as values."""

    __slots__ = FIELDS = ("variables", "versions", "platform")

    variables: tuple[str, ...]
    """Names of environment variables."""
    versions: tuple[str, ...]
    """Commands, run by `/bin/sh -c`, whose output is a version."""
    platform: bool
    """Whether the operating system and machine count."""

    def __init__(self, variables: tuple[str, ...] = (), versions: tuple[str, ...] = (), platform: bool = False) -> None:
        set_once(self, "variables", variables)
        set_once(self, "versions", versions)
        set_once(self, "platform", platform)

    def as_dict(self) -> dict[str, Any]:
        """The `environment` table of a plan; defaults left out."""
        fields = {
            "variables": list(self.variables),
            "versions": list(self.versions),
            "platform": self.platform,
        }
        return {name: value for name, value in fields.items() if value}


class Criterion(Frozen):
    """One thing that must be shown."""

    __slots__ = FIELDS = (
        "id", "shows", "run", "manual", "expect", "inputs", "environment", "grade", "phase", "setup",
    )  # fmt: skip

    id: str
    shows: str
    """What a pass shows, for a person; may be empty."""
    run: str | tuple[str, ...]
    """A string is run by `/bin/sh -c`, a tuple as it is. Empty where `manual`."""
    manual: bool
    """Whether a person shows it, by `notch record`."""
    expect: Expectation
    inputs: tuple[str, ...]
    """Git `:(glob)` pathspecs from the root of the work tree; `WHOLE_TREE` by default."""
    environment: Environment
    grade: Grade
    """The least that counts. Default: observed; of a manual criterion: claimed."""
    phase: str
    """The phase it belongs to; empty for none."""
    setup: str | tuple[str, ...]
    """What makes a fresh work tree able to run it, as `run` has it; empty for nothing, or what `[gate]` says."""

    def __init__(
        self,
        id: str,
        *,
        shows: str = "",
        run: str | tuple[str, ...] = "",
        manual: bool = False,
        expect: Expectation | None = None,
        inputs: tuple[str, ...] = WHOLE_TREE,
        environment: Environment | None = None,
        grade: Grade | None = None,
        phase: str = "",
        setup: str | tuple[str, ...] = "",
    ) -> None:
        set_once(self, "id", id)
        set_once(self, "shows", shows)
        set_once(self, "run", run)
        set_once(self, "manual", manual)
        set_once(self, "expect", expect or Expectation())
        set_once(self, "inputs", inputs)
        set_once(self, "environment", environment or Environment())
        set_once(self, "grade", grade or default_grade(manual=manual))
        set_once(self, "phase", phase)
        set_once(self, "setup", setup)

    @property
    def command(self) -> str:
        """The command as entries record it: the string, or a list's `shlex.join`; empty if manual."""
        if isinstance(self.run, str):
            return self.run
        import shlex

        return shlex.join(self.run)

    @property
    def argv(self) -> tuple[str, ...]:
        """What to execute; empty where manual."""
        if isinstance(self.run, str):
            return ("/bin/sh", "-c", self.run) if self.run else ()
        return self.run

    def as_dict(self) -> dict[str, Any]:
        """The criterion's table in a plan; defaults left out."""
        fields: dict[str, Any] = {
            "shows": self.shows,
            "run": self.run if isinstance(self.run, str) else list(self.run),
            "manual": self.manual,
            "expect": self.expect.as_dict(),
            "inputs": [] if self.inputs == WHOLE_TREE else list(self.inputs),
            "environment": self.environment.as_dict(),
            "grade": "" if self.grade == default_grade(manual=self.manual) else str(self.grade),
            "phase": self.phase,
            "setup": self.setup if isinstance(self.setup, str) else list(self.setup),
        }
        return {name: value for name, value in fields.items() if value}


def default_grade(*, manual: bool) -> Grade:
    """The least grade that counts where the plan does not say."""
    return Grade.CLAIMED if manual else Grade.OBSERVED


class Task(Frozen):
    """What the plan says about one task alone."""

    __slots__ = FIELDS = ("id", "title", "phases", "criteria")

    id: str
    title: str
    phases: tuple[str, ...]
    """Phase ids in the order of the work."""
    criteria: Mapping[str, Criterion]
    """By id. One that a standing criterion shares its id with takes its place (`in_force` makes such)."""

    def __init__(
        self,
        id: str,
        *,
        title: str = "",
        phases: tuple[str, ...] = (),
        criteria: Mapping[str, Criterion] | None = None,
    ) -> None:
        set_once(self, "id", id)
        set_once(self, "title", title)
        set_once(self, "phases", phases)
        set_once(self, "criteria", criteria or {})

    def __hash__(self) -> int:
        return hash((self.id, self.title, self.phases, frozenset(self.criteria.items())))

    def as_dict(self) -> dict[str, Any]:
        """The task's table in a plan; defaults left out."""
        fields: dict[str, Any] = {
            "title": self.title,
            "phases": list(self.phases),
            "criteria": {id: criterion.as_dict() for id, criterion in self.criteria.items()},
        }
        return {name: value for name, value in fields.items() if value}


class TaskPlan(Frozen):
    """All that one task has to show, standing criteria included."""

    __slots__ = FIELDS = ("task_id", "title", "phases", "criteria")

    task_id: str
    title: str
    phases: tuple[str, ...]
    """The task's phases in order, then those that only criteria name."""
    criteria: tuple[Criterion, ...]
    """In phase order, those of no phase last; within a phase as the plan has them, standing ones first."""

    def __init__(self, task_id: str, title: str, phases: tuple[str, ...], criteria: tuple[Criterion, ...]) -> None:
        set_once(self, "task_id", task_id)
        set_once(self, "title", title)
        set_once(self, "phases", phases)
        set_once(self, "criteria", criteria)

    def criterion(self, id: str) -> Criterion | None:
        """The criterion of that id, None where the task has none."""
        return next((criterion for criterion in self.criteria if criterion.id == id), None)


class GatePolicy(Frozen):
    """How the gate judges. Counts only where it comes from the base."""

    __slots__ = FIELDS = ("base", "protect", "flaky_passes", "id", "setup")

    base: tuple[str, ...]
    """Protected branches besides the default one: names, or patterns with `*` and `**`. Outside CI a single name is
    the protected branch itself."""
    protect: tuple[str, ...]
    """Git `:(glob)` pathspecs of files whose change shuts the gate."""
    flaky_passes: int
    """After how many passes in a row on one content a flaky criterion counts again."""
    id: str
    """What statements know the repository by; empty if it has no such name."""
    setup: str | tuple[str, ...]
    """What makes a fresh work tree able to run the criteria that say nothing of their own; empty for nothing."""

    def __init__(
        self,
        base: tuple[str, ...] = (),
        protect: tuple[str, ...] = (),
        flaky_passes: int = FLAKY_PASSES,
        id: str = "",
        setup: str | tuple[str, ...] = "",
    ) -> None:
        set_once(self, "base", base)
        set_once(self, "protect", protect)
        set_once(self, "flaky_passes", flaky_passes)
        set_once(self, "id", id)
        set_once(self, "setup", setup)

    def as_dict(self) -> dict[str, Any]:
        """The `[gate]` table of a plan; defaults left out."""
        base = self.base[0] if len(self.base) == 1 else list(self.base)
        fields: dict[str, Any] = {"base": base, "protect": list(self.protect)}
        if self.flaky_passes != FLAKY_PASSES:
            fields["flaky_passes"] = self.flaky_passes
        fields["id"] = self.id
        fields["setup"] = self.setup if isinstance(self.setup, str) else list(self.setup)
        return {name: value for name, value in fields.items() if value}


class Plan(Frozen):
    """A whole `tallystick.toml`, or what is in force of two."""

    __slots__ = FIELDS = ("criteria", "tasks", "gate", "keys", "advisory")

    criteria: Mapping[str, Criterion]
    """The standing criteria, which every task has, by id."""
    tasks: Mapping[str, Task]
    gate: GatePolicy
    keys: Mapping[str, TrustedKey | Quorum]
    """Who is trusted for what, by name; a quorum stands behind its members."""
    advisory: bool
    """Whether nothing on a base stands behind it, so that whoever is judged could have written it."""

    def __init__(
        self,
        criteria: Mapping[str, Criterion] | None = None,
        tasks: Mapping[str, Task] | None = None,
        gate: GatePolicy | None = None,
        keys: Mapping[str, TrustedKey | Quorum] | None = None,
        advisory: bool = False,
    ) -> None:
        set_once(self, "criteria", criteria or {})
        set_once(self, "tasks", tasks or {})
        set_once(self, "gate", gate or GatePolicy())
        set_once(self, "keys", keys or {})
        set_once(self, "advisory", advisory)

    def __hash__(self) -> int:
        return hash((frozenset(self.criteria.items()), frozenset(self.tasks.items()), self.gate, self.advisory))

    def for_task(self, task_id: str) -> TaskPlan:
        """What the task has to show. A task that the plan does not name has the standing criteria."""
        task = self.tasks.get(task_id) or Task(task_id)
        criteria = {**self.criteria, **task.criteria}
        phases = dict.fromkeys((*task.phases, *(c.phase for c in criteria.values() if c.phase)))
        rank = {phase: place for place, phase in enumerate(phases)}
        ordered = sorted(criteria.values(), key=lambda criterion: rank.get(criterion.phase, len(rank)))
        return TaskPlan(task_id, task.title, tuple(phases), tuple(ordered))

    def as_dict(self) -> dict[str, Any]:
        """The plan in the shape of its file, defaults left out: ready for JSON, or to be written as TOML."""
        fields: dict[str, Any] = {
            "criteria": {id: criterion.as_dict() for id, criterion in self.criteria.items()},
            "tasks": {id: task.as_dict() for id, task in self.tasks.items()},
            "gate": self.gate.as_dict(),
            "keys": {name: key.as_dict() for name, key in self.keys.items()},
        }
        return {name: value for name, value in fields.items() if value}


def read_plan(data: bytes, *, where: str = PLAN_FILE) -> Plan:
    """The plan in the bytes of a `tallystick.toml`.

    `PlanError` names `where`, the line and the key for whatever is not understood; nothing is passed over.
    """
    from tallystick.gate.plan_reader import parse

    return parse(data, where)
