"""One level of a TAP report, the document or a subtest: its plan, the numbers that came, what was counted."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.reports.tally import MAX_PROBLEMS, Names, shortened

MAX_OUT_OF_ORDER = 1_000_000
"""How many numbers may come before those that they follow."""

MAX_TOLD = 5
"""How many numbers a message lists."""


class Numbers:
    """The numbers of test points on one level, in whatever order they come."""

    __slots__ = ("_later", "_upto", "largest", "last", "repeated")

    def __init__(self) -> None:
        self.last = 0
        self.largest = 0
        self.repeated: list[int] = []
        """Numbers that came more than once, the first `MAX_TOLD` times."""
        self._upto = 0
        self._later: set[int] = set()

    def add(self, number: int | None) -> int:
        """Take the number of the next test point; None for one that has none, which follows the last.

        Raises InputError for numbers too far out of order.
        """
        number = self.last + 1 if number is None else number
        self.last, self.largest = number, max(number, self.largest)
        if number == self._upto + 1:
            self._upto += 1
            while self._later and self._upto + 1 in self._later:
                self._upto += 1
                self._later.remove(self._upto)
        elif 0 < number <= self._upto or number in self._later:
            if len(self.repeated) < MAX_TOLD:
                self.repeated.append(number)
        else:
            self._later.add(number)
            if len(self._later) > MAX_OUT_OF_ORDER:
                raise InputError(f"over {MAX_OUT_OF_ORDER:,} test numbers out of order")
        return number

    @property
    def in_order(self) -> bool:
        """Whether they are 1, 2, 3 and so on, each once."""
        return not self._later and not self.repeated

    def outside(self, plan: int) -> list[int]:
        """Numbers that the plan does not have, at most `MAX_TOLD` of them."""
        above = [self._upto] if self._upto > plan else []
        return sorted([*(number for number in self._later if not 0 < number <= plan), *above])[:MAX_TOLD]

    def missing(self, plan: int) -> int:
        """How many numbers of the plan did not come."""
        return max(plan - self._upto, 0) - sum(self._upto < number <= plan for number in self._later)


class Level:
    """A document or subtest that is open."""

    __slots__ = (
        "announced",
        "buffered",
        "child",
        "failed",
        "indent",
        "numbers",
        "passed",
        "pending",
        "plan",
        "plan_closes",
        "points",
        "problems",
        "skipped",
        "strict",
        "unnumbered",
        "versioned",
    )

    def __init__(self, indent: int | None = 0, *, strict: bool = False) -> None:
        self.indent = indent
        """In columns; None while nothing of a buffered subtest was seen."""
        self.strict = strict
        """Whether `pragma +strict` allows nothing but TAP."""
        self.plan: int | None = None
        self.plan_closes = False
        """Whether the plan came after the tests, and so ends them."""
        self.points = 0
        self.numbers = Numbers()
        self.unnumbered = False
        self.passed = 0
        self.failed = Names()
        self.skipped = Names()
        self.problems: list[str] = []
        self.versioned = False
        self.announced = ""
        """The name of the subtest that a comment says comes next."""
        self.pending: tuple[bool, str, str] | None = None
        """The last test point, not counted yet: a buffered subtest may follow it."""
        self.buffered: tuple[bool, str, str] | None = None
        """Of a subtest in braces: the test point before it."""
        self.child: Level | None = None
        """A subtest that has ended and waits for its test point."""

    @property
    def counted(self) -> int:
        """How many tests were counted."""
        return self.passed + self.failed.count + self.skipped.count

    @property
    def complete(self) -> bool:
        """Whether all that the plan promises has come."""
        return self.plan is not None and self.points >= self.plan

    @property
    def started(self) -> bool:
        """Whether anything was seen here."""
        return bool(self.points or self.versioned or self.problems or self.plan is not None)

    @property
    def doubtful(self) -> bool:
        """Whether a test may have printed these lines: nothing announced them, no plan, no numbers from 1 on."""
        return self.plan is None and not self.versioned and (self.unnumbered or not self.numbers.in_order)

    def point(self, number: int | None, verdict: tuple[bool, str, str]) -> None:
        """Take a test point; it is counted with the next line that belongs to this level."""
        if self.plan_closes:
            self.note("a test after the plan that closes the report")
            self.plan_closes = False
        self.settle()
        self.points += 1
        self.unnumbered = self.unnumbered or number is None
        self.numbers.add(number)
        self.pending = verdict

    def settle(self) -> None:
        """Count the last test point."""
        pending, self.pending = self.pending, None
        if pending is not None:
            self.add(*pending)

    def add(self, ok: bool, directive: str, name: str) -> None:
        """Count a test point that is a test."""
        if directive:
            self.skipped.add(name)
        elif ok:
            self.passed += 1
        else:
            self.failed.add(name)

    def absorb(self, child: Level, ok: bool, directive: str, name: str, *, planned: bool = True) -> None:
        """Count the subtest that this test point closes. `planned`: whether it has to have a plan."""
        child.settle()
        if planned or child.plan is not None:
            child.check_plan()
        prefix = f"{name} > "
        if not child.counted:
            self.add(ok, directive, name)
            return
        self.passed += child.passed
        self.skipped.absorb(child.skipped, prefix)
        if directive:
            self.skipped.absorb(child.failed, prefix)
            return
        self.failed.absorb(child.failed, prefix)
        if not ok and not child.failed.count:
            self.failed.add(name)
        for problem in child.problems:
            self.note(prefix + problem)

    def drop_child(self, *, planned: bool = True) -> None:
        """Deal with a subtest that no test point closed; without a plan and unannounced, a test printed it."""
        child, self.child = self.child, None
        if child is not None and (child.counted or child.pending) and (child.plan is not None or self.announced):
            self.absorb(child, True, "", self.announced or "subtest", planned=planned)
            self.note(f"{self.announced or 'a subtest'}: ended without a result")

    def note(self, problem: str) -> None:
        """Note why this level as a whole does not hold."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(shortened(problem))

    def check_plan(self) -> None:
        """Note if other tests came than were planned: TAP has the numbers be those of the plan, each once."""
        if self.plan is None:
            if self.points:
                self.note(f"no plan, so the run may have been cut short after {self.points} tests")
            elif self.versioned:
                self.note("a version line, and then neither a plan nor a test")
            return
        outside, repeated = self.numbers.outside(self.plan), self.numbers.repeated
        if self.plan != self.points and not repeated and (not outside or self.points > self.plan):
            self.note(f"{self.plan} tests planned, {self.points} seen")
        elif outside or repeated:
            told = [f"{self.plan} tests planned"]
            told += [f"number {_listed(repeated)} came more than once"] if repeated else []
            told += [f"number {_listed(outside)} is not in the plan"] if outside else []
            told += [f"{missing} of them never came"] if (missing := self.numbers.missing(self.plan)) else []
            self.note(", ".join(told))


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, dict.fromkeys(numbers)))
