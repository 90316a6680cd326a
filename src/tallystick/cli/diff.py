"""diff: how a task's recorded state changed between two moments."""

from __future__ import annotations

import re

from tallystick.cli.context import open_ledger, position_of
from tallystick.cli.parser import Command
from tallystick.cli.terminal import bold, paint, print_json, shorten, width
from tallystick.errors import InputError, NotFoundError, TamperedError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from tallystick.ledger import Ledger
    from tallystick.model.difference import Cause, StateChange
    from tallystick.stores.base import Head

SHOWN_CAUSES = 10
"""How many entries are shown of one criterion, of more the newest."""

_HEAD = re.compile(r"[0-9]{1,18}:[0-9a-f]{64}")


def _arguments(parser: argparse.ArgumentParser) -> None:
    moment = "a position, a time, a head or an entry's id"
    parser.add_argument("task", metavar="TASK", help="the task")
    parser.add_argument("first", metavar="A", help=moment)
    parser.add_argument("second", metavar="B", nargs="?", help=f"{moment}; default: now")


def _diff(options: argparse.Namespace) -> int:
    from tallystick.model.difference import state_changes

    task_id = options.task
    with open_ledger(options) as ledger:
        newest = ledger.head(task_id).position
        first = moment(ledger, task_id, options.first, newest)
        second = newest if options.second is None else moment(ledger, task_id, options.second, newest)
        heads = [ledger.root_at(task_id, position) for position in (first, second)]
        rules = ledger.session(task_id, 0, outputs=False).rules
        entries = ledger.entries(task_id, 1, max(first, second), outputs=False)
        changes = state_changes(entries, first, second, rules=rules)
    if options.json:
        print_json(_document(task_id, ledger.ledger_id, heads, changes))
    else:
        _print(task_id, heads, changes)
    return 0


def moment(ledger: Ledger, task_id: str, name: str, newest: int) -> int:
    """The position that a word on the command line stands for.

    Digits are a position, `POSITION:ROOT` a head, a date or time the last position up to then, anything else the id
    of an entry. Raises NotFoundError; TamperedError for a head that the history does not extend.
    """
    if name.isascii() and name.isdigit():
        return _within(int(name) if len(name) < 20 else newest + 1, task_id, newest)
    if _HEAD.fullmatch(name):
        return _of_head(ledger, task_id, name, newest)
    try:
        return ledger.position_at(task_id, name)
    except NotFoundError:
        raise
    except InputError:
        return position_of(ledger, task_id, name)


def _within(position: int, task_id: str, newest: int) -> int:
    if position > newest:
        raise NotFoundError(f"no position {position}", where=task_id, advice=f"the newest is {newest}")
    return position


def _of_head(ledger: Ledger, task_id: str, name: str, newest: int) -> int:
    from tallystick.stores.base import Head

    head = Head.parse(name)
    if head.position > newest or ledger.root_at(task_id, head.position) != head:
        raise TamperedError("the history does not extend that head", task_id=task_id, position=head.position)
    return head.position


def _document(task_id: str, ledger_id: str, heads: Sequence[Head], changes: Sequence[StateChange]) -> dict[str, object]:
    first, second = ({"position": head.position, "root": head.root} for head in heads)
    return {
        "task_id": task_id,
        "ledger_id": ledger_id,
        "from": first,
        "to": second,
        "criteria": [change.to_dict() for change in changes if change.kind == "criterion"],
        "phases": [change.to_dict() for change in changes if change.kind == "phase"],
    }


def _print(task_id: str, heads: Sequence[Head], changes: Sequence[StateChange]) -> None:
    first, second = (head.position for head in heads)
    print(f"{bold(printable(task_id))}  from #{first} to #{second}")
    for change in changes:
        print(f"{change.kind} {printable(change.id)}  {_told(change)}")
        left_out = len(change.causes) - SHOWN_CAUSES
        if left_out > 0:
            print(f"  … {left_out} entries before")
        for cause in change.causes[-SHOWN_CAUSES:]:
            print(shorten(f"  #{cause.position}  {_cause(cause)}", width()))
    if not changes:
        print("no entry in between names a criterion or a phase")


def _told(change: StateChange) -> str:
    before, after = (printable(state.status) if state else "" for state in (change.before, change.after))
    if change.how == "appeared":
        return f"appeared: {paint(after, after)}"
    if change.how == "gone":
        return f"not there yet, later {paint(before, before)}"
    if change.how == "again":
        return f"{paint(after, after)} again"
    return f"{paint(before, before)} → {paint(after, after)}"


def _cause(cause: Cause) -> str:
    return "  ".join(word for word in (cause.at, cause.type, cause.status, cause.reason) if word)


COMMANDS = {
    "diff": Command(
        _arguments,
        _diff,
        "  notch diff add-cache 3\n  notch diff add-cache 2026-11-23 2026-11-24T12:00\n  notch diff add-cache 17:9f2c…",
    )
}
