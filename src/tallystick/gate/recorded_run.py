"""Whether the result of a run that was just recorded counts for the plan, and if not why."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.gate.grades import Grade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.case import PlanInForce
    from tallystick.model import Entry


def why_not_counted(entry: Entry, command: str, plan: PlanInForce | None, *, doubt: str = "", attested: bool) -> str:
    """Why the gate will not count a result, in words for a person; empty if it will.

    `entry` is the result as it was recorded, `command` what was run. `doubt`: why nothing that is recorded here counts
    as observed. `attested`: whether it was signed with a key.
    """
    criterion = plan.task.criterion(entry.criterion_id) if plan is not None and plan.known else None
    if criterion is None:
        return _unknown(entry.criterion_id, plan)
    if not criterion.manual and command != criterion.command:
        return f"the plan runs {criterion.command} for {criterion.id}"
    run = as_object(entry.details.get("run"))
    if folder := run.get("cwd"):
        return f"it was run in {folder}, not at the root of the work tree"
    if number := run.get("cut_short"):
        return f"it was cut short by signal {number}"
    if moved := run.get("moved"):
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        return f"{moved[0]}{more} changed while it ran"
    if entry.status == "pass" and criterion.grade > Grade.OBSERVED and not attested:
        return f"the plan asks for {criterion.grade}, and this is not signed (notch attest)"
    return doubt if entry.status == "pass" else ""


def _unknown(criterion_id: str, plan: PlanInForce | None) -> str:
    if plan is None or not plan.known:
        return "there is no plan (notch init writes a first one)"
    names = ", ".join(one.id for one in plan.task.criteria) or "none"
    return f"the plan has no criterion {criterion_id!r}, it has {names}"


def names_no_criterion(command: str, root: str) -> str:
    """What to say of a run for no criterion: which of the work tree's plan the user may have meant, if one fits."""
    import os

    from tallystick.errors import TallystickError
    from tallystick.gate.plan import PLAN_FILE, read_plan

    try:
        with open(os.path.join(root, PLAN_FILE), "rb") as file:
            criteria = read_plan(file.read()).criteria.values()
    except (OSError, TallystickError):
        return "it names no criterion (-c ID)"
    fitting = next((one.id for one in criteria if command in (one.command, one.id)), "")
    return f"it names no criterion ({f'notch run -c {fitting}' if fitting else '-c ID'})"
