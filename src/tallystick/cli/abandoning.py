"""run --abandon: ending by hand what began somewhere that nobody here can see, and has no end."""

from __future__ import annotations

from tallystick.cli.context import open_ledger, remember
from tallystick.cli.terminal import print_json
from tallystick.errors import InputError, NotFoundError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.recorded import Recorded


def abandon(options: argparse.Namespace, task_id: str) -> int:
    """Record of each run that has no end, and whose process nobody here can see, that it comes to none.

    Raises InputError if there is none, or if one of them still runs here.
    """
    from tallystick.gate.attempts import GIVEN_UP
    from tallystick.model.entry import Entry

    if options.command or options.attest or options.report:
        raise InputError("--abandon runs nothing", advice="notch run --abandon -c CRITERION")
    with open_ledger(options, write=True) as ledger:
        ended = [one for one in _without_end(ledger, task_id, options.criterion) if not _is_seen(one, task_id)]
        if not ended:
            which = f" of {printable(options.criterion)}" if options.criterion else ""
            raise InputError(f"no run{which} is without an end that nobody here can see", where=task_id)
        for started in ended:
            entry = Entry(
                type=GIVEN_UP,
                criterion_id=started.entry.criterion_id,
                status="interrupted",
                reason="abandoned: nobody can see whether it still runs",
                command=started.entry.command,
                details={"run": {"started": started.position}},
            )
            head = ledger.append(task_id, entry)
        remember(options, ledger, task_id, head)
    if options.json:
        print_json({"task_id": task_id, "abandoned": [one.position for one in ended], "position": head.position})
        return 0
    for started in ended:
        host = printable(str(_recorded(started).get("host") or "another machine"))
        name = printable(started.entry.criterion_id or started.entry.command)
        print(f"abandoned {name} #{started.position}, begun {started.at} on {host}")
    return 0


def _without_end(ledger: Ledger, task_id: str, criterion_id: str) -> list[Recorded]:
    """The runs of the task, of one criterion if it is named, that began and have no end."""
    from tallystick.gate.attempts import GIVEN_UP, RESULTS, STARTED, started_by

    begun: dict[int, Recorded] = {}
    try:
        for recorded in ledger.entries(task_id, outputs=False):
            if recorded.entry.type == STARTED and criterion_id in ("", recorded.entry.criterion_id):
                begun[recorded.position] = recorded
            elif recorded.entry.type in RESULTS or recorded.entry.type in (GIVEN_UP, "run"):
                begun.pop(started_by(recorded), None)
    except NotFoundError:
        pass
    return list(begun.values())


def _is_seen(started: Recorded, task_id: str) -> bool:
    """Whether its process could be seen from here, and is gone. Raises InputError if it still runs."""
    from datetime import UTC, datetime

    from tallystick.capture.identity import is_interrupted, is_seen_from_here

    told = _recorded(started)
    if not is_seen_from_here(told):
        return False
    if not is_interrupted(told, datetime.now(UTC)):
        raise InputError(
            f"the run that began at {started.at} still runs here, as process {told.get('pid')}",
            where=f"{task_id} #{started.position}",
            advice=f"end it: kill {told.get('pid')}",
        )
    return True


def _recorded(started: Recorded) -> Mapping[str, Any]:
    from tallystick.gate.attempts import as_object

    return as_object(started.entry.details.get("run"))
