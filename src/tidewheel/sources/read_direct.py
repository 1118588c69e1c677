"""Rows of a source without the engine: where a source has no ``select``, Parquet files and tables are read as they are.

Only the columns asked for are decoded, and no row group that lies outside of the time asked for. Whatever an engine would first
have to convert in a way of its own (other types in other files, partitions in paths) is left to it: :func:`find_direct` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.clock import DAY, Micros
from tidewheel.errors import Corrupt
from tidewheel.ports.query_engine import Files, InMemory, Relation
from tidewheel.sources.definition import Source
from tidewheel.sources.times import ceiled

_ROWS = 1 << 18
_ZONES_REACH = 2 * DAY
_PLAIN = (
    pa.bool_(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
)
"""Types that every engine takes for what they are."""
_PER_MICRO = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True, slots=True)
class Direct:
    """A source that can be read as it is: its relations, and the types that its columns come in."""

    relations: tuple[Relation, ...]
    schema: pa.Schema
    time: str
    counts_micros: bool

    def batches(self, start: Micros | None = None, end: Micros | None = None) -> Iterator[pa.Table]:
        """The rows, times in microseconds (rounded up), in batches; some that lie outside of the bounds too."""
        for relation in self.relations:
            if isinstance(relation, InMemory):
                table = relation.table.select(self.schema.names)
                for at in range(0, table.num_rows, 4 * _ROWS):
                    yield self._plain(table.slice(at, 4 * _ROWS))
                continue
            for path in relation.paths:
                yield from self._file(path, start, end)

    def _file(self, path: str, start: Micros | None, end: Micros | None) -> Iterator[pa.Table]:
        try:
            with pq.ParquetFile(path) as file:
                held = set(file.schema_arrow.names)
                columns = [name for name in self.schema.names if name in held]
                groups = [place for place in range(file.num_row_groups) if self._reaches(file, place, start, end)]
                if not groups:
                    return
                for group in groups:  # one after the other: a reader of several keeps what it has decoded of all of them
                    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns):
                        yield self._plain(pa.Table.from_batches([batch]))
        except (pa.ArrowInvalid, OSError) as error:
            raise Corrupt(
                f"a file cannot be read: {path}: {error}", where=path, fix="write the file again, or remove it from the source"
            ) from error

    def _plain(self, table: pa.Table) -> pa.Table:
        columns = []
        for field in self.schema:
            if field.name not in table.column_names:
                columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
                continue
            column = table[field.name]
            if pa.types.is_timestamp(column.type) and column.type != field.type:
                column = ceiled(column)
            columns.append(column if column.type == field.type else column.cast(field.type))
        return pa.table(columns, schema=self.schema)

    def _reaches(self, file: pq.ParquetFile, group: int, start: Micros | None, end: Micros | None) -> bool:
        """Whether a row group can hold rows within the bounds, as far as its statistics tell; zones move a time by hours."""
        kind = file.schema_arrow.field(self.time).type if self.time in file.schema_arrow.names else None
        whole = kind is not None and pa.types.is_int64(kind) and self.counts_micros
        if kind is None or not (whole or (pa.types.is_timestamp(kind) and kind.unit in _PER_MICRO)):
            return True
        place = file.schema_arrow.names.index(self.time)
        facts = file.metadata.row_group(group)
        if facts.num_columns != len(file.schema_arrow.names):  # nested columns: places are not those of the leaves
            return True
        statistics = facts.column(place).statistics
        if statistics is None or not statistics.has_min_max or statistics.physical_type != "INT64":
            return True
        factor = 1 if whole else _PER_MICRO[kind.unit]
        least, most = statistics.min_raw * factor, statistics.max_raw * factor
        return (start is None or most >= start - _ZONES_REACH) and (end is None or least < end + _ZONES_REACH)


def find_direct(
    source: Source, described: pa.Schema, *, relations: Sequence[Relation], columns: Sequence[str]
) -> Direct | None:
    """How to read a source as it is; ``None`` where that could give other rows than the engine.

    Parameters
    ----------
    described
        Columns as the engine sees them.
    columns
        Columns to read beside those of the source's times.
    """
    own = (source.time, source.created, None if source.available == "event" else source.available)
    names = list(dict.fromkeys([*columns, *(name for name in own if name is not None)]))
    if source.select is not None or source.event_id is not None or source.retracts or source.bounded:
        return None
    if source.quarantine:
        return None
    if any("." in name for name in names):
        return None
    schema = pa.schema([pa.field(name, described.field(name).type) for name in names])
    for relation in relations:
        if isinstance(relation, InMemory):
            if not all(name in relation.table.column_names and _same(relation.table.schema, schema, name) for name in names):
                return None
        elif relation.format != "parquet" or not _readable(relation, schema):
            return None
    return Direct(tuple(relations), schema, source.time, source.time_unit in (None, "us"))


def plain_schema(files: Files) -> pa.Schema | None:
    """Columns as an engine sees them, from the footers of Parquet files that leave nothing to it; ``None`` for any others.

    Examples
    --------
    >>> plain_schema(Files("csv", ("trips.csv",))) is None
    True
    """
    if files.format != "parquet" or any("=" in path for path in files.paths):
        return None
    try:
        schemas = [pq.read_schema(path) for path in files.paths]
    except (pa.ArrowInvalid, OSError):  # said by who reads it
        return None
    first = pa.schema([pa.field(one.name, one.type) for one in schemas[0]]) if schemas else pa.schema([])
    alike = all(one.names == first.names and one.types == first.types for one in schemas)
    distinct = len({name.lower() for name in first.names}) == len(first.names) > 0
    return first if alike and distinct and all(kind in _PLAIN for kind in first.types) else None


def _readable(files: Files, schema: pa.Schema) -> bool:
    seen: set[str] = set()
    for path in files.paths:
        if "=" in path:  # a partition's column is in the path
            return False
        try:
            held = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError):
            return False
        here = [name for name in schema.names if name in held.names]
        capitals = {name.lower() for name in held.names}
        if any(name.lower() in capitals for name in schema.names if name not in held.names):
            return False  # to an engine's SQL it is this column, written with other capitals
        if not all(held.names.count(name) == 1 and _same(held, schema, name) for name in here):
            return False
        seen.update(here)
    return seen == set(schema.names)


def _same(held: pa.Schema, schema: pa.Schema, name: str) -> bool:
    """Whether a column is of the type that the engine sees, but for how finely time is counted and how strings are laid out."""
    kind, wanted = held.field(name).type, schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return bool(wanted == pa.timestamp("us", None if kind.tz is None else "UTC"))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        kind = pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        kind = pa.binary()
    return bool(kind == wanted) and not pa.types.is_nested(kind)
