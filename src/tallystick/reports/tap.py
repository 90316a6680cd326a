"""The Test Anything Protocol, versions 12 to 14: plans, directives, subtests, YAML blocks, bail-outs.

A test point that closes a subtest is a group, as `describe` is: its tests are counted, and it is not, unless
it failed of its own account. Several documents in a row are one run each.
"""

from __future__ import annotations

import io
import re

from tallystick.errors import InputError
from tallystick.reports.tally import MAX_PROBLEMS, Names, Tally, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

MAX_DEPTH = 32
MAX_LINE = 4_096
"""How much of a line is looked at, in bytes."""

_BEGINNINGS = ("ok", "not ok", "1..", "# Subtest", "Bail out!", "}")
_POINT = re.compile(r"(not )?ok\b(?:\s+(\d{1,9})\b)?\s*(?:-\s+)?(.*)")
_PLAN = re.compile(r"1\.\.(\d{1,9})\s*(?:#\s*(.*))?$")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(skip\S*|todo\b)", re.IGNORECASE)
_VERSION = re.compile(r"TAP version (\d+)\s*$")
_BAIL_OUT = re.compile(r"Bail out!\s*(.*)")
_DURATION = re.compile(r"# duration_ms (\d+(?:\.\d+)?)\s*$")


def read(data: bytes, where: str) -> Report:
    """The report in the TAP. Raises InputError naming `where` for what is none."""
    reader = _Reader(where)
    for number, line in enumerate(io.BytesIO(data), 1):
        reader.number = number
        reader.line(line[:MAX_LINE].rstrip(b"\r\n").decode("utf-8", "replace"))
    return reader.report()


def read_embedded(text: bytes) -> Report | None:
    """The report in output that holds TAP among other lines; None where no plan says that it is whole."""
    reader = _Reader("")
    try:
        for line in io.BytesIO(text):
            reader.line(line[:MAX_LINE].rstrip(b"\r\n").decode("utf-8", "replace"))
        report = reader.report()
    except InputError:
        return None
    return None if reader.unplanned else report


class _Level:
    """A document or subtest that is open: its plan and what it counted so far."""

    __slots__ = (
        "announced",
        "buffered",
        "failed",
        "passed",
        "plan",
        "points",
        "problems",
        "skipped",
        "versioned",
    )

    def __init__(self) -> None:
        self.plan: int | None = None
        self.points = 0
        self.passed = 0
        self.failed = Names()
        self.skipped = Names()
        self.problems: list[str] = []
        self.versioned = False
        self.announced = ""
        self.buffered: tuple[bool, str, str] | None = None

    @property
    def counted(self) -> int:
        return self.passed + self.failed.count + self.skipped.count

    @property
    def complete(self) -> bool:
        return self.plan is not None and self.points >= self.plan

    @property
    def started(self) -> bool:
        return bool(self.points or self.versioned or self.problems or self.plan is not None)

    def add(self, ok: bool, directive: str, name: str) -> None:
        """Count a test point that is a test."""
        if directive:
            self.skipped.add(name)
        elif ok:
            self.passed += 1
        else:
            self.failed.add(name)

    def absorb(self, child: _Level, ok: bool, directive: str, name: str) -> None:
        """Count the subtest that this test point closes."""
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

    def note(self, problem: str) -> None:
        """Note why this level as a whole does not hold."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(shortened(problem))

    def check_plan(self) -> None:
        """Note where the plan was not met."""
        if self.plan is not None and self.plan != self.points:
            self.note(f"{self.plan} tests planned, {self.points} seen")
        elif self.plan is None and self.points:
            self.note(f"no plan, so the run may have been cut short after {self.points} tests")
        elif self.plan is None and self.versioned:
            self.note("a version line, and then neither a plan nor a test")


class _Reader:
    """Takes TAP line by line."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.number = 0
        self.tally = Tally()
        self.tool = ""
        self.levels = [_Level()]
        self.child: _Level | None = None
        self.documents = 0
        self.unplanned = False
        self.yaml_indent: int | None = None
        self.last_indent = -1
        self.bailed_out = False

    def line(self, line: str) -> None:
        """Take the next line."""
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if self._in_yaml(text, indent):
            return
        if not indent and text.startswith("TAP ") and (version := _VERSION.match(text)):
            self._new_document(int(version[1]))
        elif self.bailed_out:
            return
        elif text.startswith("---") and indent > self.last_indent >= 0:
            self.yaml_indent = indent
        elif indent % 4 == 0 and text.startswith(_BEGINNINGS):
            self._at(text, indent // 4)
        elif text.startswith("# "):
            self._comment(text)

    def report(self) -> Report:
        """What was read."""
        self._end_document()
        if not self.documents:
            raise InputError("not TAP: neither a plan nor a test", where=self.where)
        return self.tally.report("tap", tool=self.tool)

    def _in_yaml(self, text: str, indent: int) -> bool:
        if self.yaml_indent is None:
            return False
        if text and indent < self.yaml_indent:
            self.yaml_indent = None
            return False
        if indent == self.yaml_indent and text.rstrip() == "...":
            self.yaml_indent = None
        return True

    def _at(self, text: str, depth: int) -> None:
        """Take a line that may be a part of the document at this depth."""
        if depth > len(self.levels):
            return
        if point := _POINT.match(text):
            self._enter(depth)
            self._point(point[1] is None, int(point[2] or 0), point[3].strip(), depth)
        elif plan := _PLAN.match(text):
            self._enter(depth)
            self._plan(int(plan[1]), plan[2] or "")
        elif text.startswith("# Subtest"):
            self._enter(depth)
            self._drop_child()
            self.levels[-1].announced = text.partition(":")[2].strip()
        elif bail_out := _BAIL_OUT.match(text):
            self._bail_out(bail_out[1])
        elif text.startswith("}"):
            self._close_buffered(depth)

    def _enter(self, depth: int) -> None:
        if depth >= MAX_DEPTH:
            raise self._refused(f"subtests nested deeper than {MAX_DEPTH} levels")
        self._go_to(depth)

    def _go_to(self, depth: int) -> None:
        """Open or close levels until the current one is at `depth`."""
        if depth == len(self.levels):
            self._drop_child()
            self.levels.append(_Level())
        while depth < len(self.levels) - 1:
            closed = self.levels.pop()
            if closed.buffered is None:
                self._drop_child(closed)
                self.child = closed
            else:
                self.levels[-1].absorb(closed, *closed.buffered)

    def _plan(self, count: int, comment: str) -> None:
        self._drop_child()
        level = self.levels[-1]
        if level.plan is not None and len(self.levels) == 1 and level.complete:
            self._end_document()
            level = self.levels[-1]
        if level.plan is not None:
            level.note(f"a second plan in line {self.number}")
        level.plan = count
        if not count and comment and len(self.levels) == 1:
            self.tally.skipped(f"all: {comment}")

    def _point(self, ok: bool, number: int, description: str, depth: int) -> None:
        level = self.levels[-1]
        if number == 1 and level.complete and level.points and depth == 0:
            self._end_document()
            level = self.levels[-1]
        level.points += 1
        self.last_indent = 4 * depth
        opens = description.endswith("{") and (description == "{" or description[-2] == " ")
        description = description[:-1].rstrip() if opens else description
        directive = _DIRECTIVE.search(description)
        name = description[: directive.start()] if directive else description
        name = shortened(name.split(" # time=")[0].replace("\\#", "#")) or f"test {number or level.points}"
        verdict = ok, directive[1] if directive else "", name
        child, self.child = self.child, None
        if opens:
            self.levels.append(_Level())
            self.levels[-1].buffered = verdict
        elif child is not None and (child.plan is not None or level.announced):
            level.absorb(child, *verdict)
        else:
            level.add(*verdict)
        level.announced = ""

    def _close_buffered(self, depth: int) -> None:
        if len(self.levels) > depth + 1 and self.levels[depth + 1].buffered is not None:
            self._go_to(depth)

    def _drop_child(self, into: _Level | None = None) -> None:
        """Deal with a subtest that no test point closed; without a plan and unannounced, a test printed it."""
        child, self.child = self.child, None
        level = self.levels[-1] if into is None else into
        if child is not None and child.counted and (child.plan is not None or level.announced):
            level.absorb(child, True, "", level.announced or "subtest")
            level.note(f"{level.announced or 'a subtest'}: ended without a result")

    def _comment(self, text: str) -> None:
        if duration := _DURATION.match(text):
            self.tally.add_ms(float(duration[1]))
            self.tool = "node"

    def _bail_out(self, reason: str) -> None:
        self._go_to(0)
        self.levels[0].note(f"bailed out: {reason}" if reason else "bailed out")
        self._end_document(planned=False)
        self.bailed_out = True

    def _new_document(self, version: int) -> None:
        if not 12 <= version <= 14:
            raise self._refused(f"TAP version {version} is not known")
        self._end_document()
        self.bailed_out = False
        self.levels[0].versioned = True

    def _end_document(self, *, planned: bool = True) -> None:
        self._go_to(0)
        self._drop_child()
        level, self.levels = self.levels[0], [_Level()]
        self.last_indent = -1
        if planned:
            level.check_plan()
            self.unplanned = self.unplanned or (level.started and level.plan is None)
        self.documents += level.started
        self.tally.passed(level.passed)
        self.tally.absorb("failed", level.failed)
        self.tally.absorb("skipped", level.skipped)
        for problem in level.problems:
            self.tally.problem(problem)

    def _refused(self, what: str) -> InputError:
        return InputError(what, where=f"{self.where} line {self.number}")
