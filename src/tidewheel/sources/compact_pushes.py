"""Compact the journal of pushes: finished segments become Parquet, and small Parquet files one.

A file covers whole segments and says which, each with its size and its digest as a segment; every row knows where its record
ended. So a snapshot that names a segment up to some byte reads the same rows, and has the same content, before and after. A
file comes into force when it gets its name; only then are the segments removed, and what stands in both counts once. Whatever
is killed in between, and whoever reads or pushes meanwhile, no row is lost or doubled: a reader that finds something gone looks
again.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, groupby, takewhile
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.artifacts.journal import Segment, list_segments, read_journal, seal_abandoned
from tidewheel.digest import Digest, digest, digest_bytes

FORMAT = 1
FRAME_BYTES = 8
END = "__end of record"
"""Column of a compacted file: where in its segment each row's record ended."""

Columns = tuple[int, list[str], list[list[object]]]
"""A record of the journal."""

_COVERS = b"tidewheel.pushes"
_LEAST_BYTES, _LEAST_SEGMENTS = 1 << 20, 16
_FILE_BYTES = 128 << 20
_MERGE_FILES = 8
_ROW_GROUP = 1 << 16


@dataclass(frozen=True, slots=True)
class Cover:
    """A segment that a compacted file stands for: rows ``first`` up to ``first + rows`` of it."""

    segment: str
    size_bytes: int
    digest: Digest
    first: int
    rows: int
    path: Path


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did: how many segments became Parquet, with how many rows, and how many Parquet files were united."""

    segments: int = 0
    rows: int = 0
    merged: int = 0


def compact_pushes(folder: Path, *, least_bytes: int = _LEAST_BYTES, least_segments: int = _LEAST_SEGMENTS) -> Compaction:
    """Compact a source's pushes when there is enough that is finished; nothing while somebody else does it.

    Parameters
    ----------
    least_bytes, least_segments
        Either is enough.

    Examples
    --------
    >>> compact_pushes(Path("/nowhere"))
    Compaction(segments=0, rows=0, merged=0)
    """
    if not folder.is_dir():
        return Compaction()
    with _turn(folder) as mine:
        if not mine:
            return Compaction()
        _clean(folder)
        seal_abandoned(folder)
        sealed = [segment for segment in list_segments(folder) if segment.sealed]
        sizes = {segment.name: segment.path.stat().st_size for segment in sealed}
        if sum(sizes.values()) < least_bytes and len(sealed) < least_segments:
            return Compaction()
        done, rows, gathered, total = 0, 0, dict[str, _Made](), 0
        for segment in sealed:
            made = _columns(folder, segment)
            if made is None or (gathered and not _fit(made, gathered)) or total > _FILE_BYTES:
                done += _publish(folder, gathered)
                gathered, total = {}, 0
            if made is not None:
                gathered[segment.name] = made
                rows += made.table.num_rows
                total += sizes[segment.name]
        done += _publish(folder, gathered)
        return Compaction(done, rows, _merge(folder))


def list_covers(folder: Path) -> dict[str, Cover]:
    """The segments that compacted files cover, each in one of them; from a listing that was the same twice."""
    paths, before = sorted(folder.glob("*.parquet")), None
    while paths != before:
        paths, before = sorted(folder.glob("*.parquet")), paths
    found: dict[str, Cover] = {}
    for covers in sorted(map(_read_covers, paths), key=len, reverse=True):
        for cover in covers:
            found.setdefault(cover.segment, cover)
    return found


def read_covers(covers: Iterable[Cover], names: Sequence[str]) -> Iterator[tuple[pa.Table, dict[str, slice]]]:
    """These columns, as far as there are any, and :data:`END`, of the rows of segments: a table for each file.

    Values are plain, as the journal has them: times are integers, decimals text. Each file is opened once, whatever the number
    of its segments, and of its row groups only those are read that hold wanted rows.

    Yields
    ------
    A table, and where in it each segment's rows are.
    """
    for path, some in groupby(sorted(covers, key=lambda cover: (cover.path, cover.first)), key=lambda cover: cover.path):
        wanted = list(some)
        with pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            bounds = list(accumulate(sizes, initial=0))
            groups = [
                number for number, size in enumerate(sizes) if size and _any_within(wanted, bounds[number], bounds[number + 1])
            ]
            held = [name for name in dict.fromkeys([*names, END]) if name in file.schema_arrow.names]
            table = file.read_row_groups(groups, held)
        starts = dict(zip(groups, accumulate((sizes[number] for number in groups), initial=0), strict=False))
        places = {}
        for cover in wanted:
            group = bisect_right(bounds, cover.first) - 1
            start = starts[group] + cover.first - bounds[group] if cover.rows else 0
            places[cover.segment] = slice(start, start + cover.rows)
        yield table, places


def _any_within(covers: Sequence[Cover], low: int, high: int) -> bool:
    """Whether some of the covers, in the order of their rows, has rows between these two."""
    at = bisect_right(covers, low, key=lambda cover: cover.first + cover.rows)
    return any(cover.rows for cover in takewhile(lambda cover: cover.first < high, covers[at:]))


@dataclass(frozen=True, slots=True)
class _Made:
    table: pa.Table
    size_bytes: int
    digest: Digest


def _columns(folder: Path, segment: Segment) -> _Made | None:
    """The rows of a finished segment; ``None`` where their values are of no one type, so that it stays as it is."""
    tables, end = [], FRAME_BYTES
    for name, offset, record in read_journal(folder, sealed_only=True, only=segment.name):
        assert name == segment.name
        form, names, columns = msgspec.msgpack.decode(record, type=Columns)
        if form != FORMAT or END in names:
            return None
        end = offset + FRAME_BYTES + len(record)
        size = len(columns[0]) if columns else 0
        try:
            values = [pa.array(one) for one in columns]
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return None
        tables.append(pa.table([*values, pa.repeat(pa.scalar(end, pa.int64()), size)], names=[*names, END]))
    if not tables:
        return None
    try:
        table = pa.concat_tables(tables, promote_options="default")  # a column without a value takes the type of the others
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    with segment.path.open("rb") as file:
        return _Made(table, end, digest_bytes(file.read(end)))


def _fit(made: _Made, gathered: dict[str, _Made]) -> bool:
    try:
        pa.unify_schemas([made.table.schema, *(one.table.schema for one in gathered.values())], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True


def _publish(folder: Path, made: dict[str, _Made]) -> int:
    """Write segments as one file, and remove them."""
    if not made:
        return 0
    covers, first = [], 0
    for name, one in made.items():
        covers.append((name, one.size_bytes, str(one.digest), first, one.table.num_rows))
        first += one.table.num_rows
    _write(folder, [one.table for one in made.values()], covers)
    for name in made:
        (folder / f"{name}.sealed").unlink(missing_ok=True)
    return len(made)


def _write(folder: Path, tables: Sequence[pa.Table], covers: Sequence[tuple[str, int, str, int, int]]) -> None:
    table = pa.concat_tables(tables, promote_options="default")
    table = table.replace_schema_metadata({_COVERS: msgspec.json.encode(covers)})
    names = sorted(cover[0] for cover in covers)
    path = folder / f"{names[0]}-{len(names)}-{digest(names)[4:16]}.parquet"
    scratch = path.with_suffix(".tmp")
    pq.write_table(table, scratch, compression="zstd", row_group_size=_ROW_GROUP)
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    scratch.replace(path)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _merge(folder: Path) -> int:
    """Unite small files of fitting columns, when there are many; larger files come first in :func:`list_covers`."""
    small = [path for path in sorted(folder.glob("*.parquet")) if path.stat().st_size < _FILE_BYTES // _MERGE_FILES]
    if len(small) < _MERGE_FILES:
        return 0
    tables = [pq.read_table(path) for path in small]
    try:
        pa.unify_schemas([table.schema.remove_metadata() for table in tables], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return 0
    covers, first = [], 0
    for path, table in zip(small, tables, strict=True):
        covers += [(one.segment, one.size_bytes, str(one.digest), first + one.first, one.rows) for one in _read_covers(path)]
        first += table.num_rows
    _write(folder, [table.replace_schema_metadata(None) for table in tables], covers)
    return len(small)  # they stay until the next compaction, for readers that have listed them


def _clean(folder: Path) -> None:
    """Remove what a killed compaction left: half-written files, covered segments, files whose segments another one covers."""
    for path in folder.glob("*.tmp"):
        path.unlink(missing_ok=True)
    taken: set[str] = set()
    for path in sorted(folder.glob("*.parquet"), key=lambda path: -len(_read_covers(path))):
        names = {cover.segment for cover in _read_covers(path)}
        if names <= taken:
            path.unlink(missing_ok=True)
        taken |= names
    for segment in list_segments(folder):
        if segment.name in taken:
            segment.path.unlink(missing_ok=True)


def _read_covers(path: Path) -> list[Cover]:
    told = msgspec.json.decode(pq.read_metadata(path).metadata[_COVERS], type=list[tuple[str, int, str, int, int]])
    return [Cover(name, size, Digest(content), first, rows, path) for name, size, content, first, rows in told]


@contextmanager
def _turn(folder: Path) -> Iterator[bool]:
    """Whether this process may compact now; a killed process gives its turn up by dying."""
    with (folder / "compact.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
