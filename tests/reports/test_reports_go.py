from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick.errors import InputError
from tallystick.reports import read_report
from tallystick.reports.base import Report

DATA = Path(__file__).parents[1] / "data" / "reports" / "go"

BUILD_FAILED = ("example.com/shop/broken: failed [build failed]",)


@pytest.mark.parametrize("version", ["go119", "go127"])
@pytest.mark.parametrize(
    ("file", "passed", "failed", "skipped", "replayed", "problems"),
    [
        ("pass", 4, 0, 2, "", ()),
        ("cached", 4, 0, 2, "all", ()),
        ("fail", 2, 2, 0, "", ()),
        ("partly-cached", 6, 2, 2, "partly", ()),
        ("panic", 1, 1, 0, "", ()),
        ("build-failed", 4, 0, 2, "partly", BUILD_FAILED),
    ],
)
def test_counts_of_real_reports(
    version: str, file: str, passed: int, failed: int, skipped: int, replayed: str, problems: tuple[str, ...]
) -> None:
    report = read_report((DATA / f"{version}-{file}.jsonl").read_bytes())
    assert (report.format, report.tool, report.unit) == ("go", "go test", "tests")
    assert (report.passed, report.failed, report.skipped, report.errors) == (passed, failed, skipped, 0)
    assert (report.replayed, report.problems) == (replayed, problems)


def test_names_and_status() -> None:
    report = read_report((DATA / "go127-fail.jsonl").read_bytes())
    assert report.names["failed"] == (
        "example.com/shop/slow.TestFails/deep/er",
        "example.com/shop/slow.TestParentOnly",
    )
    assert report.status == "fail"
    assert read_report((DATA / "go127-cached.jsonl").read_bytes()).status == "replayed"


def go(*events: tuple[str, str], package: str = "p", end: str = "") -> Report:
    lines = [{"Action": action, "Package": package, **({"Test": test} if test else {})} for action, test in events]
    return read_report("".join(json.dumps(line) + "\n" for line in lines).encode() + end.encode(), "go")


def test_a_run_cut_short_has_errors_and_a_problem() -> None:
    report = go(("run", "TestA"), ("pass", "TestA"), ("run", "TestB"), ("run", "TestB/x"))
    assert (report.passed, report.errors) == (1, 1)
    assert report.names["failed"] == ("p.TestB/x",)
    assert report.problems == ("p: no result, the run may have been cut short",)


def test_a_line_cut_in_the_middle_is_passed_over() -> None:
    report = go(("run", "TestA"), ("pass", "TestA"), ("pass", ""), end='{"Action":"run","Pack')
    assert (report.passed, report.problems) == (1, ())


def test_a_rerun_that_passes_is_flaky() -> None:
    first = (("run", "TestA"), ("fail", "TestA"), ("run", "TestB"), ("pass", "TestB"), ("fail", ""))
    again = (("start", ""), ("run", "TestA"), ("pass", "TestA"), ("pass", ""))
    report = go(*first, *again)
    assert (report.passed, report.flaky, report.failed, report.problems) == (2, 1, 0, ())
    assert report.names["flaky"] == ("p.TestA",)
    older = go(*first, *again[1:])  # Go before 1.20 has no event for the beginning
    assert older.counts == report.counts


@pytest.mark.parametrize(
    "again",
    [
        (("run", "TestA"), ("pass", "TestA"), ("run", "TestB"), ("pass", "TestB")),
        (("run", "TestA"), ("pass", "TestA"), ("run", "TestC"), ("pass", "TestC")),
        (("run", "TestB"), ("pass", "TestB")),
        (),
    ],
)
def test_a_run_of_more_than_what_failed_is_no_rerun(again: tuple[tuple[str, str], ...]) -> None:
    first = (("start", ""), ("run", "TestA"), ("fail", "TestA"), ("run", "TestB"), ("pass", "TestB"), ("fail", ""))
    report = go(*first, ("start", ""), *again, ("pass", ""))
    assert (report.failed, report.flaky) == (1, 0)
    assert report.names["failed"] == ("p.TestA",)


def test_each_failed_subtest_may_be_run_again_alone() -> None:
    first = (
        *(("run", "TestA"), ("run", "TestA/x"), ("fail", "TestA/x"), ("run", "TestA/y"), ("fail", "TestA/y")),
        *(("run", "TestA/z"), ("pass", "TestA/z"), ("fail", "TestA"), ("fail", "")),
    )
    for_x = (("start", ""), ("run", "TestA"), ("run", "TestA/x"), ("pass", "TestA/x"), ("pass", "TestA"), ("pass", ""))
    for_y = tuple((action, name.replace("x", "y")) for action, name in for_x)
    both = go(*first, *for_x, *for_y)
    assert (both.passed, both.flaky, both.failed) == (3, 2, 0)
    one = go(*first, *for_x)
    assert (one.passed, one.flaky, one.failed) == (2, 1, 1)


def test_counting_more_than_once_with_a_failure_fails() -> None:
    report = go(("run", "TestA"), ("fail", "TestA"), ("run", "TestA"), ("pass", "TestA"), ("fail", ""))
    assert (report.executed, report.failed, report.flaky) == (1, 1, 0)


def test_a_package_that_fails_outside_its_tests_is_a_problem() -> None:
    report = go(("run", "TestA"), ("pass", "TestA"), ("fail", ""))
    assert (report.passed, report.problems, report.status) == (1, ("p: failed",), "fail")


def test_no_test_that_matches_is_nothing_executed() -> None:
    assert go(("start", ""), ("pass", "")).status == "none"


def test_a_result_that_a_test_printed_counts_for_nothing() -> None:
    report = go(("run", "TestA"), ("pass", "TestPrinted"), ("pass", "TestA"), ("pass", ""))
    assert report.passed == 1


def test_a_name_with_a_slash_is_not_taken_for_a_group() -> None:
    report = go(
        ("run", "TestA"), ("run", "TestA/x/y"), ("pass", "TestA/x/y"), ("run", "TestB/c"), ("pass", "TestB/c"),
        ("pass", "TestA"), ("pass", ""),
    )  # fmt: skip
    assert report.passed == 2


@pytest.mark.parametrize("data", [b"", b"text\n", b"{}\n", b'{"Action":"output","Output":"x"}\n', b"[1]\n", b"{\n"])
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^x\.json: not a `go test -json` report"):
        read_report(data, "go", "x.json")


def test_a_build_that_failed_is_named_by_any_version() -> None:
    broken = '{"Action":"output","Package":"p","Output":"FAIL\\tp [setup failed]\\n"}\n'
    older = read_report(f'{broken}{{"Action":"fail","Package":"p"}}\n'.encode(), "go")
    newer = read_report(b'{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}\n', "go")
    plain = read_report(
        b'FAIL\tp [build failed]\n{"Action":"start","Package":"q"}\n{"Action":"pass","Package":"q"}\n', "go"
    )
    assert older.problems == ("p: failed [setup failed]",)
    assert newer.problems == plain.problems == ("p: failed [build failed]",)


def test_duration_is_the_span_of_the_events() -> None:
    events = "".join(
        f'{{"Time":"2026-01-01T00:00:0{second}.5Z","Action":"output","Package":"p"}}\n' for second in (1, 2, 4)
    )
    assert read_report(events.encode(), "go").duration_ms == 3_000
    assert go(("pass", "")).duration_ms is None
