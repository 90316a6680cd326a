"""JUnit XML, as pytest, Surefire, node, vitest, Playwright, GoogleTest, PHPUnit, ctest and others write it.

There is no one schema. What holds in all of them is that a test is a `<testcase>` element and its outcome a
child of it, so those are counted. A suite's own totals are only held against them: one that says of itself that
more failed than it shows does not pass. Read by expat in one pass: a DOM (junitparser, ElementTree) takes ten times
the report's size, and takes DTDs. If it is not well-formed, `junit_salvage` tells whether that matters.
"""

from __future__ import annotations

from xml.parsers import expat

from tallystick.errors import InputError
from tallystick.reports.tally import Tally, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

MAX_DEPTH = 128
MAX_SECONDS = 10**9
CHUNK = 1024 * 1024
MAX_TOKEN = 4 * CHUNK
"""The longest single tag or comment; expat before 2.6 reads an unfinished one again with every chunk."""

_SUITES = frozenset({"testsuites", "testsuite"})
_OUTCOMES = frozenset({"failure", "error", "skipped", "flakyFailure", "flakyError", "rerunFailure", "rerunError"})
_OUTPUT = frozenset({*_OUTCOMES, "system-out", "system-err", "properties"})

_SHOWN = _OUTCOMES - {"skipped"}
"""Outcomes that a suite may have counted as failures; Surefire counts every attempt."""

_NOT_RUN = frozenset({"notrun", "disabled", "skipped", "ignored", "suppressed"})
_BAD = frozenset({"fail", "failed", "failure", "error"})

_ROOT_NAMES = {
    "pytest tests": "pytest",
    "jest tests": "jest",
    "vitest tests": "vitest",
    "Mocha Tests": "mocha",
    "bun test": "bun",
    "AllTests": "googletest",
    "nextest-run": "nextest",
}


def read(data: bytes, where: str) -> Report:
    """The report in the XML. Raises InputError naming `where` and the line for what is no JUnit report."""
    reader = _Reader(where)
    try:
        reader.feed(data)
    except _NotWellFormedError as error:
        reader = _salvaged(data, where, error)
    return reader.report()


class _NotWellFormedError(InputError):
    """The XML cannot be read as it stands."""


def _salvaged(data: bytes, where: str, error: _NotWellFormedError) -> _Reader:
    """A reader of what remains without the text that nothing is taken from. Raises InputError if that is no report."""
    from tallystick.reports.junit_salvage import UnreadableError, salvage

    try:
        salvaged = salvage(data, _OUTPUT)
    except UnreadableError as found:
        what = f"{error.what}; in line {found.line}: {found}"
        raise InputError(what, where=error.where) from None
    reader = _Reader(where, "utf-8")
    reader.feed(salvaged.tags.encode("utf-8"), longest=len(data) + CHUNK)
    if salvaged.dropped:
        reader.tally.note(f"left out, since it cannot be read: {', '.join(salvaged.dropped)}")
    return reader


class _Case:
    """A `<testcase>` that is open."""

    __slots__ = ("name", "outcomes", "skipped_type", "status")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.outcomes: set[str] = set()
        self.skipped_type = ""
        self.status = {attributes.get("status", "").lower(), attributes.get("result", "").lower()}

    def outcome(self) -> str:
        """The verdict on this test: one of `error`, `failed`, `skipped`, `xfailed`, `flaky` and `passed`."""
        if "skipped" in self.outcomes and self.skipped_type == "todo":
            return "skipped"  # node: expected to fail, and so its failure is shown beside it
        if "error" in self.outcomes:
            return "error"
        if "failure" in self.outcomes:
            return "failed"
        if "skipped" in self.outcomes and self.skipped_type == "pytest.xfail":
            return "xfailed"
        if "skipped" in self.outcomes or self.status & _NOT_RUN:
            return "skipped"
        if self.status & _BAD:
            return "failed"
        return "flaky" if self.outcomes else "passed"


class _Suite:
    """A `<testsuite>` or `<testsuites>` that is open."""

    __slots__ = ("name", "shown_before", "stated", "told")

    def __init__(self, attributes: dict[str, str], shown: int) -> None:
        self.name = attributes.get("name", "")
        self.stated = _count(attributes, "failures", "failed") + _count(attributes, "errors")
        """How many failed or broke, by its own word."""
        self.shown_before = shown
        self.told = 0
        """How many the suites in it did not show, which is told already."""


def _count(attributes: dict[str, str], *names: str) -> int:
    """The first of these attributes that is a count; 0 if there is none."""
    for name in names:
        value = attributes.get(name, "").strip()
        if value.isascii() and value.isdecimal() and len(value) < 10:
            return int(value)
    return 0


class _Reader:
    """Takes the elements as expat meets them, and keeps none but those that are open."""

    def __init__(self, where: str, encoding: str | None = None) -> None:
        self.where = where
        self.tally = Tally()
        self.tool = ""
        self.path: list[str] = []
        self.suites: list[_Suite] = []
        self.shown = 0
        self.cases: list[_Case] = []
        self.output_depth = 0
        self.times: dict[str, float] = {}
        self.sessions: dict[str, list[str]] = {}
        self.parser = expat.ParserCreate(encoding)
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse_dtd

    def feed(self, data: bytes, *, longest: int = MAX_TOKEN) -> None:
        """Read all of the XML. `longest`: how long a single tag or comment may be."""
        view = memoryview(data)
        try:
            for offset in range(0, len(view), CHUNK):
                chunk = view[offset : offset + CHUNK]
                self.parser.Parse(chunk, False)
                if offset + len(chunk) - self.parser.CurrentByteIndex > longest:
                    raise self._not_well_formed(f"a tag or comment of over {MAX_TOKEN >> 20} MiB")
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self._not_well_formed(f"not well-formed XML ({expat.errors.messages[error.code]})") from None
        except (LookupError, UnicodeError, ValueError) as error:
            raise self._not_well_formed(f"an encoding that cannot be read ({error})") from None

    def report(self) -> Report:
        """What was read."""
        self._settle_sessions()
        known = [self.times[level] for level in ("root", "suites", "cases") if level in self.times]
        self.tally.add_ms(1000 * known[0] if known else None)
        return self.tally.report("junit", tool=self.tool)

    def _refused(self, what: str) -> InputError:
        return InputError(what, where=f"{self.where} line {self.parser.CurrentLineNumber}")

    def _not_well_formed(self, what: str) -> InputError:
        return _NotWellFormedError(what, where=f"{self.where} line {self.parser.CurrentLineNumber}")

    def _refuse_dtd(self, *_: object) -> None:
        raise self._refused("a document type declaration, which no test report needs, is refused")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if not self.path:
            self._root(tag)
        self.path.append(tag)
        if len(self.path) > MAX_DEPTH:
            raise self._refused(f"elements nested deeper than {MAX_DEPTH} levels")
        if self.output_depth:
            return
        if tag == "testcase":
            self.cases.append(_Case(self._name(attributes), attributes))
            self._time("cases", attributes)
        elif tag in _SUITES:
            self.suites.append(_Suite(attributes, self.shown))
            if len(self.suites) <= 2:
                self._time("suites" if len(self.suites) == 2 else "root", attributes)
            self._know_tool(attributes)
        elif tag in _OUTPUT:
            self.output_depth = len(self.path)
            if tag in _OUTCOMES:
                self._outcome(tag, attributes)

    def _end(self, _tag: str) -> None:
        if self.output_depth:
            if self.output_depth == len(self.path):
                self.output_depth = 0
        elif self.path[-1] == "testcase":
            self._settle(self.cases.pop())
        elif self.path[-1] in _SUITES:
            self._compare(self.suites.pop())
            if self.tool == "pytest" and len(self.suites) <= 1:
                self._settle_sessions()
        self.path.pop()

    def _root(self, tag: str) -> None:
        if tag not in _SUITES:
            raise self._refused(f"not a JUnit report: its root element is <{shortened(tag, 60)}>")

    def _time(self, level: str, attributes: dict[str, str]) -> None:
        """Add a `time` to those of its level. Surefire writes thousands with a comma in some locales."""
        try:
            seconds = float(attributes["time"].replace(",", ""))
        except (KeyError, ValueError):
            return
        if 0 <= seconds < MAX_SECONDS:
            self.times[level] = self.times.get(level, 0.0) + seconds

    def _know_tool(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        if len(self.suites) == 1:
            self.tool = _ROOT_NAMES.get(name, "")
        if name in {"pytest", "rspec"}:
            self.tool = name
        if any("surefire" in value for key, value in attributes.items() if key.endswith("SchemaLocation")):
            self.tool = "surefire"

    def _name(self, attributes: dict[str, str]) -> str:
        group = attributes.get("classname", "")
        if group in ("", "test"):  # node says `test` for every one
            group = self.suites[-1].name if self.suites else ""
        name = attributes.get("name", "")
        return f"{group}::{name}" if group and name else group or name

    def _outcome(self, tag: str, attributes: dict[str, str]) -> None:
        self.shown += tag in _SHOWN
        if self.path[-2] == "testcase":
            self.cases[-1].outcomes.add(tag)
            if tag == "skipped":
                not_run = attributes.get("message", "").startswith("[NOTRUN]")  # pytest's xfail(run=False)
                self.cases[-1].skipped_type = "" if not_run else attributes.get("type", "")
        elif self.path[-2] in _SUITES and tag in ("failure", "error"):
            message = attributes.get("message", "") or f"<{tag}> of the whole suite"
            name = self.suites[-1].name
            self.tally.problem(f"{name}: {message}" if name else message)

    def _compare(self, suite: _Suite) -> None:
        """Hold what a suite says of itself against what it showed, and what its own suites said."""
        missing = suite.stated - (self.shown - suite.shown_before) - suite.told
        if missing > 0:
            of = f"{suite.name}: " if suite.name else ""
            self.tally.problem(f"{of}it says that {suite.stated} failed or broke, and shows {suite.stated - missing}")
        if self.suites:
            self.suites[-1].told += suite.told + max(missing, 0)

    def _settle(self, case: _Case) -> None:
        self.shown += not case.outcomes and case.outcome() == "failed"
        if self.tool == "pytest":
            self.sessions.setdefault(case.name, []).append(case.outcome())
        else:
            self._count(case.outcome(), case.name)

    def _count(self, outcome: str, name: str) -> None:
        if outcome == "passed":
            self.tally.passed()
        elif outcome == "xfailed":
            self.tally.xfailed()
        else:
            getattr(self.tally, outcome)(name)

    def _settle_sessions(self) -> None:
        """Count a pytest session, where a name is one test however many elements it has.

        A test that fails and whose teardown breaks has two; pytest-rerunfailures writes one for each attempt,
        the failed ones without an outcome. (Where all are there twice, `--dist=each` ran them.)
        """
        some_alone = any(len(outcomes) == 1 for outcomes in self.sessions.values())
        for name, outcomes in self.sessions.items():
            worst = min(outcomes, key=("error", "failed", "skipped", "xfailed", "flaky", "passed").index)
            if worst == "error" and "failed" in outcomes:
                worst = "failed"
            if worst == "passed" and len(outcomes) > 1 and some_alone:
                worst = "flaky"
            self._count(worst, name)
        self.sessions.clear()
