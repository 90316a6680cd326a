"""check: running what is missing, and nothing that is proved."""

from __future__ import annotations

import os
import sys

from tallystick.cli.context import has_ledger, ledger_place, new_task_of, remember
from tallystick.cli.gate import interrupted, judged, no_plan, open_case
from tallystick.cli.judging import add_judging, add_running, base_rules, require_no_key
from tallystick.cli.parser import Command, add_task_argument
from tallystick.cli.terminal import paint, print_json
from tallystick.errors import InputError
from tallystick.gate.check import PERSON, RUN, WAIT, steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from tallystick.gate.case import Case
    from tallystick.gate.check import Step
    from tallystick.gate.memory import SeenHeads
    from tallystick.gate.runner import Outcome
    from tallystick.gate.verdict import Verdict


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument(
        "-j", "--jobs", type=int, metavar="N", help="so many at once; default: as many as there are cores"
    )
    parser.add_argument("--no-reuse", action="store_true", help="run also what was shown in another task")
    parser.add_argument("--fail-fast", action="store_true", help="begin nothing more once something failed")
    parser.add_argument("--timeout", type=float, metavar="S", help="end each run after S seconds")
    parser.add_argument(
        "--keep-tree", action="store_true", help="keep uncommitted content in git, so that it can be reproduced"
    )
    parser.add_argument("--reindex", action="store_true", help="first look through every task for what was shown")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, and nothing if the gate is open")
    add_judging(parser)
    add_running(parser)


def _check(options: argparse.Namespace) -> int:
    from tallystick.gate.memory import SeenHeads

    task_id = new_task_of(options.task)
    require_no_key(options)
    if options.jobs is not None and options.jobs < 1:
        raise InputError("--jobs is a number above 0")
    if options.timeout is not None and not options.timeout > 0:
        raise InputError("--timeout is a number of seconds above 0")
    seen = SeenHeads(ledger_place(options), os.environ)
    if not has_ledger(options):
        _require_plan(options, task_id)
    with open_case(options, task_id, write=True, runs=True) as case:
        verdict, outcomes = _supplied(case, options, seen)
        if case.ledger is not None and verdict.head is not None and not verdict.tampered:
            remember(options, case.ledger, task_id, verdict.head)
        if verdict.open:
            seen.opened()
    if options.json:
        print_json({**verdict.to_dict(), "check": _document(outcomes)})
    elif not (options.quiet and verdict.open):
        _print(verdict, outcomes)
    return verdict.exit_code


def _require_plan(options: argparse.Namespace, task_id: str) -> None:
    """Raises InputError where there is no plan that can be read, before a ledger is made."""
    from tallystick.gate.case import PendingPlan
    from tallystick.workspace import Workspace

    workspace = Workspace.find(os.getcwd())
    pending = PendingPlan(workspace, base_rules(options))
    with workspace.snapshot() as snapshot:
        if not pending.result(task_id, snapshot).known:
            raise no_plan()


def _supplied(case: Case, options: argparse.Namespace, seen: SeenHeads) -> tuple[Verdict, list[Outcome]]:
    """The verdict once everything is run that has to be, and what came of it."""
    from tallystick.clock import now

    seen.settle(case.ledger, now())
    if not case.plan.known or (case.ledger is not None and seen.contradiction(case.ledger, case.task_id)):
        return judged(case, seen), []
    if options.reindex and case.ledger is not None:
        from tallystick.capture.proved import remember_all

        remember_all(case.ledger)
    planned = steps(case.states, case.state)
    if not any(step.what in (RUN, WAIT) for step in planned):
        return judged(case, seen), []
    outcomes = _run(case, options, planned)
    return judged(_now(case), seen), outcomes


def _run(case: Case, options: argparse.Namespace, planned: Sequence[Step]) -> list[Outcome]:
    from tallystick.capture.leftovers import adopt_orphans, end_orphans
    from tallystick.cli.progress import progress_for
    from tallystick.cli.stopping import Stopping
    from tallystick.clock import seconds_from_now
    from tallystick.gate.runner import Runner
    from tallystick.model.text import printable

    width = max(len(printable(step.criterion.id)) for step in planned if step.what != PERSON)
    progress = progress_for(case.task_id, width, quiet=options.quiet)
    keep = None
    if options.keep_tree:
        from functools import partial

        from tallystick.workspace.kept import keep_tree

        keep = partial(keep_tree, case.workspace)
    runner = Runner(
        case,
        progress,
        now=seconds_from_now,
        jobs=options.jobs or _cores(),
        reuse=not options.no_reuse,
        fail_fast=options.fail_fast,
        timeout=options.timeout,
        keep=keep,
        keep_env=options.keep_env,
    )
    in_ci = case.evidence.provenance.pipeline is not None
    if in_ci:
        adopt_orphans()
    try:
        with Stopping(runner.stop):
            return runner.run()
    finally:
        progress.close()
        if in_ci and (names := end_orphans()):
            print(f"notch: still running after the check, and ended: {printable(', '.join(names))}", file=sys.stderr)


def _cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _now(case: Case) -> Case:
    """The task as it stands now, on the same ledger."""
    from tallystick.clock import now
    from tallystick.gate.case import Case, KnownBase

    return Case(
        case.ledger,
        case.workspace,
        case.task_id,
        plan=KnownBase(case.plan.base),
        interrupted=interrupted,
        provenance=case.evidence.provenance,
        now=now(),
        command=case.command,
        runs=True,
    )


def _document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    told = []
    for one in outcomes:
        entry: dict[str, Any] = {"criterion_id": one.criterion.id, "how": one.how, "passed": one.passed}
        if one.head is not None:
            entry["position"] = one.head.position
        if one.result is not None:
            finished = one.result.finished
            entry |= {"exit_code": finished.exit_code, "duration_ms": finished.duration_ms, "reason": one.result.reason}
        if one.citation is not None:
            entry |= one.citation.to_details()
        told.append(entry)
    return {"outcomes": told, "saved_ms": _saved(outcomes)}


def _saved(outcomes: Sequence[Outcome]) -> int:
    return sum(one.citation.saved_ms for one in outcomes if one.citation is not None)


def _print(verdict: Verdict, outcomes: Sequence[Outcome]) -> None:
    from tallystick.gate import render

    counts = {how: sum(one.how == how for one in outcomes) for how in ("ran", "reused", "settled", "interrupted")}
    told = {
        "ran": "{} run",
        "reused": "{} reused",
        "settled": "{} settled by somebody else",
        "interrupted": "{} interrupted",
    }
    said = [told[how].format(count) for how, count in counts.items() if count]
    if counts["reused"]:
        from tallystick.cli.progress import duration

        said.append(f"saved {duration(_saved(outcomes))}")
    print(f"check: {', '.join(said) or 'nothing to run'}")
    print("\n".join(render.text(verdict, paint)))


COMMANDS = {
    "check": Command(_arguments, _check, "  notch check\n  notch check add-cache -j 4 --fail-fast"),
}
