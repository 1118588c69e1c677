"""Snapshots and scans."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidewheel.clock import MINUTE, Micros, parse_instant
from tidewheel.errors import AmbiguousTime, Conflict, Invalid, MixedTimezones, NotFound, UnknownFeature
from tidewheel.schema import DataType
from tidewheel.sources import source
from tidewheel.sources.push import PushLog
from tidewheel.sources.read import Sources

TEN = parse_instant("2026-01-01T10:00:00Z")


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, minute)


def write(path: Path, **columns: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_files_and_select_give_typed_rows_with_system_columns(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "d/1.parquet", t=[at(10), at(9)], x=[1, 2], y=[0.5, 2.0])
    write(tmp_path / "d/2.parquet", t=[at(11)], x=[3], y=[None])
    rides = source("rides", "d/*.parquet", time="t", select="SELECT *, x * 10 AS ten FROM this WHERE x < 9", after="15m")
    rows = sources.scan(rides, ["ten", "y", "t"], order_by=["__ts"])
    assert rows.schema.names == ["ten", "y", "t", "__ts", "__created", "__avail"]
    assert rows["ten"].to_pylist() == [20, 10, 30]
    assert rows.schema.field("t").type == pa.timestamp("us", "UTC")
    assert rows["__avail"][1].as_py() == rows["__ts"][1].as_py() + 15 * MINUTE == TEN + 15 * MINUTE
    assert rows["__created"].to_pylist() == [0, 0, 0]
    assert [(f.name, f.type) for f in sources.schema(rides)][-1] == ("ten", DataType.INT64)


def test_local_times_get_their_zone_in_all_time_columns(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[datetime(2026, 7, 1, 8)], other=[datetime(2026, 1, 1, 8)])
    rides = source("rides", "1.parquet", time="t", timezone="America/New_York")
    (row,) = sources.scan(rides, ["t", "other"]).to_pylist()
    assert row["__ts"] == parse_instant("2026-07-01T12:00:00Z")
    assert row["t"] == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert row["other"] == datetime(2026, 1, 1, 13, tzinfo=UTC)


def test_bounds_are_half_open_and_exact_also_in_local_time(sources: Sources, tmp_path: Path) -> None:
    hours = [datetime(2026, 1, day, hour) for day in range(1, 8) for hour in range(24)]
    write(tmp_path / "1.parquet", t=hours)
    for zone, offset in ((None, 0), ("America/New_York", 5), ("Asia/Tokyo", -9)):
        rides = source("rides", "1.parquet", time="t", timezone=zone)
        start, end = parse_instant("2026-01-03T00:00:00Z"), parse_instant("2026-01-04T00:00:00Z")
        found = sources.scan(rides, [], start=start, end=end, order_by=["__ts"])["__ts"].to_pylist()
        assert (len(found), found[0], found[-1]) == (24, start, end - 60 * MINUTE), (zone, offset)
        assert sources.scan(rides, [], start=Micros(end)).num_rows + sources.scan(rides, [], end=Micros(end)).num_rows == 168


def test_where_filters_after_select(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[at(1), at(2), at(3)], x=[1, 2, 3])
    rides = source("rides", "1.parquet", time="t", select="SELECT t, -x AS y FROM this")
    assert sources.scan(rides, ["y"], where="y < -1 OR y = 7 -- note", order_by=["y"])["y"].to_pylist() == [-3, -2]


def test_nanoseconds_are_rounded_up(sources: Sources) -> None:
    table = pa.table({"t": pa.array([900, 1_000, 1_001], pa.timestamp("ns"))})
    assert sources.scan(source("f", table, time="t"), [], order_by=["__ts"])["__ts"].to_pylist() == [1, 1, 2]


def test_nan_is_null_and_counted_unless_kept(sources: Sources) -> None:
    table = pa.table({"t": [1, 2, 3], "x": [float("nan"), 1.0, None], "y": pa.array([float("nan")] * 3, pa.float32())})
    rows = sources.scan(source("f", table, time="t"), ["x", "y"], order_by=["__ts"])
    assert rows["x"].to_pylist() == [None, 1.0, None]
    assert rows.schema.field("y").type == pa.float32()
    assert sources.counts["f"].nan == 4
    kept = sources.scan(source("f", table, time="t", nan="keep"), ["x"], order_by=["__ts"])["x"].to_pylist()
    assert str(kept) == "[nan, 1.0, None]"


def test_rows_that_can_never_be_visible_are_dropped_and_counted(sources: Sources) -> None:
    table = pa.table({"t": pa.array([1, None, 3, 4], pa.int64()), "known": pa.array([5, 6, None, 7], pa.int64())})
    rows = sources.scan(source("f", table, time="t", available="known"), [], order_by=["__ts"])
    assert rows["__avail"].to_pylist() == [5, 7]
    counts = sources.counts["f"]
    assert (counts.rows, counts.null_time, counts.null_available) == (2, 1, 1)


def test_created_orders_corrections(sources: Sources) -> None:
    table = pa.table({"t": [1, 1], "made": pa.array([9, None], pa.timestamp("s"))})
    rows = sources.scan(source("f", table, time="t", created="made"), [], order_by=["__created"])
    assert rows["__created"].to_pylist() == [0, 9_000_000]


def test_an_event_counts_once_in_files_and_pushes_together(sources: Sources, tmp_path: Path) -> None:
    write(
        tmp_path / "1.parquet", t=[1, 2, 2, 3, 3], id=["a", "b", "b", None, None], x=[10, 20, 20, 30, 30], made=[1, 1, 5, 1, 1]
    )
    rides = source("rides", "1.parquet", time="t", event_id="id", created="made")
    log = PushLog(tmp_path / "pushes/rides")
    for push in ({"t": [1], "id": ["a"], "x": [11], "made": [2]}, {"t": [4], "id": ["c"], "x": [40], "made": [1]}):
        for _ in range(2):
            log.append(rides, pa.table(push))
    found = sources.scan(rides, ["id", "x"], order_by=["__ts", "x"])
    assert list(zip(found["id"].to_pylist(), found["x"].to_pylist(), strict=True)) == [
        ("a", 11),
        ("b", 20),
        (None, 30),
        (None, 30),
        ("c", 40),
    ]
    log.close()


def test_the_winner_among_equal_ids_does_not_depend_on_the_order_of_files(sources: Sources) -> None:
    found = set()
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        table = pa.table({"t": [1, 1, 1], "id": [7, 7, 7], "x": [None, 3, 2], "y": ["c", "a", "b"]}).take(order)
        found.add(str(sources.scan(source("f", table, time="t", event_id="id"), ["x", "y"]).to_pylist()))
    assert found == {"[{'x': 3, 'y': 'a', '__ts': 1, '__created': 0, '__avail': 1}]"}


def test_a_snapshot_says_what_was_read(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "d/1.parquet", t=[at(10)], x=[1])
    rides = source("rides", "d/*.parquet", time="t")
    before = sources.snapshot(rides)
    log = PushLog(tmp_path / "pushes/rides")
    log.append(rides, pa.table({"t": [at(11)], "x": [2]}))
    middle = sources.snapshot(rides)
    write(tmp_path / "d/2.parquet", t=[at(12)], x=[3])
    log.append(rides, pa.table({"t": [at(13)], "x": [4]}))
    after = sources.snapshot(rides)

    def read(snapshot: object) -> list[int]:
        values: list[int] = sources.scan(rides, ["x"], snapshot=snapshot, order_by=["x"])["x"].to_pylist()  # type: ignore[arg-type]
        return values

    assert [read(before), read(middle), read(after)] == [[1], [1, 2], [1, 2, 3, 4]]
    assert [read(middle.since(before)), read(after.since(middle)), read(after.since(after))] == [[2], [3, 4], []]
    assert len({before.content, middle.content, after.content}) == 3
    log.close()
    assert sources.snapshot(rides).content == after.content
    assert read(after) == [1, 2, 3, 4]


def test_a_file_that_changed_after_the_snapshot_is_a_conflict(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[at(10)], x=[1])
    rides = source("rides", "1.parquet", time="t")
    snapshot = sources.snapshot(rides)
    os.utime(tmp_path / "1.parquet", (1, 1))
    assert sources.scan(rides, ["x"], snapshot=snapshot).num_rows == 1
    write(tmp_path / "1.parquet", t=[at(10)], x=[2])
    with pytest.raises(Conflict):
        sources.scan(rides, ["x"], snapshot=snapshot)
    assert sources.snapshot(rides).content != snapshot.content


def test_digests_are_remembered_for_files_that_did_not_change(open_sources: Callable[[], Sources], tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[at(10)])
    os.utime(tmp_path / "1.parquet", (1_000, 1_000))
    rides = source("rides", "1.parquet", time="t")
    first = open_sources().snapshot(rides)
    tampered = (tmp_path / "1.parquet").read_bytes()[::-1]
    (tmp_path / "1.parquet").write_bytes(tampered)
    os.utime(tmp_path / "1.parquet", (1_000, 1_000))
    assert open_sources().snapshot(rides) == first
    os.utime(tmp_path / "1.parquet", (1_001, 1_001))
    assert open_sources().snapshot(rides).content != first.content


def test_a_table_in_memory_is_content_whatever_its_chunks(open_sources: Callable[[], Sources]) -> None:
    table = pa.table({"t": [1, 2, 3], "x": ["a", None, "c"]})
    chunks = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    changed = pa.table({"t": [1, 2, 3], "x": ["a", None, "d"]})
    one, two, three = (open_sources().snapshot(source("f", data, time="t")) for data in (table, chunks, changed))
    assert one == two
    assert one.content != three.content


def test_csv_files(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ended,zone,note\n2026-01-01 10:00:00,7,x\n2026-01-01 11:00:00,8,\n")
    rows = sources.scan(source("rides", "*.csv", time="ended"), ["zone", "note"], order_by=["zone"])
    assert rows["zone"].to_pylist() == [7, 8]
    assert rows["note"].to_pylist() == ["x", None]
    assert rows["__ts"][0].as_py() == TEN


def test_naive_and_aware_files_do_not_mix(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[at(10)])
    write(tmp_path / "2.parquet", t=[at(10).replace(tzinfo=UTC)])
    with pytest.raises(MixedTimezones, match=r"2\.parquet.*1\.parquet"):
        sources.scan(source("rides", "*.parquet", time="t"), [])


def test_local_times_shown_twice_are_refused_until_one_is_chosen(sources: Sources) -> None:
    table = pa.table({"t": [datetime(2025, 11, 2, 1, 30)]})
    with pytest.raises(AmbiguousTime):
        sources.scan(source("f", table, time="t", timezone="America/New_York"), [])
    for choice, hour in (("earlier", 5), ("later", 6)):
        chosen = source("f", table, time="t", timezone="America/New_York", ambiguous=choice)  # type: ignore[arg-type]
        assert sources.scan(chosen, [])["__ts"][0].as_py() == parse_instant(f"2025-11-02T0{hour}:30:00Z")


def test_errors_name_the_source_and_the_column(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", started=[at(10)])
    with pytest.raises(NotFound, match=r"rides.*none"):
        sources.snapshot(source("rides", "none/*.parquet", time="t"))
    with pytest.raises(UnknownFeature, match="startd") as caught:
        sources.scan(source("rides", "1.parquet", time="startd"), [])
    assert caught.value.fix == "did you mean started?"
    with pytest.raises(Invalid, match="nope"):
        sources.schema(source("rides", "1.parquet", time="started", select="SELECT nope FROM this"))


def test_a_pushed_row_goes_through_the_same_select(sources: Sources, tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", t=[at(10)], x=[1])
    rides = source("rides", "1.parquet", time="t", select="SELECT t, x * 2 AS twice FROM this WHERE x > 0", after="1m")
    raw = pa.table({"t": [at(11), at(12)], "x": [5, -5]})
    moved = sources.transform(rides, raw)
    assert moved.to_pylist() == [
        {
            "t": datetime(2026, 1, 1, 11, tzinfo=UTC),
            "twice": 10,
            "__ts": TEN + 60 * MINUTE,
            "__created": 0,
            "__avail": TEN + 61 * MINUTE,
        }
    ]


@pytest.mark.parametrize("event_id", [None, "id"])
def test_a_batch_and_a_scan_give_the_same_rows(sources: Sources, event_id: str | None) -> None:
    raw = pa.table(
        {
            "t": [at(11), at(12), None, at(13)],
            "x": [5.0, float("nan"), 1.0, None],
            "id": ["a", "b", "c", "d"],
            "made": [at(11), None, at(12), at(13)],
            "known": [at(12), at(12), at(12), None],
        }
    )
    rides = source(
        "rides",
        raw,
        time="t",
        select="SELECT *, x * 2 AS twice FROM this WHERE id <> 'z'",
        created="made",
        available="known",
        event_id=event_id,
        timezone="Asia/Tokyo",
    )
    names = sources.schema(rides).names
    scanned = sources.scan(rides, names, order_by=["__ts"])
    assert scanned.num_rows == 2
    assert sources.transform(rides, raw).sort_by("__ts").equals(scanned)
    one = sources.transform(rides, raw.slice(1, 1))
    assert one.equals(scanned.slice(1, 1))
