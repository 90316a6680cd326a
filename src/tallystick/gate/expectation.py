"""What a run has to show besides having ended: its exit code, its counts of tests, words in its output."""

from __future__ import annotations

import operator
import re

from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OUTPUT_WINDOW = 65_536
"""How much of the end of an output the `output` expression is looked for in, in characters."""

PATTERN_LIMIT = 1_000
"""The longest `output` expression that a plan may hold, in characters."""

OPERATORS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

_DIGITS = 16
SHELLS_WORD = {126: " (cannot be run)", 127: " (command not found)"}
"""What a shell means by these, and most commands that start others."""


class Comparison(Frozen):
    """A condition on a number that is never negative, such as `>= 40`."""

    __slots__ = FIELDS = ("operator", "number")

    operator: str
    """One of `OPERATORS`."""
    number: int

    def __init__(self, operator: str, number: int) -> None:
        set_once(self, "operator", operator)
        set_once(self, "number", number)

    def __str__(self) -> str:
        return f"{self.operator} {self.number}"

    def allows(self, count: int) -> bool:
        """Whether the number meets the condition."""
        return OPERATORS[self.operator](count, self.number)

    def satisfiable(self) -> bool:
        """Whether there is a number that meets the condition."""
        return any(self.allows(count) for count in _turning_points(self))

    def within(self, other: Comparison) -> bool:
        """Whether every number that meets this condition meets the other one too."""
        return all(other.allows(count) for count in _turning_points(self, other) if self.allows(count))


def _turning_points(*conditions: Comparison) -> set[int]:
    """A number out of each stretch on which none of the conditions changes its answer."""
    near = {condition.number + step for condition in conditions for step in (-1, 0, 1)}
    return {0} | {count for count in near if count > 0}


def parse_comparison(text: str) -> Comparison | None:
    """The comparison that a plan writes as `>= 40`; None where the text is none."""
    text = text.strip(" \t")
    sign = next((sign for sign in OPERATORS if text.startswith(sign)), "")
    digits = text[len(sign) :].lstrip(" \t")
    if not (sign and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS):
        return None
    return Comparison(sign, int(digits))


EXIT_ZERO = Comparison("==", 0)


class Expectation(Frozen):
    """What a result must show to pass."""

    __slots__ = FIELDS = ("exit", "tests", "skipped", "output")

    exit: Comparison
    """The exit code. Default: 0."""
    tests: Comparison | None
    """How many tests were executed, skipped ones not counted."""
    skipped: Comparison | None
    """How many tests were skipped."""
    output: str
    """A regular expression that is found in the output; empty for none."""

    def __init__(
        self,
        exit: Comparison = EXIT_ZERO,
        tests: Comparison | None = None,
        skipped: Comparison | None = None,
        output: str = "",
    ) -> None:
        set_once(self, "exit", exit)
        set_once(self, "tests", tests)
        set_once(self, "skipped", skipped)
        set_once(self, "output", output)

    def unmet(
        self, exit_code: int, *, tests: int | None = None, skipped: int | None = None, output: str = ""
    ) -> list[str]:
        """Why the result does not meet this, a reason each; empty where it does.

        A count of None is one that nobody could tell: it meets no condition.
        """
        reasons = []
        if not self.exit.allows(exit_code):
            reasons.append(f"exit code {exit_code}{SHELLS_WORD.get(exit_code, '')}, expected {_told(self.exit)}")
        for name, wanted, count in (("tests", self.tests, tests), ("skipped", self.skipped, skipped)):
            if wanted is not None and count is None:
                reasons.append(f"the number of {name} is not known, expected {wanted}")
            elif wanted is not None and count is not None and not wanted.allows(count):
                reasons.append(f"{name}: {count}, expected {wanted}")
        if not self.finds(output):
            reasons.append(f"the output does not match {self.output!r}")
        return reasons

    def finds(self, output: str) -> bool:
        """Whether the expression is found in the last `OUTPUT_WINDOW` characters, CRLF read as LF."""
        if not self.output:
            return True
        return re.search(self.output, output[-OUTPUT_WINDOW:].replace("\r\n", "\n")) is not None

    def as_dict(self) -> dict[str, Any]:
        """The `expect` table of a plan; defaults left out."""
        fields: dict[str, Any] = {}
        if self.exit != EXIT_ZERO:
            fields["exit"] = self.exit.number if self.exit.operator == "==" else str(self.exit)
        if self.tests is not None:
            fields["tests"] = str(self.tests)
        if self.skipped is not None:
            fields["skipped"] = str(self.skipped)
        if self.output:
            fields["output"] = self.output
        return fields


def _told(condition: Comparison) -> str:
    return str(condition.number) if condition.operator == "==" else str(condition)
