from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.errors import InputError
from tallystick.reports import read_report

DATA = Path(__file__).parents[1] / "data" / "reports"


def test_ctrf_of_pytest() -> None:
    report = read_report((DATA / "ctrf" / "pytest.json").read_bytes())
    assert (report.format, report.tool, report.duration_ms) == ("ctrf", "pytest", 64)
    assert (report.passed, report.failed, report.errors, report.skipped) == (10, 3, 0, 3)
    assert report.names["skipped"] == (
        "test_good.py::test_later",
        "test_shop.py::test_expected",
        "test_shop.py::test_skipped",
    )


def ctrf(*tests: dict[str, Any], summary: dict[str, Any] | None = None) -> bytes:
    results = {"tool": {"name": "t"}, "summary": summary or {"tests": 99, "passed": 99}, "tests": tests}
    return json.dumps({"reportFormat": "CTRF", "specVersion": "1.0.0", "results": results, "extra": {}}).encode()


def test_ctrf_counts_tests_and_not_the_summary() -> None:
    report = read_report(
        ctrf(
            {"name": "a", "status": "passed", "duration": 1.5},
            {"name": "b", "status": "passed", "duration": 1.5, "flaky": True, "retries": 2},
            {"name": "c", "status": "failed", "duration": 0, "suite": ["one", "two"]},
            {"name": "d", "status": "pending", "duration": 0, "suite": "one"},
            {"name": "e", "status": "skipped", "duration": 0},
            {"name": "f", "status": "other", "duration": 0},
        )
    )
    assert report.counts == {"passed": 2, "failed": 1, "errors": 1, "skipped": 2, "flaky": 1}
    assert report.names == {"failed": ("f", "one > two > c"), "skipped": ("e", "one > d"), "flaky": ("b",)}
    assert report.duration_ms == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}", "missing required field `results`"),
        (b'{"reportFormat":"CTRF"}', "missing required field `results`"),
        (ctrf().replace(b'"CTRF"', b'"XTRF"'), 'its reportFormat is not "CTRF"'),
        (ctrf({"name": "a"}), "missing required field `status` - at `$.results.tests[0]`"),
        (ctrf({"name": "a", "status": "passed"}, {"name": "b", "status": "fine"}), r"tests[1]: a status"),
        (ctrf({"name": 3, "status": "passed"}), "Expected `str`, got `int`"),
        (b'{"reportFormat":"CTRF","x":' + b"[" * 100_000, "nested too deeply"),
        (b'{"reportFormat":"CTRF"', "truncated"),
        (b"\xff", "malformed"),
    ],
)
def test_what_is_no_ctrf(data: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(data, "ctrf", "c.json")
    assert str(caught.value).startswith("c.json")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sarif_of_ruff() -> None:
    report = read_report((DATA / "sarif" / "ruff.sarif").read_bytes())
    assert (report.format, report.tool, report.unit) == ("sarif", "ruff", "analyses")
    assert report.findings == {"error": 8, "warning": 0, "note": 0, "none": 0}
    assert (report.executed, report.failed, report.status) == (1, 1, "fail")
    assert report.names["failed"][0] == "E401 file:///project/py/lint_me.py:2"
    clean = read_report((DATA / "sarif" / "ruff-clean.sarif").read_bytes())
    assert (clean.executed, clean.passed, clean.status) == (1, 1, "pass")


def sarif(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None, **run: Any) -> bytes:
    tool = {"driver": {"name": "lint", "rules": rules or []}}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": results, **run}]}).encode()


RULES = [{"id": "R1", "defaultConfiguration": {"level": "error"}}, {"id": "R2"}]


@pytest.mark.parametrize(
    ("result", "level"),
    [
        ({}, "warning"),
        ({"level": "note"}, "note"),
        ({"level": "error", "kind": "pass"}, "none"),
        ({"kind": "review"}, "none"),
        ({"ruleId": "R1"}, "error"),
        ({"ruleId": "R1", "level": "note"}, "note"),
        ({"ruleIndex": 0}, "error"),
        ({"rule": {"index": 0}}, "error"),
        ({"rule": {"id": "R1"}}, "error"),
        ({"ruleId": "R2"}, "warning"),
        ({"ruleIndex": 99, "ruleId": "R1"}, "error"),
    ],
)
def test_level_of_a_result(result: dict[str, Any], level: str) -> None:
    report = read_report(sarif(result, rules=RULES))
    assert report.findings == {"error": 0, "warning": 0, "note": 0, "none": 0} | {level: 1}
    assert report.status == ("fail" if level == "error" else "pass")


@pytest.mark.parametrize(
    ("result", "found", "suppressed"),
    [
        ({"suppressions": [{"kind": "inSource"}]}, 0, 1),
        ({"suppressions": [{"kind": "external", "status": "accepted"}]}, 0, 1),
        ({"suppressions": [{"kind": "external", "status": "underReview"}]}, 1, 0),
        ({"suppressions": [{"kind": "inSource"}, {"kind": "external", "status": "rejected"}]}, 1, 0),
        ({"suppressions": []}, 1, 0),
        ({"baselineState": "absent"}, 0, 0),
        ({"baselineState": "unchanged"}, 1, 0),
    ],
)
def test_suppressed_and_absent_findings(result: dict[str, Any], found: int, suppressed: int) -> None:
    report = read_report(sarif({"level": "error", **result}))
    assert report.findings is not None
    assert (report.findings["error"], report.skipped, report.failed) == (found, suppressed, found)


def test_an_analysis_that_did_not_complete_is_an_error() -> None:
    failed = {"executionSuccessful": False, "exitCodeDescription": "out of memory"}
    report = read_report(sarif(invocations=[{"executionSuccessful": True}, failed]))
    assert (report.errors, report.passed, report.status) == (1, 0, "fail")
    assert report.problems == ("lint did not complete: out of memory",)
    without = read_report(sarif(results=None))
    assert (without.errors, without.problems) == (1, ("lint gave no list of results, not even an empty one",))


def test_no_run_is_nothing_executed() -> None:
    assert read_report(b'{"version":"2.1.0","runs":[]}').status == "none"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"version":"1.0.0","runs":[]}', "version '1.0.0' is not read"),
        (b'{"runs":[]}', "missing required field `version`"),
        (sarif({"level": "fatal"}), "runs[0].results[0]: a level that SARIF does not have: 'fatal'"),
        (sarif(invocations=[{}]), "missing required field `executionSuccessful`"),
        (b'{"version":"2.1.0","runs":[{}]}', "missing required field `tool`"),
        (b'{"version":"2.1.0","runs":[{"x":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_sarif(data: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(data, "sarif", "s.sarif")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
