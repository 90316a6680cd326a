"""Writes docs/reference/commands.md from what the commands themselves know: `python docs/command_page.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tallystick.cli.commands import GROUPS, Listed
from tallystick.cli.parser import Command, Parser

PAGE = Path(__file__).parent / "reference" / "commands.md"

INTRODUCTION = """\
# Commands

What `notch COMMAND --help` says, for every command. The page is made by `python docs/command_page.py`.

Every command takes `--ledger URL` (a path, `sqlite:///…` or `postgresql://…`), before the command or after it, and
`--help`, and nearly every one `--json`, for what [JSON](json.md) tells. Without `--ledger` it is `$TALLYSTICK_LEDGER`,
else `.tallystick/ledger.db` here or in a folder above. The task is the one that is named, else `$TALLYSTICK_TASK`, the
git branch, or the branch that a CI job names. What they exit with is listed under [exit codes](exit-codes.md).
"""


def page() -> str:
    """The page, whole."""
    lines = [INTRODUCTION]
    for title, group in GROUPS.items():
        lines.append(f"## {title}\n")
        for name, listed in group.items():
            lines += _section(name, listed)
    return "\n".join(lines).rstrip("\n") + "\n"


def options_of(name: str, listed: Listed) -> list[argparse.Action]:
    """What a command takes besides what every command takes."""
    parser = Parser(name, listed.summary, "")
    _command(name, listed).add_arguments(parser)
    return [one for one in parser._actions if one.help != argparse.SUPPRESS and one.dest not in ("help", "json")]


def _command(name: str, listed: Listed) -> Command:
    command: Command = import_module(f"tallystick.cli.{listed.module}").COMMANDS[name]
    return command


def _section(name: str, listed: Listed) -> Iterator[str]:
    options = options_of(name, listed)
    yield f"### notch {name}\n"
    yield f"{listed.summary[0].upper()}{listed.summary[1:]}.\n"
    yield "```text"
    yield " ".join(["notch", name, *(_usage(option) for option in _in_usage_order(options))])
    yield "```\n"
    if options:
        yield "| argument | what it is |"
        yield "|---|---|"
        for option in options:
            yield f"| {_names(option)} | {_help(option)} |"
        yield ""
    yield "For example:\n"
    yield "```text"
    yield from (line.removeprefix("  ") for line in _command(name, listed).example.splitlines())
    yield "```\n"


def _in_usage_order(options: list[argparse.Action]) -> list[argparse.Action]:
    return sorted(options, key=lambda option: not option.option_strings)


def _usage(option: argparse.Action) -> str:
    if not option.option_strings:
        words = _value(option)
        return {"?": f"[{words}]", "*": f"[{words}]", "+": words}.get(str(option.nargs), words)
    words = option.option_strings[0] + (f" {_value(option)}" if option.nargs != 0 else "")
    return words if option.required else f"[{words}]"


def _value(option: argparse.Action) -> str:
    if isinstance(option.metavar, str):
        return option.metavar
    return "|".join(map(str, option.choices)) if option.choices else option.dest.upper()


def _names(option: argparse.Action) -> str:
    value = _value(option) if option.nargs != 0 else ""
    if not option.option_strings:
        return _code(value)
    return ", ".join(_code(f"{name} {value}".strip()) for name in option.option_strings)


def _code(words: str) -> str:
    return f"`{words}`".replace("|", "\\|")


def _help(option: argparse.Action) -> str:
    words = (option.help or "") % {**vars(option), "prog": "notch"}
    return words.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
