"""When a schedule is due: by the calendar of a place, over the changes of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.clock import HOUR, format_instant, parse_instant, to_micros
from tidewheel.errors import Invalid
from tidewheel.triggers.calendar import due_between, due_times, next_due
from tidewheel.triggers.definition import schedule


def due(cron: str, after: str, count: int, timezone: str = "Europe/Berlin") -> list[str]:
    return [
        format_instant(at)[5:16] for at in islice(due_times(schedule(cron, timezone=timezone), parse_instant(after)), count)
    ]


def test_a_local_time_moves_in_utc_with_the_clock_of_the_place() -> None:
    assert due("0 6 * * *", "2026-03-27T12:00:00Z", 3) == ["03-28T05:00", "03-29T04:00", "03-30T04:00"]


def test_a_time_that_does_not_exist_is_taken_right_after_the_gap() -> None:
    assert due("30 2 * * *", "2026-03-28T12:00:00Z", 3) == ["03-29T01:00", "03-30T00:30", "03-31T00:30"]


def test_a_time_that_exists_twice_is_taken_once() -> None:
    assert due("30 2 * * *", "2026-10-24T12:00:00Z", 2) == ["10-25T00:30", "10-26T01:30"]


def test_seen_from_inside_of_the_doubled_hour_it_is_not_taken_again() -> None:
    assert due("30 2 * * *", "2026-10-25T00:45:00Z", 1) == ["10-26T01:30"]
    assert due("30 2 * * *", "2026-10-25T01:15:00Z", 1) == ["10-26T01:30"]


def test_what_comes_every_half_hour_comes_by_the_time_that_passes() -> None:
    assert due("*/30 * * * *", "2026-03-29T00:00:00Z", 3) == ["03-29T00:30", "03-29T01:00", "03-29T01:30"]
    assert due("*/30 * * * *", "2026-10-24T23:45:00Z", 5) == [
        *("10-25T00:00", "10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00")
    ]


def test_half_an_hour_of_change_is_followed_too() -> None:
    # Lord Howe Island puts its clock forward by 30 minutes: at 02:00 it is 02:30, on 2026-10-04 (15:30 UTC of the day before).
    assert due("15 2 * * *", "2026-10-02T16:00:00Z", 2, "Australia/Lord_Howe") == ["10-03T15:30", "10-04T15:15"]


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
CRONS = ["30 2 * * *", "*/20 * * * *", "15 1-3 * * *", "0 * * * SUN", "5 2 29 * *", "59 1 * * *", "0 0 L * *"]


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]),
    st.integers(-24 * 60, 30 * 60),
    st.integers(0, 30 * 60),
)
def test_however_often_one_looks_each_time_is_seen_once(cron: str, zone: str, day: str, at: int, more: int) -> None:
    wanted = schedule(cron, timezone=zone)
    start = to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=2))
    middle = to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(minutes=at))
    end = middle + more * 60_000_000
    parts = due_between(wanted, start, middle, limit=10_000) + due_between(wanted, middle, end, limit=10_000)
    assert parts == due_between(wanted, start, end, limit=10_000)


def test_next_is_after_not_at() -> None:
    hourly = schedule("0 * * * *")
    assert next_due(hourly, HOUR) == 2 * HOUR
    assert next_due(hourly, HOUR - 1) == HOUR


@pytest.mark.parametrize("cron", ["61 * * * *", "* * * *", "@sometimes", "0 0 30 2 *", ""])
def test_what_is_no_schedule_is_refused_where_it_is_written(cron: str) -> None:
    with pytest.raises(Invalid, match="is no schedule") as raised:
        schedule(cron)
    assert raised.value.where is not None
    assert "test_calendar.py" in raised.value.where


def test_an_unknown_zone_and_an_unknown_policy_are_refused() -> None:
    with pytest.raises(Invalid, match="not a time zone"):
        schedule("* * * * *", timezone="Europe/Atlantis")
    with pytest.raises(Invalid, match="missed is 'never'"):
        schedule("* * * * *", missed="never")  # type: ignore[arg-type]
