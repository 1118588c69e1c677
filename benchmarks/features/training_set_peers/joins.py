"""The peers of the training-set benchmark: the same answers by hand, with DuckDB, Polars and compiled C, on the same files.

Each function takes the folder with the data and answers a table in the spine's order. They know more than Tidewheel may: that
keys are whole numbers from 0 up, that nothing is null, NaN or in another zone, that values of ties do not matter.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Integers = npt.NDArray[np.int64]

VIEWS = ("a", "b", "c")
HOUR, DAY = 3_600_000_000, 86_400_000_000
WINDOWS = {"1h": (HOUR, 60_000_000), "1d": (DAY, HOUR), "7d": (7 * DAY, HOUR)}
"""Length and hop: a window is ``[floor(t - length, hop), t)``."""

AGGREGATES = ("count_1h", "sum_1h", "count_1d", "sum_1d", "min_1d", "max_1d", "mean_7d", "std_7d", "count_7d")


# ── look-ups ─────────────────────────────────────────────────────────────────────────────────────


def lookups_duckdb(folder: Path) -> pa.Table:
    """Corrections dropped, then an ASOF join, view by view."""
    joined = f"(SELECT *, row_number() OVER () AS row FROM '{folder}/spine.parquet')"
    for name in VIEWS:
        once = (
            f"(SELECT uid, ts, arg_max(x, created) AS {name}_x, arg_max(z, created) AS {name}_z "
            f"FROM '{folder}/{name}.parquet' GROUP BY uid, ts)"
        )
        joined = f"(SELECT s.*, {name}_x, {name}_z FROM {joined} s ASOF LEFT JOIN {once} v ON s.uid = v.uid AND s.t >= v.ts)"
    columns = ", ".join(f"{name}_x, {name}_z" for name in VIEWS)
    return duckdb.sql(f"SELECT {columns} FROM {joined} ORDER BY row").to_arrow_table()


def lookups_polars(folder: Path) -> pa.Table:
    """Sorted by time and created, the last of equals; then join_asof."""
    joined = pl.scan_parquet(folder / "spine.parquet").with_row_index("row").sort("t")
    for name in VIEWS:
        rows = pl.scan_parquet(folder / f"{name}.parquet").sort("ts", "created").drop("created")
        rows = rows.rename({"x": f"{name}_x", "z": f"{name}_z"}).unique(["uid", "ts"], keep="last", maintain_order=True)
        joined = joined.join_asof(rows, left_on="t", right_on="ts", by="uid", check_sortedness=False).drop("ts")
    columns = [f"{name}_{value}" for name in VIEWS for value in ("x", "z")]
    return joined.sort("row").select(columns).collect().to_arrow()


def lookups_compiled(folder: Path) -> pa.Table:
    """Counting sort by key, then a binary search for each question."""
    hand = _library()
    spine = pq.read_table(folder / "spine.parquet", columns=["uid", "t"])
    asked, times = _whole(spine["uid"]), _whole(spine["t"])
    made: dict[str, pa.Array] = {}
    for name in VIEWS:
        rows = pq.read_table(folder / f"{name}.parquet")
        key, ts, created = (_whole(rows[column]) for column in ("uid", "ts", "created"))
        keys, count = int(max(key.max(), asked.max())) + 1, len(key)
        offsets, order = np.empty(keys + 1, dtype=np.int64), np.empty(count, dtype=np.int32)
        hand.group(count, keys, _at(key), _at(offsets), _at(order))
        hand.settle(keys, _at(offsets), _at(order), _at(ts), _at(created))
        moments, found = np.empty(count, dtype=np.int64), np.empty(len(asked), dtype=np.int32)
        hand.gather(count, _at(order), _at(ts), _at(moments))
        hand.search(len(asked), _at(asked), _at(times), _at(offsets), _at(moments), _at(order), _at(found))
        places = pa.array(found, mask=found < 0)
        for value in ("x", "z"):
            made[f"{name}_{value}"] = rows[value].combine_chunks().take(places)
    return pa.table(made)


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def windows_duckdb(folder: Path) -> pa.Table:
    """RANGE frames over events and questions in one table; the bound of a frame rounds its start down to the hop.

    SQL's sum of no rows is null, where ours is 0: the one thing that frames would answer otherwise.
    """
    frames = ", ".join(
        f"w_{name} AS (PARTITION BY uid ORDER BY t RANGE BETWEEN {length} + (t - {length}) % {hop} PRECEDING AND 1 PRECEDING)"
        for name, (length, hop) in WINDOWS.items()
    )
    functions = {"count": "count", "sum": "sum", "min": "min", "max": "max", "mean": "avg", "std": "stddev_samp"}
    made = []
    for one in AGGREGATES:
        function, span = one.split("_")
        value = f"{functions[function]}(x) OVER w_{span}"
        made.append(f"{f'coalesce({value}, 0)' if function == 'sum' else value} AS {one}")
    sql = f"""
        SELECT {", ".join(AGGREGATES)} FROM (
          SELECT row, {", ".join(made)} FROM (
            SELECT uid, epoch_us(ts) AS t, x, NULL AS row FROM '{folder}/events.parquet'
            UNION ALL SELECT uid, epoch_us(t), NULL, row_number() OVER () FROM '{folder}/spine.parquet')
          WINDOW {frames})
        WHERE row IS NOT NULL ORDER BY row"""
    return duckdb.sql(sql).to_arrow_table()


def windows_compiled(folder: Path) -> pa.Table:
    """A sweep with two pointers for each of the three windows."""
    hand = _library()
    spine = pq.read_table(folder / "spine.parquet", columns=["uid", "t"])
    events = pq.read_table(folder / "events.parquet", columns=["uid", "ts", "x"])
    asked, times, key, ts = (_whole(column) for column in (spine["uid"], spine["t"], events["uid"], events["ts"]))
    keys = int(max(key.max(), asked.max())) + 1
    by_time = np.argsort(times, kind="stable")
    offsets, order = np.empty(keys + 1, dtype=np.int64), np.empty(len(key), dtype=np.int32)
    hand.group(len(key), keys, _at(key), _at(offsets), _at(order))
    hand.settle(keys, _at(offsets), _at(order), _at(ts), _at(ts))
    q_offsets, q_order = np.empty(keys + 1, dtype=np.int64), np.empty(len(asked), dtype=np.int32)
    sorted_keys = np.ascontiguousarray(asked[by_time])
    hand.group(len(asked), keys, _at(sorted_keys), _at(q_offsets), _at(q_order))
    moments = np.ascontiguousarray(ts[order])
    values = np.ascontiguousarray(events["x"].to_numpy()[order])
    rows = by_time[q_order]
    moment = np.ascontiguousarray(times[rows])
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name, (length, hop) in WINDOWS.items():
        made = [np.empty(len(asked)) for _ in range(5)]
        sizes = (ctypes.c_int64(length), ctypes.c_int64(hop))
        hand.sweep(
            keys, _at(offsets), _at(moments), _at(values), _at(q_offsets), _at(moment), *sizes, *(_at(one) for one in made)
        )
        for aggregate, one in zip(("count", "sum", "squares", "min", "max"), made, strict=True):
            found[f"{aggregate}_{name}"] = one
        with np.errstate(all="ignore"):
            count, total, squares = made[0], made[1], made[2]
            found[f"mean_{name}"] = total / count
            found[f"std_{name}"] = np.sqrt(np.maximum(squares - total * total / count, 0) / (count - 1))
    back = np.empty(len(rows), dtype=np.int64)
    back[rows] = np.arange(len(rows))
    table = {}
    for one in AGGREGATES:
        function, span = one.split("_")
        enough = found[f"count_{span}"] >= {"count": 0, "sum": 0, "std": 2}.get(function, 1)
        table[one] = pa.array(found[one][back], mask=~enough[back])
    return pa.table(table)


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────


def _library() -> ctypes.CDLL:
    """The loops in C, compiled."""
    built = Path(tempfile.mkdtemp()) / "by_hand.so"
    source = Path(__file__).with_name("by_hand.c")
    subprocess.run(["cc", "-O2", "-march=native", "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
    found = ctypes.CDLL(str(built))
    for name in ("group", "settle", "gather", "search", "sweep"):
        getattr(found, name).restype = None
    found.group.argtypes = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * 3
    found.settle.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 4
    found.gather.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 3
    found.search.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 6
    found.sweep.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 5 + [ctypes.c_int64] * 2 + [ctypes.c_void_p] * 5
    return found


def _at(array: npt.NDArray[np.generic]) -> int:
    return array.ctypes.data


def _whole(column: pa.ChunkedArray) -> Integers:
    return np.ascontiguousarray(pc.cast(column, pa.int64()).to_numpy())
