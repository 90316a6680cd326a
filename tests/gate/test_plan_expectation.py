"""Comparisons, expectations and grades."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.plans import comparisons
from tallystick.gate.expectation import (
    OUTPUT_WINDOW,
    Comparison,
    Expectation,
    parse_comparison,
)
from tallystick.gate.grades import Grade

UP_TO_TEN = range(11)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (">= 2", {2, 3, 4, 5, 6, 7, 8, 9, 10}),
        (">2", {3, 4, 5, 6, 7, 8, 9, 10}),
        ("<=2", {0, 1, 2}),
        (" < 2 ", {0, 1}),
        ("== 2", {2}),
        ("!=\t2", {0, 1, 3, 4, 5, 6, 7, 8, 9, 10}),
    ],
)
def test_a_comparison_allows_what_it_says(text: str, allowed: set[int]) -> None:
    comparison = parse_comparison(text)
    assert comparison is not None
    assert {count for count in UP_TO_TEN if comparison.allows(count)} == allowed
    assert parse_comparison(str(comparison)) == comparison


@pytest.mark.parametrize("text", ["", "2", ">=", "=> 2", "= 2", ">= -1", ">= 2.5", ">= ٢", ">= 2\n", ">= " + "9" * 17])
def test_other_text_is_no_comparison(text: str) -> None:
    assert parse_comparison(text) is None


@given(comparisons, comparisons)
def test_within_is_set_inclusion(one: Comparison, other: Comparison) -> None:
    inclusion = all(other.allows(count) for count in UP_TO_TEN if one.allows(count))
    assert one.within(other) is inclusion


@given(comparisons)
def test_only_what_nothing_meets_is_unsatisfiable(comparison: Comparison) -> None:
    assert comparison.satisfiable()
    assert not Comparison("<", 0).satisfiable()


def test_what_is_not_met_is_told() -> None:
    expectation = Expectation(Comparison("==", 0), Comparison(">=", 40), Comparison("<=", 2), r"\bOK\b")
    assert expectation.unmet(0, tests=40, skipped=2, output="all OK") == []
    assert expectation.unmet(1, tests=39, skipped=3, output="OKAY") == [
        "exit code 1, expected 0",
        "tests: 39, expected >= 40",
        "skipped: 3, expected <= 2",
        r"the output does not match '\\bOK\\b'",
    ]
    assert expectation.unmet(0, output="OK") == [
        "the number of tests is not known, expected >= 40",
        "the number of skipped is not known, expected <= 2",
    ]


def test_what_a_shell_means_by_its_exit_code_is_said() -> None:
    expectation = Expectation(Comparison("==", 0))
    assert expectation.unmet(127) == ["exit code 127 (command not found), expected 0"]
    assert expectation.unmet(126) == ["exit code 126 (cannot be run), expected 0"]


def test_another_exit_code_can_be_expected() -> None:
    expectation = Expectation(Comparison("!=", 0))
    assert expectation.unmet(1) == []
    assert expectation.unmet(0) == ["exit code 0, expected != 0"]


def test_the_output_is_searched_from_its_end_and_without_carriage_returns() -> None:
    expectation = Expectation(output=r"(?m)^done$")
    assert expectation.finds("a\r\ndone\r\nb")
    assert expectation.finds("done\n" + "x" * (OUTPUT_WINDOW - 5))
    assert not expectation.finds("done\n" + "x" * OUTPUT_WINDOW)
    assert Expectation().finds("")
    assert Expectation(output=r"\A\Z").finds("")
    assert not Expectation(output=r"\A\Z").finds("\n")


def test_grades_are_ordered_and_named() -> None:
    words = ["claimed", "observed", "attested", "reproduced"]
    assert [str(grade) for grade in sorted(Grade)] == words
    assert [Grade.named(word) for word in words] == list(Grade)
    assert all(one < other for one, other in itertools.pairwise(Grade))
    assert all(grade.forgeable_by for grade in Grade)
    with pytest.raises(ValueError, match="no grade is named 'Observed'"):
        Grade.named("Observed")


@given(st.text(max_size=12))
def test_any_text_is_a_comparison_or_none(text: str) -> None:
    comparison = parse_comparison(text)
    assert comparison is None or comparison.number >= 0
