"""Commands that could not be started: what a run shows if a tool was missing, which is nothing.

A shell ends with 126 or 127 if it cannot run a command, and so do most programs that start others. A program may end
with these codes by itself, so the code alone decides only if nothing was printed; else a line has to say what could not
be started. Wrappers with exit codes of their own (make, pnpm, uv) and pipes are known by what they print. If a test
failed, or in doubt, the run is a result, which counts against the criterion.
"""

from __future__ import annotations

import re

from tallystick.capture.executable import SHELL_WORDS
from tallystick.gate.shown_exit import HIDDEN, INVERTED, UNKNOWN, commands_in, shown_exit
from tallystick.model.text import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CODES = (126, 127)
LOOKED_THROUGH = 65_536
"""Bytes at each end of an output in which a line that names the missing command is looked for."""
TAIL = 15
"""How many of the last lines are a wrapper's closing words."""
SHOWN_CHARACTERS = 200

_WHY = (
    r"(?:(?:command )?not found|No such file or directory|Permission denied|cannot execute[^:]*|Is a directory"
    r"|Exec format error|bad interpreter[^:]*|required file not found)"
)
_SHELL = r"(?:\S*/)?(?:r?ba|da|z|k|mk|a|fi)?sh(?:\[\d+\])?"
_NAMED = re.compile(
    rf"(?P<shell>{_SHELL}|\S+): (?:(?:line )?\d+: )?(?P<name>[^:]+|'[^']+'|[^:]+: [^:]+): {_WHY}(?:: \S.*)?"
    rf"|{_SHELL}:\d+: (?:command not found|no such file or directory|permission denied): (?P<zsh>\S+)"
    r"|fish: Unknown command: (?P<fish>\S+)",
    re.IGNORECASE,
)
"""What a shell, or a program that starts another, says of a command that it cannot start."""
_NUMBERED = re.compile(rf"{_SHELL}: (?:\S+ )?\d+: (?P<name>[^:]+): \S[^:]*")
"""The same of a shell that speaks another language: `sh: Zeile 1: pytest: Kommando nicht gefunden.`"""
_SAYS_SO = re.compile(
    r"not found|no such file|permission denied|can(?:not|'t| not) (?:be )?(?:exec|run|open|find)|could not be found|"
    r"unknown command|exec format error|failed to (?:run|spawn|exec)|not executable|bad interpreter|unable to find",
    re.IGNORECASE,
)
_STARTERS = re.compile(
    r"error: Failed to spawn: `"  # uv
    r"|Command not found: \S+$"  # Poetry
    r"|Error: the command \S+ could not be found within PATH"  # Pipenv
    r"|.*Command '[^']+' is not found in your PATH"  # PDM
    r"|Executable `[^`]+` not found"  # pre-commit
    r"|.*> Program \S+ not found"  # nox
    r"|\S*(?:python|pypy)[\d.]*(?:\.exe)?: No module named \S+$"
    r"|\S*(?:python|pypy)[\d.]*(?:\.exe)?: can't open file "
    r"|(?:\S*/)?(?:da)?sh: 0: cannot open "
    r"|error: no such command: `"  # cargo
    r"|npm (?:ERR!|error) 404 .*(?:Not Found|not in (?:this|the npm) registry)"
    r"|npm (?:ERR!|error) could not determine executable to run"
    r"|npm (?:ERR!|error) .*spawn \S* ?ENOENT"
    r"|.*ERR_PNPM_RECURSIVE_EXEC_FIRST_FAIL.* (?:not found|ENOENT)"
    r'|.*exec: "[^"]+": executable file not found in \$PATH'  # Go: Docker, task, mage
    r'|.*"[^"]+": executable file not found in \$PATH'
    r'|.*Cannot run program "[^"]+".*(?:error=2|error=13|No such file)'  # Java
    r"|.*A problem occurred starting process 'command '"  # Gradle
    r"|sudo: [^:]+: command not found$"
    r"|Could not execute because the specified command or file was not found"  # dotnet
)
"""What programs that end with codes of their own say if they cannot start another one, from the line's beginning."""
_CODE_TOLD = re.compile(
    r"(?:\bError|\bexited|\bexit(?: code| status)?|\bstatus|\bcode)\b[ :=(\"]*"
    r"(?:with (?:exit )?(?:code|status) )?\(?(?:126|127)\b"
)
"""What wrappers say of the code of what they ran: `Error 127`, `exit code 127`, `exited (127)`."""
_MAKE = re.compile(r"\w*make(?:\[(\d+)\])?: \*\*\* \[.*\] Error (\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]")
_PROMPT = re.compile(r"^(?:[>$+] ?)+")
_TOLERANT = frozenset({"true", ":", "echo", "printf", "exit"})


def why_not_run(command: str, exit_code: int, output: bytes, *, expected: bool, started: bool = True) -> str:
    """What could not be started, in words, if the run shows nothing because of that; else empty.

    `command` is what was run, as text for a shell. `expected`: whether the plan expects that exit code. `started`:
    whether the command itself could be started. The caller has seen that no test failed.
    """
    lines = _lines(output)
    if not started:
        return _shortened(lines[-1].removeprefix("notch: ")) if lines else f"exit code {exit_code}"
    if expected:
        return _hidden(command, lines)
    if exit_code in CODES:
        if not lines:
            return f"exit code {exit_code}, and nothing was printed"
        named = [line for line in lines[-TAIL:] if _names(line) or _SAYS_SO.search(line)]
        return _shortened(named[-1]) if named else ""
    return _by_wrapper(lines) or _by_shell(lines, _first_words(command, expected=False))


def _lines(output: bytes) -> list[str]:
    if len(output) > 2 * LOOKED_THROUGH:
        output = output[:LOOKED_THROUGH] + b"\n" + output[-LOOKED_THROUGH:]
    text = _COLOUR.sub("", decode_text(output))
    return [stripped for line in text.split("\n") if (stripped := line.strip())]


def _names(line: str) -> str:
    """The command that the line says could not be started; empty if it is no such line."""
    found = _NAMED.fullmatch(line) or _NUMBERED.fullmatch(line)
    if found is None:
        return ""
    name = next((name for key, name in found.groupdict().items() if name and key != "shell"), "")
    return name.rpartition(": ")[2].strip("'\"‘’")


def _by_wrapper(lines: Sequence[str]) -> str:
    """By the closing words of what started the command and ended with a code of its own."""
    tail = lines[-TAIL:]
    if _make_failed(lines):
        return ""
    if starter := next((line for line in reversed(tail) if _STARTERS.match(line)), ""):
        return _shortened(starter)
    named = next((line for line in reversed(lines[-2 * TAIL :]) if _names(line)), "")
    if named and any(map(_CODE_TOLD.search, tail)):
        return _shortened(named)
    # pnpm ends with 1 and names no code: its word stands right behind the shell's.
    at = next((at for at, line in enumerate(tail) if "ELIFECYCLE" in line), 0)
    return _shortened(tail[at - 1]) if at and _is_shells(tail[at - 1]) else ""


def _make_failed(lines: Iterable[str]) -> bool:
    """Whether make says that another recipe failed, too: not for want of a command, nor because a make below it did."""
    below = -1
    for line in lines:
        if found := _MAKE.match(line):
            depth, code = int(found[1] or 0), int(found[2])
            if code not in CODES and not (code == 2 and below > depth):
                return True
            below = depth
    return False


def _by_shell(lines: Iterable[str], words: frozenset[str]) -> str:
    """By a shell's word on a command that the text names."""
    found = (line for line in lines if _names(line) in words and _is_shells(line))
    return _shortened(next(found, ""))


def _is_shells(line: str) -> bool:
    return bool(_names(line)) and re.match(rf"{_SHELL}:", line) is not None


def _of_script(line: str) -> bool:
    """Whether a shell says so of a command in a script: `check.sh: line 3: pytest: command not found`."""
    return bool(_names(line)) and re.match(r"\S+: (?:line )?\d+: ", line) is not None


def _hidden(command: str, lines: list[str]) -> str:
    """What could not be started although the exit code is as expected, if the command's text hides that."""
    named = [number for number, line in enumerate(lines) if _names(line)]
    shown = shown_exit(command)
    if shown in (HIDDEN, INVERTED) and (told := _by_shell(lines, _first_words(command, expected=True))):
        return told
    if shown == HIDDEN and "|" in command and lines and _STARTERS.match(lines[-1]):
        return _shortened(lines[-1])
    for number in named:
        for echoed in lines[max(number - 3, 0) : number]:
            if _names(lines[number]) in _first_words(_PROMPT.sub("", echoed), expected=True):
                return _shortened(lines[number])
    if shown == UNKNOWN and lines and all(map(_of_script, lines)):
        return _shortened(lines[-1])
    return ""


def _first_words(command: str, *, expected: bool) -> frozenset[str]:
    """The commands that a shell has to start for the text.

    `expected`: only those whose failure the text throws away, before a pipe, `;` or a last `|| true`, or behind `!`.
    """
    found = set()
    commands = commands_in(command)
    for number, (name, operator) in enumerate(commands):
        following = commands[number + 1][0] if number + 1 < len(commands) else ""
        tolerated = operator == "||" and following in _TOLERANT and number + 2 == len(commands)
        if not expected or operator in ("|", "|&", "!") or (operator == ";" and following) or tolerated:
            found.add(name)
    return frozenset(found - SHELL_WORDS - {"", "["})


def _shortened(line: str) -> str:
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"
