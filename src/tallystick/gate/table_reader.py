"""Taking a TOML table apart strictly: each value has its type, each key is known, each refusal its line."""

from __future__ import annotations

from tallystick.errors import PlanError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from tallystick.gate.plan_checks import Problem

    Path = tuple[str | int, ...]
    Table = dict[str, Any]

_SHOWN_LIMIT = 2**53 - 1
_SHOWN_WIDTH = 60
_WIDTH = 200


class TableReader:
    """Reads the tables of one source, known to its reader as `where`; refuses by `PlanError`."""

    def __init__(self, source: str, where: str) -> None:
        self.source = source
        self.where = where

    def fail(self, path: Path, what: str, advice: str = "") -> NoReturn:
        from tallystick.gate.plan_lines import line_of
        from tallystick.gate.toml_text import dotted

        line = line_of(self.source, path)
        where = self.where if line is None else f"{self.where}:{line}"
        what = f"{cut(dotted(path), _WIDTH)}: {cut(printable(what), _WIDTH)}"
        raise PlanError(what, where=where, advice=cut(printable(advice), _WIDTH))

    def table(self, path: Path, value: Any) -> Table:
        if not isinstance(value, dict):
            self.fail(path, f"must be a table, not {kind(value)}", _table_advice(path))
        return value

    def known(self, path: Path, table: Table, names: tuple[str, ...]) -> None:
        for name in table:
            if name not in names:
                advice = did_you_mean(name, names) or f"known here: {', '.join(names)}"
                self.fail((*path, name), "unknown key", advice)

    def text(self, path: Path, value: Any, *, filled: bool = False) -> str:
        if not isinstance(value, str):
            self.fail(path, f"must be a string, not {kind(value)}", "write it in quotes")
        if filled and not value:
            self.fail(path, "is empty", "leave it out")
        return value

    def texts(self, path: Path, value: Any, problem: Callable[[str], Problem] | None = None) -> tuple[str, ...]:
        if not isinstance(value, list):
            example = f"[{shown(value)}]" if isinstance(value, str) else '["…"]'
            self.fail(path, f"must be a list of strings, not {kind(value)}", f"write {example}")
        for place, item in enumerate(value):
            self.text((*path, place), item)
            if problem is not None:
                self.check((*path, place), problem(item))
        return tuple(value)

    def one_of(self, path: Path, value: Any, words: tuple[str, ...]) -> str:
        if value not in words or not isinstance(value, str):
            advice = isinstance(value, str) and did_you_mean(value, words)
            self.fail(
                path,
                f"must be one of {', '.join(words)}, not {shown(value)}",
                advice or f'write "{words[0]}"',
            )
        return value

    def distinct(self, path: Path, items: tuple[str, ...]) -> None:
        for place, item in enumerate(items):
            if item in items[:place]:
                self.fail((*path, place), f"{shown(item)} stands there twice", "leave one out")

    def check(self, path: Path, problem: Problem) -> None:
        if problem is not None:
            self.fail(path, *problem)


def cut(text: str, width: int) -> str:
    """The text, with `…` for what is beyond the width."""
    return text if len(text) <= width else text[: width - 1] + "…"


def kind(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a decimal number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def shown(value: Any) -> str:
    """A value as a message can hold it: scalars as written, cut short; anything else by its kind."""
    from tallystick.gate.toml_text import string

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) <= _SHOWN_LIMIT:
        return str(value)
    if isinstance(value, str):
        return string(cut(value, _SHOWN_WIDTH))
    return kind(value)


def _table_advice(path: Path) -> str:
    from tallystick.gate.toml_text import dotted

    return f"write [{dotted(path)}] and its keys below" if all(isinstance(part, str) for part in path) else ""


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.lower()[:60], known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""
