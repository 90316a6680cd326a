"""Documentation that is run: the commands a page shows, and what they are said to print.

The notation is described for writers in CONTRIBUTING.md, section "Pages".
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^\s`]*)[^`]*$")
_DIRECTIVE = re.compile(r"^ *<!--\s*(?P<name>test(?:-setup|-fixture)?):(?P<text>.*?)-->", re.DOTALL | re.MULTILINE)
_ANY = "…"


@dataclass
class Command:
    """One command of a console block and the lines shown below it."""

    line: int
    text: str
    shown: list[str] = field(default_factory=list)
    code: int = 0


@dataclass
class Step:
    """What a page does at one place, from top to bottom.

    `kind` is "console" (`commands`), "setup" (`text` is shell), "file" (`text` goes to `name`), "python"
    (`text` is run) or "fixture" (`name`).
    """

    kind: str
    line: int
    text: str = ""
    name: str = ""
    commands: list[Command] = field(default_factory=list)


@dataclass
class Block:
    """A fenced block as it stands in a page."""

    line: int
    language: str
    lines: list[str]


class PageError(Exception):
    """The page itself is not as the notation wants it."""


def parse(text: str) -> list[Step]:
    """The steps of a page. Raises PageError for a directive that means nothing where it stands."""
    steps: list[Step] = []
    pending = ""
    for line, item in _items(text):
        if isinstance(item, Block):
            step = _block_step(item, pending)
            if step:
                steps.append(step)
            pending = ""
            continue
        name, content = item
        if pending:
            raise PageError(f"line {line}: no block follows <!-- test: {pending} -->")
        if name == "test":
            pending = content.strip()
        elif name == "test-setup":
            steps.append(Step("setup", line, text=content.strip("\n")))
        else:
            steps.append(Step("fixture", line, name=content.strip()))
    if pending:
        raise PageError(f"no block follows <!-- test: {pending} -->")
    return steps


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page."""
    return [item for _, item in _items(text) if isinstance(item, Block)]


def _items(text: str) -> Iterator[tuple[int, Block | tuple[str, str]]]:
    """Blocks and directives (name, text), each with its line; blocks inside a `{directive}` block too."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if opened:
            end = _end_of_block(lines, number, opened["ticks"])
            indent = len(opened["indent"])
            body = [line[indent:] if not line[:indent].strip() else line for line in lines[number + 1 : end]]
            yield number + 1, Block(number + 1, opened["language"], body)
            if opened["language"].startswith("{"):
                for line, item in _items("\n".join(body)):
                    yield number + 1 + line, _moved(item, number + 1)
            number = end + 1
            continue
        is_comment = lines[number].lstrip().startswith("<!--")
        directive = _DIRECTIVE.match("\n".join(lines[number:])) if is_comment else None
        if directive:
            yield number + 1, (directive["name"], directive["text"])
            number += directive[0].count("\n")
        number += 1


def _moved(item: Block | tuple[str, str], by: int) -> Block | tuple[str, str]:
    return Block(item.line + by, item.language, item.lines) if isinstance(item, Block) else item


def _end_of_block(lines: list[str], start: int, ticks: str) -> int:
    for number in range(start + 1, len(lines)):
        line = lines[number].strip()
        if line.startswith(ticks) and not line.strip("`"):
            return number
    raise PageError(f"line {start + 1}: the block is not closed")


def _block_step(block: Block, directive: str) -> Step | None:
    action, _, value = directive.partition(" ")
    if action == "file" and value:
        return Step("file", block.line, text="\n".join([*block.lines, ""]), name=value.strip())
    if action == "run" and block.language == "python":
        return Step("python", block.line, text="\n".join([*block.lines, ""]))
    if block.language == "console" and action in ("", "exit"):
        commands = _commands(block)
        if action == "exit":
            commands[-1].code = int(value)
        return Step("console", block.line, commands=commands)
    if directive:
        raise PageError(f"line {block.line}: <!-- test: {directive} --> means nothing before this block")
    return None


def _commands(block: Block) -> list[Command]:
    commands: list[Command] = []
    for number, line in enumerate(block.lines, block.line + 1):
        if line.startswith("$ "):
            commands.append(Command(number, line[2:]))
        elif not commands:
            raise PageError(f"line {number}: a console block begins with a line that starts with `$ `")
        elif line.startswith("> ") and not commands[-1].shown:
            commands[-1].text += "\n" + line[2:]
        else:
            commands[-1].shown.append(line)
    if not commands:
        raise PageError(f"line {block.line}: the console block is empty")
    return commands


def matches(shown: list[str], printed: str) -> bool:
    """Whether what was printed is what is shown.

    `…` in a line stands for anything in that line, a line of `…` alone for any lines or none. White space at
    the end of lines, and empty lines at the end, do not count.
    """
    pattern = ""
    for line in _trimmed(shown):
        if line.strip() == _ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.split(_ANY))) + r"\n"
    text = "".join(f"{line}\n" for line in _trimmed(printed.split("\n")))
    return re.fullmatch(pattern, text) is not None


def _trimmed(lines: list[str]) -> list[str]:
    trimmed = [line.rstrip() for line in lines]
    while trimmed and not trimmed[-1]:
        trimmed.pop()
    return trimmed


class PageRun:
    """Runs a page's steps one after another in `folder`, as one shell session would.

    The folder, the working directory and exported variables carry over from command to command.
    """

    def __init__(self, folder: Path, state: Path, environment: Mapping[str, str]) -> None:
        """`folder` is where the page begins; `state` a folder of the run's own outside it."""
        self.folder = folder
        self._cwd = state / "cwd"
        self._variables = state / "variables"
        self._script = state / "step.py"
        self._environment = dict(environment)
        self._cwd.write_text(str(folder))
        self._variables.write_text("")

    def step(self, step: Step) -> None:
        """Do one step. Raises AssertionError where it does not do what the page shows."""
        if step.kind == "console":
            for command in step.commands:
                code, printed = self.shell(command.text)
                self._judge(command, code, printed)
        elif step.kind == "setup":
            code, printed = self.shell(step.text)
            assert code == 0, f"line {step.line}: setup ended with exit {code}:\n{printed}"
        elif step.kind == "file":
            target = Path(self._cwd.read_text().strip()) / step.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.text, "utf-8")
        elif step.kind == "python":
            self._script.write_text(step.text, "utf-8")
            code, printed = self.shell(f"{shlex.quote(sys.executable)} {shlex.quote(str(self._script))}")
            assert code == 0, f"line {step.line}: the example ended with exit {code}:\n{printed}"

    def shell(self, command: str) -> tuple[int, str]:
        """Run shell text where the last command left off: its exit code and what it printed, both streams."""
        cwd, variables = shlex.quote(str(self._cwd)), shlex.quote(str(self._variables))
        around = f"trap 'pwd >{cwd}; export -p >{variables}' EXIT\n. {variables}\n{command}\n"
        done = subprocess.run(
            ["/bin/sh", "-c", around],
            cwd=self._cwd.read_text().rstrip("\n"),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=120,
        )
        return done.returncode, done.stdout

    @staticmethod
    def _judge(command: Command, code: int, printed: str) -> None:
        place = f"line {command.line}: $ {command.text}"
        assert code == command.code, f"{place}\nexit {code}, not {command.code}; it printed:\n{printed}"
        shown = "\n".join(command.shown)
        assert matches(command.shown, printed), f"{place}\nthe page shows:\n{shown}\nit printed:\n{printed}"
