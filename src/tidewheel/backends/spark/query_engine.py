"""The query engine port on Spark, and its optional ability: functions of ours over buckets of keys, in the workers.

The driver holds what is small (up to ``small_bytes``), and one partition at a time of what is not.
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
from pyspark.sql import functions as fn

from tidewheel.backends.spark.cogroup import Limits, bucketed
from tidewheel.backends.spark.failures import explained, guarded
from tidewheel.backends.spark.read import read_relation, size_bytes, spark_schema
from tidewheel.backends.spark.start import quiet, start_session
from tidewheel.errors import Invalid
from tidewheel.ports.query_engine import Files, InMemory, Relation, Side

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SMALL_BYTES = 64 << 20
_BUCKET_ROWS = 500_000
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
        Answers of relations up to this size come to the driver at once; larger ones a partition at a time.
    bucket_rows
        About how many rows of each side one call of a function gets.
    options
        Spark's properties by name, such as ``spark.driver.memory``; they win over ours.

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
    ) -> None:
        base = temporary or Path(tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="spark-", dir=base))
        self._storage = storage or str(self._folder)
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
        with explained():
            return _arrow_schema(self._query(sql, relations))

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, order_by: Sequence[str] = (), batch_rows: int = 1_000_000
    ) -> pa.RecordBatchReader:
        """Run the query; see the port."""
        with explained():
            frame = self._query(sql, relations)
            schema = _arrow_schema(frame)
            if order_by:
                frame = frame.orderBy(*[fn.col(_tick(name)).asc_nulls_last() for name in order_by])
            if self._is_small(relations.values()):
                whole = _collected(frame, schema)
                return pa.RecordBatchReader.from_batches(schema, whole.to_batches(max_chunksize=batch_rows))
        return pa.RecordBatchReader.from_batches(schema, _partitions(frame, schema))

    def cogroup(
        self, left: Side, right: Side, function: Callable[[pa.Table, pa.Table], pa.Table], *, schema: pa.Schema
    ) -> Relation:
        """Call the function for every bucket of keys; see the port."""
        small = self._is_small([*left.relations.values(), *right.relations.values()])
        with explained(), quiet():
            frames = [self._prepared(side) for side in (left, right)]
            answer = bucketed(frames, (left, right), guarded(function), schema=schema, small=small, limits=self._limits)
            if small:
                return InMemory(_collected(answer, schema))
            target = f"{self._storage}/{uuid.uuid4().hex}"
            answer.write.parquet(target)
            for frame in frames:
                frame.unpersist()
        found = sorted(str(path) for path in Path(target).glob("*.parquet"))
        return Files("parquet", tuple(found) or (target,))

    def close(self) -> None:
        """Remove what was on its way; stop Spark if it was started for this engine."""
        if self._closed:
            return
        self._closed = True
        if self._owner:
            self._session.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _query(self, sql: str, relations: Mapping[str, Relation]) -> DataFrame:
        """The query over the relations, analysed; names are the session's, so one query at a time."""
        frames = {name: read_relation(self._session, relation) for name, relation in relations.items()}
        with self._lock:
            for name, frame in frames.items():
                frame.createOrReplaceTempView(name)
            try:
                return self._session.sql(sql)
            finally:
                for name in frames:
                    self._session.catalog.dropTempView(name)

    def _prepared(self, side: Side) -> DataFrame:
        frame = self._query(side.sql, side.relations)
        if side.prepare is None:
            return frame.select(*[fn.col(_tick(name)) for name in side.schema.names])
        return frame.mapInArrow(_in_batches(guarded(side.prepare), _arrow_schema(frame)), spark_schema(side.schema))

    def _is_small(self, relations: Iterable[Relation]) -> bool:
        return sum(map(size_bytes, relations)) <= self._small


def open_query_engine(url: str, *, temporary: Path | None = None, memory_limit: int | None = None) -> Spark:
    """The engine that ``engine = "spark://..."`` in ``tidewheel.toml`` names.

    Parameters
    ----------
    url
        ``spark://local[*]``, ``spark://yarn`` or ``spark://host:7077``; after a question mark ``storage``, ``small_bytes``,
        ``bucket_rows`` and any of Spark's own properties.
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
    )


def _arrow_schema(frame: DataFrame) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    with quiet():
        made: pa.Schema = to_arrow_schema(frame.schema, timezone="UTC")
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
