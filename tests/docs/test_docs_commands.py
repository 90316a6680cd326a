"""The page of commands is what the commands say of themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from support.command import Notch
from tallystick.cli.commands import COMMANDS

MAKER = Path(__file__).resolve().parents[2] / "docs" / "command_page.py"

spec = importlib.util.spec_from_file_location("command_page", MAKER)
assert spec is not None
assert spec.loader is not None
command_page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(command_page)


def test_it_is_what_the_commands_say() -> None:
    written = command_page.PAGE.read_text("utf-8")
    assert written == command_page.page(), "run: python docs/command_page.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_there(name: str) -> None:
    page = command_page.PAGE.read_text("utf-8")
    section = page.partition(f"### notch {name}\n")[2].partition("\n### ")[0]
    assert section, f"no section for {name}"
    for option in command_page.options_of(name, COMMANDS[name]):
        for word in option.option_strings:
            assert f"`{word}" in section, word


def test_help_tells_the_same_options(notch: Notch) -> None:
    """Of one command, since a process each would take long."""
    printed = notch("review", "--help").stdout
    for option in command_page.options_of("review", COMMANDS["review"]):
        assert option.option_strings[0] in printed
