"""run: running a command and recording what it showed."""

from __future__ import annotations

import os
import sys

from tallystick.cli.context import new_task_of, open_ledger
from tallystick.cli.parser import Command, add_task
from tallystick.errors import InputError, TallystickError
from tallystick.location import find_ledger, sqlite_path
from tallystick.model.ids import require_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.capture.run import RunResult


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task(parser)
    parser.add_argument("-c", "--criterion", default="", metavar="ID", help="the criterion that it shows")
    parser.add_argument("-p", "--phase", default="", metavar="ID", help="the phase it belongs to")
    parser.add_argument("--timeout", type=float, metavar="S", help="end it after S seconds (exit code 124)")
    parser.add_argument("command", nargs="*", metavar="-- CMD…", help="a list; one word with spaces goes to sh -c")


def _run(options: argparse.Namespace) -> int:
    from tallystick.capture.run import NotRecordedError, Run, run_command
    from tallystick.clock import seconds_from_now
    from tallystick.workspace import Workspace

    task_id = new_task_of(options.task)
    if options.timeout is not None and not options.timeout > 0:
        raise InputError("--timeout is a number of seconds above 0")
    argv = _command(options)
    workspace = Workspace.find(os.getcwd(), exclude=_ledger_files(options))
    pending = workspace.start_snapshot()
    run = Run(
        task_id,
        argv,
        criterion_id=require_id(options.criterion, "the criterion") if options.criterion else "",
        phase_id=require_id(options.phase, "the phase") if options.phase else "",
        timeout=options.timeout,
    )
    try:
        ledger = open_ledger(options, write=True)
    except TallystickError as error:
        pending.discard()
        raise NotRecordedError(error, None) from None
    with ledger:
        result = run_command(ledger, workspace, run, before=pending, now=seconds_from_now)
    _report(result, run.command, options, task_id)
    return result.finished.exit_code


def _command(options: argparse.Namespace) -> list[str]:
    if not options.command:
        raise InputError("there is no command to run", advice="notch run -c CRITERION -- COMMAND…")
    return list(options.command)


def _ledger_files(options: argparse.Namespace) -> list[str]:
    """The files of the ledger that will be used, known before it is opened: they are not content."""
    from tallystick.stores.sqlite_connection import SIDE_FILES

    url = options.ledger or find_ledger(os.getcwd(), os.environ)
    path = url and (sqlite_path(url) or ("" if "://" in url else url))
    return [os.path.abspath(path + suffix) for suffix in ("", *SIDE_FILES)] if path else []


def _report(result: RunResult, command: str, options: argparse.Namespace, task_id: str) -> None:
    if options.json:
        import json

        document = {
            "task_id": task_id,
            "criterion_id": options.criterion,
            "command": command,
            "status": result.status,
            "exit_code": result.finished.exit_code,
            "duration_ms": result.finished.duration_ms,
            "position": result.head.position,
            "root": result.head.root,
        }
        print(json.dumps(document, ensure_ascii=False), file=sys.stderr)


COMMANDS = {
    "run": Command(
        _arguments,
        _run,
        "  notch run -t add-cache -c tests -- pytest -q\n  notch run -c tests   (what the plan says)",
    ),
}
