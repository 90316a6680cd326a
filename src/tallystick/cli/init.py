"""init: a ledger and a first plan."""

from __future__ import annotations

import os

from tallystick.cli.context import open_ledger, require_own_place
from tallystick.cli.parser import Command
from tallystick.cli.terminal import print_json
from tallystick.errors import InputError
from tallystick.ledger import Ledger
from tallystick.location import work_tree_root
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

PLAN = "tallystick.toml"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-plan", action="store_true", help=f"do not write a first {PLAN}")
    parser.add_argument(
        "--id",
        metavar="LEDGER_ID",
        help="make it the ledger with this id, which is to be copied here: it must be empty",
    )


def _init(options: argparse.Namespace) -> int:
    ledger_id, url = _make(options)
    root = work_tree_root(os.getcwd()) or os.getcwd()
    plan = os.path.join(root, PLAN)
    written = not options.no_plan and not os.path.exists(plan)
    notes: tuple[str, ...] = ()
    if written:
        from tallystick.files import PUBLIC, write_whole
        from tallystick.gate.detect import first_plan

        first = first_plan(root, os.urandom(16).hex())
        notes = first.notes
        write_whole(plan, [first.text.encode()], mode=PUBLIC)
    if options.json:
        print_json({"ledger_id": ledger_id, "url": url, "plan": plan if written else None, "notes": list(notes)})
        return 0
    print(f"ledger {ledger_id} at {url.removeprefix('sqlite:///')}")
    if written:
        print(f"wrote {os.path.relpath(plan)}: look at it, then notch check runs it and judges")
        for note in notes:
            print(f"note: {printable(note)}")
    return 0


def _make(options: argparse.Namespace) -> tuple[str, str]:
    """(id, URL) of the ledger. Raises InputError for an id that none can have, or a ledger that keeps its own."""
    wanted = options.id
    if wanted is None:
        with open_ledger(options, write=True) as ledger:
            return ledger.ledger_id, ledger.url
    if len(wanted) != 32 or set(wanted) - set("0123456789abcdef"):
        raise InputError(f"{wanted!r} is no ledger's id", advice="it is 32 hex digits: notch init prints it")
    require_own_place(options)
    with Ledger.open(options.ledger, random=lambda _: bytes.fromhex(wanted)) as ledger:
        if ledger.ledger_id != wanted:
            take_over = getattr(ledger.store, "take_over", None)
            if take_over is None:
                raise InputError("a bundle keeps its id", where=ledger.url)
            take_over(wanted)
        return wanted, ledger.url


COMMANDS = {"init": Command(_arguments, _init, "  notch init")}
