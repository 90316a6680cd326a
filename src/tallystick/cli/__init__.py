"""The `notch` command: it parses and prints, and decides nothing.

Each command group is a file of its own, imported only when one of its commands is called: hooks call `notch`
all day, and what is not imported costs nothing.
"""

from __future__ import annotations

import codecs
import os
import sys

from tallystick.cli.commands import COMMANDS, overview, suggestion
from tallystick.errors import InputError, StoreUnavailableError, TallystickError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
BROKEN_PIPE = 141
_ESCAPED = "tallystick.escape"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Every error becomes one line on standard error."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _settle_streams()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except TallystickError as error:
        from tallystick.model.text import printable

        print(f"notch: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        print(f"notch: {where}{error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return StoreUnavailableError.exit_code
    finally:
        _flush_errors()


def _flush_errors() -> None:
    """Whoever reads what is said on standard error may have gone: that changes no exit code."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _settle_streams() -> None:
    """Standard streams that are closed lead nowhere, and what a terminal cannot show is escaped.

    A closed descriptor would be given to the next file that is opened, and the ledger must not be standard output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escapes as JSON has them, since what cannot be shown may stand in a JSON document."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


codecs.register_error(_ESCAPED, _escaped)


def _dispatch(arguments: list[str]) -> int:
    ledger, rest = _leading_options(arguments)
    if not rest or rest[0] in ("-h", "--help", "help"):
        if rest[1:2] and rest[1] in COMMANDS:
            return _dispatch([rest[1], "--help"])
        print(overview(), end="")
        return 0 if rest else 2
    if rest[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"notch {version('tallystick')}")
        return 0
    name = rest[0]
    if name not in COMMANDS:
        raise InputError(f"no such command: {name}", advice=suggestion(name))
    from importlib import import_module

    from tallystick.cli.parser import Parser, add_common

    command = import_module(f"tallystick.cli.{COMMANDS[name].module}").COMMANDS[name]
    parser = Parser(name, COMMANDS[name].summary, command.example)
    command.add_arguments(parser)
    add_common(parser)
    options = parser.parse(rest[1:])
    if ledger is not None and options.ledger is None:
        options.ledger = ledger
    code: int = command.run(options)
    return code


def _leading_options(arguments: list[str]) -> tuple[str | None, list[str]]:
    """What stands before the command: only `--ledger` means something there."""
    ledger = None
    while arguments and arguments[0].startswith("--ledger"):
        first, *arguments = arguments
        if first == "--ledger":
            if not arguments:
                raise InputError("--ledger needs a URL or a path")
            ledger, *arguments = arguments
        elif first.startswith("--ledger="):
            ledger = first.removeprefix("--ledger=")
        else:
            return ledger, [first, *arguments]
    return ledger, arguments
