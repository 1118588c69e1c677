"""The same rows, whatever they lie in, give the same training set to the bit."""

from __future__ import annotations

import csv
import json
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.catalog import load_catalog
from sqlalchemy.engine import make_url
from tests.examples import dear

import tidewheel as tw
from tidewheel.backends import delta, iceberg
from tidewheel.backends.duckdb import DuckDB
from tidewheel.clock import Micros, to_micros
from tidewheel.features.case import service_of_view
from tidewheel.features.definition import view_of
from tidewheel.features.retrieve import retrieve
from tidewheel.ports.table_format import TableFormat
from tidewheel.sources import Source, source
from tidewheel.sources.fetch import Outside
from tidewheel.sources.location import location, query
from tidewheel.sources.read import Sources

Row = Mapping[str, object]
Write = Callable[[Path, Sequence[Row]], Source]
HeldIn = Callable[[Write, Sequence[Row]], "Answer"]

SCHEMA = pa.schema(
    [
        ("t", pa.timestamp("us", "UTC")),
        ("key", pa.int64()),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("d", pa.date32()),
    ]
)
DAY = datetime(2026, 3, 29, tzinfo=UTC)
NOW = Micros(to_micros(DAY) * 2)
BIG = (1 << 63) - 1
FIRST = {"t": DAY, "key": 0, "n": -1, "x": 0.5, "s": "ä word", "b": True, "d": date(1969, 12, 31)}
"""A row with a value in each column: without one a text file has no type for it."""

SOME: tuple[Row, ...] = (
    FIRST,
    FIRST | {"key": BIG, "n": BIG, "x": -0.0, "s": "", "d": date(9999, 12, 31)},
    FIRST | {"key": BIG, "n": -BIG - 1, "x": 5e-324, "s": "2026-01-01", "d": date(1, 1, 1)},
    FIRST | {"key": BIG, "t": DAY + timedelta(microseconds=1), "n": None, "x": None, "s": None, "b": None, "d": None},
    FIRST | {"key": None, "t": DAY - timedelta(microseconds=1), "s": 'a,"b\n', "b": False},
    FIRST | {"key": -1, "t": DAY + timedelta(hours=25), "x": 1.7976931348623157e308, "s": "\U0001f600"},
)
"""Rows of one key at one time, with the least and the greatest that there is."""

_moments = st.builds(
    lambda hours, micros: DAY + timedelta(hours=hours, microseconds=micros),
    st.sampled_from([-49, -48, -24, -1, 0, 1, 2, 23, 24, 25]),
    st.sampled_from([-1, 0, 1, 999_999, 1_800_000_000]),
)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5)
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "t": _moments,
            "key": st.sampled_from([0, -1, 9007199254740993, BIG, -BIG - 1, None]),
            "n": st.none() | st.integers(-(1 << 55), 1 << 55) | st.sampled_from([BIG, -BIG - 1]),
            "x": st.none() | st.floats(allow_infinity=False, allow_nan=False),
            "s": st.none()
            | _texts
            | st.sampled_from(["", "7", "true", "2026-01-01", "NaN", "null", " a", 'a"b', "a,b", "a\nb"]),
            "b": st.none() | st.booleans(),
            "d": st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
        }
    ),
    max_size=12,
)


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], SCHEMA)


# ── what rows lie in ─────────────────────────────────────────────────────────────────────────────


def in_memory(folder: Path, rows: Sequence[Row]) -> Source:
    return source("rows", table(rows), time="t")


def in_a_frame(folder: Path, rows: Sequence[Row]) -> Source:
    return source("rows", pl.DataFrame(table(rows)).with_columns(pl.col("t").dt.convert_time_zone("Europe/Berlin")), time="t")


def in_parquet(folder: Path, rows: Sequence[Row]) -> Source:
    half = len(rows) // 2
    pq.write_table(table(rows[half:]), folder / "a.parquet", row_group_size=2)
    pq.write_table(table(rows[:half]), folder / "b.parquet", coerce_timestamps=None)
    return source("rows", "*.parquet", time="t")


def in_nanoseconds(folder: Path, rows: Sequence[Row]) -> Source:
    held = table(rows)
    fine = held.set_column(0, "t", held["t"].cast(pa.timestamp("ns", "America/New_York")))
    pq.write_table(fine, folder / "n.parquet")
    return source("rows", "n.parquet", time="t")


def in_local_times(folder: Path, rows: Sequence[Row]) -> Source:
    zone = ZoneInfo("Asia/Kathmandu")  # without hours that the clock shows twice
    local = [dict(row, t=row["t"].astimezone(zone).replace(tzinfo=None)) for row in rows]  # type: ignore[attr-defined]
    naive = pa.Table.from_pylist(local, SCHEMA.set(0, pa.field("t", pa.timestamp("us"))))
    pq.write_table(naive, folder / "l.parquet")
    return source("rows", "l.parquet", time="t", timezone="Asia/Kathmandu")


def in_csv(folder: Path, rows: Sequence[Row]) -> Source:
    def cell(value: object) -> object:
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else _written(value)

    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SCHEMA.names)
        writer.writerows([cell(row[name]) for name in SCHEMA.names] for row in rows)
    return source("rows", "a.csv", time="t")


def in_json(folder: Path, rows: Sequence[Row]) -> Source:
    lines = [
        json.dumps({name: _written(value) for name, value in row.items()}, ensure_ascii=place % 2 == 0)
        for place, row in enumerate(rows)
    ]
    (folder / "a.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return source("rows", "a.jsonl", time="t")


def in_delta(folder: Path, rows: Sequence[Row]) -> Source:
    write_deltalake(str(folder / "delta"), table(rows[:1]))
    write_deltalake(str(folder / "delta"), table(rows[1:]), mode="append")
    return source("rows", "delta/", time="t")


def in_iceberg(folder: Path, rows: Sequence[Row]) -> Source:
    options = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
    catalog = load_catalog("shop", **options)
    catalog.create_namespace("sales")
    catalog.create_table("sales.rows", schema=SCHEMA).append(table(rows))
    return source("rows", location("iceberg://shop/sales.rows", **options), time="t")


def in_sqlite(folder: Path, rows: Sequence[Row]) -> Source:
    with closing(sqlite3.connect(folder / "shop.db")) as shop:
        shop.execute("CREATE TABLE held (t TEXT, key INTEGER, n INTEGER, x REAL, s TEXT, b INTEGER, d TEXT)")
        values = [tuple(_written(row[name]) for name in SCHEMA.names) for row in rows]
        shop.executemany("INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        shop.commit()
    select = "SELECT * REPLACE (CAST(b AS BOOLEAN) AS b, CAST(d AS DATE) AS d) FROM this"
    return source("rows", query("SELECT * FROM held", "sqlite:///shop.db"), time="t", select=select)


def _written(value: object) -> object:
    """As a person writes it in text: times in turn with ``Z`` and with an offset."""
    if isinstance(value, datetime):
        return value.astimezone(ZoneInfo("America/New_York")).isoformat() if value.hour % 2 else value.isoformat()
    return value.isoformat() if isinstance(value, date) else value


FORMATS: tuple[Write, ...] = (
    in_a_frame,
    in_parquet,
    in_nanoseconds,
    in_local_times,
    in_csv,
    in_json,
    in_delta,
    in_iceberg,
    in_sqlite,
)


# ── what is asked of them ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Answer:
    """A training set, each value as its bits."""

    types: tuple[str, ...]
    values: tuple[tuple[object, ...], ...]


def answer(sources: Sources, held: Source) -> Answer:
    @tw.features(held, by=tw.entity("key", key=int))
    class Rows:
        n = tw.lookup("n")
        x = tw.lookup("x", fill="last_known")
        s = tw.lookup("s")
        b = tw.lookup("b")
        d = tw.lookup("d")
        counted = tw.count("1d")
        total = tw.sum("x", "2d")
        whole = tw.sum("n", "1h", where="n BETWEEN -1000 AND 1000")
        average = tw.mean("x", "2d", offset="1h")
        least = tw.min("n", "2d")
        most = tw.max("x", "2d")
        newest = tw.last("s", "1d")
        different = tw.distinct("s", "2d")
        frequent = tw.top_k("s", "2d", k=2)
        first = tw.first_k("n", "2d", k=2)

    keys = [0, -1, 9007199254740993, BIG, -BIG - 1]
    times = [to_micros(DAY + timedelta(hours=hour, microseconds=one)) for hour in (-24, 0, 1, 24, 48) for one in (-1, 0, 1)]
    spine = pa.table({"key": [key for key in keys for _ in times], "at": pa.array(times * len(keys), pa.int64())})
    found = retrieve(service_of_view(view_of(Rows)), spine, time="at", sources=sources).table
    return Answer(
        tuple(str(kind) for kind in found.schema.types),
        tuple(tuple(_bits(value) for value in column.to_pylist()) for column in found.columns),
    )


def _bits(value: object) -> object:
    return struct.pack("<d", value) if isinstance(value, float) else value


def _open_table(url: str, options: Mapping[str, str]) -> TableFormat:
    opened: TableFormat = (iceberg if url.startswith("iceberg") else delta).open_table_format(url, options)
    return opened


@pytest.fixture(scope="session")
def held_in(engine: DuckDB, tmp_path_factory: pytest.TempPathFactory) -> HeldIn:
    """Writes rows in some form and asks them."""

    def ask(write: Write, rows: Sequence[Row]) -> Answer:
        folder = tmp_path_factory.mktemp("rows")
        seen: dict[str, bytes] = {}
        outside = Outside(folder / "kept", {}, _open_table)
        sources = Sources(folder, engine, folder / "pushes", seen.get, seen.__setitem__, lambda: NOW, outside)
        return answer(sources, write(folder, rows))

    return ask


def alike(held_in: HeldIn, rows: Sequence[Row], formats: Sequence[Write]) -> None:
    expected = held_in(in_memory, rows)
    for write in formats:
        known = expected
        if write is in_csv:  # an empty value is null there, quoted or not
            known = held_in(in_memory, [dict(row, s=row["s"] or None) for row in rows])
        if write is in_sqlite:  # which keeps no sign of a zero
            known = held_in(in_memory, [dict(row, x=row["x"] or (None if row["x"] is None else 0.0)) for row in rows])
        assert held_in(write, rows) == known, write.__name__


def test_the_same_rows_give_the_same_training_set(held_in: HeldIn) -> None:
    alike(held_in, SOME, FORMATS)


def test_the_same_rows_in_postgresql(held_in: HeldIn, postgres_url: str) -> None:
    def in_postgresql(folder: Path, rows: Sequence[Row]) -> Source:
        columns = "t timestamptz, key bigint, n bigint, x double precision, s text, b boolean, d date"
        engine = sa.create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
        with engine.begin() as shop:
            shop.execute(sa.text(f"CREATE TABLE held ({columns})"))
            shop.execute(sa.text("INSERT INTO held VALUES (:t, :key, :n, :x, :s, :b, :d)"), [dict(row) for row in rows])
        engine.dispose()
        return source("rows", query("SELECT * FROM held", postgres_url), time="t")

    alike(held_in, SOME, [in_postgresql])


@pytest.mark.slow
@settings(max_examples=dear(5))
@given(rows=_rows)
def test_any_rows_give_the_same_training_set(held_in: HeldIn, rows: list[Row]) -> None:
    alike(held_in, [FIRST, *rows], FORMATS)
