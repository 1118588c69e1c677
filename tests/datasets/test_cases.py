"""The cases A, B (look-ups), C and D of features.md, through ``join``. Day 2026-01-01 UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewheel.datasets.build import join
from tidewheel.datasets.report import Report
from tidewheel.errors import (
    AmbiguousRows,
    BadTtl,
    FeatureOverflow,
    FutureLeak,
    KeyTypeMismatch,
    MissingColumns,
    MissingTime,
    MixedTimezones,
    NameCollision,
)
from tidewheel.features.definition import (
    FeatureView,
    ServiceDefinition,
    entity,
    features,
    lookup,
    on_request,
    request,
    service,
    sum,
    use,
    view_of,
)
from tidewheel.ports.query_engine import QueryEngine
from tidewheel.schema import Timestamp
from tidewheel.sources import source
from tidewheel.sources.read import Sources

Rows = Sequence[tuple[object, ...]]


def t(text: str) -> datetime:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    hour, minute, *rest = text.split(":")
    return day + timedelta(hours=int(hour), minutes=int(minute), seconds=float(rest[0]) if rest else 0)


def at(text: str) -> datetime:
    """Month-day and time."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def micros(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", "UTC"))


def table(rows: Rows, *, kind: pa.DataType | None = None, created: bool = False, x: str = "x", key: str = "uid") -> pa.Table:
    names = [key, "ts", *(["created"] if created else []), x]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    arrays = {name: pa.array(list(values), kind if name == x else None) for name, values in columns.items()}
    for name in ("ts", "created"):
        if name in arrays:
            arrays[name] = arrays[name].cast(pa.timestamp("us", "UTC"))
    return pa.table(arrays)


def view(
    rows: Rows | pa.Table,
    *,
    ttl: str | None = None,
    strict_ties: bool = False,
    feature: str = "x",
    name: str = "F",
    kind: pa.DataType | None = None,
    created: bool = False,
    fill: str | None = None,
    key: Mapping[str, type] | None = None,
    **options: str,
) -> FeatureView:
    data = rows if isinstance(rows, pa.Table) else table(rows, kind=kind, created=created, x=feature)
    held = source(name.lower(), data, time="ts", created="created" if created else None, **options)  # type: ignore[arg-type]
    user = entity("user", **(key or {"uid": int}))
    made = type(name, (), {feature: lookup(feature, fill=fill)})  # type: ignore[arg-type]  # checked by lookup
    return view_of(features(held, by=user, ttl=ttl, strict_ties=strict_ties)(made))


def spine(*rows: tuple[object, ...], names: Sequence[str] = ("uid", "t")) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


Ask = Callable[..., list[object]]


@pytest.fixture
def engine(every_engine: Callable[[], QueryEngine]) -> Iterator[QueryEngine]:
    """These cases run on every engine."""
    made = every_engine()
    yield made
    made.close()


@pytest.fixture
def ask(sources: Sources) -> Ask:
    def ask(asked: FeatureView, *rows: tuple[object, ...]) -> list[object]:
        joined, _ = join(spine(*rows), service("s", asked), time="t", sources=sources)
        values: list[object] = joined["x"].to_pylist()
        return values

    return ask


def full(made: ServiceDefinition, asked: object, sources: Sources, **options: str) -> tuple[pa.Table, Report]:
    return join(asked, made, time="t", sources=sources, **options)  # type: ignore[arg-type]  # any Arrow stream


# ── A ────────────────────────────────────────────────────────────────────────────────────────────


def test_a1_rows_without_a_value_stay(ask: Ask) -> None:
    assert ask(view([(1, t("11:00"), 1)]), (1, t("10:00")), (2, t("10:00"))) == [None, None]


def test_a2_a_row_older_than_ttl_is_null(ask: Ask) -> None:
    assert ask(view([(1, t("01:00"), 1)], ttl="2h"), (1, t("10:00"))) == [None]


def test_a3_labels_are_kept_apart(sources: Sources) -> None:
    asked = spine((1, t("10:00"), 0), (1, t("10:00"), 1), names=("uid", "t", "label"))
    joined, _ = full(service("s", view([(1, t("08:00"), 1)])), asked, sources, label="label")
    assert joined.to_pydict()["x"] == [1, 1]
    assert joined.to_pydict()["label"] == [0, 1]


def test_a4_order_and_index_are_kept(sources: Sources) -> None:
    frame = pd.DataFrame({"uid": [2, 1, 2], "t": [t("12:00"), t("10:00"), t("11:00")]}, index=[30, 10, 20])
    joined, _ = full(service("s", view([(1, t("08:00"), 1), (2, t("11:30"), 2)])), frame, sources)
    back = joined.to_pandas()
    assert list(back.index) == [30, 10, 20]
    assert joined["uid"].to_pylist() == [2, 1, 2]
    assert joined["x"].to_pylist() == [2, 1, None]


def test_a5_each_view_for_itself(sources: Sources) -> None:
    f, g = view([(1, t("08:00"), 1)]), view([(1, t("11:00"), 9)], feature="y", name="G")
    joined, _ = full(service("s", f, g), spine((1, t("10:00"))), sources)
    assert joined.select(["x", "y"]).to_pylist() == [{"x": 1, "y": None}]


def test_a6_no_rows_have_the_whole_schema(sources: Sources) -> None:
    empty = pa.schema([("uid", pa.int64()), ("t", pa.timestamp("us", "UTC")), ("more", pa.list_(pa.int8()))]).empty_table()
    joined, report = full(service("s", view([(1, t("08:00"), 1)], kind=pa.int64())), empty, sources)
    assert joined.num_rows == 0
    assert [str(kind) for kind in joined.schema.types] == ["int64", "timestamp[us, tz=UTC]", "list<item: int8>", "int64"]
    assert report.rows == 0


def test_a7_identical_rows_stay_as_many(ask: Ask) -> None:
    assert ask(view([(1, t("08:00"), 1)]), *[(1, t("10:00"))] * 3) == [1, 1, 1]


def test_a8_duplicate_source_rows_do_not_multiply(ask: Ask) -> None:
    assert ask(view([(1, t("08:00"), 1)] * 5), (1, t("10:00"))) == [1]


def test_a9_two_views_with_one_name_are_refused() -> None:
    with pytest.raises(NameCollision, match=r"F.*G") as caught:
        service("s", view([(1, t("08:00"), 1)]), view([(1, t("08:00"), 1)], name="G"))
    assert "alias" in str(caught.value.fix)


def test_a10_a_feature_never_overwrites_a_column(sources: Sources) -> None:
    with pytest.raises(NameCollision, match="x"):
        full(service("s", view([(1, t("08:00"), 1)])), spine((1, t("10:00"), 5), names=("uid", "t", "x")), sources)
    with pytest.raises(NameCollision, match="x"):
        full(service("s", view([(1, t("08:00"), 1)])), spine((1, t("10:00"), 5), names=("uid", "t", "x")), sources, label="x")


def test_a11_other_columns_pass_through_with_their_types(sources: Sources) -> None:
    more = {
        "l": pa.array([[1, None]], pa.list_(pa.int16())),
        "s": pa.array([{"a": b"\x00"}], pa.struct([("a", pa.binary())])),
        "d": pa.array(["u"]).dictionary_encode(),
        "n": pa.array([1], pa.timestamp("ns", "Asia/Tokyo")),
        "f": pa.array([1.5], pa.float16()),
    }
    asked = pa.table({"uid": pa.array([1], pa.int32()), "t": [t("10:00")]} | more)
    joined, _ = full(service("s", view([(1, t("08:00"), 1)])), asked, sources)
    assert joined.select(asked.column_names).equals(asked)
    assert joined["x"].to_pylist() == [1]


def test_a12_nothing_matches_is_no_error(sources: Sources) -> None:
    rows = 1_000_000
    asked = pa.table({"uid": pa.array(range(10, rows + 10)), "t": pa.repeat(micros(t("10:00")), rows)})
    joined, report = full(service("s", view([(1, t("08:00"), 1)])), asked, sources)
    assert (joined.num_rows, joined["x"].null_count) == (rows, rows)
    assert report.features[0].coverage == 0
    assert report.views[0].unknown == rows


# ── B ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rows", "ttl", "times", "expected"),
    [
        pytest.param([(1, t("10:00"), 1)], None, [t("10:00")], [1], id="B1"),
        pytest.param([(1, t("10:00:00.000001"), 1)], None, [t("10:00")], [None], id="B2"),
        pytest.param([(1, t("08:00"), 1)], "2h", [t("10:00"), t("10:00:00.000001")], [1, None], id="B3"),
        pytest.param(
            [(1, t("07:00"), 5), (1, t("08:00"), 6), (1, t("12:00"), 7)],
            None,
            [t("07:30"), t("08:00"), t("11:59"), t("12:00")],
            [5, 6, 6, 7],
            id="B4",
        ),
    ],
)
def test_b_bounds(ask: Ask, rows: Rows, ttl: str | None, times: list[datetime], expected: list[object]) -> None:
    assert ask(view(rows, ttl=ttl), *[(1, time) for time in times]) == expected


def test_b6_a_ttl_of_nothing_is_refused() -> None:
    with pytest.raises(BadTtl):
        view([(1, t("08:00"), 1)], ttl="0s")


def test_b7_each_view_has_its_ttl(sources: Sources) -> None:
    f = view([(1, t("08:00"), 1)], ttl="1h")
    g = view([(1, t("08:00"), 2)], ttl="1d", feature="y", name="G")
    joined, report = full(service("s", f, g), spine((1, t("10:00"))), sources)
    assert joined.select(["x", "y"]).to_pylist() == [{"x": None, "y": 2}]
    assert [one.too_old + one.unknown for one in report.views] == [1, 0]


def test_b9_parts_of_a_key_do_not_run_together(sources: Sources) -> None:
    data = pa.table({"a": ["1", "11"], "b": ["11", "1"], "ts": [t("08:00")] * 2, "x": [100, 200]})
    asked = spine(("1", "11", t("10:00")), ("11", "1", t("10:00")), names=("a", "b", "t"))
    joined, _ = full(service("s", view(data, key={"a": str, "b": str})), asked, sources)
    assert joined["x"].to_pylist() == [100, 200]


def test_b10_one_view_under_two_aliases(sources: Sources) -> None:
    data = pa.table({"loc": [1, 2], "ts": [t("08:00")] * 2, "x": [10, 20]})
    temps = view(data, key={"loc": int})
    made = service("s", use(temps, prefix="origin_", keys={"loc": "origin"}), use(temps, prefix="dest_", keys={"loc": "dest"}))
    joined, _ = full(made, spine((1, 2, t("10:00")), names=("origin", "dest", "t")), sources)
    assert joined.select(["origin_x", "dest_x"]).to_pylist() == [{"origin_x": 10, "dest_x": 20}]


# ── C ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("turn", [1, -1])
def test_c1_the_last_created_wins_whatever_the_order(ask: Ask, turn: int) -> None:
    rows = [(1, t("08:00"), t("09:00"), 2), (1, t("08:00"), t("08:30"), 1)][::turn]
    assert ask(view(rows, created=True), (1, t("10:00"))) == [2]


@pytest.mark.parametrize("turn", [1, -1])
def test_c3_ties_go_to_the_larger_row_and_are_counted(sources: Sources, turn: int) -> None:
    rows = [(1, t("08:00"), 2), (1, t("08:00"), 1)][::turn]
    joined, report = full(service("s", view(rows)), spine((1, t("10:00"))), sources)
    assert joined["x"].to_pylist() == [2]
    assert report.views[0].ties == 1


def test_c4_strict_ties_are_refused(ask: Ask) -> None:
    with pytest.raises(AmbiguousRows, match=r"08:00"):
        ask(view([(1, t("08:00"), 2), (1, t("08:00"), 1)], strict_ties=True), (1, t("10:00")))


def test_c5_rows_are_seen_when_they_are_known(ask: Ask) -> None:
    rows = [(1, at("01-01 10:00"), at("01-01 12:00"), 0.4), (1, at("01-01 10:00"), at("01-03 00:00"), 0.6)]
    assert ask(view(rows, created=True, available="created"), (1, at("01-02 00:00"))) == [0.4]
    assert ask(view(rows, created=True), (1, at("01-02 00:00"))) == [0.6]


def test_c9_a_delay_of_the_source_is_kept(ask: Ask) -> None:
    delayed = view([(1, t("08:00"), 1), (1, t("08:50"), 2)], after="15m")
    assert ask(delayed, (1, t("09:00")), (1, t("09:05")), (1, t("09:04:59.999999"))) == [1, 2, 1]


# ── D ────────────────────────────────────────────────────────────────────────────────────────────


def test_d1_null_is_a_value_unless_filled(ask: Ask) -> None:
    rows = [(1, t("07:00"), 5), (1, t("08:00"), None)]
    assert ask(view(rows), (1, t("10:00"))) == [None]
    assert ask(view(rows, fill="last_known"), (1, t("10:00"))) == [5]


def test_d2_integers_stay_integers_beside_nulls(sources: Sources) -> None:
    joined, _ = full(service("s", view([(1, t("08:00"), 9007199254740993)])), spine((1, t("10:00")), (2, t("10:00"))), sources)
    assert joined["x"].type == pa.int64()
    assert joined["x"].to_pylist() == [9007199254740993, None]


def test_d3_null_keys_find_nothing_and_are_found_by_nothing(sources: Sources) -> None:
    made = service("s", view([(None, t("08:00"), 1), (2, t("08:00"), 2)]))
    joined, report = full(made, spine((None, t("10:00")), (2, t("10:00"))), sources)
    assert joined["x"].to_pylist() == [None, 2]
    assert report.views[0].null_keys == 1


@pytest.mark.parametrize("keys", [["1"], [1.0], [True]])
def test_d4_keys_are_never_coerced(sources: Sources, keys: list[object]) -> None:
    with pytest.raises(KeyTypeMismatch, match="uid"):
        full(service("s", view([(1, t("08:00"), 1)])), pa.table({"uid": keys, "t": [t("10:00")]}), sources)


def test_d4_a_narrower_integer_is_the_same_key(sources: Sources) -> None:
    asked = pa.table({"uid": pa.array([1], pa.int32()), "t": [t("10:00")]})
    joined, _ = full(service("s", view([(1, t("08:00"), 1)])), asked, sources)
    assert joined["x"].to_pylist() == [1]


def test_d5_d6_zones(ask: Ask) -> None:
    made = view([(1, t("08:00"), 1), (1, t("09:00"), 2)])
    assert ask(made, (1, datetime(2026, 1, 1, 8, 30))) == [1]
    assert ask(made, (1, datetime(2026, 1, 1, 3, 30, tzinfo=ZoneInfo("America/New_York")))) == [1]


def test_d10_nanoseconds_do_not_leak(sources: Sources) -> None:
    base = 1_767_261_600_000_000_000
    data = pa.table({"uid": [1], "ts": pa.array([base + 900], pa.timestamp("ns")), "x": [1]})
    asked = pa.table({"uid": [1, 1, 1], "t": pa.array([base, base + 999, base + 1_000], pa.timestamp("ns"))})
    joined, _ = full(service("s", view(data)), asked, sources)
    assert joined["x"].to_pylist() == [None, None, 1]
    assert joined["t"].type == pa.timestamp("ns")


def test_d12_nan_is_null_unless_kept(ask: Ask) -> None:
    rows = [(1, t("07:00"), 1.0), (1, t("08:00"), float("nan"))]
    assert ask(view(rows), (1, t("10:00"))) == [None]
    assert str(ask(view(rows, nan="keep"), (1, t("10:00")))) == "[nan]"


def test_d13_float32_stays_float32(sources: Sources) -> None:
    joined, _ = full(service("s", view([(1, t("08:00"), 1.111)], kind=pa.float32())), spine((1, t("10:00"))), sources)
    assert joined["x"].type == pa.float32()
    assert joined["x"].equals(pa.chunked_array([pa.array([1.111], pa.float32())]))


def test_d18_overflow_is_an_error(sources: Sources) -> None:
    data = table([(1, t("08:00"), 9223372036854775807), (1, t("08:01"), 1)])

    class Sums:
        total = sum("x", "1d")

    made = view_of(features(source("f", data, time="ts"), by=entity("user", uid=int))(Sums))
    with pytest.raises(FeatureOverflow, match="9223372036854775808"):
        full(service("s", made), spine((1, t("10:00"))), sources)


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


def test_naive_and_aware_times_do_not_mix(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]))
    times = [datetime(2026, 1, 1, 10), datetime(2026, 1, 1, 10, tzinfo=UTC)]
    for asked in (
        pd.DataFrame({"uid": [1, 1], "t": pd.Series(times, dtype=object)}),
        [{"uid": 1, "t": time} for time in times],
    ):
        with pytest.raises(MixedTimezones):
            full(made, asked, sources)


def test_a_row_without_a_time_and_a_missing_column_are_named(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]))
    with pytest.raises(MissingTime, match="row 1"):
        full(made, spine((1, t("10:00")), (1, None)), sources)
    with pytest.raises(MissingColumns, match="uid"):
        full(made, spine((1, t("10:00")), names=("user", "t")), sources)
    with pytest.raises(MissingColumns, match="'t'"):
        full(made, spine((1, t("10:00")), names=("uid", "time")), sources)
    with pytest.raises(MissingColumns, match="outcome"):
        full(made, spine((1, t("10:00"))), sources, label="outcome")


def test_a_label_is_no_feature(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]), request(fare=float))
    asked = spine((1, t("10:00"), 5.0), names=("uid", "t", "fare"))
    with pytest.raises(FutureLeak, match="fare"):
        full(made, asked, sources, label="fare")


def test_a_label_is_no_input_of_a_transform(sources: Sources) -> None:
    @on_request
    def doubled(fare: float) -> float:
        return fare * 2

    asked = spine((1, t("10:00"), 5.0), names=("uid", "t", "fare"))
    with pytest.raises(FutureLeak, match="fare"):
        full(service("s", view([(1, t("08:00"), 1)]), doubled), asked, sources, label="fare")


def test_a_request_value_that_is_a_later_time_is_a_leak(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]), request(ended=Timestamp))
    names = ("uid", "t", "ended")
    joined, _ = full(made, spine((1, t("10:00"), t("10:00")), names=names), sources)
    assert joined.num_rows == 1
    with pytest.raises(FutureLeak, match=r"ended.*1 of 2"):
        full(made, spine((1, t("10:00"), t("09:00")), (1, t("10:00"), t("10:01")), names=names), sources)


def test_rows_of_outcomes_need_a_label(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]))
    asked = spine((1, t("10:00"), t("10:20"), 20.0), names=("uid", "t", "ts", "minutes"))
    with pytest.raises(FutureLeak, match="ts"):
        full(made, asked, sources)
    joined, _ = full(made, asked, sources, label="minutes")
    assert joined.num_rows == 1


def test_any_frame_is_taken(sources: Sources) -> None:
    made = service("s", view([(1, t("08:00"), 1)]))
    data = {"uid": [1], "t": [t("10:00")]}
    for asked in (pa.table(data), pd.DataFrame(data), pl.DataFrame(data), [{"uid": 1, "t": t("10:00")}]):
        assert full(made, asked, sources)[0]["x"].to_pylist() == [1]
