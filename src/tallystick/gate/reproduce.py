"""Which recorded results are run again, and what comes of comparing."""

from __future__ import annotations

from hashlib import sha256

from tallystick.gate.expectation import SHELLS_WORD
from tallystick.gate.grades import Grade
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from tallystick.gate.attempts import Attempt


def reproducible(attempts: Iterable[Attempt], position: int) -> list[Attempt]:
    """The results up to that position that a watched run came to on content that is known, oldest first."""
    found = [
        one
        for one in attempts
        if one.kind == "result" and one.grade >= Grade.OBSERVED and one.inputs and not one.cut_short and not one.cwd
        if not one.on_purpose and not one.not_run and (one.exit_code not in SHELLS_WORD or one.status == "pass")
    ]
    return sorted((one for one in found if one.position <= position), key=lambda one: one.position)


def newest_of_each(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The newest result of each criterion, oldest first; `attempts` are oldest first."""
    newest = {one.criterion_id: one for one in attempts}
    return [one for one in attempts if newest[one.criterion_id] is one]


def sampled(attempts: Sequence[Attempt], count: int, root: str) -> list[Attempt]:
    """So many of the results, picked by the root of a head, in the order given.

    Each has a lot, SHA-256(root ‖ position as 8 bytes, big-endian), and the smallest are picked. Nobody knows the root
    before the entries that it covers are written, and whoever has it picks the same.
    """
    seed = bytes.fromhex(root)
    lots = sorted(attempts, key=lambda one: sha256(seed + one.position.to_bytes(8, "big")).digest())
    picked = {one.position for one in lots[:count]}
    return [one for one in attempts if one.position in picked]


def on_the_same(one: Attempt, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The results of the same command on the same content in the same environment, itself among them."""
    return [
        other
        for other in attempts
        if (other.criterion_id, other.command) == (one.criterion_id, one.command)
        and (other.inputs, other.patterns, other.environment) == (one.inputs, one.patterns, one.environment)
    ]


class Comparison(Frozen):
    """A recorded result beside the one that running it again came to."""

    __slots__ = FIELDS = ("same", "what")

    same: bool
    """Whether both passed, or both failed, with the same counts."""
    what: str
    """What differs, in words; empty where nothing does."""

    def __init__(self, same: bool, what: str = "") -> None:
        set_once(self, "same", same)
        set_once(self, "what", what)


def compare(recorded: Attempt, failure: str, *, failure_now: str, tests_now: Mapping[str, Any]) -> Comparison:
    """How a run compares with the result that it repeats. `failure` and `failure_now` tell why either does not pass."""
    if bool(failure) != bool(failure_now):
        was, now = ("it failed then", "it passes now") if failure else ("it passed then", f"now: {failure_now}")
        return Comparison(False, f"{was}, {now}")
    counts = tests_now.get("counts", {})
    for name, then in (("executed", recorded.executed), ("skipped", recorded.skipped)):
        if then != counts.get(name):
            return Comparison(False, f"{name}: {_shown(then)} tests then, {_shown(counts.get(name))} now")
    return Comparison(True)


def _shown(count: int | None) -> str:
    return "no" if count is None else str(count)


class Rate(Frozen):
    """How often something passed that was run several times on the same content."""

    __slots__ = FIELDS = ("passed", "ran")

    passed: int
    ran: int

    def __init__(self, passed: int = 0, ran: int = 0) -> None:
        set_once(self, "passed", passed)
        set_once(self, "ran", ran)

    def after(self, passed: bool) -> Rate:
        """With one run more."""
        return Rate(self.passed + passed, self.ran + 1)

    def __str__(self) -> str:
        return f"{self.passed} of {self.ran} passed"
