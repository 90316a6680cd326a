"""The plan in force, for people."""

from __future__ import annotations

from tallystick.cli.terminal import bold, paint, table
from tallystick.gate.content import pathspecs
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.case import PlanInForce


def show_plan(plan: PlanInForce) -> None:
    """Print what the task has to show, and what is weaker than on the base."""
    task, base = plan.task, plan.base
    title = f"  {printable(task.title)}" if task.title else ""
    print(bold(printable(task.task_id)) + title)
    if base.plan is not None:
        print(f"in force: the plan of {base.commit[:12]} ({base.branch or 'the last commit'}) and what the tree adds")
    else:
        print("in force: the work tree's own plan; advisory: no base yet")
    rows = [
        (
            one.id,
            one.phase,
            str(one.grade),
            ", ".join(pathspecs(one.inputs)) or "the whole tree",
            "(a person shows it)" if one.manual else one.command,
        )
        for one in task.criteria
    ]
    if rows:
        print()
        table(("criterion", "phase", "grade", "inputs", "command"), rows)
    else:
        print("it asks for nothing yet")
    for weakening in plan.weakened:
        print(f"{paint('weakened', 'fail')}  {weakening}")
