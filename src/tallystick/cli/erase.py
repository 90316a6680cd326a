"""erase: taking a part of an entry out of the ledger, with a record of it."""

from __future__ import annotations

import getpass
import sys

from tallystick.cli.context import open_ledger, position_of
from tallystick.cli.parser import Command
from tallystick.cli.record import report
from tallystick.cli.terminal import Progress, print_json
from tallystick.errors import InputError
from tallystick.model.record import PARTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.ledger import Ledger


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", nargs="?", help="the task")
    parser.add_argument(
        "entries", metavar="ID|POSITION", nargs="*", help="its entries: digits are a position, anything else an id"
    )
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="default: all that the entry has; may be given again"
    )
    parser.add_argument("--reason", help="why, for those who find the gap")
    parser.add_argument("--by", metavar="WHO", help="who erases; default: the user")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--finish", action="store_true", help="complete erasures that were interrupted, and nothing else"
    )


def _erase(options: argparse.Namespace) -> int:
    if options.finish:
        return _finish(options)
    if not options.task or not options.entries:
        raise InputError("name a task and what to erase of it", advice="notch erase TASK POSITION --reason …")
    if options.reason is None:
        raise InputError("--reason is missing", advice="say why, for those who find the gap")
    if not options.reason.strip():
        raise InputError("--reason is empty", advice="say why, for those who find the gap")
    with open_ledger(options, write=True, settle=False) as ledger:
        wanted = _wanted(ledger, options)
        if not options.yes:
            _confirm(options.task, wanted)
        for position, parts in wanted:
            head = ledger.erase(
                options.task, position, parts, reason=options.reason, actor=options.by or _user(), finish=False
            )
            if not options.json:
                kept = "backups, replicas and bundles already sent keep theirs"
                print(f"erased {', '.join(parts)} of #{position}; {kept}", flush=True)
        report(ledger, options.task, head, options)
        _rewrite(ledger)
    return 0


def _wanted(ledger: Ledger, options: argparse.Namespace) -> list[tuple[int, list[str]]]:
    """(position, parts) of everything that is to be erased. Raises InputError, NotFoundError."""
    wanted = []
    for position in dict.fromkeys(position_of(ledger, options.task, name) for name in options.entries):
        recorded = ledger.entry(options.task, position, outputs=True)
        present = _parts_of(recorded)
        parts = options.part or present
        if not parts:
            raise InputError("there is nothing left to erase", where=f"{options.task} at position {position}")
        if gone := [part for part in parts if part not in present]:
            what = f"the entry at position {position} has no {' and no '.join(gone)} to erase"
            raise InputError(what, where=options.task)
        wanted.append((position, list(dict.fromkeys(parts))))
    return wanted


def _finish(options: argparse.Namespace) -> int:
    for given, name in ((options.task, "a task"), (options.part, "--part"), (options.reason, "--reason")):
        if given:
            raise InputError(f"--finish completes what was erased before: {name} does not go with it")
    with open_ledger(options, write=True, settle=False) as ledger:
        unfinished = ledger.unfinished_erasures()
        _rewrite(ledger)
    if options.json:
        print_json({"finished": [{"task_id": task_id, "position": position} for task_id, position in unfinished]})
    else:
        print(f"finished {len(unfinished)} of {len(unfinished)} erasures" if unfinished else "no erasure is unfinished")
    return 0


def _rewrite(ledger: Ledger) -> None:
    """Have the bytes gone. It takes as long as writing the ledger's file anew."""
    progress = Progress("writing the ledger anew, without what was erased")
    try:
        ledger.finish_erasures(progress.at)
    finally:
        progress.end()


def _parts_of(recorded: object) -> list[str]:
    entry, erased = recorded.entry, recorded.erased  # type: ignore[attr-defined]
    present = {
        "text": bool(entry.reason or entry.command or entry.path),
        "details": bool(entry.details),
        "output": bool(entry.output_bytes),
    }
    return [part for part in PARTS if present[part] and part not in erased]


def _confirm(task_id: str, wanted: list[tuple[int, list[str]]]) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError("erasing cannot be undone", advice="say --yes where nobody can be asked")
    for position, parts in wanted:
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
        _arguments,
        _erase,
        '  notch erase add-cache 3 --part output --reason "the log held a customer\'s name"\n'
        '  notch erase add-cache 3 5 8 --reason "a token" --yes      (several at once take no longer than one)\n'
        "  notch erase --finish",
    ),
}
