from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import InputError
from tallystick.reports.base import FINDINGS, REPLAYED, Report, combined
from tallystick.reports.tally import COUNTS, MAX_COUNT, MAX_NAMES, NAMED, Names, Tally, shortened

counts = st.integers(0, MAX_COUNT // 4)
texts = st.text(max_size=40)


def reports() -> st.SearchStrategy[Report]:
    return st.builds(
        Report,
        st.sampled_from(["junit", "tap", "console"]),
        tool=texts,
        unit=st.sampled_from(["tests", "packages"]),
        counts=st.fixed_dictionaries(dict.fromkeys(COUNTS, counts)),
        names=st.fixed_dictionaries({kind: st.lists(texts, max_size=5) for kind in NAMED}),
        left_out=st.fixed_dictionaries(dict.fromkeys(NAMED, counts)),
        duration_ms=st.none() | counts,
        findings=st.none() | st.dictionaries(st.sampled_from(FINDINGS), counts),
        problems=st.lists(texts, max_size=3),
        replayed=st.sampled_from(REPLAYED),
    )


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(reports())
def test_details_come_back_as_the_report(report: Report) -> None:
    details = report.to_details()
    assert Report.from_details(json.loads(json.dumps(details))) == report
    assert all(isinstance(leaf, (str, int)) and not isinstance(leaf, bool) for leaf in leaves(details))


@pytest.mark.parametrize(
    ("counted", "extra", "status"),
    [
        ({"passed": 3}, {}, "pass"),
        ({"passed": 3, "flaky": 1, "skipped": 2}, {}, "pass"),
        ({"passed": 3, "failed": 1}, {}, "fail"),
        ({"passed": 3, "errors": 1}, {}, "fail"),
        ({"passed": 3}, {"problems": ["the build failed"]}, "fail"),
        ({}, {}, "none"),
        ({"skipped": 9}, {}, "none"),
        ({"passed": 3}, {"replayed": "all"}, "replayed"),
        ({"passed": 3}, {"replayed": "partly"}, "pass"),
        ({"failed": 3}, {"replayed": "all"}, "fail"),
    ],
)
def test_status(counted: dict[str, int], extra: dict[str, object], status: str) -> None:
    report = Report("tap", counts=counted, **extra)  # type: ignore[arg-type]
    assert report.status == status
    assert report.to_details()["status"] == status


def test_executed_is_what_ran_to_a_result() -> None:
    report = Report("tap", counts={"passed": 4, "failed": 2, "errors": 1, "skipped": 8, "flaky": 3})
    assert report.executed == 7
    assert report.to_details()["counts"]["executed"] == 7


@pytest.mark.parametrize(
    "details",
    [
        None,
        [],
        {},
        {"format": "tap"},
        {"format": "tap", "counts": []},
        {"format": "tap", "counts": {"passed": -1}},
        {"format": "tap", "counts": {"passed": True}},
        {"format": "tap", "counts": {"passed": 1.0}},
        {"format": "tap", "counts": {"passed": 2**60}},
        {"format": "tap", "counts": {"passes": 1}},
        {"format": "tap", "counts": {"passed": 1, "executed": 9}},
        {"format": 3, "counts": {}},
        {"format": "tap", "counts": {}, "names": []},
        {"format": "tap", "counts": {}, "names": {"failed": "a"}},
        {"format": "tap", "counts": {}, "names": {"failed": [1]}},
        {"format": "tap", "counts": {}, "names": {"failed": ["a"] * (MAX_NAMES + 1)}},
        {"format": "tap", "counts": {}, "left_out": {"passed": 1}},
        {"format": "tap", "counts": {}, "duration_ms": "1"},
        {"format": "tap", "counts": {}, "findings": {"fatal": 1}},
        {"format": "tap", "counts": {}, "replayed": "perhaps"},
        {"format": "tap", "counts": {}, "problems": {}},
    ],
)
def test_other_details_are_refused_in_one_line(details: object) -> None:
    with pytest.raises(InputError) as caught:
        Report.from_details(details, where="entry 3")
    assert str(caught.value).startswith("entry 3: not a report's details: ")
    assert "\n" not in str(caught.value)


def test_names_are_bounded_sorted_and_counted() -> None:
    tally = Tally()
    for number in reversed(range(12_345)):
        tally.failed(f"test_{number:05}")
    report = tally.report("junit")
    assert report.failed == 12_345
    assert report.names["failed"] == tuple(f"test_{number:05}" for number in range(MAX_NAMES))
    assert report.left_out == {"failed": 12_345 - MAX_NAMES}


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "\x01"])
def test_details_stay_far_under_their_limit(letter: str) -> None:
    tally = Tally()
    for number in range(2_000):
        for kind in (tally.failed, tally.skipped, tally.flaky):
            kind(f"{number} {letter * 5_000}")
        tally.problem(letter * 5_000)
    report = tally.report("junit", tool=letter * 5_000)
    assert len(json.dumps(report.to_details())) < 700_000
    for kind in NAMED:
        assert len(report.names[kind]) + report.left_out[kind] == 2_000
        assert len(report.names[kind]) > 50


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("plain", "plain"),
        ("two\nlines\tand  more", "two lines and more"),
        ("nul\0", "nul\ufffd"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("x" * 301, "x" * 299 + "…"),
    ],
)
def test_a_name_is_one_short_line(text: str, short: str) -> None:
    assert shortened(text) == short


@given(st.lists(st.text(max_size=30), max_size=30), st.lists(st.text(max_size=30), max_size=30))
def test_absorbed_names_are_as_if_added(one: list[str], two: list[str]) -> None:
    apart, together, other = Names(), Names(), Names()
    apart.add(*one)
    other.add(*two)
    apart.absorb(other)
    together.add(*one, *two)
    assert apart.listed() == together.listed()
    assert apart.count == together.count == len(one) + len(two)


def test_several_reports_add_up() -> None:
    one = Report(
        "console",
        tool="pytest",
        counts={"passed": 4, "failed": 1},
        names={"failed": ["b"]},
        duration_ms=5,
        problems=["x"],
        left_out={"skipped": 2},
    )
    two = Report("console", tool="jest", counts={"failed": 1, "skipped": 2}, names={"failed": ["a"]}, duration_ms=6)
    both = combined([one, two])
    assert both.counts == {"passed": 4, "failed": 2, "errors": 0, "skipped": 2, "flaky": 0}
    assert both.names["failed"] == ("a", "b")
    assert (both.format, both.tool, both.duration_ms, both.problems) == ("console", "pytest, jest", 11, ("x",))
    assert both.left_out == {"skipped": 2}


def test_combining_leaves_out_names_past_the_bound() -> None:
    parts = [
        Report(
            "junit",
            counts={"failed": 1_500},
            names={"failed": [f"{part} {number:04}" for number in range(1_000)]},
            left_out={"failed": 500},
        )
        for part in "ab"
    ]
    both = combined(parts)
    assert both.failed == 3_000
    assert len(both.names["failed"]) == 1_000
    assert both.left_out == {"failed": 2_000}


def test_units_are_not_mixed() -> None:
    tests = Report("console", tool="pytest", counts={"passed": 4})
    packages = Report("console", tool="go test", unit="packages", counts={"passed": 7, "failed": 2})
    both = combined([packages, tests])
    assert (both.unit, both.executed) == ("tests", 4)
    assert both.problems == ("go test: 2 of 9 packages failed",)
    assert both.status == "fail"


def test_without_tests_the_first_unit_counts() -> None:
    packages = Report("console", tool="go test", unit="packages", counts={"passed": 7})
    targets = Report("console", tool="bazel", unit="targets", counts={"passed": 1, "failed": 1, "errors": 2})
    both = combined([packages, targets])
    assert (both.unit, both.executed, both.problems) == ("packages", 7, ("bazel: 3 of 4 targets failed",))


def test_a_tally_adds_up() -> None:
    tally, names = Tally(), Names()
    names.add("a", "b")
    tally.passed()
    tally.passed(3)
    tally.flaky("c")
    tally.error("d")
    tally.absorb("skipped", names)
    tally.problem("no database")
    for milliseconds in (1.4, 0.3, None, -1, float("nan"), float("inf")):
        tally.add_ms(milliseconds)
    report = tally.report("tap")
    assert report.counts == {"passed": 5, "failed": 0, "errors": 1, "skipped": 2, "flaky": 1}
    assert report.names == {"failed": ("d",), "skipped": ("a", "b"), "flaky": ("c",)}
    assert (report.problems, report.duration_ms) == (("no database",), 2)


@pytest.mark.parametrize(
    ("extents", "extent"),
    [(["all", "all"], "all"), (["all", ""], "partly"), (["", ""], ""), (["partly", "all"], "partly")],
)
def test_replayed_in_part(extents: list[str], extent: str) -> None:
    assert combined([Report("go", replayed=one) for one in extents]).replayed == extent


def test_nothing_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="no report"):
        combined([])
