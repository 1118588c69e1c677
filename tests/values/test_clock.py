"""Time is int64 microseconds UTC; durations and instants are read and written exactly."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    WEEK,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    system_clock,
    to_datetime,
    to_micros,
)
from tidewheel.errors import Invalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("1us", 1),
        ("2ms", 2_000),
        ("90s", 90 * SECOND),
        ("15m", 15 * MINUTE),
        ("1h30m", HOUR + 30 * MINUTE),
        ("7d", 7 * DAY),
        ("2w", 2 * WEEK),
        ("1d1d", 2 * DAY),
    ],
)
def test_durations_are_numbers_with_units(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "h", "1 h", "-1h", "1.5h", "1y", "1H", "1hour", " 1h", "1h ", "1h\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a duration"):
        parse_duration(text)


@given(span=st.integers(0, 2**62))
def test_durations_are_written_as_they_are_read(span: int) -> None:
    assert parse_duration(format_duration(span)) == span
    assert format_duration(-span) == ("-" if span else "") + format_duration(span)


@given(delta=st.timedeltas(min_value=dt.timedelta(0)))
def test_timedeltas_are_durations(delta: dt.timedelta) -> None:
    assert dt.timedelta(microseconds=parse_duration(delta)) == delta


@given(moment=st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1), timezones=st.timezones()))
def test_instants_lose_nothing(moment: dt.datetime) -> None:
    micros = to_micros(moment)
    # In UTC: Python holds a moment of an hour that the clock shows twice for unequal to every moment of another zone.
    assert to_datetime(micros) == moment.astimezone(dt.UTC)
    assert parse_instant(format_instant(micros)) == micros


def test_instants_before_1970_and_offsets() -> None:
    assert parse_instant("1969-12-31T23:59:59.999999Z") == -1
    assert parse_instant("2020-01-01T05:00:00-05:00") == parse_instant("2020-01-01T10:00:00")
    assert format_instant(1_577_872_800_000_001) == "2020-01-01T10:00:00.000001Z"


def test_naive_times_and_words_are_refused() -> None:
    with pytest.raises(Invalid, match="no time zone"):
        to_micros(dt.datetime(2020, 1, 1))
    with pytest.raises(Invalid, match="not a time"):
        parse_instant("yesterday")


def test_the_systems_clock_is_now() -> None:
    assert abs(system_clock() - to_micros(dt.datetime.now(dt.UTC))) < 60 * SECOND
