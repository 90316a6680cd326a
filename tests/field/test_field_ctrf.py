"""CTRF: fields that writers leave out, retries, and a summary that contradicts the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from field.world import imported, states


def report(*tests: dict[str, Any], summary: Any = None, **more: Any) -> str:
    """A report as older writers make it; `more` goes to its top."""
    return json.dumps({**more, "results": {"tool": {"name": "runner"}, "summary": summary or {}, "tests": list(tests)}})


A = {"name": "a", "status": "passed", "duration": 1}
B = {"name": "b", "status": "failed", "duration": 1}

GOOD = {
    "without-report-format": report(A),
    "without-summary": json.dumps({"results": {"tool": {"name": "r"}, "tests": [A]}}),
    "without-tool": json.dumps({"reportFormat": "CTRF", "results": {"summary": {"tests": 1}, "tests": [A]}}),
    "without-durations": report({"name": "a", "status": "passed"}, reportFormat="CTRF"),
    "nulls": report({**A, "duration": None, "suite": None, "flaky": None}, reportFormat="CTRF", specVersion=None),
    "suite-in-parts": report({**A, "suite": ["one", "two"]}),
    "written-large": report({**A, "status": "PASSED"}, reportFormat="ctrf"),
    "flaky": report({**A, "flaky": True, "retries": 1}),
    "skipped-beside": report(A, {"name": "c", "status": "skipped"}, {"name": "d", "status": "pending"}),
    "in-utf-16": report(A).encode("utf-16"),
}

BAD = {
    "without-report-format": report(A, B),
    "failed-after-retries": report(A, {**B, "flaky": True, "retries": 3}),
    "passed-and-failed-by-name": report(A, {**A, "status": "failed"}),
    "failed-then-passed-by-name": report({**A, "status": "failed"}, A),
    "other": report(A, {"name": "x", "status": "other"}),
    "only-the-summary-fails": report(A, summary={"tests": 2, "passed": 1, "failed": 1}),
    "more-in-the-summary": report(A, B, summary={"tests": 9, "passed": 1, "failed": 8}),
    "other-in-the-summary": report(A, summary={"tests": 2, "passed": 1, "failed": 0, "other": 1}),
    "nothing-ran": report({"name": "c", "status": "skipped"}),
    "no-test": report(),
}

NONE = {
    "no-status": report({"name": "a"}),
    "unknown-status": report({"name": "a", "status": "fine"}),
    "no-tests": json.dumps({"results": {"tool": {"name": "r"}, "summary": {}}}),
    "other-format": report(A, reportFormat="XTRF"),
    "results-are-a-list": json.dumps({"results": [A]}),
}


def test_what_writers_leave_out_is_not_asked_for(tmp_path: Path) -> None:
    judged = imported(tmp_path, GOOD, ".json")
    assert states(judged) == dict.fromkeys(GOOD, "pass")
    assert judged["flaky"].counts["flaky"] == 1


def test_failures_count_wherever_they_are_told(tmp_path: Path) -> None:
    assert states(imported(tmp_path, BAD, ".json")) == dict.fromkeys(BAD, "fail")


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    assert states(imported(tmp_path, NONE, ".json")) == dict.fromkeys(NONE, "missing")
