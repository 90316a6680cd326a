"""record, baseline: putting down what somebody says, and what the files were."""

from __future__ import annotations

import os
import sys

from tallystick.capture.run import masked, own_files
from tallystick.cli.context import new_task_of, open_ledger, read_argument, remember
from tallystick.cli.judging import provenance
from tallystick.cli.parser import Command, add_task
from tallystick.cli.terminal import print_json
from tallystick.errors import InputError
from tallystick.model import ENTRY_WORKSPACE_BASELINE, Entry
from tallystick.model.ids import require_id
from tallystick.model.jsontext import loads
from tallystick.model.secrets import SecretMask

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.stores.base import Head

OURS = ("run", "scafld", "reuse", "actor", "content", "output", "approval", "attestation")
"""What `details` holds only where tallystick itself saw it."""
INTEGER_64 = 2**63


def _record_arguments(parser: argparse.ArgumentParser) -> None:
    add_task(parser)
    parser.add_argument("--type", required=True, metavar="T", help="criterion, phase, note, manual_evidence, …")
    parser.add_argument("-c", "--criterion", default="", metavar="ID", help="the criterion it is about")
    parser.add_argument("-p", "--phase", default="", metavar="ID", help="the phase it belongs to")
    parser.add_argument("--status", default="", help="pass, fail, …")
    parser.add_argument("--reason", default="", help="why, for a person")
    parser.add_argument("--provider", default="", help="who or what reports it")
    parser.add_argument("--command", default="", help="the command it is about")
    parser.add_argument("--exit-code", type=int, default=0, metavar="N", help="the command's exit code")
    parser.add_argument("--output", default="", metavar="TEXT|-", help="what was printed; - reads standard input")
    parser.add_argument("--path", default="", help="a file it is about")
    parser.add_argument("--id", default="", help="default: entry-POSITION")
    parser.add_argument("--recorded-at", default="", metavar="TIME", help="RFC 3339; default: now")
    parser.add_argument("--details", metavar="JSON|-", help="a JSON object with more; - reads standard input")
    parser.add_argument("--idempotency-key", metavar="K", help="record it once, however often this is called")


def _record(options: argparse.Namespace) -> int:
    task_id = new_task_of(options.task)
    if options.output == "-" and options.details == "-":
        raise InputError("only one of --output and --details can come from standard input")
    entry = Entry(
        id=_optional_id(options.id, "--id"),
        type=require_id(options.type, "--type"),
        recorded_at=options.recorded_at,
        criterion_id=_optional_id(options.criterion, "the criterion"),
        phase_id=_optional_id(options.phase, "the phase"),
        status=options.status,
        reason=options.reason,
        provider=options.provider,
        command=options.command,
        exit_code=_exit_code(options.exit_code),
        output=read_argument(options.output, "--output"),
        path=options.path,
        details=_details(options.details),
    )
    if options.recorded_at:
        from tallystick.clock import parse_time

        parse_time(options.recorded_at)
    with open_ledger(options, write=True) as ledger:
        entry = _bound(_without_secrets(entry), ledger, task_id, options)
        head = ledger.append(task_id, entry, idempotency_key=options.idempotency_key)
        remember(options, ledger, task_id, head)
        return report(ledger, task_id, head, options)


def _without_secrets(entry: Entry) -> Entry:
    mask = SecretMask(os.environ)
    return masked(entry, mask).replace(output=mask.data(entry.output_bytes))


def _bound(entry: Entry, ledger: Ledger, task_id: str, options: argparse.Namespace) -> Entry:
    """The entry with the content that it is about: the criterion's inputs where the plan knows the criterion."""
    from tallystick.capture.claim import with_content
    from tallystick.cli.run import bound_by, plan_for
    from tallystick.workspace import Workspace

    workspace = Workspace.find(os.getcwd(), exclude=own_files(ledger))
    with workspace.snapshot() as snapshot:
        plan = plan_for(workspace, task_id, snapshot) if entry.criterion_id else None
        criterion = plan.task.criterion(entry.criterion_id) if plan else None
        bound = bound_by(criterion, ledger, task_id, provenance(options, ledger), planned=plan is not None)
        left_out = bound["products"](snapshot).left_out(snapshot) if "products" in bound else None
        return with_content(entry, snapshot, bound.get("patterns", ()), products=left_out)


def _optional_id(value: str, what: str) -> str:
    return require_id(value, what) if value else ""


def _exit_code(value: int) -> int:
    if not -INTEGER_64 <= value < INTEGER_64:
        raise InputError("--exit-code is outside 64 bits")
    return value


def _details(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    value = loads(read_argument(text, "--details"), "--details")
    if not isinstance(value, dict):
        raise InputError("not a JSON object", where="--details", advice='write it like {"key": "value"}')
    if taken := [name for name in OURS if name in value]:
        raise InputError(f"{taken[0]!r} is written by notch alone", where="--details", advice="use another name")
    return value


def report(ledger: Ledger, task_id: str, head: Head, options: argparse.Namespace) -> int:
    """Say what was recorded, and where."""
    if options.json:
        print_json(
            {
                "task_id": task_id,
                "ledger_id": ledger.ledger_id,
                "position": head.position,
                "root": head.root,
            }
        )
    else:
        print(f"recorded {task_id} #{head.position}, head {head}")
    return 0


def _baseline_arguments(parser: argparse.ArgumentParser) -> None:
    add_task(parser)


def _baseline(options: argparse.Namespace) -> int:
    from tallystick.workspace import Workspace, capture_baseline

    task_id = new_task_of(options.task)
    with open_ledger(options, write=True) as ledger:
        lines = capture_baseline(Workspace.find(os.getcwd(), exclude=own_files(ledger)))
        entry = Entry(
            type=ENTRY_WORKSPACE_BASELINE,
            status="captured",
            reason=f"workspace baseline captured: {len(lines)} changed path(s)",
            output="\n".join(lines),
        )
        head = ledger.append(task_id, entry)
        if not options.json:
            print(f"{len(lines)} changed path(s)", file=sys.stderr)
        return report(ledger, task_id, head, options)


COMMANDS = {
    "record": Command(
        _record_arguments,
        _record,
        '  notch record -t add-cache --type criterion -c ac2 --status pass --reason "looked at the page"',
    ),
    "baseline": Command(_baseline_arguments, _baseline, "  notch baseline -t add-cache"),
}
