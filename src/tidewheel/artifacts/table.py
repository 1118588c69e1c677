"""Tables by content: write Arrow as Parquet under the digest of its columns, and read it back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.artifacts.columns import ColumnDigest
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.digest import Digest, digest
from tidewheel.errors import Corrupt, Invalid, MissingExtra, NotFound, near_miss

_COLUMNS = "tidewheel.columns"
_PART_BYTES = 128 << 20
_BATCH_ROWS = 1 << 17


class ArrowStream(Protocol):
    """Anything that hands out Arrow by the PyCapsule interface: Arrow, Polars, DuckDB and pandas frames do."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """A capsule with an Arrow C stream."""
        ...


class Table:
    """A typed handle to a table that never changes.

    The digest is that of the columns' values in their order, so the same table is the same content whoever wrote it, in
    whatever chunks; the bytes live in Parquet parts, each verified when it is read.

    Examples
    --------
    >>> store = ArtifactStore.open("memory:///")
    >>> table = Table.write(store, pa.table({"zone": [1, 2, 3], "trips": [10, None, 30]}))
    >>> table.num_rows, table.arrow(["trips"]).to_pydict()
    (3, {'trips': [10, None, 30]})
    >>> Table.from_json(store, table.to_json()).digest == table.digest
    True
    """

    def __init__(
        self, store: ArtifactStore, digest: Digest, parts: tuple[Digest, ...], *, columns: tuple[str, ...] | None = None
    ) -> None:
        self._store = store
        self.digest = digest
        self.parts = parts
        self._columns = columns

    @classmethod
    def write(cls, store: ArtifactStore, data: pa.Table | pa.RecordBatchReader | ArrowStream) -> Table:
        """Store a table; a stream is never held in memory as a whole.

        Metadata of the schema (such as pandas' index) is no content and is not kept.

        Raises
        ------
        Invalid
            When two columns have one name, or a type cannot be stored.
        """
        reader = pa.RecordBatchReader.from_stream(data)
        schema = reader.schema.remove_metadata()
        if len(set(schema.names)) != len(schema.names):
            twice = next(name for name in schema.names if schema.names.count(name) > 1)
            raise Invalid(f"two columns are called {twice!r}", where=twice, fix="rename one")
        sums = [ColumnDigest(field.type) for field in schema]
        parts: list[Digest] = []
        rows = 0
        pending: pa.Table | None = None
        for part in _parts(reader, schema):
            if pending is not None:
                parts.append(store.put(_parquet(pending, {})))
            for column, one in zip(part.columns, sums, strict=True):
                for chunk in column.chunks:
                    one.add(chunk)
            rows += part.num_rows
            pending = part
        columns = {name: one.digest() for name, one in zip(schema.names, sums, strict=True)}
        last = pending if pending is not None else schema.empty_table()
        parts.append(store.put(_parquet(last, {_COLUMNS: json.dumps([rows, columns])})))
        return cls(store, _digest(rows, columns), tuple(parts))

    def select(self, columns: Sequence[str]) -> Table:
        """A handle to some columns of the same rows, in this order: nothing is copied, and other columns are not its content.

        A step that is given such a handle is not run again when another column changes.

        Raises
        ------
        NotFound
            When there is no such column.
        Invalid
            When one is named twice.

        Examples
        --------
        >>> store = ArtifactStore.open("memory:///")
        >>> before = Table.write(store, pa.table({"zone": [1, 2], "trips": [10, 30]}))
        >>> after = Table.write(store, pa.table({"zone": [1, 2], "trips": [10, 31]}))
        >>> before == after, before.select(["zone"]) == after.select(["zone"])
        (False, True)
        """
        chosen = tuple(columns)
        if len(set(chosen)) != len(chosen):
            raise Invalid(f"a column is named twice: {', '.join(chosen)}", where="columns", fix="name each once")
        self._chosen(chosen)
        found = _digest(self.num_rows, {name: self.column_digests[name] for name in chosen})
        return Table(self._store, found, self.parts, columns=chosen)

    @cached_property
    def column_digests(self) -> Mapping[str, Digest]:
        """Digest of each column, in order."""
        return self._told[1]

    @cached_property
    def num_rows(self) -> int:
        """Number of rows."""
        return self._told[0]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        schema: pa.Schema = pq.read_schema(self._store.path_or_buffer(self.parts[-1])).remove_metadata()
        return schema if self._columns is None else pa.schema([schema.field(name) for name in self._columns])

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows, as they were written.

        Parameters
        ----------
        columns
            Only these, in this order; all without it.

        Raises
        ------
        NotFound
            When there is no such column, or a part is gone.
        Corrupt
            When stored bytes are damaged.
        """
        schema = self._chosen(columns)
        return pa.Table.from_batches(self.batches(columns), schema)

    def batches(self, columns: Sequence[str] | None = None, *, batch_rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows in order, a batch at a time."""
        schema = self._chosen(columns)
        for part in self.parts:
            with pq.ParquetFile(self._store.path_or_buffer(part)) as file:
                left = file.metadata.num_rows
                if not schema.names and left:
                    yield from pa.table({"": pa.nulls(left)}).select([]).to_batches()
                    continue
                for batch in file.iter_batches(batch_size=batch_rows, columns=schema.names):
                    yield batch.select(schema.names).cast(schema)

    def pandas(self) -> Any:  # a pandas.DataFrame: a technology is named in its own backend only, types included
        """The rows as a pandas frame. Integers and booleans with nulls are of pandas' nullable types, never floats."""
        return _frame("pandas", self.arrow())

    def polars(self) -> Any:  # a polars.DataFrame
        """The rows as a Polars frame."""
        return _frame("polars", self.arrow())

    def to_json(self) -> str:
        """The handle as text: its digest and the digests of its parts."""
        chosen = {} if self._columns is None else {"columns": list(self._columns)}
        return json.dumps({"digest": self.digest, "parts": list(self.parts), **chosen})

    @classmethod
    def from_json(cls, store: ArtifactStore, text: str | bytes) -> Table:
        """The handle that :meth:`to_json` wrote."""
        found = json.loads(text)
        chosen = found.get("columns")
        parts = tuple(Digest(part) for part in found["parts"])
        return cls(store, Digest(found["digest"]), parts, columns=None if chosen is None else tuple(chosen))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Table({self.digest[:12]}, {len(self.parts)} parts)"

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return pa.RecordBatchReader.from_batches(self.schema, self.batches()).__arrow_c_stream__(requested_schema)

    @cached_property
    def _told(self) -> tuple[int, dict[str, Digest]]:
        metadata = pq.read_metadata(self._store.path_or_buffer(self.parts[-1])).metadata or {}
        rows, columns = json.loads(metadata.get(_COLUMNS.encode(), b"[0, {}]"))
        if self._columns is not None:
            columns = {name: columns.get(name, "") for name in self._columns}
        if _digest(rows, columns) != self.digest:
            raise Corrupt(f"the parts of table {self.digest} are not its own", fix="build it again: tidewheel apply")
        return rows, columns

    def _chosen(self, columns: Sequence[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        for name in columns:
            if name not in self.schema.names:
                raise NotFound(f"table has no column {name!r}", where=name, fix=near_miss(name, self.schema.names))
        return pa.schema([self.schema.field(name) for name in columns])


def _digest(rows: int, columns: Mapping[str, Digest]) -> Digest:
    return digest(["table-1", rows, [[name, found] for name, found in columns.items()]])


def _parts(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in reader:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            piece = batch.slice(start, _BATCH_ROWS).replace_schema_metadata(None)
            batches.append(piece)
            size += piece.nbytes
            if size >= _PART_BYTES:
                yield pa.Table.from_batches(batches, schema)
                batches, size = [], 0
    if batches:
        yield pa.Table.from_batches(batches, schema)


def _parquet(table: pa.Table, told: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=_BATCH_ROWS)
        if told:
            writer.add_key_value_metadata(told)
    return out.getvalue()


def _frame(kind: str, table: pa.Table) -> object:
    for entry in entry_points(group="tidewheel.frames", name=kind):
        return entry.load()(table)
    raise MissingExtra(f"no backend makes {kind} frames", fix=f"pip install --force-reinstall 'tidewheel[{kind}]'")
