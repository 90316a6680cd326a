"""The Test Anything Protocol, versions 12 to 14, and KTAP: plans, numbers, directives, subtests, YAML, bail-outs.

A test point that closes a subtest is a group, as `describe` is: its tests are counted, and it is not, unless
it failed of its own account. Several documents in a row are one run each. A subtest stands at any indentation
deeper than its parent's: TAP 14 has four blanks, KTAP two, older kernels a tab.
"""

from __future__ import annotations

import io
import re

from tallystick.errors import InputError
from tallystick.reports.tally import Tally, shortened
from tallystick.reports.tap_level import Level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

MAX_DEPTH = 32
MAX_LINE = 4_096
"""How much of a line is looked at, in bytes."""

_BEGINNINGS = ("ok", "not ok", "1..", "# Subtest", "{", "}", "TAP version ", "KTAP version ", "pragma ")
_POINT = re.compile(r"(not )?ok\b(?:\s+(\d{1,9})\b)?\s*(?:-\s+)?(.*)")
_PLAN = re.compile(r"1\.\.(\d{1,9})\s*(?:#\s*(.*))?$")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(skip\S*|todo\b)", re.IGNORECASE)
_KTAP_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(XFAIL|TIMEOUT|ERROR)\b")
_VERSION = re.compile(r"(K?)TAP version (\d+)\s*$")
_BAIL_OUT = re.compile(r"bail out!\s*(.*)", re.IGNORECASE)
_PRAGMA = re.compile(r"pragma((?:[ ,]+[+-][\w-]+)+)\s*$")
_DURATION = re.compile(r"# duration_ms (\d+(?:\.\d+)?)\s*$")
_KERNEL_TIME = re.compile(r"(?:<\d{1,3}>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")
"""What the kernel's log has before each line."""


def read(data: bytes, where: str) -> Report:
    """The report in the TAP. Raises InputError naming `where` for what is none."""
    reader = _Reader(where)
    for number, line in enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), 1):
        reader.number = number
        reader.line(line[:MAX_LINE].rstrip(b"\r\n").decode("utf-8", "replace"))
    return reader.report()


def read_embedded(text: bytes) -> Report | None:
    """The report in output that holds TAP among other lines; None if no plan says that it is whole."""
    reader = _Reader("", embedded=True)
    try:
        for line in io.BytesIO(text):
            reader.line(line[:MAX_LINE].rstrip(b"\r\n").decode("utf-8", "replace"))
        report = reader.report()
    except InputError:
        return None
    return None if reader.unplanned else report


class _Reader:
    """Takes TAP line by line."""

    def __init__(self, where: str, *, embedded: bool = False) -> None:
        self.where = where
        self.embedded = embedded
        self.number = 0
        self.tally = Tally()
        self.tool = ""
        self.levels = [Level()]
        self.documents = 0
        self.unplanned = False
        self.kernel = False
        self.yaml_indent: int | None = None
        self.last_indent = -1
        self.bailed_out = False

    def line(self, line: str) -> None:
        """Take the next line."""
        if line.startswith(("[", "<")):
            line = line[time.end() :] if (time := _KERNEL_TIME.match(line)) else line
        if "\t" in line:
            line = line.expandtabs()
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if self._in_yaml(text, indent):
            return
        if self.bailed_out:
            if not indent and (version := _VERSION.match(text)):
                self._new_document(version)
        elif text.rstrip() == "---" and indent > self.last_indent >= 0:
            self.yaml_indent = indent
        elif not (text.startswith(_BEGINNINGS) and self._take(text, indent)) and text:
            if bail_out := _BAIL_OUT.match(text):
                self._bail_out(bail_out[1])
            elif text.startswith("#"):
                self._comment(text)
            elif self.levels[-1].strict:
                self.levels[0].note(f"line {self.number} is not TAP, and `pragma +strict` allows nothing else")
                self.levels[-1].strict = self.levels[0].strict = False

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

    def _take(self, text: str, indent: int) -> bool:
        """Take a line that looks like a part of TAP: whether it is one."""
        if point := _POINT.match(text):
            numbered = point[2] is not None
            if not self._enter(indent, opens=numbered or bool(self.levels[-1].announced)):
                return False
            self._point(point[1] is None, int(point[2]) if numbered else None, point[3].strip(), indent)
        elif plan := _PLAN.match(text):
            if not self._enter(indent, opens=True):
                return False
            self._plan(int(plan[1]), plan[2] or "")
        elif text.startswith("# Subtest"):
            return self._announce(text.partition(":")[2].strip(), indent)
        elif version := _VERSION.match(text):
            self._version(version, indent)
        elif pragma := _PRAGMA.match(text):
            self._pragma(pragma[1], indent)
        elif text.rstrip() == "{":
            return self._open_buffered(indent)
        elif text.startswith("}"):
            return self._close_buffered(indent)
        else:
            return False
        return True

    def _enter(self, indent: int, *, opens: bool) -> bool:
        """Make the level at this indentation the current one: whether there is one, or `opens` made one."""
        top = self.levels[-1]
        if top.indent == indent:
            return True
        if top.indent is None and indent > (self.levels[-2].indent or 0):
            top.indent = indent
        if any(level.indent == indent for level in self.levels):
            while self.levels[-1].indent != indent:
                self._close()
            return True
        if top.indent is not None and indent > top.indent:
            if opens and len(self.levels) > 1 and top.doubtful and top.points:
                self.levels.pop()
                return self._enter(indent, opens=True)
            return opens and self._push(Level(indent, strict=top.strict))
        if len(self.levels) == 1 or not top.complete:
            return False
        closed = self.levels.pop()
        while self.levels[-1].indent is None or self.levels[-1].indent > indent:
            self._close()
        self._push(Level(indent, strict=closed.strict))
        self._attach(closed)
        return True

    def _push(self, level: Level) -> bool:
        if len(self.levels) > MAX_DEPTH:
            raise self._refused(f"subtests nested deeper than {MAX_DEPTH} levels")
        self.levels[-1].settle()
        self.levels[-1].drop_child(planned=not self.kernel)
        self.levels.append(level)
        return True

    def _close(self) -> None:
        """Close the current level."""
        self._attach(self.levels.pop())

    def _attach(self, closed: Level) -> None:
        """Let a level that is closed wait for its test point, or count it if that came before."""
        closed.settle()
        closed.drop_child(planned=not self.kernel)
        if closed.buffered is not None:
            self.levels[-1].absorb(closed, *closed.buffered, planned=not self.kernel)
        else:
            self.levels[-1].child = closed

    def _go_to_document(self) -> Level:
        while len(self.levels) > 1:
            self._close()
        return self.levels[0]

    def _announce(self, name: str, indent: int) -> bool:
        """Take the comment before a subtest; inside it, as its first line, it names the subtest itself."""
        if not self._enter(indent, opens=True):
            return False
        level = self.levels[-1]
        level.settle()
        level.drop_child(planned=not self.kernel)
        above = self.levels[-2] if len(self.levels) > 1 else None
        if above is not None and not above.announced and not level.points and level.plan is None:
            above.announced = name or "subtest"
        else:
            level.announced = name
        return True

    def _plan(self, count: int, comment: str) -> None:
        level = self.levels[-1]
        level.settle()
        level.drop_child(planned=not self.kernel)
        if level.plan is not None and len(self.levels) == 1 and level.complete:
            self._end_document()
            level = self.levels[-1]
        if level.plan is not None:
            level.note(f"a second plan in line {self.number}")
        else:
            level.plan_closes = bool(level.points)
        level.plan = count
        if not count and comment and len(self.levels) == 1:
            self.tally.skipped(f"all: {comment}")

    def _point(self, ok: bool, number: int | None, description: str, indent: int) -> None:
        level = self.levels[-1]
        if number == 1 and level.complete and level.points and len(self.levels) == 1:
            child, level.child = level.child, None
            self._end_document()
            level = self.levels[-1]
            level.child = child
        self.last_indent = indent
        opens = description.endswith("{") and (description == "{" or description[-2] == " ")
        description = description[:-1].rstrip() if opens else description
        ok, directive, end = self._directive(ok, description)
        name = description[:end]
        if "#" in name:
            name = name.split(" # time=")[0].replace("\\#", "#")
        verdict = ok, directive, shortened(name) or f"test {level.points + 1 if number is None else number}"
        try:
            level.point(number, verdict)
        except InputError as error:
            raise self._refused(error.what) from None
        child, level.child = level.child, None
        if opens:
            self._open_buffered(indent)
        elif child is not None and (child.plan is not None or level.announced):
            level.pending = None
            level.absorb(child, *verdict, planned=not self.kernel)
        level.announced = ""

    def _directive(self, ok: bool, description: str) -> tuple[bool, str, int | None]:
        """What the directive makes of a verdict, the directive if the test does not count, and where it begins."""
        if "#" not in description:
            return ok, "", None
        if found := _DIRECTIVE.search(description):
            return ok, found[1], found.start()
        if self.kernel and (found := _KTAP_DIRECTIVE.search(description)):
            expected = found[1] == "XFAIL"
            return ok and expected, found[1] if expected else "", found.start()
        return ok, "", None

    def _open_buffered(self, indent: int) -> bool:
        """Open the subtest in braces that follows the last test point, or what was said of it."""
        level = self.levels[-1]
        if level.pending is None or level.indent != indent:
            return False
        verdict, level.pending = level.pending, None
        child = Level(None, strict=level.strict)
        child.buffered = verdict
        return self._push(child)

    def _close_buffered(self, indent: int) -> bool:
        for depth, level in enumerate(self.levels[1:], 1):
            if level.buffered is not None and self.levels[depth - 1].indent == indent:
                while len(self.levels) > depth:
                    self._close()
                return True
        return False

    def _pragma(self, settings: str, indent: int) -> None:
        opens = bool(self.levels[-1].announced)
        if not self.embedded and self._enter(indent, opens=opens):
            for setting in re.findall(r"[+-][\w-]+", settings):
                if setting[1:] == "strict":
                    self.levels[-1].strict = setting[0] == "+"

    def _comment(self, text: str) -> None:
        if duration := _DURATION.match(text):
            self.tally.add_ms(float(duration[1]))
            self.tool = "node"

    def _bail_out(self, reason: str) -> None:
        self._go_to_document().note(f"bailed out: {reason}" if reason else "bailed out")
        self._end_document(planned=False)
        self.bailed_out = True

    def _version(self, version: re.Match[str], indent: int) -> None:
        """Take a version line: of a new document, or of a subtest."""
        if not indent:
            self._new_document(version)
        elif self._enter(indent, opens=True):
            level = self.levels[-1]
            if level.points or level.plan is not None:
                self._close()
                self._push(Level(indent, strict=level.strict))
            self.levels[-1].versioned = True
            self.kernel = self.kernel or bool(version[1])

    def _new_document(self, version: re.Match[str]) -> None:
        if not (version[1] or 12 <= int(version[2]) <= 14):
            raise self._refused(f"TAP version {version[2][:20]} is not known")
        self._end_document()
        self.bailed_out = False
        self.kernel = bool(version[1])
        self.levels[0].versioned = True

    def _end_document(self, *, planned: bool = True) -> None:
        level = self._go_to_document()
        if not level.started and level.child is not None and level.child.plan is not None:
            level = level.child  # all of it is indented
        level.settle()
        level.drop_child(planned=not self.kernel)
        self.levels = [Level()]
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
