"""status, log, show, tasks, artifact: looking at what is recorded."""

from __future__ import annotations

import sys

from tallystick.cli.context import open_ledger, position_of, task_of
from tallystick.cli.parser import Command, add_task_argument
from tallystick.cli.terminal import ago, bold, json_text, paint, print_json, shorten, table
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.ledger import Ledger
    from tallystick.model.entry import StateRecord
    from tallystick.recorded import Recorded, State

SHOWN_OUTPUT = 4000


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)


def _status(options: argparse.Namespace) -> int:
    task_id = task_of(options.task)
    with open_ledger(options) as ledger:
        state = ledger.state(task_id)
        criteria = _without_reruns(ledger, state)
    if options.json:
        print_json({**state_json(state), "criteria": {name: one.to_dict() for name, one in criteria.items()}})
        return 0
    entries = "entry" if state.head.position == 1 else "entries"
    print(f"{bold(printable(state.task_id))}  {state.head.position} {entries}  head {state.head}")
    for title, states in (("criterion", criteria), ("phase", state.phases)):
        if states:
            print()
            rows = [(name, one.status, ago(one.updated_at), one.reason) for name, one in states.items()]
            table((title, "status", "when", "why"), rows, kind=1)
    if not criteria and not state.phases:
        print("no entry names a criterion or a phase yet")
    return 0


def _without_reruns(ledger: Ledger, state: State) -> dict[str, StateRecord]:
    """The state of each criterion by its newest entry that neither `notch falsify` nor `notch reproduce` wrote."""
    from tallystick.gate.attempts import as_object, is_rerun
    from tallystick.model.session import state_of

    def counts(recorded: Recorded) -> bool:
        return not is_rerun(as_object(recorded.entry.details.get("run")))

    found = {}
    for name, one in state.criteria.items():
        if counts(ledger.entry(state.task_id, one.position, outputs=False)):
            found[name] = one
            continue
        from tallystick.gate.history import SessionHistory

        (key,) = (key for key in ledger.sessions_of(state.task_id) if key.ledger_id == state.ledger_id)
        entries = SessionHistory(ledger, key).by_criterion(name, at_least=one.position)
        if (recorded := next(filter(counts, entries), None)) is not None:
            found[name] = state_of(recorded.entry, recorded.position)
    return found


def state_json(state: State) -> dict[str, object]:
    """What `notch status --json` prints."""
    return {
        "task_id": state.task_id,
        "ledger_id": state.ledger_id,
        "position": state.head.position,
        "root": state.head.root,
        "criteria": {name: one.to_dict() for name, one in state.criteria.items()},
        "phases": {name: one.to_dict() for name, one in state.phases.items()},
    }


def _log_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument("-n", "--number", type=_count, metavar="N", help="only the newest N entries")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with each entry as it is recorded")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _log(options: argparse.Namespace) -> int:
    task_id = task_of(options.task)
    with open_ledger(options) as ledger:
        last = ledger.head(task_id).position
        start = 1 if options.number is None else max(1, last - options.number + 1)
        if options.follow:
            return _follow(ledger, task_id, start - 1, as_json=options.json)
        found = ledger.entries(task_id, start, outputs=False)
        if options.json:
            separator = "["
            for recorded in found:
                sys.stdout.write(separator + json_text(recorded_json(recorded)))
                separator = ",\n"
            sys.stdout.write("[]\n" if separator == "[" else "]\n")
            return 0
        rows = [_log_row(one, ago(one.at)) for one in found]
    table(("#", "when", "type", "names", "status", "what"), rows, kind=4)
    return 0


def _log_row(one: Recorded, when: str) -> tuple[str, ...]:
    entry = one.entry
    return str(one.position), when, entry.type, entry.criterion_id or entry.phase_id, entry.status, _what(one)


def _follow(ledger: Ledger, task_id: str, after: int, *, as_json: bool) -> int:
    """Print each entry on a line of its own, until the user has seen enough."""
    try:
        for one in ledger.watch(task_id, after={task_id: after}, outputs=False):
            if as_json:
                line = json_text({"task_id": one.task_id, **recorded_json(one)})
            else:
                line = "  ".join(shorten(cell, 200) for cell in _log_row(one, one.at) if cell)
            print(line, flush=True)
    except KeyboardInterrupt:
        return 0
    return 0


def _what(recorded: Recorded) -> str:
    entry = recorded.entry
    if "text" in recorded.erased:
        return "(erased)"
    return "; ".join(text for text in (entry.reason, entry.command, entry.path) if text)


def recorded_json(recorded: Recorded) -> dict[str, object]:
    """An entry as `log`, `show` and `export` print it: position, time, what was erased, and its fields."""
    document: dict[str, object] = {"position": recorded.position, "at": recorded.at}
    if recorded.erased:
        document["erased"] = list(recorded.erased)
    return {**document, **recorded.entry.to_dict()}


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    parser.add_argument("entry", metavar="ID|POSITION", help="digits are a position, anything else an id")


def _show(options: argparse.Namespace) -> int:
    task_id = task_of(options.task)
    with open_ledger(options) as ledger:
        position = position_of(ledger, task_id, options.entry)
        recorded = ledger.entry(task_id, position)
    if options.json:
        print_json(recorded_json(recorded))
        return 0
    import json

    entry = recorded.entry
    print(bold(f"{printable(task_id)} #{recorded.position}") + f"  recorded {recorded.at}")
    for name, value in entry.to_dict().items():
        if name == "details":
            print("details")
            text = json.dumps(value, ensure_ascii=False, indent=2)
            print("\n".join(f"  {printable(line)}" for line in text.splitlines()))
        elif name != "output" and value != "":
            shown = printable(str(value), keep_newlines=True).replace("\n", "\n              ")
            print(f"{name:<12}  {paint(shown, shown) if name == 'status' else shown}")
    if recorded.erased:
        print(f"{'erased':<12}  {', '.join(recorded.erased)}")
    if entry.output:
        _print_output(entry.output, f"notch artifact {printable(task_id)} {position}")
    return 0


def _print_output(output: str, whole: str) -> None:
    print("output")
    shown = output[-SHOWN_OUTPUT:]
    if len(shown) < len(output):
        print(f"  … {len(output) - len(shown)} characters before; {whole} prints all")
    for line in shown.splitlines():
        print(f"  {printable(line)}")


def _tasks_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def _tasks(options: argparse.Namespace) -> int:
    with open_ledger(options) as ledger:
        own = ledger.ledger_id
        found = list(ledger.tasks())
    if options.json:
        print_json(
            [
                {
                    "task_id": one.task_id,
                    "ledger_id": one.ledger_id,
                    "position": one.head.position,
                    "root": one.head.root,
                }
                for one in found
            ]
        )
        return 0
    rows = [
        (one.task_id, str(one.head.position), "" if one.ledger_id == own else one.ledger_id, one.head.root)
        for one in found
    ]
    if not rows:
        print("no task yet")
    table(("task", "entries", "ledger", "root"), rows)
    return 0


def _artifact_arguments(parser: argparse.ArgumentParser) -> None:
    _show_arguments(parser)
    parser.add_argument("-o", "--to", metavar="FILE", help="write it there instead of standard output")


def _artifact(options: argparse.Namespace) -> int:
    task_id = task_of(options.task)
    with open_ledger(options) as ledger:
        output = ledger.output(task_id, position_of(ledger, task_id, options.entry))
    if options.to and options.to != "-":
        from tallystick.cli.files import write_output

        write_output(options.to, [output], options)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(output)
    return 0


COMMANDS = {
    "status": Command(_status_arguments, _status, "  notch status add-cache"),
    "log": Command(_log_arguments, _log, "  notch log add-cache -n 5"),
    "show": Command(_show_arguments, _show, "  notch show add-cache 3"),
    "tasks": Command(_tasks_arguments, _tasks, "  notch tasks --json"),
    "artifact": Command(_artifact_arguments, _artifact, "  notch artifact add-cache 3 > tests.log"),
}
