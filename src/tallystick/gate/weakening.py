"""What a work tree's plan asks less of than the base's, and what is in force of the two.

Whoever is judged can edit the plan in the tree, so the tree can only add to what the base asks. A change that
is not provably at least as strict counts as weaker.
"""

from __future__ import annotations

from tallystick.gate.patterns import uncovered, whole_tree
from tallystick.gate.plan import Criterion, Plan, Task
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.gate.expectation import Comparison


class Weakening(Frozen):
    """One way in which the tree's plan asks less than the base's."""

    __slots__ = FIELDS = ("criterion", "what", "was", "now")

    criterion: str
    """The criterion's id; empty where it is about the task's phases."""
    what: str
    """What became weaker, such as `fewer tests expected`."""
    was: str
    """What the base says."""
    now: str
    """What the tree says; empty where it says nothing."""

    def __init__(self, criterion: str, what: str, was: str = "", now: str = "") -> None:
        set_once(self, "criterion", criterion)
        set_once(self, "what", what)
        set_once(self, "was", was)
        set_once(self, "now", now)

    def __str__(self) -> str:
        """One line: `tests: fewer tests expected (was >= 40, now >= 30)`."""
        told = ", ".join(f"{word} {text}" for word, text in (("was", self.was), ("now", self.now)) if text)
        subject = f"{self.criterion}: " if self.criterion else ""
        return printable(f"{subject}{self.what}" + (f" ({told})" if told else ""))

    def as_dict(self) -> dict[str, str]:
        """The fields for JSON, all of them."""
        return {name: getattr(self, name) for name in self.FIELDS}


def weakened(base: Plan | None, tree: Plan | None, task_id: str, before: Plan | None = None) -> list[Weakening]:
    """Where the tree's plan asks less of the task than the base's, in the order of the base's criteria.

    None stands for no plan: without one on the base nothing is weaker; without one in the tree all is gone. `before` is
    the plan that the work started from (default: the base's): what the base alone changed since weakens nothing.
    """
    if base is None:
        return []
    before = base if before is None else before
    was, now, then = (_with_setups(plan).for_task(task_id) for plan in (base, tree or Plan(), before))
    found: list[Weakening] = []
    for criterion in was.criteria:
        old, new = then.criterion(criterion.id), now.criterion(criterion.id)
        ours = {weakening.what for weakening in _weaker(old, new)} if old is not None else set()
        found += [weakening for weakening in _weaker(criterion, new) if weakening.what in ours]
    kept = _phases(tree or Plan(), task_id)
    lost = [phase for phase in _phases(base, task_id) if phase not in kept and phase in _phases(before, task_id)]
    return found + [Weakening("", "phase removed", phase) for phase in lost]


def _with_setups(plan: Plan) -> Plan:
    """The plan with the setup under `[gate]` at each criterion that is run and names none."""
    setup = plan.gate.setup
    if not setup:
        return plan

    def filled(criteria: Mapping[str, Criterion]) -> dict[str, Criterion]:
        return {id: one if one.setup or one.manual else one.replace(setup=setup) for id, one in criteria.items()}

    tasks = {id: task.replace(criteria=filled(task.criteria)) for id, task in plan.tasks.items()}
    return plan.replace(criteria=filled(plan.criteria), tasks=tasks)


def loosened_for_others(base: Plan | None, tree: Plan | None, task_id: str, before: Plan | None = None) -> list[str]:
    """What of the tree's plan judges others less strictly once it is merged, each in a few words.

    It does not concern the task itself, so it is no weakening of that; whoever reviews the change should see it.
    """
    if base is None:
        return []
    tree, before = tree or Plan(), base if before is None else before
    found = []
    others = [other for other in base.tasks if other != task_id]
    for other in (*others, "\0"):  # a task that no plan names has the standing criteria
        found += [str(one) for one in weakened(base, tree, other, before)]
    own = {str(one) for one in weakened(base, tree, task_id, before)}
    was, now, then = (plan.gate.replace(setup="") for plan in (base, tree, before))
    if now not in (then, was):
        found.append("[gate]")
    changed = [name for name, key in tree.keys.items() if before.keys.get(name) != key != base.keys.get(name)]
    found += [f"[keys] {name}" for name in changed]
    return [one for one in dict.fromkeys(found) if one not in own]


def in_force(base: Plan | None, tree: Plan | None, before: Plan | None = None) -> Plan:
    """The base's plan and what the tree's adds; of a criterion in both, the tree's if it is nowhere weaker.

    `gate` and `keys` are the base's alone. Without a plan on the base, the tree's stands, advisory. `before` is the
    plan that the work started from (default: the base's): a criterion that the tree left as it was there is as the
    base has it now.
    """
    if base is None:
        return (tree or Plan()).replace(advisory=True)
    tree, before = tree or Plan(), base if before is None else before
    standing = _stronger_of_each(base.criteria, tree.criteria, before.criteria)
    tasks = {}
    for task_id in dict.fromkeys((*base.tasks, *tree.tasks)):
        own = _stronger_of_each(*(_effective(plan, task_id) for plan in (base, tree, before)))
        tasks[task_id] = Task(
            task_id,
            title=next((plan.tasks[task_id].title for plan in (tree, base) if task_id in plan.tasks), ""),
            phases=_phases_in_force(base, tree, task_id),
            criteria={id: criterion for id, criterion in own.items() if standing.get(id) != criterion},
        )
    return Plan(standing, tasks, base.gate, base.keys)


def _effective(plan: Plan, task_id: str) -> dict[str, Criterion]:
    return {criterion.id: criterion for criterion in plan.for_task(task_id).criteria}


def _phases(plan: Plan, task_id: str) -> tuple[str, ...]:
    task = plan.tasks.get(task_id)
    return task.phases if task else ()


def _phases_in_force(base: Plan, tree: Plan, task_id: str) -> tuple[str, ...]:
    was, now = _phases(base, task_id), _phases(tree, task_id)
    return now if set(was) <= set(now) else tuple(dict.fromkeys((*was, *now)))


def _stronger_of_each(
    base: Mapping[str, Criterion], tree: Mapping[str, Criterion], before: Mapping[str, Criterion]
) -> dict[str, Criterion]:
    changed = {id: criterion for id, criterion in tree.items() if before.get(id) != criterion}
    return {
        id: changed[id] if id not in base or (id in changed and not any(_weaker(base[id], changed[id]))) else base[id]
        for id in dict.fromkeys((*base, *changed))
    }


def _weaker(was: Criterion, now: Criterion | None) -> Iterator[Weakening]:
    if now is None:
        yield Weakening(was.id, "criterion removed", was.command or "manual")
        return
    changes = (*_how(was, now), *_expected(was, now), *_surroundings(was, now))
    for what, before, after in changes:
        yield Weakening(was.id, what, before, after)


def _how(was: Criterion, now: Criterion) -> Iterator[tuple[str, str, str]]:
    if was.manual != now.manual:
        what = "manual instead of run" if now.manual else "run instead of manual"
        yield what, was.command or "manual", now.command or "manual"
    elif was.run != now.run:
        yield "command changed", was.command, now.command
    if was.setup != now.setup:
        yield "setup changed", _shown(was.setup), _shown(now.setup)
    if now.grade < was.grade:
        yield "grade lowered", str(was.grade), str(now.grade)
    if was.phase and not now.phase:
        yield "phase removed", was.phase, ""


def _shown(command: str | tuple[str, ...]) -> str:
    if isinstance(command, str):
        return command
    import shlex

    return shlex.join(command)


def _expected(was: Criterion, now: Criterion) -> Iterator[tuple[str, str, str]]:
    for what, before, after in (
        ("another exit code expected", was.expect.exit, now.expect.exit),
        ("fewer tests expected", was.expect.tests, now.expect.tests),
        ("more skips allowed", was.expect.skipped, now.expect.skipped),
    ):
        if not _as_strict(before, after):
            yield what, str(before or ""), str(after or "")
    if was.expect.output and was.expect.output != now.expect.output:
        yield "another output expected", was.expect.output, now.expect.output


def _as_strict(was: Comparison | None, now: Comparison | None) -> bool:
    return was is None or (now is not None and now.within(was))


def _surroundings(was: Criterion, now: Criterion) -> Iterator[tuple[str, str, str]]:
    lost = uncovered(was.inputs, now.inputs)
    if lost:
        before = "the whole tree" if whole_tree(lost) else ", ".join(lost)
        yield "inputs narrowed", before, ", ".join(now.inputs)
    before_set, after_set = was.environment, now.environment
    gone = [
        *(name for name in before_set.variables if name not in after_set.variables),
        *(command for command in before_set.versions if command not in after_set.versions),
        *(["platform"] if before_set.platform and not after_set.platform else []),
    ]
    if gone:
        yield "environment no longer declared", ", ".join(gone), ""
