"""run: running a command and recording what it showed."""

from __future__ import annotations

import argparse
import os
import sys

from tallystick.cli.context import new_task_of, open_ledger, remember
from tallystick.cli.judging import add_judging, add_running, base_rules, provenance, require_no_key, require_reviewed
from tallystick.cli.parser import Command, add_task
from tallystick.cli.terminal import json_text
from tallystick.errors import InputError, TallystickError
from tallystick.model.ids import require_id
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tallystick.capture.products import Products
    from tallystick.capture.result import Finished
    from tallystick.capture.run import Judgement, Run, RunResult
    from tallystick.gate.case import PendingPlan, PlanInForce
    from tallystick.gate.plan import Criterion
    from tallystick.gate.provenance import Provenance
    from tallystick.gate.report_file import ReportFile
    from tallystick.ledger import Ledger
    from tallystick.trust.keys import Key
    from tallystick.workspace import Snapshot, Workspace


LONGEST_SECONDS = 100_000_000


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task(parser)
    parser.add_argument("-c", "--criterion", default="", metavar="ID", help="the criterion that it shows")
    parser.add_argument("-p", "--phase", default="", metavar="ID", help="the phase it belongs to")
    parser.add_argument("--timeout", type=float, metavar="S", help="end it after S seconds (exit code 124)")
    parser.add_argument(
        "--keep-tree", action="store_true", help="keep uncommitted content in git, so that it can be reproduced"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="take the counts from the report that the command writes there"
    )
    add_judging(parser)
    add_running(parser)
    parser.add_argument("--attest", action="store_true", help="sign the result with this user's key")
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="run nothing: say of runs that have no end and that nobody here can see that they come to none",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="do not say at the end what was recorded")
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="CMD…",
        help="the command and all its arguments; default: what the plan says for the criterion",
    )


def _run(options: argparse.Namespace) -> int:
    from tallystick.capture.run import NotRecordedError, run_command
    from tallystick.cli.context import ledger_files
    from tallystick.clock import seconds_from_now
    from tallystick.workspace import Workspace

    task_id = new_task_of(options.task)
    if options.abandon:
        from tallystick.cli.abandoning import abandon

        return abandon(options, task_id)
    require_no_key(options)
    if options.command[:1] == ["--"]:
        del options.command[0]
    if options.timeout is not None and not 0 < options.timeout <= LONGEST_SECONDS:
        raise InputError(f"--timeout is a number of seconds above 0, at most {LONGEST_SECONDS:,}")
    workspace = Workspace.find(os.getcwd(), exclude=ledger_files(options))
    report = _report_file(options.report, workspace)
    pending = workspace.start_snapshot()
    planned = start_plan(workspace, options, needed=not options.command) if options.criterion else None
    try:
        ledger = open_ledger(options, write=True)
    except TallystickError as error:
        pending.discard()
        raise NotRecordedError(error, None) from None
    with ledger:
        snapshot = pending.result()
        if snapshot.committed_hidden:
            from tallystick.workspace.tracked import require_uncommitted

            require_uncommitted(snapshot)
        plan = planned.result(task_id, snapshot) if planned is not None else None
        in_front = None
        if plan is not None and (plan.weakened or options.attest):
            from tallystick.gate.evidence import Evidence
            from tallystick.gate.subject import InFront

            in_front = InFront(workspace, snapshot, plan, seconds_from_now(0))
            plan.accept(Evidence(ledger, task_id, provenance(options, ledger)), in_front)
        key = _signing_key(ledger, plan) if options.attest else None
        if options.keep_tree:
            from tallystick.workspace.kept import keep_tree

            keep_tree(workspace, snapshot)
        planless = plan is None and has_plan(workspace)
        run = what_to_run(options, task_id, ledger, plan, planned=plan is not None or planless)
        run.cwd = None if options.command else workspace.root
        run.keep_env = options.keep_env
        if plan is not None:
            from tallystick.gate.content import files_outside

            run.outside = files_outside(workspace, plan.base.protected_tip, run.patterns)
        if report is not None:
            run.judge = _judge_by(report, run.criterion_id, plan)
        result = run_command(ledger, workspace, run, before=snapshot, now=seconds_from_now)
        remember(options, ledger, task_id, result.head)
        if key is not None:
            from tallystick.cli.vouch import attest_entries

            attest_entries(ledger, task_id, [result.head.position], key, in_front)
        why_not = _why_not_counted(result, run.command, plan, workspace, options, ledger)
    if result.finished.undelivered is not None:
        print(f"notch: its output could not all be shown: {result.finished.undelivered.strerror}", file=sys.stderr)
    if options.json:
        _print_json(result, run.command, options, task_id, why_not)
    elif not options.quiet:
        _say_what_was_recorded(result, task_id, why_not)
    return result.finished.exit_code


def _why_not_counted(
    result: RunResult,
    command: str,
    plan: PlanInForce | None,
    workspace: Workspace,
    options: argparse.Namespace,
    ledger: Ledger,
) -> str:
    """Why the gate will not count the result; empty if it will."""
    from tallystick.gate.recorded_run import names_no_criterion, why_not_counted

    if not options.criterion:
        return names_no_criterion(command, workspace.root)
    doubt = provenance(options, ledger).refusal
    return why_not_counted(result.entry, command, plan, doubt=doubt, attested=options.attest)


def _say_what_was_recorded(result: RunResult, task_id: str, why_not: str) -> None:
    """One last line on standard error: what was recorded, whether it counts for the plan, and if not why."""
    entry = result.entry
    what = f"{entry.criterion_id or 'a run'}, {entry.status} ({entry.reason})"
    counts = f"counts for nothing: {why_not}" if why_not else "counts for the plan"
    print(f"notch: recorded {printable(f'{task_id} #{result.head.position}: {what}; {counts}')}", file=sys.stderr)


def _signing_key(ledger: Ledger, plan: PlanInForce | None) -> Key:
    """The key to attest the result with, found before anything is run."""
    from tallystick.cli.trust import required_key

    require_reviewed(plan.base if plan is not None else None)
    return required_key(None, ledger)


def _report_file(path: str | None, workspace: Workspace) -> ReportFile | None:
    """The report that is to be written, an old one being out of the way."""
    if path is None:
        return None
    from tallystick.gate.report_file import ReportFile

    return ReportFile(path, workspace)


def _judge_by(report: ReportFile, criterion_id: str, plan: PlanInForce | None) -> Callable[[Finished], Judgement]:
    """How the run is judged by the report that it writes, and by what the plan expects."""
    from tallystick.gate.judgement import judge_run

    criterion = plan.task.criterion(criterion_id) if plan and criterion_id else None
    return judge_run(criterion.expect if criterion else None, report.details)


def has_plan(workspace: Workspace) -> bool:
    """Whether the work tree has a plan, so that it pays to look for the one in force."""
    return os.path.exists(os.path.join(workspace.root, "tallystick.toml"))


def start_plan(
    workspace: Workspace, options: argparse.Namespace | None = None, *, needed: bool = False
) -> PendingPlan | None:
    """The search for the plan in force, begun in the background; None where the work tree has no plan.

    `needed`: look on the base even then, where whoever deletes the plan does not get rid of it.
    """
    if not needed and not has_plan(workspace):
        return None
    from tallystick.gate.case import PendingPlan

    return PendingPlan(workspace, base_rules(options))


def plan_for(
    workspace: Workspace, task_id: str, snapshot: Snapshot, options: argparse.Namespace | None = None
) -> PlanInForce | None:
    """The plan in force for the task; None where the work tree has none."""
    planned = start_plan(workspace, options)
    return planned.result(task_id, snapshot) if planned is not None else None


def what_to_run(
    options: argparse.Namespace, task_id: str, ledger: Ledger, plan: PlanInForce | None, *, planned: bool
) -> Run:
    """The run that the options and the plan describe. Raises InputError if there is nothing to run.

    `planned`: the work tree has a plan, so that what the run leaves counts for other criteria.
    """
    from tallystick.capture.run import Run

    criterion_id = require_id(options.criterion, "the criterion") if options.criterion else ""
    criterion = plan.task.criterion(criterion_id) if plan else None
    argv: list[str] | str = list(options.command)
    if not argv:
        argv = _planned_command(criterion_id, criterion, plan)
    phase = require_id(options.phase, "the phase") if options.phase else criterion.phase if criterion else ""
    return Run(
        task_id,
        argv,
        criterion_id=criterion_id,
        phase_id=phase,
        timeout=options.timeout,
        **bound_by(criterion, ledger, task_id, provenance(options, ledger), planned=planned),
    )


def bound_by(
    criterion: Criterion | None, ledger: Ledger, task_id: str, provenance: Provenance, *, planned: bool = False
) -> dict[str, Any]:
    """What the plan's criterion binds a run to: inputs, environment, expectation, and what runs left before.

    `planned`: there is a plan, so that the products of a run count for other criteria even where it has none.
    """
    if criterion is None and not planned:
        return {"judge": _judge_without_plan}
    from tallystick.gate.content import pathspecs
    from tallystick.gate.evidence import Evidence
    from tallystick.gate.judgement import judge_run
    from tallystick.gate.products import known_products

    def products(*snapshots: Snapshot) -> Products:
        return known_products(ledger, Evidence(ledger, task_id, provenance), *snapshots)

    if criterion is None:
        return {"judge": judge_run(None), "products": products}
    return {
        "judge": judge_run(criterion.expect),
        "patterns": pathspecs(criterion.inputs),
        "environment": criterion.environment.as_dict(),
        "products": products,
    }


def _judge_without_plan(finished: Finished) -> Judgement:
    """By the exit code, and by the tests that were counted where something was printed."""
    if not finished.output.size:
        from tallystick.capture.run import by_exit_code

        return by_exit_code(finished)
    from tallystick.gate.judgement import judge_run

    return judge_run(None)(finished)


def _planned_command(criterion_id: str, criterion: Criterion | None, plan: PlanInForce | None) -> list[str] | str:
    if not criterion_id:
        raise InputError("there is no command to run", advice="notch run -c CRITERION -- COMMAND…")
    if plan is None or not plan.known:
        raise InputError("there is no plan to take the command from", where="tallystick.toml", advice="notch init")
    if criterion is None:
        names = ", ".join(one.id for one in plan.task.criteria) or "none"
        raise InputError(f"the plan has no criterion {criterion_id!r}", advice=f"it has {names}")
    if criterion.manual:
        raise InputError(
            f"{criterion_id!r} is shown by a person",
            advice=f"notch record --type criterion -c {criterion_id} --status pass --reason …",
        )
    return criterion.run if isinstance(criterion.run, str) else list(criterion.run)


def _print_json(result: RunResult, command: str, options: argparse.Namespace, task_id: str, why_not: str) -> None:
    document = {
        "task_id": task_id,
        "criterion_id": options.criterion,
        "command": command,
        "status": result.status,
        "exit_code": result.finished.exit_code,
        "duration_ms": result.finished.duration_ms,
        "position": result.head.position,
        "root": result.head.root,
        "counts": not why_not,
        "why_not": why_not,
    }
    print(json_text(document, stream=sys.stderr), file=sys.stderr)


COMMANDS = {
    "run": Command(
        _arguments,
        _run,
        "  notch run -c tests             (what the plan says)\n  notch run -t add-cache -c tests pytest -q\n"
        "  notch run --abandon -c tests   (a container that ran it is gone)",
    ),
}
