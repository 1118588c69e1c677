"""The journal of pushed rows: durable when ``append`` returns, read as one table with the source's files.

A record is one accepted push: ``[1, names, columns]`` in MessagePack, column by column; times are integers of microseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.artifacts.journal import Journal, Segment, list_segments, read_journal, seal_abandoned
from tidewheel.digest import Digest, digest_bytes
from tidewheel.errors import Conflict, Corrupt, Invalid
from tidewheel.sources.definition import Source
from tidewheel.sources.snapshot import PushSnapshot

_FORMAT = 1
_FRAME_BYTES = 8
_Columns = tuple[int, list[str], list[list[object]]]


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
    return msgspec.msgpack.encode((_FORMAT, table.column_names, columns))


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
    """
    gathered: dict[str, list[object]] = {name: [] for name in schema.names}
    rows = 0
    for record in _records(folder, pushes):
        form, names, columns = msgspec.msgpack.decode(record, type=_Columns)
        if form != _FORMAT:
            raise Corrupt(
                f"a push in {folder} has format {form}", where=str(folder), fix="read it with the version that wrote it"
            )
        size = len(columns[0]) if columns else 0
        known = dict(zip(names, columns, strict=True))
        for name, values in gathered.items():
            values.extend(known.get(name) or [None] * size)
        rows += size
    arrays = [_typed(gathered[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))


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


def _records(folder: Path, pushes: Sequence[PushSnapshot] | None) -> Iterator[bytes]:
    if pushes is None:
        yield from (record for _, _, record in read_journal(folder))
        return
    wanted = {push.segment: push for push in pushes if push.size_bytes > push.start}
    if not wanted:
        return
    starts = {name: push.start for name, push in wanted.items()}
    seen = dict.fromkeys(wanted, 0)
    for segment, offset, record in read_journal(folder, since=starts):
        push = wanted.get(segment)
        end = offset + _FRAME_BYTES + len(record)
        if push is not None and end <= push.size_bytes:
            seen[segment] = end
            yield record
    for name, push in wanted.items():
        if seen[name] != push.size_bytes:
            raise Conflict(f"pushed rows {name} are no longer there", where=str(folder), fix="take a new snapshot")


def snapshot_pushes(
    folder: Path, recall: Callable[[str], bytes | None], remember: Callable[[str, bytes], None]
) -> tuple[PushSnapshot, ...]:
    """What has been pushed until now, whole records only; the digests of sealed segments are remembered."""
    segments = list_segments(folder)
    known: dict[str, tuple[int, Digest]] = {}
    for segment in segments:
        remembered = recall(_memory(segment)) if segment.sealed else None
        if remembered is not None:
            written, _, text = remembered.decode().partition(" ")
            known[segment.name] = (int(written), Digest(text))
    ends: dict[str, int] = {}
    for name, offset, record in read_journal(folder, since={name: size for name, (size, _) in known.items()}):
        ends[name] = offset + _FRAME_BYTES + len(record)
    for segment in segments:
        end = ends.get(segment.name)
        if segment.name not in known and end is not None:
            known[segment.name] = (end, digest_bytes(_head(segment, end)))
            if segment.sealed:
                remember(_memory(segment), f"{end} {known[segment.name][1]}".encode())
    return tuple(PushSnapshot(name, size, content) for name, (size, content) in sorted(known.items()))


def _memory(segment: Segment) -> str:
    return f"push:{segment.path.with_suffix('')}"


def _head(segment: Segment, size: int) -> bytes:
    path = segment.path if segment.path.exists() else segment.path.with_suffix(".sealed")
    with path.open("rb") as file:
        return file.read(size)
