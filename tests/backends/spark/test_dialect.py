"""Selects mean on Spark what they mean on DuckDB, or are refused when they are planned."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tidewheel.backends.duckdb import DuckDB
from tidewheel.backends.spark import Spark
from tidewheel.clock import Micros
from tidewheel.errors import EngineCannot
from tidewheel.ports.query_engine import InMemory
from tidewheel.sources.definition import source
from tidewheel.sources.dialect import to_dialect
from tidewheel.sources.read import Sources

START = datetime(2026, 1, 4, 23, 59, 59, 999999, tzinfo=UTC)
FLOATS = [0.0, -0.0, 1.5, -2.5, math.inf, -math.inf, math.nan, None, 1e300, 0.1]
TIMES = [START + timedelta(days=37 * place, seconds=place) for place in range(9)] + [None]
TEXTS = ["2026-01-01", "2026-01-01 10:00:00", "2026-02-01T10:00:00.5", "x", "", None, "Häuser", "2026-13-01", "a%b", "2026-1-1"]
ROWS = pa.table(
    {
        "x": pa.array(FLOATS, pa.float64()),
        "y": pa.array(FLOATS[::-1], pa.float64()),
        "n": pa.array([0, 1, -7, 2**40, None, 5, 6, 7, 8, -1], pa.int64()),
        "m": pa.array([0, 1, 2, 3, 4, 5, None, 7, -8, 9], pa.int32()),
        "t": pa.array(TIMES, pa.timestamp("us", "UTC")),
        "u": pa.array([None if one is None else one.replace(tzinfo=None) for one in TIMES], pa.timestamp("us")),
        "s": pa.array(TEXTS, pa.string()),
        "b": pa.array([True, False, None, True, True, False, True, False, True, None]),
    }
)
EXPRESSIONS = [
    *(
        "x / y",
        "n / m",
        "n / 0",
        "x / 3",
        "m / 4",
        "(x + y) / (n * 2)",
        "n * 0.5 > 2",
        "x * 2",
        "-x",
        "x - y",
        "abs(x)",
        "abs(m)",
    ),
    *("n + 1", "m * 2", "n % 5", "m % 3", "isnan(x)", "x > y", "x = y", "x <> 0", "x BETWEEN -1 AND 0.1", "n IN (1, 5, NULL)"),
    *("x IS NULL", "x IS DISTINCT FROM y", "coalesce(x, y, 0)", "nullif(n, 1)", "CASE WHEN n > 1 THEN 'big' ELSE s END"),
    *("if(b, n, m)", "NOT b OR n > 2", "b AND x > 0", "s || '-' || s", "length(s)", "s LIKE 'a%'", "s LIKE '%u_er'", "s = 'x'"),
    *("epoch(t)", "epoch(u)", "epoch(t - (t - INTERVAL 90 MINUTE))", "epoch_us(t)", "epoch_us(u)", "t + INTERVAL 1 DAY"),
    *("u - INTERVAL 36 HOUR", "t + INTERVAL 1 MONTH", "hour(t)", "minute(u)", "day(t)", "month(u)", "year(t)", "dayofweek(t)"),
    *("isodow(u)", "extract(dow FROM t)", "extract(hour FROM u)", "t > TIMESTAMPTZ '2026-03-01 00:00:00+00'"),
    *("u < TIMESTAMP '2026-03-01 00:00:00'", "try_cast(s AS TIMESTAMP)", "try_cast(s AS TIMESTAMPTZ)", "CAST(t AS TIMESTAMP)"),
    *("CAST(u AS TIMESTAMPTZ)", "CAST(n AS DOUBLE)", "CAST(m AS BIGINT)", "CAST(n AS VARCHAR)", "CAST(b AS INTEGER)"),
]
REFUSED = [
    *("lower(s)", "ln(x)", "x ** 2", "round(x, 2)", "n // 2", "n % m", "date_trunc('hour', t)", "t AT TIME ZONE 'UTC'"),
    *("CAST(x AS BIGINT)", "CAST(x AS VARCHAR)", "CAST(s AS INTEGER)", "f * 2", "f > 0.1", "strftime(t, '%Y')", "hash(s)"),
    *("s LIKE s", "regexp_matches(s, 'a')", "[n, m]", "extract(week FROM t)", "CAST(n AS DECIMAL(9, 2))"),
]


@pytest.mark.slow
def test_every_expression_gives_the_same_bits_and_types(spark: Spark) -> None:
    select = "SELECT " + ", ".join(f"{text} AS e{place}" for place, text in enumerate(EXPRESSIONS)) + " FROM this"
    relations = {"this": InMemory(ROWS)}
    with DuckDB(threads=1) as duckdb:
        expected = duckdb.stream(select, relations).read_all()
    found = spark.stream(to_dialect(select, "spark"), relations).read_all()
    for place, text in enumerate(EXPRESSIONS):
        one, other = expected.column(place), found.column(place)
        assert (text, other.type) == (text, one.type)
        assert (text, bits(other)) == (text, bits(one))


def bits(column: pa.ChunkedArray) -> list[object]:
    """Values, floats as their bits; all NaN are one."""
    if not pa.types.is_floating(column.type):
        return list(column.to_pylist())
    clean = pc.if_else(pc.is_nan(column), math.nan, column).combine_chunks()
    return list(clean.view(pa.int64()).to_pylist())


@pytest.mark.slow
@pytest.mark.parametrize("text", REFUSED)
def test_what_would_mean_something_else_is_refused_at_plan(text: str, spark: Spark) -> None:
    rows = ROWS.append_column("f", pa.array([1.5] * 10, pa.float32()))
    made = source("rows", rows, time="t", select=f"SELECT *, {text} AS made FROM this")
    seen: dict[str, bytes] = {}
    with pytest.raises(EngineCannot, match="as it is meant"):
        Sources(Path("/nowhere"), spark, Path("/nowhere"), seen.get, seen.__setitem__, lambda: Micros(0)).schema(made)
