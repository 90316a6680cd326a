from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.errors import InputError
from tallystick.reports import read_report

DATA = Path(__file__).parents[1] / "data" / "reports" / "tap"


@pytest.mark.parametrize(
    ("file", "passed", "failed", "skipped", "problems"),
    [
        ("node20-mixed.tap", 5, 2, 2, ()),
        ("node20-pass.tap", 2, 0, 1, ()),
        ("mocha.tap", 1, 1, 2, ()),
        ("perl-a.tap", 2, 0, 2, ()),
        ("perl-subtests.tap", 2, 0, 1, ()),
        ("perl-subtests-fail.tap", 1, 1, 1, ()),
        ("perl-skip-all.tap", 0, 0, 1, ()),
        ("perl-bail.tap", 1, 0, 0, ("bailed out: database down",)),
        ("perl-short.tap", 1, 0, 0, ("3 tests planned, 1 seen",)),
    ],
)
def test_counts_of_real_reports(file: str, passed: int, failed: int, skipped: int, problems: tuple[str, ...]) -> None:
    report = read_report((DATA / file).read_bytes(), filename=file)
    assert (report.format, report.passed, report.failed, report.skipped) == ("tap", passed, failed, skipped)
    assert (report.problems, report.errors, report.flaky) == (problems, 0, 0)


def test_node_reports_agree_in_both_formats() -> None:
    tap = read_report((DATA / "node20-mixed.tap").read_bytes())
    junit = read_report((DATA.parent / "junit" / "node20-mixed.xml").read_bytes())
    assert tap.counts == junit.counts
    assert tap.names["failed"] == ("breaks", "suite > deeper > fails deep")
    assert (tap.tool, tap.duration_ms) == ("node", 239)


def counted(tap: str) -> tuple[int, int, int, tuple[str, ...]]:
    report = read_report(tap.encode(), "tap")
    return report.passed, report.failed, report.skipped, report.problems


@pytest.mark.parametrize(
    ("tap", "expected"),
    [
        ("1..2\nok 1\nok 2\n", (2, 0, 0, ())),
        ("1..2\r\nok 1\r\nnot ok 2\r\n", (1, 1, 0, ())),
        ("ok\nnot ok\n1..2\n", (1, 1, 0, ())),
        ("1..1\nok 1 - # skip\n", (0, 0, 1, ())),
        ("1..3\nok 1 # SKIPPED why\nnot ok 2 - a # skip\nok 3 a#skip\n", (1, 0, 2, ())),
        ("1..3\nnot ok 1 # TODO later\nok 2 # todo\nnot ok 3 # TODOS\n", (0, 1, 2, ())),
        ("1..2\nok 1 - cost \\# SKIP 3\nok 2 - a \\\\ b\n", (2, 0, 0, ())),
        ("1..0 # SKIP no database\n", (0, 0, 1, ())),
        ("1..0\n", (0, 0, 0, ())),
        ("TAP version 14\n1..1\n# a comment\npragma +strict\nok 1\n", (1, 0, 0, ())),
        ("TAP version 14\n1..1\npragma +strict\npragma -strict\nsome output\nok 1\n", (1, 0, 0, ())),
        (
            "TAP version 14\n1..1\npragma +strict\nsome output\nok 1\n",
            (1, 0, 0, ("line 4 is not TAP, and `pragma +strict` allows nothing else",)),
        ),
        ("1..1\nok 1\n  ---\n  not ok 2\n  ok 3\n  ...\n", (1, 0, 0, ())),
        ("1..2\nok 1\n  ---\n  text: |\n    ok 9\nok 2\n", (2, 0, 0, ())),
        ("1..3\nok 1\n", (1, 0, 0, ("3 tests planned, 1 seen",))),
        ("1..1\nok 1\nok 2\n", (2, 0, 0, ("1 tests planned, 2 seen",))),
        ("ok 1\nok 2\n", (2, 0, 0, ("no plan, so the run may have been cut short after 2 tests",))),
        ("TAP version 13\n", (0, 0, 0, ("a version line, and then neither a plan nor a test",))),
        ("1..9\nok 1\nBail out!\nnot ok 2\n", (1, 0, 0, ("bailed out",))),
        ("1..2\n    1..1\n    ok 1\nok 1 - group\nok 2\n", (2, 0, 0, ())),
        ("1..1\n    ok 1\n    1..1\nnot ok 1 - group\n", (1, 1, 0, ())),
        ("1..1\n    not ok 1 - x\n    1..1\nnot ok 1 - group\n", (0, 1, 0, ())),
        ("1..1\n    not ok 1 - x\n    1..1\nnot ok 1 - group # TODO\n", (0, 0, 1, ())),
        ("1..1\n    ok 1\n    1..3\nnot ok 1 - group\n", (1, 1, 0, ("group > 3 tests planned, 1 seen",))),
        ("1..1\n    1..0 # SKIP why\nok 1 - group # SKIP why\n", (0, 0, 1, ())),
        ("1..2\n    ok 1 - printed by a test\nsome output\nok 1\nok 2\n", (2, 0, 0, ())),
        ("1..1\nok 1 - group {\n    ok 1\n    ok 2\n    1..2\n}\n", (2, 0, 0, ())),
        ("1..2\nnot ok 1 - group {\n    not ok 1\n    1..1\n}\nok 2\n", (1, 1, 0, ())),
        ("1..1\nok 1\nTAP version 14\n1..2\nok 1\nok 2\n", (3, 0, 0, ())),
        ("1..1\nok 1\n1..2\nok 1\nok 2\n", (3, 0, 0, ())),
        ("ok 1\n1..1\nok 1\nok 2\n1..2\n", (3, 0, 0, ())),
        ("1..3\nok 1\n1..2\nok 2\n", (2, 0, 0, ("a second plan in line 3",))),
    ],
)
def test_what_lines_come_to(tap: str, expected: tuple[int, int, int, tuple[str, ...]]) -> None:
    assert counted(tap) == expected


def test_names_have_their_groups() -> None:
    inner = "    # Subtest: inner\n        not ok 1 - leaf\n        1..1\n    not ok 1 - inner\n    1..1\n"
    tap = f"# Subtest: outer\n{inner}not ok 1 - outer\n1..1\n"
    assert read_report(tap.encode(), "tap").names["failed"] == ("outer > inner > leaf",)


def test_a_subtest_cut_short_counts_and_is_a_problem() -> None:
    tap = "TAP version 14\n# Subtest: group\n    ok 1 - a\n    not ok 2 - b\n"
    report = read_report(tap.encode(), "tap")
    assert (report.passed, report.failed) == (1, 1)
    assert "group: ended without a result" in report.problems


@pytest.mark.parametrize(
    ("tap", "says"),
    [
        ("nothing here\n", "neither a plan nor a test"),
        ("", "neither a plan nor a test"),
        ("TAP version 99\n1..1\nok\n", "line 1: TAP version 99 is not known"),
        ("".join(f"{'    ' * n}ok 1 - g {{\n" for n in range(40)), "line 33: subtests nested deeper than 32"),
    ],
)
def test_what_is_refused(tap: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_report(tap.encode(), "tap", "r.tap")
