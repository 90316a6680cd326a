"""gate, why, plan: what the evidence amounts to."""

from __future__ import annotations

import os
import shlex
import sys

from tallystick.cli.context import new_task_of, open_ledger, task_of
from tallystick.cli.judging import add_judging, base_rules, pipeline, provenance, require_outside_run
from tallystick.cli.parser import Command, add_task, add_task_argument
from tallystick.cli.terminal import paint, print_json
from tallystick.errors import InputError, NotFoundError
from tallystick.gate.case import Case, PendingPlan
from tallystick.model.text import printable
from tallystick.workspace import Workspace
from tallystick.workspace.paths import recorded_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.memory import SeenHeads
    from tallystick.gate.verdict import Verdict
    from tallystick.ledger import Ledger

FORMATS = ("text", "json", "markdown", "github", "gitlab", "junit")


WHOLE = ("gitlab", "junit")
"""Formats of reports that are files: an empty one would be none."""


def open_case(
    options: argparse.Namespace,
    task_id: str,
    *,
    write: bool = False,
    required: bool = True,
    compares: bool = False,
    runs: bool = False,
) -> Case:
    """The task as it stands, git having begun to look before the ledger is opened. Close it when done.

    `required` False: if there is no ledger yet, nothing is proved. Else raises NotFoundError then. `compares`:
    nothing is recorded of the content, so that its local ignore rules need not be known. `runs`: see `Case`.
    """
    from tallystick.cli.context import ledger_files
    from tallystick.clock import now

    require_outside_run()
    workspace = Workspace.find(os.getcwd(), exclude=ledger_files(options))
    plan = PendingPlan(workspace, base_rules(options))
    pending = workspace.start_snapshot(local_rules=not compares)
    ledger: Ledger | None = None
    try:
        ledger = open_ledger(options, write=write, judge=True)
    except BaseException as error:
        if required or not isinstance(error, NotFoundError):
            pending.discard()
            plan.discard()
            raise
    case = Case(
        ledger,
        workspace,
        task_id,
        snapshot=pending,
        plan=plan,
        interrupted=interrupted,
        provenance=provenance(options, ledger),
        now=now(),
        command=_called(options),
        runs=runs,
    )
    _tell_unread()
    return case


def _tell_unread() -> None:
    """Say which other tasks could not be looked at: a file that their runs left then counts as content."""
    from tallystick.gate.products import unread
    from tallystick.model.text import printable

    for task_id, why in unread().items():
        print(
            f"notch: what runs of {printable(task_id)} left in the tree is not known, since its history cannot be read"
            f" ({printable(why)}); notch verify {shlex.quote(printable(task_id))}",
            file=sys.stderr,
        )


def _called(options: argparse.Namespace) -> str:
    """How `notch` is called for the ledger that the options name."""
    return f"notch --ledger {shlex.quote(options.ledger)}" if options.ledger else "notch"


def interrupted(attempt: Attempt) -> bool:
    """Whether a run without an end can no longer come to one, as seen from here and now."""
    from datetime import UTC, datetime

    from tallystick.capture.identity import is_interrupted

    return is_interrupted(attempt.run, datetime.now(UTC))


def _gate_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing where the gate is open")
    parser.add_argument("--full", action="store_true", help="verify all of the task's history, not only its head")
    parser.add_argument("--format", choices=FORMATS, help="default: text; github also writes summary and outputs")
    parser.add_argument(
        "--head", action="append", default=[], metavar="POSITION:ROOT", help="a head that the history must extend"
    )
    parser.add_argument(
        "--accept-history", action="store_true", help="take today's history for the known one, knowing why it differs"
    )
    add_judging(parser)
    _add_keys(parser)


def _add_keys(parser: argparse.ArgumentParser) -> None:
    what = "a key that may have signed the bundle that is given as ledger"
    parser.add_argument("--key", action="append", default=[], metavar="VKEY", help=what)
    parser.add_argument("--keys", metavar="FILE", help="such keys, a line each, or a C2SP tlog-policy")


def _gate(options: argparse.Namespace) -> int:
    from tallystick.gate.memory import SeenHeads

    task_id = task_of(options.task)
    seen = SeenHeads(_place(options), os.environ)
    if options.accept_history:
        seen.forget()
    with open_case(options, task_id, required=False, compares=True) as case:
        verdict = judged(case, seen, heads=options.head, full=options.full)
        if case.ledger is not None and verdict.head is not None and not verdict.tampered:
            seen.remember(case.ledger, task_id, verdict.head)
        if verdict.open:
            seen.opened()
    if not (options.quiet and verdict.open) or options.format in WHOLE:
        _print(verdict, "json" if options.json else options.format or "text")
    return verdict.exit_code


def no_plan() -> InputError:
    """What to say where neither the work tree nor the base has a plan."""
    return InputError("there is no plan to judge by", where="tallystick.toml", advice="notch init writes a first one")


def judged(case: Case, seen: SeenHeads, *, heads: Sequence[str] = (), full: bool = False) -> Verdict:
    """The verdict by all of the gate's rules. `heads` must be extended; `full`: all of the history is verified.

    Raises InputError where there is no plan.
    """
    from tallystick.clock import now
    from tallystick.gate import policies
    from tallystick.gate.verdict import judge
    from tallystick.stores.base import Head

    if not case.plan.known:
        raise no_plan()
    seen.settle(case.ledger, now())
    rules: list[policies.Policy] = [
        policies.HistoryExtends(seen, [Head.parse(text) for text in heads]),
        policies.EveryCriterionProved(),
        policies.NothingWeakened(),
        policies.ProtectedFilesUntouched(),
        policies.NoReviewFails(),
    ]
    if full:
        rules.append(policies.LedgerVerifies())
    watched = bool(os.environ.get("CI")) or pipeline() is not None
    return judge(
        case, policies.AllOf(*rules), at=now(), watched_by_ci=watched, checkpoint=_checkpoint(case), lost=seen.lost
    )


def _checkpoint(case: Case) -> str | None:
    """A checkpoint of the ledger, made now, where the user has a key: whoever keeps the log can hold us to it."""
    if case.ledger is None or (pipeline() is not None and not case.plan.base.reviewed):
        return None
    from tallystick.trust import checkpoint_if_key

    return checkpoint_if_key(case.ledger, warn=lambda what: print(f"notch: {printable(what)}", file=sys.stderr))


def _place(options: argparse.Namespace) -> str:
    """Where the ledger is, as its seen heads are kept under."""
    from tallystick.cli.context import ledger_place

    return ledger_place(options)


def _print(verdict: Verdict, format_: str) -> None:
    from tallystick.gate import render

    if format_ == "json":
        print_json(verdict.to_dict())
    elif format_ == "markdown":
        print("\n".join(render.markdown(verdict)))
    elif format_ in ("github", "gitlab", "junit"):
        from tallystick.cli.gate_ci import print_for_ci

        print_for_ci(verdict, format_)
    else:
        print("\n".join(render.text(verdict, paint)))


def _why_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("criterion", metavar="CRITERION", help="the criterion")
    add_task(parser)
    add_judging(parser)
    _add_keys(parser)


def _why(options: argparse.Namespace) -> int:
    from tallystick.gate.why import explain

    with open_case(options, task_of(options.task)) as case:
        criterion = case.plan.task.criterion(options.criterion)
        if criterion is None:
            names = ", ".join(one.id for one in case.plan.task.criteria) or "none"
            raise NotFoundError(
                f"the plan has no criterion {options.criterion!r}", where=case.task_id, advice=f"it has {names}"
            )
        state = case.state(criterion)
        lines = list(explain(case, state))
    if options.json:
        attempt = state.deciding
        print_json(
            {
                "task_id": case.task_id,
                "criterion": criterion.id,
                "state": state.state,
                "ok": state.ok,
                "reason": state.reason,
                "grade": str(state.grade) if state.grade else None,
                "forgeable_by": state.grade.forgeable_by if state.grade else None,
                "changed": list(map(recorded_path, state.changed_paths)),
                "passes": state.passes,
                "fails": state.fails,
                "unfalsified": state.unfalsified,
                "entry": {
                    "position": attempt.position,
                    "task_id": attempt.task_id,
                    "ledger_id": attempt.ledger_id,
                    "at": attempt.at,
                    "run": thawed(attempt.run),
                    "content": thawed(attempt.content),
                }
                if attempt
                else None,
            }
        )
    else:
        print("\n".join(lines))
    return 0 if state.ok else 1


def thawed(value: object) -> object:
    """A recorded JSON value as plain dicts and lists, for printing."""
    from collections.abc import Mapping

    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument("--no-record", action="store_true", help="only show it, record nothing")
    parser.add_argument(
        "--from-scafld", metavar="SPEC.md", help="print the acceptance criteria of a scafld spec as TOML"
    )
    add_judging(parser)


def _plan(options: argparse.Namespace) -> int:
    if options.from_scafld:
        from tallystick.cli.files import read_file
        from tallystick.gate.scafld_spec import criteria_from_spec

        sys.stdout.write(criteria_from_spec(read_file(options.from_scafld), where=options.from_scafld))
        return 0
    task_id = new_task_of(options.task)
    with open_case(options, task_id, write=not options.no_record, required=not options.no_record) as case:
        plan = case.plan
        if not plan.known:
            raise InputError("there is no plan", where="tallystick.toml", advice="notch init writes a first one")
        document = {
            "task_id": task_id,
            "title": plan.task.title,
            "base": {"commit": plan.base.commit, "branch": plan.base.branch, "has_plan": plan.base.plan is not None},
            "phases": list(plan.task.phases),
            "criteria": {one.id: one.as_dict() for one in plan.task.criteria},
            "weakened": [one.as_dict() for one in plan.weakened],
        }
        if not options.no_record and case.ledger is not None:
            from tallystick.model import Entry

            reason = f"plan: {len(plan.task.criteria)} criteria"
            case.ledger.append(task_id, Entry(type="plan", reason=reason, details={"plan": document}))
    if options.json:
        print_json(document)
    else:
        from tallystick.cli.show_plan import show_plan

        show_plan(plan)
    return 0


COMMANDS = {
    "gate": Command(
        _gate_arguments, _gate, "  notch gate add-cache\n  notch gate --head 17:9f2c…  (a head that a CI log kept)"
    ),
    "why": Command(_why_arguments, _why, "  notch why tests"),
    "plan": Command(_plan_arguments, _plan, "  notch plan\n  notch plan --from-scafld .scafld/specs/add-cache.md"),
}
