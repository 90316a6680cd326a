"""The event stream of `go test -json` (test2json), and of gotestsum's `--jsonfile`.

A test with subtests is a group: its subtests are counted, and it is not unless it failed of its own account.
Lines that are no event (a build's output, before Go 1.24) are passed over.
"""

from __future__ import annotations

import io
import re
from datetime import datetime

import msgspec

from tallystick.errors import InputError
from tallystick.reports.go_package import OUTCOMES, Package
from tallystick.reports.tally import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.reports.base import Report

_CACHED = re.compile(r"ok  \t(\S+)\t\(cached\)(?:\t.*)?\n?")
_MEASURED = re.compile(r"Benchmark\S*(?:-\d+)?\s+\d+\s+[\d.]+ ns/op")
_EVENTS = frozenset({"start", "run", "pause", "cont", "bench", "attr", "artifacts", *OUTCOMES})
"""What happens to a package; its name is optional (`go tool test2json` without `-p`)."""
_BROKEN = re.compile(r"FAIL\t(\S{1,1000}) (\[(?:build|setup) failed\])\s*")


class _Event(msgspec.Struct, rename="pascal"):
    action: str
    time: str = ""
    package: str = ""
    test: str = ""
    output: str = ""
    failed_build: str = ""


def read(data: bytes, where: str) -> Report:
    """The report in the events. Raises InputError naming `where` if there is no event."""
    reader = _Reader()
    decoder = msgspec.json.Decoder(_Event)
    for line in io.BytesIO(data):
        if not line.startswith(b"{"):
            reader.broken(line[:2_000].decode("utf-8", "replace"))
            continue
        try:
            event = decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if event.package or event.action in _EVENTS or (event.action == "output" and "" in reader.packages):
            reader.event(event)
    if not reader.packages:
        raise InputError("not a `go test -json` report: no event of a test or package", where=where)
    return reader.report()


class _Reader:
    """Takes event by event."""

    def __init__(self) -> None:
        self.packages: dict[str, Package] = {}
        self.first = self.last = ""

    def event(self, event: _Event) -> None:
        """Take one event of a package or of a test in it."""
        package = self.packages.setdefault(event.package, Package())
        self.first = self.first or event.time
        self.last = event.time or self.last
        begins = event.action == "start" or (package.run.verdict and event.action in ("run", *OUTCOMES))
        run = package.begin() if begins else package.run
        if event.test:
            run.test(event.test, event.action)
            if event.action == "output" and _MEASURED.match(event.output):
                run.measured(event.test)
        elif event.action in OUTCOMES:
            run.verdict = event.action
            run.broken = run.broken or ("[build failed]" if event.failed_build else "")
        elif event.action == "output":
            cached = _CACHED.fullmatch(event.output)
            run.cached = run.cached or (cached is not None and cached[1] == event.package)
            self.broken(event.output)

    def broken(self, line: str) -> None:
        """Take a line that says that a package was not built."""
        if broken := _BROKEN.fullmatch(line):
            self.packages.setdefault(broken[1], Package()).run.broken = broken[2]

    def report(self) -> Report:
        """What was read."""
        tally = Tally()
        for name, package in self.packages.items():
            package.count(tally, name)
        tally.add_ms(self._duration_ms())
        runs = (run for package in self.packages.values() for run in package.runs)
        ran = [run.cached for run in runs if run.tests or run.cached or run.broken]
        replayed = "all" if ran and all(ran) else "partly" if any(ran) else ""
        return tally.report("go", tool="go test", replayed=replayed)

    def _duration_ms(self) -> float | None:
        try:
            span = datetime.fromisoformat(self.last) - datetime.fromisoformat(self.first)
        except (ValueError, TypeError):
            return None
        return span.total_seconds() * 1000
