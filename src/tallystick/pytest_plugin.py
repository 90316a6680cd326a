"""`pytest --notch`: what a session of pytest showed, as entries of the ledger.

Only the process that controls the session writes, once, when it ends. What it writes are claims: it runs in the same
process as the tests and the code under test, and never sees how that process ends. `notch run -- pytest` is what
watches it from outside. Recording that fails is told at the end and changes nothing about the session.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from tallystick.capture.products import Products
    from tallystick.gate.case import PlanInForce
    from tallystick.gate.coverage_inputs import CoverageInputs
    from tallystick.ledger import Ledger
    from tallystick.model import Entry
    from tallystick.reports.base import Report
    from tallystick.workspace import Snapshot

MARK = "criterion"
PROVIDER = "pytest"
SHARED = "tallystick"
"""The key under which an xdist worker tells the controller which tests are marked."""
SHOWN_FAILURES = 20
SHOWN_CHARACTERS = 4_000
_WORST = ("passed", "xfailed", "skipped", "failed", "errors")
_INTERRUPTED = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("tallystick", "evidence ledger")
    group.addoption("--notch", action="store_true", help="record in the evidence ledger what this session showed")
    group.addoption("--notch-task", metavar="TASK", help="the task; default: $TALLYSTICK_TASK, else the git branch")
    group.addoption(
        "--notch-inputs",
        action="store_true",
        help="propose the inputs of each criterion that tests are marked with, from coverage data",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers what the options ask for, and the marker."""
    config.addinivalue_line("markers", f'{MARK}("ac1"): the test shows the criterion of that id')
    if config.option.collectonly or not (config.option.notch or config.option.notch_inputs):
        return
    marked = Marked(config)
    config.pluginmanager.register(marked, "tallystick-marked")
    if hasattr(config, "workerinput"):
        return
    if config.option.notch:
        config.pluginmanager.register(Recorder(config, marked), "tallystick-recorder")
    if config.option.notch_inputs:
        config.pluginmanager.register(InputsFinder(config), "tallystick-inputs")


def criteria_of(item: pytest.Item) -> list[str]:
    """The criteria that a test is marked with."""
    return [str(name) for mark in item.iter_markers(MARK) for name in mark.args]


class Marked:
    """Which tests are marked with which criterion: found where tests are collected, told to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.tests: dict[str, list[str]] = {}
        """Criterion -> node ids of its tests."""
        self.deselected: set[str] = set()
        """Criteria of which tests were left out."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Notes which tests will run."""
        for item in session.items:
            for name in criteria_of(item):
                self.tests.setdefault(name, []).append(item.nodeid)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Notes what will not."""
        for item in items:
            self.deselected.update(criteria_of(item))

    def pytest_sessionfinish(self) -> None:
        """Of a worker: tells the controller."""
        told = getattr(self._config, "workeroutput", None)
        if told is not None:
            told[SHARED] = {"tests": self.tests, "deselected": sorted(self.deselected)}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Of the controller: every worker collects the same tests, so any worker's word is enough."""
        told = getattr(node, "workeroutput", {}).get(SHARED)
        if told:
            self.tests.update(told["tests"])
            self.deselected.update(told["deselected"])


class Recorder:
    """Counts what happens, and records it when the session ends."""

    def __init__(self, config: pytest.Config, marked: Marked) -> None:
        self._config = config
        self._marked = marked
        self._outcomes: dict[str, str] = {}
        self._flaky: set[str] = set()
        self._expected = {"xfailed": 0, "xpassed": 0}
        self._shown: list[str] = []
        self._interrupted = False
        self._said: list[str] = []
        self._trouble = ""
        self._before: Snapshot | None = None
        try:
            self._begin()
        except Exception as error:
            self._fails(error)

    def _begin(self) -> None:
        """Begins to look at the content; git does so while the tests are collected."""
        from argparse import Namespace
        from time import monotonic

        from tallystick.cli.context import ledger_files, new_task_of, require_own_place
        from tallystick.location import find_ledger, place_for_new
        from tallystick.workspace import Workspace

        folder = os.getcwd()
        require_own_place(Namespace(ledger=None))
        place = find_ledger(folder, os.environ)
        self._place = "" if place else place_for_new(folder, os.environ)[0]
        place = place or self._place
        self._options = Namespace(ledger=place if "://" in place else os.path.abspath(place))
        self._task_id = new_task_of(self._config.option.notch_task)
        self._workspace = Workspace.find(folder, exclude=ledger_files(self._options))
        self._clock = monotonic
        self._began = monotonic()
        self._pending = self._workspace.start_snapshot()

    def _fails(self, error: Exception) -> None:
        self._trouble = self._trouble or str(error) or type(error).__name__

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Looks at the content as it is before the first test."""
        if not self._trouble:
            try:
                self._before = self._pending.result()
            except Exception as error:
                self._fails(error)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counts files that cannot be collected, or that skip themselves, once each."""
        if report.outcome != "passed":
            self._note(report.nodeid, "errors" if report.failed else "skipped", report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts a test by the worst that came of its phases."""
        outcome: str = report.outcome
        if outcome == "passed":
            if report.when == "call":
                if hasattr(report, "wasxfail"):
                    self._expected["xpassed"] += 1
                self._outcomes.setdefault(report.nodeid, "passed")
        elif outcome == "failed":
            if type(report).__name__ != "SubtestReport":
                self._note(report.nodeid, "errors" if report.when in ("setup", "teardown") else "failed", report)
        elif outcome == "rerun":
            self._flaky.add(report.nodeid)
        elif outcome == "skipped" and type(report).__name__ != "SubtestReport":
            said = getattr(report, "wasxfail", None)
            if said is not None:
                self._expected["xfailed"] += 1
            ran = said is not None and "[NOTRUN]" not in str(said)[:20]
            self._note(report.nodeid, "xfailed" if ran else "skipped", report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Somebody ended it before its end, so that it shows nothing."""
        self._interrupted = not isinstance(excinfo.value, pytest.Session.Interrupted)

    def _note(self, nodeid: str, kind: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        worst = max(kind, self._outcomes.get(nodeid, "passed"), key=_WORST.index)
        self._outcomes[nodeid] = worst
        if kind not in ("skipped", "xfailed") and len(self._shown) < SHOWN_FAILURES:
            self._shown.append(f"{nodeid} ({report.when})\n{report.longreprtext[-SHOWN_CHARACTERS:]}\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Records it, with the exit code that other plugins may have changed."""
        if self._trouble:
            return
        try:
            if self._before is None:
                self._pending.discard()
                self._trouble = "no test was come to"
            else:
                self._record(int(session.exitstatus))
        except Exception as error:
            self._fails(error)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says what was recorded, or why nothing was."""
        for line in self._said:
            terminalreporter.write_line(f"notch: {line}")
        if self._trouble:
            from tallystick.model.text import printable

            terminalreporter.write_line(f"notch: warning: not recorded: {printable(self._trouble)}", yellow=True)

    def _record(self, exitstatus: int) -> None:
        from tallystick.capture.run import masked
        from tallystick.cli.context import open_ledger, remember
        from tallystick.location import make_place
        from tallystick.model.secrets import SecretMask

        mask = SecretMask(os.environ)
        if self._place:
            make_place(self._place)
        with open_ledger(self._options, write=True) as ledger, self._workspace.snapshot() as after:
            entries = [
                masked(entry, mask).replace(output=mask.data(entry.output_bytes))
                for entry in self._entries(exitstatus, ledger, after)
            ]
            head = ledger.append(self._task_id, entries)
            remember(self._options, ledger, self._task_id, head)
        named = ", ".join(f"{entry.criterion_id} {entry.status}" for entry in entries[1:])
        self._said.insert(
            0, f"recorded {self._task_id}: {entries[0].status}{f'; {named}' if named else ''}; head {head}"
        )

    def _entries(self, exitstatus: int, ledger: Ledger, after: Snapshot) -> list[Entry]:
        """The whole session, and each criterion that tests were marked with."""
        from tallystick.cli.run import plan_for

        whole = self._report(self._outcomes, exitstatus)
        output = "\n".join(self._shown)
        interrupted = self._interrupted or (exitstatus == _INTERRUPTED and not whole.failed + whole.errors)
        entries = [self._entry("", whole, None, ledger, after, output=output, interrupted=interrupted)]
        if interrupted or not self._marked.tests:
            return entries
        plan = plan_for(self._workspace, self._task_id, after)
        for name, tests in sorted(self._marked.tests.items()):
            report = self._report(tests)
            missing = sum(test not in self._outcomes for test in tests)
            if (missing or name in self._marked.deselected) and report.status != "fail":
                self._said.append(f"{name}: not all of its tests were run, so nothing is recorded for it")
            else:
                entries.append(self._entry(name, report, plan, ledger, after))
        return entries

    def _entry(
        self,
        name: str,
        report: Report,
        plan: PlanInForce | None,
        ledger: Ledger,
        after: Snapshot,
        *,
        output: str = "",
        interrupted: bool = False,
    ) -> Entry:
        import shlex

        from tallystick.capture.claim import with_content
        from tallystick.cli.judging import provenance
        from tallystick.cli.run import bound_by
        from tallystick.gate.expectation import Expectation
        from tallystick.gate.report_file import judge_report, report_details
        from tallystick.model import Entry
        from tallystick.model.ids import require_id

        criterion = plan.task.criterion(name) if plan else None
        told = report_details(report, [])
        if not name and any(self._expected.values()):
            told["expected_failures"] = dict(self._expected)
        status, reason = judge_report(criterion.expect if criterion else Expectation(), told)
        if interrupted:
            status, reason = "interrupted", f"it was ended before its end; {report.executed} executed until then"
        bound = bound_by(criterion, ledger, self._task_id, provenance(self._options, ledger), planned=plan is not None)
        patterns = bound.get("patterns", ())
        left_out = bound["products"](after).left_out(after) if "products" in bound else None
        entry = Entry(
            type="criterion" if name else "run",
            criterion_id=require_id(name, "the criterion of a mark") if name else "",
            phase_id=criterion.phase if criterion else "",
            status=status,
            provider=PROVIDER,
            command=shlex.join(["pytest", *map(str, self._config.invocation_params.args)]),
            output=output,
            details={"report": told},
        )
        entry = with_content(entry, after, patterns, products=left_out)
        if moved := self._moved(after, patterns, bound.get("products")):
            content = {key: value for key, value in entry.details["content"].items() if key != "inputs"}
            entry = entry.replace(details={"report": told, "content": content})
            reason += f"; {moved[0]}{f' and {len(moved) - 1} more' if moved[1:] else ''} changed while it ran"
        return entry.replace(reason=reason)

    def _moved(self, after: Snapshot, patterns: Sequence[str], products: Callable[..., Products] | None) -> list[str]:
        """The inputs that were not the same before and after, apart from what the session itself left."""
        from tallystick.capture.products import Left
        from tallystick.capture.products import Products as NoProducts
        from tallystick.capture.run import Run, moved_inputs

        if self._before is None:
            return []
        run = Run(self._task_id, "", patterns=patterns)
        known = products(self._before, after) if products else NoProducts()
        return moved_inputs(run, self._before, after, Left(self._before, after, known))

    def _report(self, tests: Iterable[str], exitstatus: int = 0) -> Report:
        """What came of these tests; a session that ended badly for another reason has a problem besides."""
        from tallystick.reports.base import Report
        from tallystick.reports.tally import Names

        counts = dict.fromkeys((*_WORST, "flaky"), 0)
        names = {"failed": Names(), "skipped": Names(), "flaky": Names()}
        for test in tests:
            kind = self._outcomes.get(test)
            if kind is None:
                continue
            counts[kind] += 1
            if kind == "passed" and test in self._flaky:
                counts["flaky"] += 1
                names["flaky"].add(test)
            elif kind not in ("passed", "xfailed"):
                names["skipped" if kind == "skipped" else "failed"].add(test)
        bad = counts["failed"] + counts["errors"]
        ended_badly = exitstatus not in (0, int(pytest.ExitCode.NO_TESTS_COLLECTED)) and not bad
        return Report(
            "pytest",
            tool=f"pytest {pytest.__version__}",
            counts=counts,
            names={kind: found.listed() for kind, found in names.items()},
            left_out={kind: found.left_out() for kind, found in names.items()},
            duration_ms=round((self._clock() - self._began) * 1000),
            problems=[f"pytest ended with exit code {exitstatus}"] if ended_badly else [],
        )


class InputsFinder:
    """Proposes the inputs of criteria: the files whose code their tests ran."""

    def __init__(self, config: pytest.Config) -> None:
        self._found: CoverageInputs | None = None
        self._trouble = ""
        if getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None):
            self._trouble = "the tests run in other processes: leave -n out"
            return
        try:
            from tallystick.gate.coverage_inputs import CoverageInputs

            self._found = CoverageInputs(str(config.rootpath))
        except Exception as error:
            self._trouble = str(error)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Tells coverage which criteria the code is run for."""
        names = criteria_of(item) if self._found is not None else []
        if not names or self._found is None:
            return (yield)
        self._found.begin(names, str(item.path))
        try:
            return (yield)
        finally:
            self._found.end()

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints the proposal as lines for the plan."""
        if self._found is not None:
            try:
                terminalreporter.section("proposed inputs")
                for line in self._found.proposal():
                    terminalreporter.write_line(line)
            except Exception as error:
                self._trouble = str(error) or type(error).__name__
        if self._trouble:
            terminalreporter.write_line(f"notch: warning: no inputs proposed: {self._trouble}", yellow=True)
