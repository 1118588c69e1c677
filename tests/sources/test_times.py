"""Times become microseconds UTC, checked against Python's zoneinfo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import parse_instant, to_micros
from tidewheel.errors import AmbiguousTime, MixedTimezones, TypeMismatch
from tidewheel.sources.times import Rounding, to_utc_micros

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(("rounding", "expected"), [("up", [1, 0, 1, 0, -1]), ("down", [0, 0, 1, -1, -2])])
def test_nanoseconds_are_rounded_away_from_what_could_leak(rounding: Rounding, expected: list[int]) -> None:
    column = pa.chunked_array([pa.array([900, 0, 1_000, -900, -1_001], pa.timestamp("ns"))])
    assert to_utc_micros(column, name="t", rounding=rounding).to_pylist() == expected


@given(st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)))
def test_local_times_are_those_of_zoneinfo(moment: datetime) -> None:
    zone = ZoneInfo(NEW_YORK)
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    back = early.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back != moment:  # a clock skips it
        return
    column = pa.chunked_array([pa.array([moment], pa.timestamp("us"))])
    assert to_utc_micros(column, name="t", timezone=NEW_YORK, ambiguous="earlier").to_pylist() == [to_micros(early)]
    assert to_utc_micros(column, name="t", timezone=NEW_YORK, ambiguous="later").to_pylist() == [to_micros(late)]


def test_a_time_that_the_clock_shows_twice_is_refused() -> None:
    column = pa.chunked_array([pa.array([datetime(2019, 11, 3, 1, 30), datetime(2019, 11, 3, 12)], pa.timestamp("us"))])
    with pytest.raises(AmbiguousTime, match=r"1 local times.*2019-11-03 01:30") as caught:
        to_utc_micros(column, name="dropoff_time", timezone=NEW_YORK)
    assert caught.value.where == "dropoff_time"


def test_a_time_that_the_clock_skips_is_the_first_after_the_gap() -> None:
    column = pa.chunked_array([pa.array([datetime(2019, 3, 10, 2, 30)], pa.timestamp("us"))])
    assert to_utc_micros(column, name="t", timezone=NEW_YORK).to_pylist() == [parse_instant("2019-03-10T07:00:00Z")]


def test_the_zone_of_the_source_is_not_used_on_times_that_have_one() -> None:
    column = pa.chunked_array([pa.array([datetime(2026, 1, 1, 8, 30, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo"))])
    assert to_utc_micros(column, name="t", timezone=NEW_YORK).to_pylist() == [parse_instant("2026-01-01T08:30:00Z")]


def test_strings_dates_seconds_and_integers_are_times() -> None:
    def micros(values: Sequence[object], kind: pa.DataType) -> list[int]:
        answer: list[int] = to_utc_micros(pa.chunked_array([pa.array(values, kind)]), name="t").to_pylist()
        return answer

    expected = [parse_instant("2026-01-01T00:00:00Z"), None]
    assert micros(["2026-01-01 00:00:00", None], pa.string()) == expected
    assert micros(["2026-01-01T01:00:00+01:00", None], pa.string()) == expected
    assert micros([datetime(2026, 1, 1).date(), None], pa.date32()) == expected
    assert micros([datetime(2026, 1, 1), None], pa.timestamp("s")) == expected
    assert micros(expected, pa.int64()) == expected


def test_strings_with_and_without_a_zone_do_not_mix() -> None:
    column = pa.chunked_array([pa.array(["2026-01-01 10:00:00", "2026-01-01 10:00:00+00:00"])])
    with pytest.raises(MixedTimezones):
        to_utc_micros(column, name="t")


def test_a_word_among_times_with_a_zone_is_named_rather_than_taken_for_a_time_without() -> None:
    with pytest.raises(TypeMismatch, match="'soon'"):
        to_utc_micros(pa.chunked_array([pa.array(["2026-01-01T10:00:00Z", None, "soon"])]), name="t")


@pytest.mark.parametrize("values", [["yesterday"], [1.5], [True]])
def test_what_is_no_time_is_refused(values: list[object]) -> None:
    with pytest.raises(TypeMismatch):
        to_utc_micros(pa.chunked_array([pa.array(values)]), name="t")
