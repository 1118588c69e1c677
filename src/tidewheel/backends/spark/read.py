"""Relations as Spark's data frames, with the types that the other engines give them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import functions as fn
from pyspark.sql import types as st
from pyspark.sql.pandas.types import from_arrow_schema

from tidewheel.backends.spark.start import quiet
from tidewheel.errors import Corrupt, EngineCannot, NotFound
from tidewheel.ports.query_engine import InMemory, Relation
from tidewheel.text import BOOLEAN, DAY, FINE, LOCAL, NOT_FINITE, NUMBER, WHOLE, ZONED, Seen, TextType, grouped

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_KINDS: dict[TextType, str] = {
    "boolean": "boolean",
    "int64": "bigint",
    "double": "double",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "instant": "timestamp_ltz",  # what "timestamp" means is a setting
    "string": "string",
}
_SMALL_FILE = 4  # Parquet and gzip hold about a fourth of what they mean in memory


def read_relation(session: SparkSession, relation: Relation) -> DataFrame:
    """A relation as a data frame.

    Raises
    ------
    EngineCannot
        For a kind of file or a type that Spark has no equal of.
    """
    if isinstance(relation, InMemory):
        return _from_arrow(session, relation.table)
    if not relation.paths:
        raise NotFound("there are no files to read", fix="check the path pattern of the source")
    if relation.format == "parquet":
        return _parquet(session, relation.paths)
    if relation.format == "csv":
        return _csv(session, relation.paths)
    what = f"spark cannot read {relation.format} files: it would give times and numbers in them other types"
    raise EngineCannot(what, fix="convert them to Parquet, or use the duckdb engine")


def size_bytes(relation: Relation) -> int:
    """About how much memory the relation takes; files that this process cannot see count as many."""
    if isinstance(relation, InMemory):
        return int(relation.table.nbytes)
    paths = [Path(path) for path in relation.paths]
    if not all(path.is_file() for path in paths):
        return 1 << 50
    return _SMALL_FILE * sum(path.stat().st_size for path in paths)


def spark_schema(schema: pa.Schema) -> st.StructType:
    """Spark's types for Arrow's.

    Raises
    ------
    EngineCannot
        When Spark has no such type.
    """
    try:
        made: st.StructType = from_arrow_schema(schema, prefer_timestamp_ntz=True)
    except PySparkException as error:
        raise EngineCannot(f"spark has no type for one of {schema.types}", fix="cast the column, or use duckdb") from error
    return made


def plain_table(table: pa.Table) -> pa.Table:
    """A table without what Spark does not know: dictionaries, nanoseconds, unsigned numbers, wide offsets.

    Nanoseconds are rounded up, so that nothing is known before its time.

    Examples
    --------
    >>> plain_table(pa.table({"t": pa.array([1_400, None], pa.timestamp("ns"))}))["t"].cast(pa.int64()).to_pylist()
    [2, None]
    """
    columns = [_parted(_plain(_parted(column))) for column in table.columns]
    return pa.table(columns, names=table.column_names) if columns else table


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        ticks = column.cast(pa.int64())
        whole = pc.negate(_floored(pc.negate(ticks)))
        return whole.cast(pa.timestamp("us", kind.tz))
    plain = _plain_type(kind)
    return column if plain == kind else column.cast(plain)


def _parted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """With a part at least: Spark takes the type of what is nested from the first one, and a cast of nothing leaves none."""
    return column if column.num_chunks else pa.chunked_array([pa.array([], column.type)])


def _floored(ticks: pa.ChunkedArray) -> pa.ChunkedArray:
    """Thousandths, rounded down; Arrow divides towards zero."""
    quotient = pc.divide(ticks, 1000)
    return pc.subtract(quotient, pc.less(pc.subtract(ticks, pc.multiply(quotient, 1000)), 0).cast(pa.int64()))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_date64(kind):
        return pa.date32()
    if pa.types.is_float16(kind):
        return pa.float32()
    wider = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64()}
    if kind in wider:
        return wider[kind]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _from_arrow(session: SparkSession, table: pa.Table) -> DataFrame:
    plain = plain_table(table)
    schema = spark_schema(plain.schema)
    with quiet():
        made: DataFrame = session.createDataFrame(plain, schema)
    return made


def _parquet(session: SparkSession, paths: Sequence[str]) -> DataFrame:
    """Files by name of column: a column that a file lacks is null there, one of several types has the widest."""
    if not all(Path(path).exists() for path in paths):  # on storage that only the workers see
        return _opaque(session.read.option("mergeSchema", "true").parquet(*paths))
    groups: dict[pa.Schema, list[str]] = {}
    for path in paths:
        groups.setdefault(pq.read_schema(path).remove_metadata(), []).append(path)
    frames = [_opaque(_fine(session.read.parquet(*some), schema)) for schema, some in groups.items()]
    if len(frames) == 1:
        return frames[0]
    whole = pa.unify_schemas([_plain_schema(schema) for schema in groups], promote_options="permissive")
    wide = spark_schema(whole)
    typed = [
        frame.select(*[fn.col(_tick(one.name)).cast(wide[one.name].dataType).alias(one.name) for one in frame.schema])
        for frame in frames
    ]
    union = typed[0]
    for frame in typed[1:]:
        union = union.unionByName(frame, allowMissingColumns=True)
    return union.select(*[fn.col(_tick(name)) for name in whole.names])


def _opaque(frame: DataFrame) -> DataFrame:
    """Floats behind a function that changes nothing: statistics of Parquet leave NaN out, and filters by them lose it."""
    kinds = {one.name: one.dataType for one in frame.schema}
    if not any(isinstance(kind, st.FloatType | st.DoubleType) for kind in kinds.values()):
        return frame
    columns = []
    for name, kind in kinds.items():
        column = fn.col(_tick(name))
        floats = isinstance(kind, st.FloatType | st.DoubleType)
        columns.append(fn.nanvl(column, fn.lit(float("nan")).cast(kind)).alias(name) if floats else column)
    return frame.select(*columns)


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _plain_type(field.type)) for field in schema])


def _fine(frame: DataFrame, schema: pa.Schema) -> DataFrame:
    """Nanoseconds, which Spark hands over as numbers, as times rounded up."""
    fine = {field.name: field.type for field in schema if pa.types.is_timestamp(field.type) and field.type.unit == "ns"}
    if not fine:
        return frame
    return frame.select(*[_ceiled(name, fine[name].tz) if name in fine else fn.col(_tick(name)) for name in frame.columns])


def _ceiled(name: str, zone: str | None) -> Column:
    ticks = _tick(name)
    micros = f"({ticks} DIV 1000 + CASE WHEN {ticks} % 1000 > 0 THEN 1 ELSE 0 END)"
    instant = f"timestamp_micros({micros})"
    return fn.expr(instant if zone else f"CAST({instant} AS TIMESTAMP_NTZ)").alias(name)


def _csv(session: SparkSession, paths: Sequence[str]) -> DataFrame:
    """Files with a header, read as text; each column gets the type that all of its values in all files fit."""
    reader = session.read.option("header", "true").option("escape", '"').option("multiLine", "true").option("mode", "FAILFAST")
    if all(Path(path).is_file() for path in paths):
        frames = [
            reader.option("sep", header.separator)
            .schema(st.StructType([st.StructField(name, st.StringType()) for name in header.names]))
            .csv(some)
            for header, some in grouped(paths).items()
        ]
    else:  # on storage that only the workers see
        frames = [reader.option("sep", "\t" if ".tsv" in path else ",").csv(path) for path in paths]
    union = frames[0]
    for frame in frames[1:]:
        union = union.unionByName(frame, allowMissingColumns=True)
    rows = union.select(*[fn.nullif(fn.col(_tick(name)), fn.lit("")).alias(name) for name in union.columns])
    return rows.select(*[_cast(name, seen) for name, seen in _look(rows, paths).items()])


def _look(rows: DataFrame, paths: Sequence[str]) -> dict[str, Seen]:
    """What the values of columns of text are."""
    counts = [fn.count_if(one) for name in rows.columns for one in _tests(fn.col(_tick(name)))]
    strange = [fn.col(_tick(name)).contains("\ufffd") for name in rows.columns]
    counts.append(fn.count_if(fn.coalesce(reduce(or_, strange), fn.lit(False))))
    answer = [int(one) for one in rows.agg(*[one.alias(str(place)) for place, one in enumerate(counts)]).collect()[0]]
    if answer.pop():  # what is not UTF-8 becomes a sign of its own, and nobody says so
        what = f"a file cannot be read: {', '.join(paths[:3])}: not UTF-8"
        raise Corrupt(what, where=paths[0], fix="save the file as UTF-8")
    width = len(answer) // len(rows.columns)
    return {name: Seen(*answer[place * width : (place + 1) * width]) for place, name in enumerate(rows.columns)}


def _tests(column: Column) -> tuple[Column, ...]:
    """What is counted of a column, in the order of :class:`tidewheel.text.Seen`."""
    return (
        column.isNotNull(),
        column.rlike(BOOLEAN),
        column.rlike(WHOLE) & column.try_cast("bigint").isNotNull(),
        column.rlike(WHOLE),
        (column.rlike(NUMBER) | column.rlike(NOT_FINITE)) & column.try_cast("double").isNotNull(),
        column.rlike(DAY) & column.try_cast("date").isNotNull(),
        column.rlike(LOCAL) & column.try_cast("timestamp_ntz").isNotNull(),
        column.rlike(ZONED) & column.try_cast("timestamp_ltz").isNotNull(),
        column.rlike(FINE),
    )


def _cast(name: str, seen: Seen) -> Column:
    column = fn.col(_tick(name))
    made = column.cast(_KINDS[seen.type])
    if seen.fine and seen.type in ("timestamp", "instant"):  # a cast cuts digits off: what happened is never early
        micro = fn.expr("INTERVAL '0.000001' SECOND")
        made = fn.when(column.rlike(FINE), made + micro).otherwise(made)
    return made.alias(name)


def _tick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
