"""What is on its way, as Parquet in an object store: the workers' Python writes and reads it, without Java's file systems."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url
from pyspark import TaskContext

from tidewheel.backends.spark.failures import packed
from tidewheel.backends.spark.read import plain_table, spark_schema
from tidewheel.backends.spark.start import quiet
from tidewheel.errors import Unavailable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMES = ("s3://", "gs://", "az://", "abfs://", "abfss://")
_FILE_BYTES = 64 << 20
"""What a worker gathers before it writes: the size of a file in memory."""


@dataclass(frozen=True, slots=True)
class Depot:
    """A prefix of an object store that driver and workers both reach; it travels to the workers with what it needs for that.

    Parameters
    ----------
    url
        Such as ``s3://bucket/prefix``.
    options
        As obstore names them; what is absent it reads from each process's environment.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def has(self, path: str) -> bool:
        """Whether a path is one of this depot's."""
        return path.startswith(f"{self.url}/")

    def put(self, table: pa.Table, *, rows: int) -> list[str]:
        """Write a table of this process, so many rows to a file."""
        store, plain = self._open(), plain_table(table)
        starts = range(0, max(plain.num_rows, 1), rows)
        return [self._write(store, plain.slice(start, rows)) for start in starts]

    def write(self, frame: DataFrame, schema: pa.Schema) -> list[str]:
        """Let the workers write a frame; its files, in the order of its rows."""
        with quiet():
            found = frame.mapInArrow(self._writer(schema), "place int, number int, path string").collect()
        return [path for _, _, path in sorted((row[0], row[1], row[2]) for row in found)]

    def read(self, session: SparkSession, paths: Sequence[str]) -> DataFrame:
        """A frame whose rows the workers read."""
        schema = self._file(self._open(), paths[0]).schema_arrow.remove_metadata()
        with quiet():
            rows = session.createDataFrame([(path,) for path in paths], "path string").repartition(len(paths))
            return rows.mapInArrow(self._reader(), spark_schema(schema))

    def stream(self, paths: Sequence[str], schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of some files, in order; a file goes when it is read."""
        store = self._open()
        for path in paths:
            for batch in self._file(store, path).iter_batches(batch_rows):
                yield batch.cast(schema) if batch.schema != schema else batch
            self._delete(store, [self._key(path)])

    def clear(self) -> None:
        """Remove everything."""
        store = self._open()
        try:
            keys = [one["path"] for batch in obstore.list(store) for one in batch]
        except BaseError as error:
            raise self._unavailable(error) from error
        self._delete(store, keys)

    def _writer(self, schema: pa.Schema) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            context = TaskContext.get()
            place = 0 if context is None else context.partitionId()
            try:
                for number, table in enumerate(_gathered(batches, schema)):
                    path = self._write(self._open(), table)
                    yield pa.record_batch(
                        {"place": pa.array([place], pa.int32()), "number": pa.array([number], pa.int32()), "path": [path]}
                    )
            except Unavailable as error:
                raise packed(error) from error

        return run

    def _reader(self) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            try:
                for batch in batches:
                    for path in batch.column("path").to_pylist():
                        yield from self._file(self._open(), path).iter_batches()
            except Unavailable as error:
                raise packed(error) from error

        return run

    def _open(self) -> ObjectStore:
        client = {"allow_http": True} if self.options.get("endpoint", "").startswith("http://") else {}
        return from_url(self.url, config=dict(self.options), client_options=client)  # type: ignore[call-overload, no-any-return]

    def _key(self, path: str) -> str:
        return path[len(self.url) + 1 :]

    def _write(self, store: ObjectStore, table: pa.Table) -> str:
        key, sink = f"{uuid.uuid4().hex}.parquet", pa.BufferOutputStream()
        pq.write_table(table, sink)
        try:
            obstore.put(store, key, sink.getvalue().to_pybytes())
        except BaseError as error:
            raise self._unavailable(error) from error
        return f"{self.url}/{key}"

    def _file(self, store: ObjectStore, path: str) -> pq.ParquetFile:
        try:
            data = obstore.get(store, self._key(path)).bytes()
        except BaseError as error:
            raise self._unavailable(error) from error
        return pq.ParquetFile(pa.BufferReader(bytes(data)))

    def _delete(self, store: ObjectStore, keys: list[str]) -> None:
        try:
            if keys:
                obstore.delete(store, keys)
        except BaseError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: BaseError) -> Unavailable:
        first = str(error).splitlines()[0][:300]
        return Unavailable(
            f"the storage of spark cannot be reached: {first}", where=self.url, fix="check storage in the engine's URL"
        )


def _gathered(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of one task, as many at once as make a file."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch.cast(schema))
        if sum(one.nbytes for one in held) >= _FILE_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)
