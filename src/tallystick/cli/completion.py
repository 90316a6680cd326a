"""completion: what a shell offers after `notch`, made from the commands themselves."""

from __future__ import annotations

import os

from tallystick.cli.commands import COMMANDS as LISTED
from tallystick.cli.parser import Command, Parser, add_common
from tallystick.errors import TallystickError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")
TASKS, CRITERIA, FILES, NOTHING = "tasks", "criteria", "files", ""
"""What a value can be completed from, besides fixed words: names that `notch completion KIND` prints, or files."""
NAMES_SHOWN = 1_000


class Taken:
    """An option or a positional argument, as a shell has to know it."""

    __slots__ = ("flags", "help", "kind", "many", "metavar", "valued", "words")

    def __init__(self, action: argparse.Action) -> None:
        self.flags = list(action.option_strings)
        self.help = " ".join((action.help or "").replace("%%", "%").split())
        self.valued = action.nargs != 0
        self.words = [str(choice) for choice in action.choices or ()]
        self.metavar = str(action.metavar or action.dest).lower()
        self.many = action.nargs in ("*", "+")
        """Of a positional argument: whether any number may follow."""
        self.kind = NOTHING if self.words else _kind(action)


def _kind(action: argparse.Action) -> str:
    metavar = str(action.metavar or "")
    if metavar == "TASK":
        return TASKS
    if action.dest == "criterion":
        return CRITERIA
    return FILES if "FILE" in metavar or metavar in ("SPEC.md", "URL", "FROM", "TO") else NOTHING


class Offered:
    """One command: its summary, its options and positional arguments, in order."""

    __slots__ = ("arguments", "name", "options", "summary")

    def __init__(self, name: str) -> None:
        from importlib import import_module

        self.name = name
        self.summary = LISTED[name].summary
        command = import_module(f"tallystick.cli.{LISTED[name].module}").COMMANDS[name]
        parser = Parser(name, self.summary, command.example)
        command.add_arguments(parser)
        add_common(parser)
        taken = [Taken(action) for action in parser._actions]
        self.options = [one for one in taken if one.flags]
        self.arguments = [one for one in taken if not one.flags]


def offered() -> list[Offered]:
    """Every command."""
    return [Offered(name) for name in LISTED]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=(*SHELLS, TASKS, CRITERIA), help="whose script, or which names")


def _completion(options: argparse.Namespace) -> int:
    if options.shell in SHELLS:
        from tallystick.cli import completion_scripts

        print("\n".join(getattr(completion_scripts, options.shell)(offered())))
        return 0
    try:
        names = _tasks(options) if options.shell == TASKS else _criteria()
        for _, name in zip(range(NAMES_SHOWN), names, strict=False):
            if name.isprintable():
                print(name)
    except TallystickError:
        pass  # A shell that completes has no place for an error.
    return 0


def _tasks(options: argparse.Namespace) -> Iterator[str]:
    from tallystick.cli.context import open_ledger

    with open_ledger(options, settle=False) as ledger:
        yield from dict.fromkeys(state.task_id for state in ledger.tasks())


def _criteria() -> Iterator[str]:
    """The criteria in the work tree's plan, as far as it can be read; whether it holds is not asked."""
    import tomllib

    folder = os.getcwd()
    while not os.path.isfile(os.path.join(folder, "tallystick.toml")):
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above
    try:
        with open(os.path.join(folder, "tallystick.toml"), "rb") as file:
            plan = tomllib.load(file)
    except (OSError, ValueError):
        return
    tasks = plan.get("tasks")
    tables = [plan, *(tasks.values() if isinstance(tasks, dict) else ())]
    for table in tables:
        criteria = table.get("criteria") if isinstance(table, dict) else None
        yield from criteria if isinstance(criteria, dict) else ()


COMMANDS = {
    "completion": Command(
        _arguments,
        _completion,
        '  eval "$(notch completion bash)"\n  notch completion zsh > ~/.zfunc/_notch\n'
        "  notch completion fish > ~/.config/fish/completions/notch.fish",
    ),
}
