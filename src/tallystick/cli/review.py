"""review: what somebody found who looked at the content in front of us."""

from __future__ import annotations

import os

from tallystick.cli.context import ledger_files, new_task_of, open_ledger, remember
from tallystick.cli.judging import provenance
from tallystick.cli.parser import Command, add_task
from tallystick.errors import InputError, TallystickError
from tallystick.model import Entry
from tallystick.model.text import is_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.gate.provenance import Provenance
    from tallystick.ledger import Ledger
    from tallystick.workspace import Snapshot


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_task(parser)
    parser.add_argument(
        "--verdict", required=True, choices=("pass", "fail"), help="a failing review keeps the gate shut"
    )
    parser.add_argument("--by", required=True, metavar="WHO", help="who or what reviewed it")
    parser.add_argument("--findings", metavar="FILE|-", help="what was found; - reads standard input")
    parser.add_argument("--reason", default="", help="the verdict in a sentence")
    parser.add_argument("--idempotency-key", metavar="K", help="record it once, however often this is called")


def _review(options: argparse.Namespace) -> int:
    from tallystick.cli.record import report
    from tallystick.workspace import Workspace

    task_id = new_task_of(options.task)
    if is_blank(options.by) or not options.by.isprintable():
        raise InputError("--by is a name on one line")
    pending = Workspace.find(os.getcwd(), exclude=ledger_files(options)).start_snapshot()
    try:
        findings = _findings(options.findings)
        ledger = open_ledger(options, write=True)
    except (TallystickError, KeyboardInterrupt):
        pending.discard()
        raise
    with ledger, pending.result() as snapshot:
        entry = Entry(
            type="review",
            status=options.verdict,
            provider=options.by,
            reason=options.reason,
            output=findings,
        )
        entry = _about(entry, snapshot, ledger, task_id, provenance(options, ledger))
        head = ledger.append(task_id, entry, idempotency_key=options.idempotency_key)
        remember(options, ledger, task_id, head)
        return report(ledger, task_id, head, options)


def _findings(name: str | None) -> bytes:
    if name is None:
        return b""
    if name == "-":
        from tallystick.cli.context import read_argument

        return read_argument(name, "--findings")
    from tallystick.cli.files import read_file

    return read_file(name)


def _about(entry: Entry, snapshot: Snapshot, ledger: Ledger, task_id: str, provenance: Provenance) -> Entry:
    """The entry, bound to all of the content: a review is about no criterion's inputs alone."""
    from tallystick.capture.claim import with_content
    from tallystick.gate.evidence import Evidence
    from tallystick.gate.products import known_products

    products = known_products(ledger, Evidence(ledger, task_id, provenance), snapshot)
    return with_content(entry, snapshot, products=products.left_out(snapshot))


COMMANDS = {
    "review": Command(
        _arguments,
        _review,
        "  notch review --verdict pass --by ada\n"
        '  notch review -t add-cache --verdict fail --by ada --reason "misses are cached" --findings review.md',
    )
}
