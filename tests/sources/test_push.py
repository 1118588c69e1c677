"""What may be pushed, and that what was accepted stays."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pytest

from tidewheel.clock import HOUR, Micros, parse_instant
from tidewheel.errors import (
    AmbiguousTime,
    FutureEvent,
    Invalid,
    MissingColumns,
    MissingTime,
    TidewheelError,
    TypeMismatch,
)
from tidewheel.sources import Source, source
from tidewheel.sources.changes import changes
from tidewheel.sources.push import PushLog, read_pushes, validate_push
from tidewheel.sources.read import Sources

RAW = pa.schema(
    [
        ("ended", pa.timestamp("us")),
        ("zone", pa.int32()),
        ("miles", pa.float64()),
        ("note", pa.string()),
        ("card", pa.bool_()),
        ("seen", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        ("fare", pa.decimal128(10, 2)),
    ]
)
ROW: dict[str, object] = {
    "ended": "2026-01-01T10:00:00",
    "zone": 7,
    "miles": 2,
    "note": "x",
    "card": True,
    "seen": "2026-01-01 05:00:00-05:00",
    "day": "2026-01-01",
    "fare": "12.30",
}
NOW = parse_instant("2026-01-01T12:00:00Z")


def trips(**options: str) -> Source:
    return source("trips", "trips.parquet", **({"time": "ended"} | options))  # type: ignore[arg-type]  # plain options


def test_json_values_become_the_columns_of_the_files() -> None:
    (row,) = validate_push(trips(), RAW, [ROW], now=NOW).to_pylist()
    assert row == {
        "ended": datetime(2026, 1, 1, 10),
        "zone": 7,
        "miles": 2.0,
        "note": "x",
        "card": True,
        "seen": datetime(2026, 1, 1, 10, tzinfo=UTC),
        "day": datetime(2026, 1, 1).date(),
        "fare": Decimal("12.30"),
    }


def test_times_without_a_zone_are_local_and_others_are_converted() -> None:
    local = trips(timezone="America/New_York")
    for told in (
        "2026-01-01T05:00:00",
        "2026-01-01T10:00:00Z",
        "2026-01-01T11:00:00+01:00",
        parse_instant("2026-01-01T10:00:00Z"),
    ):
        (row,) = validate_push(local, RAW, [ROW | {"ended": told, "seen": told}], now=NOW).to_pylist()
        assert row["ended"] == datetime(2026, 1, 1, 5)
        assert row["seen"] == datetime(2026, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "error", "column"),
    [
        ({"zone": "7"}, TypeMismatch, "zone"),
        ({"zone": 7.0}, TypeMismatch, "zone"),
        ({"zone": True}, TypeMismatch, "zone"),
        ({"zone": 1 << 40}, TypeMismatch, "zone"),
        ({"miles": "2"}, TypeMismatch, "miles"),
        ({"note": 3}, TypeMismatch, "note"),
        ({"card": 1}, TypeMismatch, "card"),
        ({"day": "tomorrow"}, TypeMismatch, "day"),
        ({"fare": "a lot"}, TypeMismatch, "fare"),
        ({"fare": "1.234"}, TypeMismatch, "fare"),
        ({"ended": "yesterday"}, TypeMismatch, "ended"),
        ({"ended": 1.5}, TypeMismatch, "ended"),
        ({"ended": 10**30}, TypeMismatch, "ended"),
        ({"zone": {"a": 1}}, TypeMismatch, "zone"),
        ({"ended": None}, MissingTime, "ended"),
        ({"ended": "2026-01-01T12:06:00"}, FutureEvent, "ended"),
    ],
)
def test_a_wrong_row_is_refused_by_row_and_column(change: dict[str, object], error: type[TidewheelError], column: str) -> None:
    with pytest.raises(error) as caught:
        validate_push(trips(), RAW, [ROW, ROW | change], now=NOW)
    assert column in str(caught.value)
    assert "1" in (caught.value.where or "") or column == "fare"
    assert caught.value.fix


def test_a_missing_column_is_named_and_null_is_a_value() -> None:
    with pytest.raises(MissingColumns, match=r"row 1.*miles") as caught:
        validate_push(trips(), RAW, [ROW, {name: value for name, value in ROW.items() if name != "miles"}], now=NOW)
    assert caught.value.where == "rows[1].miles"
    assert validate_push(trips(), RAW, [ROW | {"miles": None}], now=NOW)["miles"].to_pylist() == [None]


def test_only_columns_that_select_reads_are_needed_and_others_are_ignored() -> None:
    picky = trips(select="SELECT ended, zone FROM this WHERE miles > 0")
    table = validate_push(picky, RAW, [{"ended": ROW["ended"], "zone": 1, "miles": 2.0, "colour": "red"}], now=NOW)
    assert table.column_names == ["ended", "zone", "miles"]
    with pytest.raises(MissingColumns, match="miles"):
        validate_push(picky, RAW, [{"ended": ROW["ended"], "zone": 1}], now=NOW)


def test_an_event_without_its_id_cannot_count_once() -> None:
    with pytest.raises(MissingColumns, match="note"):
        validate_push(trips(event_id="note"), RAW, [ROW | {"note": None}], now=NOW)


def test_an_event_a_little_ahead_is_allowed_as_told() -> None:
    row = ROW | {"ended": "2026-01-01T12:30:00"}
    assert validate_push(trips(), RAW, [row], now=NOW, allowance=Micros(HOUR)).num_rows == 1


def test_a_local_time_shown_twice_is_refused_before_it_spoils_the_source() -> None:
    row = ROW | {"ended": "2025-11-02T01:30:00"}
    with pytest.raises(AmbiguousTime):
        validate_push(trips(timezone="America/New_York"), RAW, [row], now=NOW)
    assert validate_push(trips(timezone="America/New_York", ambiguous="later"), RAW, [row], now=NOW).num_rows == 1


def test_rows_that_are_no_objects_are_refused() -> None:
    with pytest.raises(TypeMismatch):
        validate_push(trips(), RAW, [7], now=NOW)  # type: ignore[list-item]  # wrong on purpose


def test_a_computed_time_is_checked_too(sources: Sources, now: Micros) -> None:
    table = pa.table({"day": ["2026-01-01"], "clock": ["10:00:00"]})
    select = "SELECT *, try_cast(day || ' ' || clock AS TIMESTAMP) AS ended FROM this WHERE day IS NOT NULL"
    rides = source("rides", table, time="ended", select=select)
    assert sources.validate(rides, [{"day": "2026-01-01", "clock": "11:00:00"}], now=now).num_rows == 1
    with pytest.raises(MissingTime, match="row 1"):
        sources.validate(rides, [{"day": "2026-01-01", "clock": "11:00:00"}, {"day": "2026-01-01", "clock": "x"}], now=now)
    with pytest.raises(FutureEvent):
        sources.validate(rides, [{"day": "2036-01-01", "clock": "11:00:00"}], now=now)


def test_rows_come_back_as_they_were_pushed(tmp_path: Path) -> None:
    log = PushLog(tmp_path / "trips")
    table = validate_push(trips(), RAW, [ROW, ROW | {"zone": None, "fare": None, "seen": None, "day": None}], now=NOW)
    log.append(trips(), table)
    log.append(trips(), table.select(["ended", "zone"]))
    found = read_pushes(tmp_path / "trips", RAW)
    assert found.slice(0, 2).equals(table)
    assert found.slice(2)["zone"].to_pylist() == [7, None]
    assert found.slice(2)["note"].to_pylist() == [None, None]
    log.close()
    assert read_pushes(tmp_path / "trips", RAW).equals(found)


LISTS = {
    "fares": (pa.list_(pa.decimal128(10, 2)), [Decimal("12.30"), None]),
    "days": (pa.large_list(pa.date32()), [datetime(2026, 1, 1).date()]),
    "stops": (pa.list_(pa.timestamp("us", "UTC")), [datetime(2026, 1, 1, 10, tzinfo=UTC), None]),
    "place": (pa.list_(pa.float64(), 2), [1.5, -0.5]),
    "notes": (pa.list_(pa.list_(pa.string())), [["a", None], None, []]),
    "wheres": (pa.list_(pa.struct([("day", pa.date32())])), [{"day": datetime(2026, 1, 1).date()}, None]),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_any_type_come_back_as_they_were_pushed(name: str, tmp_path: Path) -> None:
    kind, value = LISTS[name]
    schema = pa.schema([("ended", pa.timestamp("us")), (name, kind)])
    source = trips()
    rows: list[dict[str, object]] = [{"ended": ROW["ended"], name: one} for one in (value, None, value)]
    made = validate_push(source, schema, rows, now=NOW)
    log = PushLog(tmp_path / "trips")
    log.append(source, made)
    log.append(source, made.slice(1))
    log.close()
    found = read_pushes(tmp_path / "trips", schema)
    assert found.schema == schema
    assert found[name].to_pylist() == [value, None, value, None, value]


@pytest.mark.parametrize(
    ("told", "micros"),
    [
        ("10:00:00.000000900Z", 1),
        ("10:00:00.0000000Z", 0),
        ("11:00:00.1234560001+01:00", 123457),
        ("10:00:00,999999999", 10**6),
    ],
)
def test_digits_finer_than_microseconds_are_rounded_up(told: str, micros: int) -> None:
    (row,) = validate_push(trips(), RAW, [ROW | {"ended": f"2026-01-01T{told}", "seen": None}], now=NOW).to_pylist()
    assert row["ended"] == datetime(2026, 1, 1, 10) + timedelta(microseconds=micros)


def test_nanoseconds_of_pandas_are_rounded_up() -> None:
    import pandas as pd

    told = pd.Timestamp("2026-01-01T10:00:00.000000001Z")
    (row,) = validate_push(trips(), RAW, [ROW | {"ended": told}], now=NOW).to_pylist()
    assert row["ended"] == datetime(2026, 1, 1, 10, 0, 0, 1)


IMAGE = pa.struct([("id", pa.int64()), ("at", pa.timestamp("us")), ("day", pa.date32()), ("fare", pa.decimal128(10, 2))])
FEED = pa.schema([("op", pa.string()), ("ts", pa.timestamp("us", "UTC")), ("before", IMAGE), ("after", IMAGE)])


def feed() -> Source:
    images = changes("op", before="before", after="after")
    return source("feed", "feed.parquet", time="ts", event_id="id", select="SELECT op, ts, id FROM this", changes=images)


def test_images_of_a_change_come_as_json_objects_and_come_back(tmp_path: Path) -> None:
    image = {"id": 1, "at": "2026-01-01T10:00:00", "day": "2026-01-01", "fare": "12.30", "other": 1}
    change = {"op": "c", "ts": "2026-01-01T10:00:00Z", "before": None, "after": image}
    made = validate_push(feed(), FEED, [change], now=NOW)
    log = PushLog(tmp_path / "feed")
    log.append(feed(), made)
    log.close()
    assert read_pushes(tmp_path / "feed", FEED).to_pylist() == made.to_pylist()
    assert made.to_pylist()[0]["after"]["at"] == datetime(2026, 1, 1, 10)


@pytest.mark.parametrize(("image", "told"), [([1], "not an object"), ({"id": "x"}, "an object whose id is an integer")])
def test_a_wrong_image_is_refused(image: object, told: str) -> None:
    change = {"op": "c", "ts": "2026-01-01T10:00:00Z", "before": None, "after": image}
    with pytest.raises(TypeMismatch, match=told):
        validate_push(feed(), FEED, [change], now=NOW)


def test_rows_of_another_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="rides"):
        PushLog(tmp_path / "trips").append(source("rides", "a.parquet", time="t"), pa.table({"t": [1]}))


def _push_until_killed(folder: Path, told: Connection) -> None:
    log = PushLog(folder)
    for number in range(1_000_000):
        log.append(source("trips", "a.parquet", time="t"), pa.table({"t": [number]}))
        told.send(number)


@pytest.mark.slow
def test_accepted_rows_survive_kill_9(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=_push_until_killed, args=(tmp_path / "trips", writing))
    child.start()
    writing.close()
    acknowledged = 0
    with reading, contextlib.suppress(EOFError, OSError):
        while True:
            acknowledged = reading.recv() + 1
            if acknowledged == 200:
                os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert acknowledged >= 200
    found = read_pushes(tmp_path / "trips", pa.schema([("t", pa.int64())]))["t"].to_pylist()
    assert found[:acknowledged] == list(range(acknowledged))
    assert len(found) - acknowledged in (0, 1)
