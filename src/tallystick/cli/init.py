"""init: a ledger and a first plan."""

from __future__ import annotations

import os

from tallystick.cli.context import open_ledger
from tallystick.cli.parser import Command
from tallystick.cli.terminal import print_json
from tallystick.location import work_tree_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

PLAN = "tallystick.toml"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-plan", action="store_true", help=f"do not write a first {PLAN}")


def _init(options: argparse.Namespace) -> int:
    with open_ledger(options, write=True) as ledger:
        ledger_id, url = ledger.ledger_id, ledger.url
    root = work_tree_root(os.getcwd()) or os.getcwd()
    plan = os.path.join(root, PLAN)
    written = not options.no_plan and not os.path.exists(plan)
    if written:
        from tallystick.cli.files import write_new
        from tallystick.gate.detect import first_plan

        write_new(plan, [first_plan(root).encode()])
    if options.json:
        print_json({"ledger_id": ledger_id, "url": url, "plan": plan if written else None})
        return 0
    print(f"ledger {ledger_id} at {url.removeprefix('sqlite:///')}")
    if written:
        print(f"wrote {os.path.relpath(plan)}: look at it, then notch run -c CRITERION")
    return 0


COMMANDS = {"init": Command(_arguments, _init, "  notch init")}
