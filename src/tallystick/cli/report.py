"""Test reports on the command line: what `import` makes of them."""

from __future__ import annotations

import os

from tallystick.cli.context import new_task_of, remember
from tallystick.cli.terminal import paint, print_json
from tallystick.model.ids import require_id
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from tallystick.gate.plan import Criterion
    from tallystick.ledger import Ledger
    from tallystick.model import Entry
    from tallystick.stores.base import Head

PROVIDER = "import"


def import_reports(files: Sequence[tuple[str, bytes, str]], ledger: Ledger, options: argparse.Namespace) -> int:
    """Record one run's reports as one entry, and say so. `files`: path, bytes, format.

    The same reports on the same content are recorded once. Raises InputError for what is no report; nothing is
    written then.
    """
    from tallystick.gate.report_file import report_details
    from tallystick.reports import read_report
    from tallystick.reports.base import combined

    task_id = new_task_of(options.task)
    report = combined(read_report(data, name, path) for path, data, name in files)
    details = report_details(report, [(path, data) for path, data, _ in files])
    output = b"\n".join(data for _, data, _ in files)
    entry = _entry(details, output, files[0][0] if len(files) == 1 else "", ledger, task_id, options)
    earlier = _position(ledger, task_id)
    head = ledger.append(task_id, entry, idempotency_key=_key(entry))
    remember(options, ledger, task_id, head)
    _say(entry, head, [path for path, _, _ in files], options, again=head.position <= earlier)
    return 0


def _entry(
    report: dict[str, Any], output: bytes, path: str, ledger: Ledger, task_id: str, options: argparse.Namespace
) -> Entry:
    """The claim that the report is: about the content in front of us, and the criterion that is named."""
    from tallystick.capture.claim import with_content
    from tallystick.capture.run import masked, own_files
    from tallystick.cli.judging import provenance
    from tallystick.cli.run import bound_by, plan_for
    from tallystick.gate.expectation import Expectation
    from tallystick.gate.report_file import judge_report
    from tallystick.model import Entry
    from tallystick.model.secrets import SecretMask
    from tallystick.workspace import Workspace

    name = require_id(options.criterion, "the criterion") if options.criterion else ""
    workspace = Workspace.find(os.getcwd(), exclude=own_files(ledger))
    with workspace.snapshot() as snapshot:
        plan = plan_for(workspace, task_id, snapshot) if name else None
        criterion = plan.task.criterion(name) if plan else None
        status, reason = judge_report(criterion.expect if criterion else Expectation(), report)
        mask = SecretMask(os.environ)
        kept, dropped = _bounded(mask.data(output))
        entry = Entry(
            type="criterion" if name else "run",
            criterion_id=name,
            phase_id=criterion.phase if criterion else "",
            status=status,
            reason=reason,
            provider=PROVIDER,
            command=options.command if options.command is not None else _planned(criterion),
            path=path if path != "-" else "",
            output=kept,
            details={"report": report, **dropped},
        )
        bound = bound_by(criterion, ledger, task_id, provenance(options, ledger), planned=plan is not None)
        left_out = bound["products"](snapshot).left_out(snapshot) if "products" in bound else None
        return with_content(masked(entry, mask), snapshot, bound.get("patterns", ()), products=left_out)


def _planned(criterion: Criterion | None) -> str:
    """What the plan says the criterion's command is: whoever names the criterion says that this was run."""
    return criterion.command if criterion is not None and not criterion.manual else ""


def _bounded(output: bytes) -> tuple[bytes, dict[str, Any]]:
    """As much of the reports as an entry keeps, and what its details say of the rest."""
    from tallystick.model.output import OutputKeeper
    from tallystick.model.record import dropped_details

    keeper = OutputKeeper()
    keeper.feed(output)
    return keeper.kept(), {"output": dropped_details(*keeper.dropped)} if keeper.dropped is not None else {}


def _key(entry: Entry) -> str:
    """The same for the same reports, criterion and content: imported twice, they still are one run."""
    import json
    from hashlib import sha256

    told = json.dumps(entry.to_dict(), sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return f"report-{sha256(told).hexdigest()}"


def _position(ledger: Ledger, task_id: str) -> int:
    from tallystick.errors import NotFoundError

    try:
        return ledger.head(task_id).position
    except NotFoundError:
        return 0


def _say(entry: Entry, head: Head, paths: Sequence[str], options: argparse.Namespace, *, again: bool) -> None:
    task_id = new_task_of(options.task)
    if options.json:
        told = {"files": list(paths), "task_id": task_id, "criterion_id": entry.criterion_id, "status": entry.status}
        place = {"position": head.position, "root": head.root, "recorded": not again}
        print_json([{**told, "reason": entry.reason, "report": _plain(entry.details["report"]), **place}])
        return
    named = printable(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    about = f" of {printable(entry.criterion_id)}" if entry.criterion_id else ""
    done = "was recorded before as" if again else "recorded as"
    print(
        f"{named}: {paint(entry.status, entry.status)}{about}, {printable(entry.reason)};"
        f" {done} {printable(task_id)} #{head.position}, head {head}"
    )


def _plain(value: Any) -> Any:
    from tallystick.cli.gate import thawed

    return thawed(value)
