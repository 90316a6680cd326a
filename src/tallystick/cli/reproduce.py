"""reproduce, falsify: running commands again on content of the past, or on content where they have to fail."""

from __future__ import annotations

import os
import shlex

from tallystick.cli.context import has_ledger, ledger_files, new_task_of, remember
from tallystick.cli.gate import open_case
from tallystick.cli.judging import add_judging, add_running, require_no_key
from tallystick.cli.parser import Command, add_task, add_task_argument
from tallystick.cli.terminal import paint, print_json
from tallystick.errors import InputError, NotFoundError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    from tallystick.capture.run import RunResult
    from tallystick.cli.progress import Silent
    from tallystick.gate.attempts import Attempt
    from tallystick.gate.case import Case
    from tallystick.gate.plan import Criterion
    from tallystick.gate.reproduction import Repeated, Reproduction
    from tallystick.gate.rerun import Reruns
    from tallystick.workspace.worktree import TemporaryWorktree

NAMED = 3
"""How many files a line names."""


def _reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument("--sample", type=int, metavar="N", help="N of all results, picked by the head's own root")
    parser.add_argument("--at", type=int, metavar="POSITION", help="as of that position; default: now")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="how often to run what was flaky; default: 5")
    parser.add_argument(
        "--keep-tree", action="store_true", help="keep uncommitted content in git first, where it is still what it was"
    )
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setup", default="", metavar="CMD", help="run this first in the fresh work tree: 'npm ci'")
    parser.add_argument("--timeout", type=float, metavar="S", help="end each run after S seconds")
    add_judging(parser)
    add_running(parser)


def _reproduce(options: argparse.Namespace) -> int:
    from tallystick.gate.reproduction import Reproduction

    _require_positive(options, "sample", "runs", "timeout")
    require_no_key(options)
    if not has_ledger(options):
        raise NotFoundError("no ledger here or above", advice="notch check makes one and records")
    task_id = new_task_of(options.task)
    with open_case(options, task_id, write=True, runs=True) as case:
        progress, reruns = _watched(case, options)
        with Reproduction(
            case, reruns, at=options.at, setup=options.setup, exclude=ledger_files(options)
        ) as reproduction:
            picked = reproduction.picked(options.sample)

            def work() -> list[Repeated]:
                return [_repeated(reproduction, attempt, options, progress, task_id) for attempt in picked]

            repeated = _until_stopped(reruns, progress, work)
        assert case.ledger is not None
        remember(options, case.ledger, task_id, case.ledger.head(task_id))
    same = sum(one.same for one in repeated)
    if options.json:
        results = [_document(one) for one in repeated]
        print_json({"task_id": task_id, "head": str(reproduction.head), "same": same, "results": results})
    else:
        print(f"reproduced {same} of {len(repeated)}, picked as of head {reproduction.head}")
    return 0 if repeated and same == len(repeated) else 1


def _require_positive(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise InputError(f"--{name} is a number above 0")


def _watched(case: Case, options: argparse.Namespace) -> tuple[Silent, Reruns]:
    from tallystick.cli.progress import progress_for
    from tallystick.clock import seconds_from_now
    from tallystick.gate.rerun import Reruns

    assert case.ledger is not None
    progress = progress_for(case.task_id, 0)
    reruns = Reruns(
        case.ledger,
        case.task_id,
        now=seconds_from_now,
        timeout=options.timeout,
        tick=progress.tick,
        heard=progress.heard,
        provenance=case.evidence.provenance,
        protected=case.plan.protected,
        keep_env=options.keep_env,
    )
    return progress, reruns


def _until_stopped(reruns: Reruns, progress: Silent, work: Callable[[], Any]) -> Any:
    from tallystick.cli.stopping import Stopping

    try:
        with Stopping(reruns.stop):
            return work()
    finally:
        progress.close()


def _repeated(
    reproduction: Reproduction, attempt: Attempt, options: argparse.Namespace, progress: Silent, task_id: str
) -> Repeated:
    criterion = reproduction.criterion_of(attempt)
    times = options.runs if reproduction.is_flaky(attempt) else 1
    progress.began(criterion)
    repeated = reproduction.repeat(attempt, times, keep_tree=options.keep_tree)
    progress.done(criterion, _told(criterion, repeated, task_id))
    return repeated


def _told(criterion: Criterion, repeated: Repeated, task_id: str) -> list[str]:
    from tallystick.cli.progress import tail_of

    mark = paint("✓", "pass") if repeated.same else paint("✗", "fail")
    start = f"{mark} {printable(criterion.id)} #{repeated.attempt.position}"
    if repeated.refused:
        return [f"{start}  not run: {printable(repeated.refused)}"]
    different = next((one.what for one in repeated.comparisons if not one.same), "")
    what = f"differs: {different}" if different else f"the same: {repeated.results[-1].reason}"
    rate = f"; {repeated.rate}" if repeated.rate.ran > 1 else ""
    quoted = tail_of(repeated.results[-1], task_id) if different and repeated.results[-1].status != "pass" else []
    return [f"{start}  {printable(what)}{rate}", *quoted]


def _document(repeated: Repeated) -> dict[str, Any]:
    return {
        "criterion_id": repeated.attempt.criterion_id,
        "position": repeated.attempt.position,
        "same": repeated.same,
        "refused": repeated.refused,
        "differs": [one.what for one in repeated.comparisons if not one.same],
        "passed": repeated.rate.passed,
        "ran": repeated.rate.ran,
        "entries": [result.head.position for result in repeated.results],
    }


def _falsify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("criterion", metavar="CRITERION", help="the criterion")
    add_task(parser)
    parser.add_argument(
        "--revert",
        metavar="FILE",
        help="on what is here, with this file as on the base; default: every changed file that is no test",
    )
    _add_common(parser)


def _falsify(options: argparse.Namespace) -> int:
    from tallystick.gate.reproduction import Falsification, setup_of

    _require_positive(options, "timeout")
    require_no_key(options)
    task_id = new_task_of(options.task)
    with open_case(options, task_id, write=True, runs=True) as case:
        found = Falsification(case, options.criterion, exclude=ledger_files(options))
        named = _from_root(options.revert, case.workspace.root) if options.revert else ""
        reverts, setup = found.reverts(named), setup_of(case, found.criterion, options.setup)
        progress, reruns = _watched(case, options)
        progress.began(found.criterion)

        def prepared(made: TemporaryWorktree) -> TemporaryWorktree:
            if setup:
                reruns.prepare(made.workspace, setup)
            return made

        def work() -> tuple[RunResult, RunResult | None]:
            with found.fresh() as made:
                control = found.control(reruns, prepared(made), setup)
            if control.status != "pass":
                return control, None
            # In another tree: what the first run left (compiled files, caches) would be taken for what is there now.
            with found.fresh(reverts) if reverts else found.fresh_base() as made:
                return control, found.run(reruns, prepared(made), reverts, setup)

        control, result = _until_stopped(reruns, progress, work)
        last = result or control
        assert case.ledger is not None
        remember(options, case.ledger, task_id, last.head)
    failed = result is not None and result.status != "pass" and not _could_not_run(result, found.criterion)
    tried = result is not None and not _could_not_run(result, found.criterion)
    if options.json:
        print_json(
            {
                "task_id": task_id,
                "criterion": found.criterion.id,
                "falsified": failed,
                "tried": tried,
                "base": found.base,
                "reverted": reverts[0] if len(reverts) == 1 else "",
                "reverts": reverts,
                "reason": last.reason,
                "exit_code": last.finished.exit_code,
                "position": last.head.position,
            }
        )
    elif not tried:
        _tell_untried(
            found.criterion, last, task_id, where=_where(found.base, reverts) if result else "on what is here"
        )
    else:
        _tell_falsified(found.criterion, _where(found.base, reverts), last, failed, task_id, reverts)
    return 0 if failed else 1


def _could_not_run(result: RunResult, criterion: Criterion) -> bool:
    """Whether the shell said that it cannot run the command, or a part of it: then it shows nothing."""
    from tallystick.gate.expectation import SHELLS_WORD

    if "could not be run" in result.reason:
        return True
    code = result.finished.exit_code
    return code in SHELLS_WORD and not criterion.expect.exit.allows(code) and result.status != "pass"


def _where(base: str, reverts: list[str]) -> str:
    if not reverts:
        return f"on the base's content ({base[:12]})"
    more = f" and {len(reverts) - NAMED} more files" if len(reverts) > NAMED else ""
    return f"with {', '.join(reverts[:NAMED])}{more} as on the base"


def _tell_untried(criterion: Criterion, result: RunResult, task_id: str, where: str) -> None:
    from tallystick.cli.progress import tail_of

    name, reason = printable(criterion.id), printable(result.reason)
    start = f"{paint('✗', 'fail')} {name} could not be tried"
    print(f"{start}: in a fresh work tree, {printable(where)}, it does not pass: {reason}")
    print("\n".join(tail_of(result, task_id)) or "    it printed nothing")
    print("  make the work tree able to run it: --setup 'npm ci', or setup = \"…\" in the base's plan")


def _tell_falsified(
    criterion: Criterion, where: str, result: RunResult, failed: bool, task_id: str, reverts: list[str]
) -> None:
    from tallystick.cli.progress import tail_of

    name, reason = printable(criterion.id), printable(result.reason)
    if failed:
        print(f"{paint('✓', 'pass')} {name} can fail: it passes here, and does {printable(where)}: {reason}")
        print("\n".join(tail_of(result, task_id)) or "    it printed nothing")
        return
    print(f"{paint('✗', 'fail')} {name} was not seen to fail: it passes {printable(where)} too: {reason}")
    if len(reverts) != 1:
        some = f" --revert {printable(shlex.quote(reverts[0]))}" if reverts else " --revert FILE"
        print(f"  have it notice one file: notch falsify {printable(shlex.quote(criterion.id))}{some}")


def _from_root(path: str, root: str) -> str:
    """The path of a file, named from the current folder, from the root of the work tree; it need not exist any more."""
    folder, name = os.path.split(os.path.abspath(path))
    full = os.path.join(os.path.realpath(folder), name)
    found = os.path.relpath(full, root)
    if found.startswith("..") or os.path.isdir(full):
        raise InputError("this is not a file in the work tree", where=path)
    return found


COMMANDS = {
    "reproduce": Command(
        _reproduce_arguments, _reproduce, "  notch reproduce add-cache\n  notch reproduce --sample 3 --setup 'npm ci'"
    ),
    "falsify": Command(_falsify_arguments, _falsify, "  notch falsify tests --revert src/cache.py"),
}
