"""The query engine port on Spark, and its optional ability: functions of ours over buckets of keys, in the workers.

The driver holds what is small (up to ``small_bytes``). What is not goes through Parquet in ``storage``: tables of this process
are written there and read by the workers, and answers are written by the workers and read here, a batch at a time.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as fn

from tidewheel.backends.spark.cogroup import Limits, bucketed, in_one_call
from tidewheel.backends.spark.depot import SCHEMES, Depot
from tidewheel.backends.spark.failures import explained, guarded
from tidewheel.backends.spark.read import plain_table, read_relation, size_bytes, spark_schema
from tidewheel.backends.spark.start import quiet, start_session
from tidewheel.errors import Invalid
from tidewheel.ports.query_engine import Files, InMemory, Relation, Side

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

_EVERYTHING = "SELECT * FROM "
_SMALL_BYTES = 64 << 20
_BUCKET_ROWS = 500_000
_FILE_ROWS = 262_144
"""Rows of a group in a file: what one task reads at least."""
_IPC = "ipc binary"


class Spark:
    """Runs queries on a Spark cluster, or on all cores of this machine.

    Parameters
    ----------
    master
        Spark's own URL (``spark://host:7077``, ``yarn``), or ``local[*]``.
    temporary
        Directory for what is spilled and for answers that are on their way.
    storage
        The same for answers, as a URL or path that driver and workers both see; ``temporary`` by default.
    small_bytes
        Tables up to this size go to the workers, and answers of relations up to it come to the driver, through the driver's
        memory; larger ones through files.
    bucket_rows
        About how many rows of each side one call of a function gets.
    options
        Spark's properties by name, such as ``spark.driver.memory``; they win over ours.
    storage_options
        What reaching an object store takes, as obstore names it (``endpoint``, ``access_key_id`` ...).

    Examples
    --------
    >>> import pytest; from shutil import which
    >>> if not which("java"): pytest.skip("Spark needs Java")
    >>> with Spark("local[1]") as engine:
    ...     relations = {"this": InMemory(pa.table({"a": [3, 1, 2]}))}
    ...     engine.stream("SELECT a * 2 AS b FROM this", relations, order_by=["b"]).read_all().to_pydict()
    {'b': [2, 4, 6]}
    """

    dialect = "spark"

    def __init__(
        self,
        master: str = "local[*]",
        *,
        temporary: Path | None = None,
        storage: str | None = None,
        small_bytes: int = _SMALL_BYTES,
        bucket_rows: int = _BUCKET_ROWS,
        options: Mapping[str, str] | None = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        base = temporary or Path(tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="spark-", dir=base))
        self._storage = f"{storage or base}/{self._folder.name}"
        self._depot = Depot(self._storage, storage_options or {}) if self._storage.startswith(SCHEMES) else None
        self._small = small_bytes
        self._limits = Limits(bucket_rows)
        self._lock = threading.Lock()
        self._session, self._owner = start_session(master, folder=self._folder / "driver", options=options or {})
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def schema(self, sql: str, relations: Mapping[str, Relation]) -> pa.Schema:
        """Columns and types of the query's answer; reads no rows of it."""
        bare = {name: InMemory(one.table.slice(0, 0)) if isinstance(one, InMemory) else one for name, one in relations.items()}
        whole = _whole(sql, bare)
        with explained():
            if isinstance(whole, InMemory):
                return _arrow_schema(spark_schema(plain_table(whole.table).schema))
            return _arrow_schema(self._query(sql, bare).schema)

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, order_by: Sequence[str] = (), batch_rows: int = 1_000_000
    ) -> pa.RecordBatchReader:
        """Run the query; see the port."""
        with explained():
            frame = self._query(sql, relations)
            schema = _arrow_schema(frame.schema)
            if order_by:
                frame = frame.orderBy(*[fn.col(_tick(name)).asc_nulls_last() for name in order_by])
            if self._is_small(relations.values()):
                whole = _collected(frame, schema)
                return pa.RecordBatchReader.from_batches(schema, whole.to_batches(max_chunksize=batch_rows))
            if self._depot is not None and not any(map(pa.types.is_null, schema.types)):
                return pa.RecordBatchReader.from_batches(
                    schema, self._depot.stream(self._depot.write(frame, schema), schema, batch_rows)
                )
            if "://" in self._storage or any(map(pa.types.is_null, schema.types)):  # no files that we can read
                return pa.RecordBatchReader.from_batches(schema, _partitions(frame, schema))
            target = Path(self._written(frame))
        return pa.RecordBatchReader.from_batches(schema, _from_files(target, schema, batch_rows))

    def cogroup(
        self, left: Side, right: Side, function: Callable[[pa.Table, pa.Table], pa.Table], *, schema: pa.Schema
    ) -> Relation:
        """Call the function for every bucket of keys; see the port."""
        small = self._is_small([*left.relations.values(), *right.relations.values()])
        with explained(), quiet():
            frames = [self._query(side.sql, side.relations) for side in (left, right)]
            if small:
                raw = (_arrow_schema(frames[0].schema), _arrow_schema(frames[1].schema))
                answer = in_one_call(frames, (left, right), guarded(function), raw=raw, schema=schema)
                return InMemory(_collected(answer, schema))
            frames = [_prepared(frame, side) for frame, side in zip(frames, (left, right), strict=True)]
            answer = bucketed(frames, (left, right), guarded(function), schema=schema, limits=self._limits)
            if self._depot is not None:
                target, paths = self._storage, self._depot.write(answer, schema)
            else:
                target, paths = self._written(answer), []
            for frame in frames:
                frame.unpersist()
        found = paths or sorted(str(path) for path in Path(target).glob("*.parquet"))
        return Files("parquet", tuple(found) or (target,))

    def close(self) -> None:
        """Remove what was on its way; stop Spark if it was started for this engine."""
        if self._closed:
            return
        self._closed = True
        if self._owner:
            self._session.stop()
        if self._depot is not None:
            self._depot.clear()
        for folder in (self._folder, Path(self._storage)):
            shutil.rmtree(folder, ignore_errors=True)

    def _query(self, sql: str, relations: Mapping[str, Relation]) -> DataFrame:
        """The query over the relations, analysed; names are the session's, so one query at a time."""
        whole = _whole(sql, relations)
        if whole is not None:
            return self._frame(whole)
        frames = {name: self._frame(relation) for name, relation in relations.items()}
        with self._lock:
            for name, frame in frames.items():
                frame.createOrReplaceTempView(name)
            try:
                return self._session.sql(sql)
            finally:
                for name in frames:
                    self._session.catalog.dropTempView(name)

    def _frame(self, relation: Relation) -> DataFrame:
        near = self._near(relation)
        if self._depot is not None and isinstance(near, Files) and near.paths and self._depot.has(near.paths[0]):
            return self._depot.read(self._session, near.paths)
        return read_relation(self._session, near)

    def _near(self, relation: Relation) -> Relation:
        """The relation, a large table as a file that the workers read: the driver's Java never holds it."""
        if not isinstance(relation, InMemory) or self._is_small([relation]):
            return relation
        if self._depot is not None:
            return Files("parquet", tuple(self._depot.put(relation.table, rows=_FILE_ROWS)))
        if "://" in self._storage:
            return relation
        folder = Path(self._storage)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{uuid.uuid4().hex}.parquet"
        table = plain_table(relation.table)
        with pq.ParquetWriter(path, table.schema) as writer:
            for start in range(0, max(table.num_rows, 1), _FILE_ROWS):
                writer.write_table(table.slice(start, _FILE_ROWS))
        return Files("parquet", (str(path),))

    def _written(self, frame: DataFrame) -> str:
        """Folder with the rows of a frame, written by the workers; the order of its files is that of the rows."""
        target = f"{self._storage}/{uuid.uuid4().hex}"
        with quiet():
            frame.write.parquet(target)
        return target

    def _is_small(self, relations: Iterable[Relation]) -> bool:
        return sum(map(size_bytes, relations)) <= self._small


def open_query_engine(url: str, *, temporary: Path | None = None, memory_limit: int | None = None) -> Spark:
    """The engine that ``engine = "spark://..."`` in ``tidewheel.toml`` names.

    Parameters
    ----------
    url
        ``spark://local[*]``, ``spark://yarn`` or ``spark://host:7077``; after a question mark ``storage``, ``storage.*`` (what
        reaching it takes), ``small_bytes``, ``bucket_rows`` and any of Spark's own properties.
    memory_limit
        Makes no difference: how much Spark takes is said by ``spark.driver.memory`` and ``spark.executor.memory``.

    Raises
    ------
    Invalid
        For a setting that there is not.

    Examples
    --------
    >>> open_query_engine("spark://local[1]?buckets=9")
    Traceback (most recent call last):
    tidewheel.errors.Invalid: engine spark: no setting 'buckets' (at engine). Fix: storage, small_bytes, bucket_rows, spark.*
    """
    place, _, query = url.partition("://")[2].partition("?")
    given = dict(parse_qsl(query))
    options = {name: given.pop(name) for name in list(given) if name.startswith("spark.")}
    storage = given.pop("storage", None)
    reaching = {name.partition(".")[2]: given.pop(name) for name in list(given) if name.startswith("storage.")}
    numbers = {name: int(given.pop(name)) for name in ("small_bytes", "bucket_rows") if given.get(name, "").isdigit()}
    if given:
        what = f"engine spark: no setting {next(iter(given))!r}"
        raise Invalid(what, where="engine", fix="storage, small_bytes, bucket_rows, spark.*")
    master = place or "local[*]"
    if not master.startswith(("local", "yarn", "k8s")):
        master = f"spark://{master}"
    return Spark(
        master,
        temporary=temporary,
        storage=storage,
        small_bytes=numbers.get("small_bytes", _SMALL_BYTES),
        bucket_rows=numbers.get("bucket_rows", _BUCKET_ROWS),
        options=options,
        storage_options=reaching,
    )


def _prepared(frame: DataFrame, side: Side) -> DataFrame:
    if side.prepare is None:
        return frame.select(*[fn.col(_tick(name)) for name in side.schema.names])
    return frame.mapInArrow(_in_batches(guarded(side.prepare), _arrow_schema(frame.schema)), spark_schema(side.schema))


def _whole(sql: str, relations: Mapping[str, Relation]) -> Relation | None:
    """The relation that a query gives as it is: to plan that takes Spark several round trips."""
    return relations.get(sql.removeprefix(_EVERYTHING)) if sql.startswith(_EVERYTHING) else None


def _arrow_schema(schema: StructType) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    with quiet():
        made: pa.Schema = to_arrow_schema(schema, timezone="UTC")
    return pa.schema([pa.field(field.name, field.type) for field in made])


def _collected(frame: DataFrame, schema: pa.Schema) -> pa.Table:
    with quiet():
        found = frame.toArrow()
    return found.cast(schema) if found.schema != schema else found


def _in_batches(
    function: Callable[[pa.Table], pa.Table], schema: pa.Schema
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from function(pa.Table.from_batches([batch]).cast(schema)).to_batches()

    return run


def _from_files(folder: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of files in a folder, which goes when they are read."""
    with explained():
        for path in sorted(folder.glob("part-*.parquet")):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_rows):
                    yield batch.cast(schema) if batch.schema != schema else batch
    shutil.rmtree(folder, ignore_errors=True)


def _partitions(frame: DataFrame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The answer, a partition at a time: each batch travels as the bytes of an Arrow stream in a row of its own."""
    with explained(), quiet():
        rows = frame.mapInArrow(_as_bytes, f"`{_IPC}` binary").toLocalIterator()
        for row in rows:
            with pa.ipc.open_stream(bytes(row[0])) as reader:
                for batch in reader:
                    yield batch.cast(schema) if batch.schema != schema else batch


def _as_bytes(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pa.record_batch([pa.array([sink.getvalue().to_pybytes()], pa.binary())], names=[_IPC])


def _tick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
