"""Times as records carry them: text whose order is that of time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import InputError
from tallystick.clock import format_time, now, parse_time

FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
zones = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)


def test_now_is_between_before_and_after() -> None:
    before = datetime.now(UTC)
    text = now()
    after = datetime.now(UTC)
    assert FORM.fullmatch(text)
    assert before <= parse_time(text) <= after


@given(moment=moments)
def test_a_time_comes_back_in_utc(moment: datetime) -> None:
    text = format_time(moment)
    assert FORM.fullmatch(text)
    assert parse_time(text) == moment
    assert parse_time(text).tzinfo is UTC
    assert format_time(parse_time(moment.isoformat())) == text


@given(one=moments, other=moments)
def test_the_order_of_texts_is_that_of_times(one: datetime, other: datetime) -> None:
    assert (format_time(one) < format_time(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("2026-11-24T10:35:05Z", "2026-11-24T10:35:05.000000Z"),
        ("2026-11-24T10:35:05.1234567Z", "2026-11-24T10:35:05.123456Z"),
        ("2026-11-24T10:35:05", "2026-11-24T10:35:05.000000Z"),
        ("2026-11-24 10:35", "2026-11-24T10:35:00.000000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
        ("2026-11-24T00:30:00+01:00", "2026-11-23T23:30:00.000000Z"),
        ("2026-11-24T23:30:00-05:30", "2026-11-25T05:00:00.000000Z"),
        ("20261124T103505Z", "2026-11-24T10:35:05.000000Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000000Z"),
    ],
)
def test_times_that_are_taken(text: str, formatted: str) -> None:
    assert format_time(parse_time(text)) == formatted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "yesterday",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-11-24T25:00:00Z",
        "24.11.2026",
        "1700000000",
        "2026-11-24T10:35:05Z\n",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "\ud800",
        "\0",
        "٢٠٢٦-11-24",
        5,
        None,
    ],
)
def test_what_is_no_time_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="is not a time; write it like 2026-11-24T10:35:05Z") as caught:
        parse_time(text)
    assert "\n" not in str(caught.value)
