"""Parsing one command's arguments, so that its help and its errors look like every other command's."""

from __future__ import annotations

import argparse
from collections import namedtuple

from tallystick.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

Command = namedtuple("Command", "add_arguments run example")
"""A command: what it adds to its parser, what it does (returns the exit code), an example for its help."""


class Parser(argparse.ArgumentParser):
    """One command's parser. Errors are InputErrors, so that they end like all bad input: one line, exit 2."""

    def __init__(self, name: str, summary: str, example: str) -> None:
        super().__init__(
            prog=f"notch {name}",
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example:\n{example}",
            allow_abbrev=False,
        )

    def _get_formatter(self) -> argparse.HelpFormatter:
        """Without a width argparse imports shutil, for every option that is added."""
        return argparse.RawDescriptionHelpFormatter(self.prog, width=100)

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise InputError(message, where=self.prog.removeprefix("notch "), advice=f"{self.prog} --help tells more")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The options. Raises InputError for anything that is not one."""
        options = self.parse_args(arguments)
        if getattr(options, "task_option", None) is not None:
            if options.task is not None:
                self.error("the task is named twice")
            options.task = options.task_option
        return options


class Once(argparse.Action):
    """An option with one value. Of two, one would be dropped; an empty one is often a variable that is not set."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the value. Ends as every error of the parser does if it is empty, or the second one."""
        if not values:
            parser.error(f"{option_string} has an empty value")
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command takes."""
    parser.add_argument("--ledger", metavar="URL", help="the ledger: a path, sqlite:///… or postgresql://…")
    if not any(action.dest == "json" for action in parser._actions):
        parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_task(parser: argparse.ArgumentParser) -> None:
    """The task by option, for commands that write."""
    parser.add_argument("-t", "--task", metavar="TASK", help="default: $TALLYSTICK_TASK, else the git branch")


def add_task_argument(parser: argparse.ArgumentParser) -> None:
    """The task as an optional argument, for commands that read."""
    parser.add_argument("task", nargs="?", metavar="TASK", help="default: $TALLYSTICK_TASK, else the git branch")
    parser.add_argument("-t", "--task", dest="task_option", metavar="TASK", help="the same, as other commands take it")
