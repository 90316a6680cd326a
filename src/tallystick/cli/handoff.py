"""handoff: a page for whoever takes over."""

from __future__ import annotations

import os
import sys

from tallystick.cli.context import ledger_place, task_of
from tallystick.cli.gate import judged, open_case
from tallystick.cli.judging import add_judging
from tallystick.cli.parser import Command, add_task_argument
from tallystick.cli.terminal import json_text
from tallystick.errors import InputError, TamperedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.gate.handoff import Handoff


def _arguments(parser: argparse.ArgumentParser) -> None:
    from tallystick.gate.handoff import MAX_BYTES

    add_task_argument(parser)
    add_judging(parser)
    parser.add_argument("-o", "--to", metavar="FILE", help="write it there instead of standard output")
    parser.add_argument(
        "--max-bytes", type=int, default=MAX_BYTES, metavar="N", help=f"no longer than that; default: {MAX_BYTES}"
    )


def _handoff(options: argparse.Namespace) -> int:
    from tallystick.clock import now
    from tallystick.gate.handoff import LEAST_BYTES, Handoff
    from tallystick.gate.memory import SeenHeads

    if options.max_bytes < LEAST_BYTES:
        raise InputError(f"--max-bytes is {LEAST_BYTES} or more")
    task_id = task_of(options.task)
    seen = SeenHeads(ledger_place(options), os.environ)
    with open_case(options, task_id, required=False) as case:
        verdict = judged(case, seen) if case.plan.known else None
        handoff = Handoff(case, verdict, at=verdict.at if verdict else now())
        text = _drawn(handoff, options)
    if options.to and options.to != "-":
        from tallystick.cli.files import write_output

        write_output(options.to, [text.encode()], options)
    else:
        sys.stdout.write(text)
    return TamperedError.exit_code if handoff.tampered else 0


def _drawn(handoff: Handoff, options: argparse.Namespace) -> str:
    from tallystick.gate.handoff_page import cut_off, page

    if options.json:
        return handoff.render(lambda told: json_text(told) + "\n", max_bytes=options.max_bytes)
    return cut_off(handoff.render(page, max_bytes=options.max_bytes), options.max_bytes)


COMMANDS = {"handoff": Command(_arguments, _handoff, "  notch handoff add-cache -o HANDOFF.md")}
