"""The journal of pushed rows: durable when ``append`` returns, read as one table with the source's files.

A record is one accepted push: ``[1, names, columns]`` in MessagePack, column by column; times are integers of microseconds.
Finished segments are compacted (:mod:`tidewheel.sources.compact_pushes`), and read from there under the same names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.artifacts.journal import Journal, Segment, list_segments, read_journal, seal_abandoned
from tidewheel.digest import Digest, digest_bytes
from tidewheel.errors import Conflict, Corrupt, Invalid, Unavailable
from tidewheel.sources.compact_pushes import END, FORMAT, FRAME_BYTES, Columns, Cover, list_covers, read_covers
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import PushSnapshot

_ATTEMPTS = 20


class PushLog:
    """Where accepted pushes of one source are kept; thread safe.

    Parameters
    ----------
    folder
        The source's own folder, named like the source: ``pushes/trips``.
    sync_seconds
        Window of loss when the machine loses power; a killed process loses nothing.

    Examples
    --------
    >>> import tempfile
    >>> from tidewheel.sources import source
    >>> trips = source("trips", pa.table({"ended": [0], "zone": [1]}), time="ended")
    >>> log = PushLog(Path(tempfile.mkdtemp()) / "trips")
    >>> log.append(trips, pa.table({"ended": [5], "zone": [7]}))
    >>> read_pushes(log.folder, pa.schema([("ended", pa.int64()), ("zone", pa.int64())])).to_pydict()
    {'ended': [5], 'zone': [7]}
    >>> log.close()
    """

    def __init__(self, folder: Path, *, sync_seconds: float = 1.0) -> None:
        self.folder = folder
        self._journal = Journal(folder, writer=f"push-{os.getpid()}", sync_seconds=sync_seconds)

    def append(self, source: Source, table: pa.Table) -> None:
        """Keep rows of one push, all or none; visible and safe from ``kill -9`` when it returns."""
        if source.name != self.folder.name:
            fix = f"open PushLog(... / {source.name!r})"
            raise Invalid(f"rows of source {source.name} do not belong in {self.folder}", where=source.name, fix=fix)
        if table.num_rows:
            self._journal.append([encode_rows(table)])

    def seal(self) -> None:
        """Complete the open segment, and those of writers that died."""
        self._journal.seal()
        seal_abandoned(self.folder)

    def close(self) -> None:
        """Seal and close; idempotent."""
        self._journal.close()


def encode_rows(table: pa.Table) -> bytes:
    """One record."""
    columns = [_plain(column) for column in table.columns]
    return msgspec.msgpack.encode((FORMAT, table.column_names, columns))


def _plain(column: pa.ChunkedArray) -> list[object]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_struct(column.type):
        return _objects(column.combine_chunks())
    elif _is_list(column.type):
        return _lists(column.combine_chunks())
    values: list[object] = column.to_pylist()
    return values


def read_pushes(folder: Path, schema: pa.Schema, pushes: Sequence[PushSnapshot] | None = None) -> pa.Table:
    """Pushed rows in the order of their arrival, with the columns of ``schema``; one that a push did not have is null.

    Parameters
    ----------
    pushes
        Read exactly these parts of the segments; ``None`` reads all there is.

    Raises
    ------
    Conflict
        When some are no longer there.
    """
    covered: dict[str, pa.Table] = {}
    for _ in range(_ATTEMPTS):
        try:
            return _read(folder, schema, None if pushes is None else {push.segment: push for push in pushes}, covered)
        except FileNotFoundError:  # a compaction has moved what was about to be read
            continue
    raise Unavailable(f"{folder} changes faster than it can be read", where=str(folder), fix="try again")


def _read(folder: Path, schema: pa.Schema, wanted: Mapping[str, PushSnapshot] | None, covered: dict[str, pa.Table]) -> pa.Table:
    """What has been read from compacted files is put into ``covered``, so that the next attempt need not read it again."""
    # The journal first: a segment that is gone by then is covered by a file that the listing afterwards finds.
    found: dict[str, pa.Table] = {}
    starts = {} if wanted is None else {name: push.start for name, push in wanted.items()}
    for name, records in groupby(read_journal(folder, since=starts), key=itemgetter(0)):
        push = None if wanted is None else wanted.get(name)
        if wanted is None or push is not None:
            table, end = _decoded(folder, schema, (one[1:] for one in records), push)
            if push is None or end == push.size_bytes:
                found[name] = table
    covers = [
        one for name, one in list_covers(folder).items() if name not in covered and (wanted is None or _stands_for(one, wanted))
    ]
    for table, places in read_covers(covers, schema.names):
        ends, typed = table[END].to_numpy(), _of_cover(table, schema)
        for name, place in places.items():
            rows = typed.slice(place.start, place.stop - place.start)
            if wanted is not None:
                own, push = ends[place], wanted[name]
                rows = rows.filter(pa.array((own > push.start) & (own <= push.size_bytes)))
            covered[name] = rows
    found |= covered
    for name, push in (wanted or {}).items():
        if name not in found and push.size_bytes > push.start:
            raise Conflict(f"pushed rows {name} are no longer there", where=str(folder), fix="take a new snapshot")
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    return pa.concat_tables([nullable.empty_table(), *(found[name] for name in sorted(found))]).combine_chunks()


def _stands_for(cover: Cover, wanted: Mapping[str, PushSnapshot]) -> bool:
    push = wanted.get(cover.segment)
    return push is not None and push.size_bytes <= cover.size_bytes


def _decoded(
    folder: Path, schema: pa.Schema, records: Iterable[tuple[int, bytes]], push: PushSnapshot | None
) -> tuple[pa.Table, int]:
    """Rows of one segment, and where the last of their records ended."""
    gathered: dict[str, list[object]] = {name: [] for name in schema.names}
    last = 0 if push is None else push.start
    for offset, record in records:
        end = offset + FRAME_BYTES + len(record)
        if push is not None and end > push.size_bytes:
            continue
        last = end
        form, names, columns = msgspec.msgpack.decode(record, type=Columns)
        if form != FORMAT:
            raise Corrupt(
                f"a push in {folder} has format {form}", where=str(folder), fix="read it with the version that wrote it"
            )
        size = len(columns[0]) if columns else 0
        known = dict(zip(names, columns, strict=True))
        for name, values in gathered.items():
            values.extend(known.get(name) or [None] * size)
    arrays = [_typed(gathered[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema])), last


def _of_cover(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in table.column_names or pa.types.is_null(table[field.name].type):
            columns.append(pa.nulls(table.num_rows, field.type))
        elif table[field.name].type == field.type:
            columns.append(table[field.name])
        elif pa.types.is_timestamp(field.type) and pa.types.is_int64(table[field.name].type):
            columns.append(table[field.name].cast(pa.timestamp("us", field.type.tz)).cast(field.type))
        else:
            columns.append(_typed(table[field.name].to_pylist(), field.type))
    return pa.table(columns, schema=pa.schema([field.with_nullable(True) for field in schema]))


def _typed(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(pa.timestamp("us", kind.tz)).cast(kind)
    if pa.types.is_date(kind):
        return pa.array(values, pa.int32()).cast(pa.date32()).cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.string()).cast(kind)
    if pa.types.is_struct(kind):
        objects = [value if isinstance(value, dict) else None for value in values]
        parts = [_typed([None if one is None else one.get(field.name) for one in objects], field.type) for field in kind]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array([one is None for one in objects]))
    if _is_list(kind):
        lists = [value if isinstance(value, list) else None for value in values]
        inner = _typed([one for some in lists for one in some or ()], kind.value_type)
        ends = accumulate((len(some or ()) for some in lists), initial=0)
        offsets = pa.array([*ends], pa.int32())
        return pa.ListArray.from_arrays(offsets, inner, mask=pa.array([some is None for some in lists])).cast(kind)
    return pa.array(values, kind)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(column: pa.Array) -> list[object]:
    inner = _plain(pa.chunked_array([column.flatten()], column.type.value_type))
    made: list[object] = []
    at = 0
    for size in pc.list_value_length(column).to_pylist():
        made.append(None if size is None else inner[at : at + size])
        at += size or 0
    return made


def _objects(column: pa.StructArray) -> list[object]:
    parts = {field.name: _plain(pa.chunked_array([column.field(field.name)])) for field in column.type}
    there = column.is_valid().to_pylist()
    return [{name: part[row] for name, part in parts.items()} if held else None for row, held in enumerate(there)]


def snapshot_pushes(
    folder: Path, recall: Callable[[str], bytes | None], remember: Callable[[str, bytes], None]
) -> tuple[PushSnapshot, ...]:
    """What has been pushed until now, whole records only; the digests of sealed segments are remembered."""
    for _ in range(_ATTEMPTS):
        try:
            return _snapshot(folder, recall, remember)
        except FileNotFoundError:  # a compaction has moved a segment
            continue
    raise Unavailable(f"{folder} changes faster than it can be read", where=str(folder), fix="try again")


def _snapshot(
    folder: Path, recall: Callable[[str], bytes | None], remember: Callable[[str, bytes], None]
) -> tuple[PushSnapshot, ...]:
    segments = list_segments(folder)
    known: dict[str, tuple[int, Digest]] = {}
    for segment in segments:
        remembered = recall(_memory(segment)) if segment.sealed else None
        if remembered is not None:
            written, _, text = remembered.decode().partition(" ")
            known[segment.name] = (int(written), Digest(text))
    ends: dict[str, int] = {}
    for name, offset, record in read_journal(folder, since={name: size for name, (size, _) in known.items()}):
        ends[name] = offset + FRAME_BYTES + len(record)
    for segment in segments:
        end = ends.get(segment.name)
        if segment.name not in known and end is not None:
            known[segment.name] = (end, digest_bytes(_head(segment, end)))
            if segment.sealed:
                remember(_memory(segment), f"{end} {known[segment.name][1]}".encode())
    # Listed last, as a segment that was gone before it was read is covered by then.
    known |= {name: (cover.size_bytes, cover.digest) for name, cover in list_covers(folder).items()}
    return tuple(PushSnapshot(name, size, content) for name, (size, content) in sorted(known.items()))


def _memory(segment: Segment) -> str:
    return f"push:{segment.path.with_suffix('')}"


def _head(segment: Segment, size: int) -> bytes:
    path = segment.path if segment.path.exists() else segment.path.with_suffix(".sealed")
    with path.open("rb") as file:
        return file.read(size)
