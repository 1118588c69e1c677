"""Buckets of keys, and stretches of time of the keys that are too large for one.

A bucket is what one call of the function gets, so it has to fit in a worker's memory. Keys are spread over buckets by their
hash. A key with more rows than a bucket should have is cut at quantiles of its rows' times into stretches, each a bucket of its
own. A row of the right side goes to its own stretch and to the following ones that reach back to it; and what is left of a
whole stretch once it is over (:attr:`tidewheel.ports.query_engine.Side.condense`) goes to all others: for the later ones it is
what came before, for the earlier ones it says that the key exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import functions as fn
from pyspark.sql import types as st

from tidewheel.backends.spark.failures import guarded
from tidewheel.backends.spark.read import spark_schema
from tidewheel.ports.query_engine import OWN, Side

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_BUCKET, _FIRST, _CUTS, _SLICE, _COUNT = "__bucket", "__first", "__cuts", "__slice", "__count"
_MOST_STRETCHES = 256
_MOST_PARTITIONS = 2_000


@dataclass(frozen=True, slots=True)
class Limits:
    """About how many rows of a side one bucket should have."""

    bucket_rows: int


@dataclass(frozen=True, slots=True)
class _Hot:
    """One key that is cut: its parts, its first bucket, and the instants at which its second and later stretches begin."""

    key: tuple[object, ...]
    first: int
    cuts: list[int]


def in_one_call(
    frames: Sequence[DataFrame],
    sides: tuple[Side, Side],
    function: Callable[[pa.Table, pa.Table], pa.Table],
    *,
    raw: tuple[pa.Schema, pa.Schema],
    schema: pa.Schema,
) -> DataFrame:
    """The function over small sides: one task that shuffles nothing, in which the raw rows of both are prepared too."""
    groups = [frame.coalesce(1).withColumn(_BUCKET, fn.lit(0)).groupBy(_BUCKET) for frame in frames]
    prepares = [None if side.prepare is None else guarded(side.prepare) for side in sides]
    kinds = [side.schema for side in sides]

    def run(left: pa.Table, right: pa.Table) -> pa.Table:
        rows = []
        for table, kind, prepare, made in zip((left, right), raw, prepares, kinds, strict=True):
            typed = _typed(table, kind)
            rows.append((typed if prepare is None else prepare(typed)).select(made.names).cast(made))
        return function(rows[0], rows[1].append_column(OWN, pa.repeat(True, rows[1].num_rows)))

    return groups[0].cogroup(groups[1]).applyInArrow(run, spark_schema(schema))


def bucketed(
    frames: Sequence[DataFrame],
    sides: tuple[Side, Side],
    function: Callable[[pa.Table, pa.Table], pa.Table],
    *,
    schema: pa.Schema,
    limits: Limits,
) -> DataFrame:
    """The function over all buckets; ``frames`` are the prepared rows of both sides, which the caller unpersists."""
    for frame in frames:
        frame.persist(StorageLevel.DISK_ONLY)
    rows = max(frame.count() for frame in frames)
    buckets = max(1, -(-rows // limits.bucket_rows))
    hot = _hot_keys(frames, sides, buckets, limits)
    left, right = frames
    many = min(buckets + sum(len(one.cuts) + 1 for one in hot), _MOST_PARTITIONS)
    left, right = _left(left, sides, buckets, hot), _right(right, sides, buckets, hot)
    groups = [frame.repartition(many, _BUCKET).groupBy(_BUCKET) for frame in (left, right)]
    kinds = (sides[0].schema, sides[1].schema.append(pa.field(OWN, pa.bool_())))
    return groups[0].cogroup(groups[1]).applyInArrow(_one_bucket(function, kinds), spark_schema(schema))


def _one_bucket(
    function: Callable[[pa.Table, pa.Table], pa.Table], kinds: tuple[pa.Schema, pa.Schema]
) -> Callable[[pa.Table, pa.Table], pa.Table]:
    def run(left: pa.Table, right: pa.Table) -> pa.Table:
        return function(*[_typed(table, kind) for table, kind in zip((left, right), kinds, strict=True)])

    return run


def _typed(table: pa.Table, kind: pa.Schema) -> pa.Table:
    """The columns without the bucket; a side without rows comes without columns too."""
    return table.select(kind.names).cast(kind) if table.num_columns else kind.empty_table()


def _left(frame: DataFrame, sides: tuple[Side, Side], buckets: int, hot: Sequence[_Hot]) -> DataFrame:
    side = sides[0]
    plain = _plain_bucket(side, buckets)
    if not hot:
        return frame.withColumn(_BUCKET, plain)
    marked = _marked(frame, side, sides, hot)
    cut = fn.expr(f"{_FIRST} + size(filter({_CUTS}, c -> c <= {_tick(side.time)}))")
    return marked.withColumn(_BUCKET, fn.coalesce(cut, plain)).drop(_FIRST, _CUTS)


def _right(frame: DataFrame, sides: tuple[Side, Side], buckets: int, hot: Sequence[_Hot]) -> DataFrame:
    side = sides[1]
    plain = _plain_bucket(side, buckets)
    if not hot:
        return frame.withColumn(OWN, fn.lit(True)).withColumn(_BUCKET, plain)
    time, reach = _tick(side.time), side.reach or 0
    own = f"coalesce(size(filter({_CUTS}, c -> c <= {time})), 0)"
    more = f"coalesce(size(filter({_CUTS}, c -> c > {time} AND c - {reach} <= {time})), 0)"
    marked = _marked(frame, side, sides, hot).withColumn("__own slice", fn.expr(own)).withColumn("__more", fn.expr(more))
    spread = marked.withColumn(_SLICE, fn.expr("explode(sequence(`__own slice`, `__own slice` + `__more`))"))
    bucket = fn.coalesce(fn.expr(f"{_FIRST} + {_SLICE}"), plain)
    names = [*side.schema.names, OWN, _BUCKET]
    rows = spread.withColumn(OWN, fn.expr(f"{_SLICE} = `__own slice`")).withColumn(_BUCKET, bucket).select(*map(_col, names))
    left_over = _condensed(marked.where(fn.col(_FIRST).isNotNull()), side, sides, hot)
    return rows if left_over is None else rows.unionByName(left_over)


def _condensed(marked: DataFrame, side: Side, sides: tuple[Side, Side], hot: Sequence[_Hot]) -> DataFrame | None:
    """What is left of each stretch when it is over, for all stretches of the key that did not get those rows anyway."""
    if side.condense is None:
        return None
    condense = guarded(side.condense)
    names, kind = side.schema.names, side.schema

    def of_one(rows: pa.Table) -> pa.Table:
        return condense(_typed(rows.select(names), kind))

    by_stretch = marked.withColumn(_BUCKET, fn.expr(f"{_FIRST} + `__own slice`")).select(*map(_col, [*names, _BUCKET]))
    kept = by_stretch.groupBy(_BUCKET).applyInArrow(of_one, spark_schema(kind))
    time, reach = _tick(side.time), side.reach or 0
    again = _marked(kept, side, sides, hot)
    again = again.withColumn(_SLICE, fn.expr(f"explode(sequence(0, size({_CUTS})))"))
    has = f"size(filter({_CUTS}, c -> c <= {time}))"
    reached = f"{has} + size(filter({_CUTS}, c -> c > {time} AND c - {reach} <= {time}))"
    elsewhere = again.where(fn.expr(f"{_SLICE} < {has} OR {_SLICE} > {reached}"))
    bucket = fn.expr(f"{_FIRST} + {_SLICE}")
    return elsewhere.withColumn(OWN, fn.lit(False)).withColumn(_BUCKET, bucket).select(*map(_col, [*names, OWN, _BUCKET]))


def _plain_bucket(side: Side, buckets: int) -> Column:
    """By the hash of the key; rows with a null key meet nobody, and are spread by their time."""
    if buckets == 1:
        return fn.lit(0)
    keys = [_col(name) for name in side.keys]
    absent = keys[0].isNull()
    for one in keys[1:]:
        absent = absent | one.isNull()
    return (
        fn.when(absent, fn.pmod(fn.xxhash64(_col(side.time)), fn.lit(buckets)))
        .otherwise(fn.pmod(fn.xxhash64(*keys), fn.lit(buckets)))
        .cast("int")
    )


def _marked(frame: DataFrame, side: Side, sides: tuple[Side, Side], hot: Sequence[_Hot]) -> DataFrame:
    """Each row with the first bucket and the cuts of its key, null where the key is not cut."""
    parts = [f"__key {place}" for place in range(len(side.keys))]
    left = sides[0]
    keys = [st.StructField(part, spark_schema(left.schema)[name].dataType) for part, name in zip(parts, left.keys, strict=True)]
    kind = st.StructType([*keys, st.StructField(_FIRST, st.IntegerType()), st.StructField(_CUTS, st.ArrayType(st.LongType()))])
    table = frame.sparkSession.createDataFrame([(*one.key, one.first, one.cuts) for one in hot], kind)
    condition = _col(side.keys[0]) == fn.col(f"`{parts[0]}`")
    for name, part in zip(side.keys[1:], parts[1:], strict=True):
        condition = condition & (_col(name) == fn.col(f"`{part}`"))
    return frame.join(fn.broadcast(table), condition, "left").drop(*parts)


def _hot_keys(frames: Sequence[DataFrame], sides: tuple[Side, Side], buckets: int, limits: Limits) -> list[_Hot]:
    """Keys with more rows than a bucket should have, on either side, and where to cut them."""
    if sides[1].reach is None or sides[1].condense is None:
        return []
    found: dict[tuple[object, ...], set[int]] = {}
    for frame, side in zip(frames, sides, strict=True):
        keys = [_col(name) for name in side.keys]
        present = frame.na.drop(subset=list(side.keys))
        counts = present.groupBy(*keys).agg(fn.count(fn.lit(1)).alias(_COUNT)).where(fn.col(_COUNT) > limits.bucket_rows)
        for key, rows, times in _quantiles(present, counts, side):
            stretches = min(-(-rows // limits.bucket_rows), _MOST_STRETCHES)
            step = len(times) / stretches
            found.setdefault(key, set()).update(times[int(step * place)] for place in range(1, stretches))
    hot, first = [], buckets
    for key, cuts in found.items():
        apart = _apart(sorted(cuts), sides[1].reach // 2)
        hot.append(_Hot(key, first, apart))
        first += len(apart) + 1
    return hot


def _quantiles(frame: DataFrame, counts: DataFrame, side: Side) -> list[tuple[tuple[object, ...], int, list[int]]]:
    """Of each key that is counted: its parts, its rows, and times that part these into equal shares."""
    grid = fn.array(*[fn.lit(place / _MOST_STRETCHES) for place in range(_MOST_STRETCHES)])
    hot = frame.join(fn.broadcast(counts), list(side.keys))
    times = fn.percentile_approx(_col(side.time), grid, 100_000)
    found = hot.groupBy(*map(_col, side.keys)).agg(fn.max(_COUNT), times).collect()
    return [(tuple(row)[:-2], row[-2], row[-1]) for row in found]


def _apart(cuts: Sequence[int], least: int) -> list[int]:
    """Cuts that are not nearer than half of the reach: nearer ones would copy rows more often than they share them out."""
    kept: list[int] = []
    for one in cuts:
        if not kept or one - kept[-1] >= max(least, 1):
            kept.append(one)
    return kept


def _col(name: str) -> Column:
    return fn.col(_tick(name))


def _tick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
