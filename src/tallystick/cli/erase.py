"""erase: taking a part of an entry out of the ledger, with a record of it."""

from __future__ import annotations

import getpass
import sys

from tallystick.cli.context import open_ledger, position_of
from tallystick.cli.parser import Command
from tallystick.cli.record import report
from tallystick.errors import InputError
from tallystick.model.record import PARTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the task")
    parser.add_argument("entry", metavar="ID|POSITION", help="digits are a position, anything else an id")
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="default: all that the entry has; may be given again"
    )
    parser.add_argument("--reason", required=True, help="why, for whoever finds the gap")
    parser.add_argument("--by", metavar="WHO", help="who erases; default: the user")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _erase(options: argparse.Namespace) -> int:
    if not options.reason.strip():
        raise InputError("--reason is empty", advice="say why, for whoever finds the gap")
    with open_ledger(options, write=True) as ledger:
        position = position_of(ledger, options.task, options.entry)
        parts = options.part or _parts_of(ledger.entry(options.task, position, outputs=True))
        if not parts:
            raise InputError("there is nothing left to erase", where=f"{options.task} at position {position}")
        if not options.yes:
            _confirm(options.task, position, parts)
        head = ledger.erase(options.task, position, parts, reason=options.reason, actor=options.by or _user())
        if not options.json:
            print(f"erased {', '.join(parts)} of #{position}; backups, replicas and bundles already sent keep theirs")
        return report(ledger, options.task, head, options)


def _parts_of(recorded: object) -> list[str]:
    entry, erased = recorded.entry, recorded.erased  # type: ignore[attr-defined]
    present = {
        "text": bool(entry.reason or entry.command or entry.path),
        "details": bool(entry.details),
        "output": bool(entry.output_bytes),
    }
    return [part for part in PARTS if present[part] and part not in erased]


def _confirm(task_id: str, position: int, parts: list[str]) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError("erasing cannot be undone", advice="say --yes where nobody can be asked")
    print(f"This erases {', '.join(parts)} of {task_id} #{position} for good.", file=sys.stderr)
    print("Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise InputError("nothing was erased")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


COMMANDS = {
    "erase": Command(
        _arguments, _erase, '  notch erase add-cache 3 --part output --reason "the log held a customer\'s name"'
    ),
}
