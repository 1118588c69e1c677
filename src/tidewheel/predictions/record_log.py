"""Keep records: appended to a journal, turned into Parquet behind the writers, read as one table.

A record is in exactly one of two places, and this file's one invariant says which: **a segment of the journal counts unless a
Parquet file says that it covers it, and a Parquet file counts unless another one covers all that it covers.** A Parquet file
appears by one rename, complete and with the names of the segments that it covers in its footer. So killing a compaction at
any point leaves either the segment or the file in force, never both and never neither; what is left over is deleted by the
next compaction.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.artifacts.journal import Journal, list_segments, read_journal, seal_abandoned
from tidewheel.digest import digest
from tidewheel.errors import TidewheelError, Unavailable

Decode = Callable[[Sequence[bytes]], pa.Table]

_COVERS = b"tidewheel.covers"
_MERGE_FILES = 8
_MERGE_BYTES = 64 << 20
_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Compaction:
    """What one compaction did; all zero when another process was at it."""

    segments: int = 0
    rows: int = 0
    merged: int = 0


class RecordLog:
    """Append-only records of one kind in one folder.

    Any number of processes may append, read and compact at the same time.

    Parameters
    ----------
    folder
        Made when the first record is written.
    decode
        Turns records into a table; columns may differ between calls and are united by name.
    sync_seconds
        How often the journal is forced to disk. A record survives ``kill -9`` as soon as it is appended; a failure of *power*
        can lose the last ``sync_seconds``.
    """

    def __init__(self, folder: Path, decode: Decode, *, segment_bytes: int = 16 << 20, sync_seconds: float = 1.0) -> None:
        self.folder = folder
        self.failure: BaseException | None = None
        self._decode = decode
        self._segment_bytes = segment_bytes
        self._sync_seconds = sync_seconds
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def append(self, records: Sequence[bytes]) -> None:
        """Write records with one ``write(2)``; they survive a kill of this process when this returns."""
        if records:
            self._open().append(records)

    def read(
        self, columns: Sequence[str] | None = None, *, where: tuple[str, int | None, int | None] | None = None
    ) -> list[pa.Table]:
        """All records, as tables of possibly different columns, from one consistent state.

        Parameters
        ----------
        columns
            Read only these; those that a table lacks are skipped.
        where
            ``(column, start, end)``: only rows in ``[start, end)`` of an integer column.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._read(columns, where)
            except FileNotFoundError:
                # A compaction moved what we were about to read; it is in a Parquet file now.
                continue
        raise Unavailable(f"{self.folder} changes faster than it can be read", where=str(self.folder), fix="try again")

    def compact(self) -> Compaction:
        """Turn finished segments into Parquet, and many small Parquet files into one; exactly once, whatever is killed."""
        with self._lock:
            if self._journal is not None:
                self._journal.seal()
        if not self.folder.is_dir():
            return Compaction()
        with self._turn() as mine:
            if not mine:
                return Compaction()
            self._clean()
            seal_abandoned(self.folder)
            complete = [segment for segment in list_segments(self.folder) if segment.sealed]
            rows = 0
            for name, records in groupby(read_journal(self.folder, sealed_only=True), key=lambda found: found[0]):
                table = self._decode([record for _, _, record in records])
                self._publish([table], [name])
                rows += table.num_rows
            for segment in complete:
                segment.path.unlink(missing_ok=True)
            return Compaction(len(complete), rows, self._merge())

    def start_compaction(self, every_seconds: float) -> None:
        """Compact in the background from now on; :meth:`close` ends it. What went wrong is in ``failure``."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(every_seconds,), name=f"compact {self.folder.name}", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop the background thread and close the journal; idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _run(self, every_seconds: float) -> None:
        while not self._stop.wait(every_seconds):
            try:
                self.compact()
                self.failure = None
            except (OSError, TidewheelError, pa.ArrowException) as error:
                self.failure = error  # The journal still holds everything; the next round tries again.

    def _open(self) -> Journal:
        with self._lock:
            if self._journal is None:
                self._journal = Journal(
                    self.folder, writer=str(os.getpid()), segment_bytes=self._segment_bytes, sync_seconds=self._sync_seconds
                )
            return self._journal

    def _read(self, columns: Sequence[str] | None, where: tuple[str, int | None, int | None] | None) -> list[pa.Table]:
        # The journal first: a segment that is gone by then is covered by a file that the listing afterwards finds.
        live = {
            name: [r for _, _, r in found] for name, found in groupby(read_journal(self.folder), key=lambda found: found[0])
        }
        files = _in_force(_covers(self.folder))
        covered = {name for names in files.values() for name in names}
        tables = [_read_file(path, columns, where) for path in sorted(files)]
        records = [record for name in sorted(live) if name not in covered for record in live[name]]
        if records:
            tables.append(_narrow(self._decode(records), columns, where))
        return tables

    def _clean(self) -> None:
        """Delete what a killed compaction left: half-written files, covered segments, files that another one covers."""
        for path in self.folder.glob("*.tmp"):
            path.unlink(missing_ok=True)
        found = _covers(self.folder)
        force = _in_force(found)
        for path in found.keys() - force.keys():
            path.unlink(missing_ok=True)
        covered = {name for names in force.values() for name in names}
        for segment in list_segments(self.folder):
            if segment.name in covered:
                segment.path.unlink(missing_ok=True)

    def _publish(self, tables: Sequence[pa.Table], covers: Sequence[str]) -> None:
        names = sorted(covers)
        table = unite(tables)
        table = table.replace_schema_metadata({_COVERS: msgspec.json.encode(names)})
        path = self.folder / f"{names[0]}-{len(names)}-{digest(names)[4:16]}.parquet"
        scratch = path.with_suffix(".tmp")
        pq.write_table(table, scratch, compression="zstd", row_group_size=65_536)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
        self._sync_folder()

    def _merge(self) -> int:
        """Unite small files, oldest first, when there are many; answer how many went into one."""
        found = _covers(self.folder)
        small = sorted(path for path in found if path.stat().st_size < _MERGE_BYTES // _MERGE_FILES)
        if len(small) < _MERGE_FILES:
            return 0
        self._publish([_read_file(path, None, None) for path in small], [name for path in small for name in found[path]])
        for path in small:
            path.unlink(missing_ok=True)
        return len(small)

    def _sync_folder(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether this process may compact now; a killed process gives its turn up by dying."""
        with (self.folder / "compact.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def unite(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables on top of each other, columns matched by name; types that do not fit each other become text.

    Examples
    --------
    >>> unite([pa.table({"a": [1]}), pa.table({"a": [2.5], "b": ["x"]})]).to_pylist()
    [{'a': 1.0, 'b': None}, {'a': 2.5, 'b': 'x'}]
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        kinds: dict[str, set[pa.DataType]] = {}
        for table in tables:
            for field in table.schema:
                kinds.setdefault(field.name, set()).add(field.type)
        return pa.concat_tables([_as_text(table, kinds) for table in tables], promote_options="permissive")


def _as_text(table: pa.Table, kinds: dict[str, set[pa.DataType]]) -> pa.Table:
    for index, field in enumerate(table.schema):
        types = [kind for kind in kinds[field.name] if not pa.types.is_null(kind)]
        numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in types)
        if len(types) > 1 and not numbers:
            text = [None if value is None else str(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(text, pa.string()))
    return table


def _covers(folder: Path) -> dict[Path, tuple[str, ...]]:
    """Segments that each Parquet file covers; from a listing that was the same twice."""
    paths, before = sorted(folder.glob("*.parquet")), None
    while paths != before:
        paths, before = sorted(folder.glob("*.parquet")), paths
    return {path: tuple(msgspec.json.decode(pq.read_metadata(path).metadata[_COVERS], type=list[str])) for path in paths}


def _in_force(found: dict[Path, tuple[str, ...]]) -> dict[Path, tuple[str, ...]]:
    """The files that no larger one covers; covers are equal or nested or apart, never half-way."""
    force: dict[Path, tuple[str, ...]] = {}
    taken: set[str] = set()
    for path, names in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        if taken.isdisjoint(names):
            force[path] = names
            taken.update(names)
    return force


def _read_file(path: Path, columns: Sequence[str] | None, where: tuple[str, int | None, int | None] | None) -> pa.Table:
    file = pq.ParquetFile(path)
    with file:
        wanted = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        groups = [group for group in range(file.num_row_groups) if _may_hold(file, group, where)]
        return _narrow(file.read_row_groups(groups, wanted), columns, where).replace_schema_metadata(None)


def _may_hold(file: pq.ParquetFile, group: int, where: tuple[str, int | None, int | None] | None) -> bool:
    """Whether a row group can hold a row in the range, by its statistics."""
    if where is None:
        return True
    name, start, end = where
    found = file.metadata.row_group(group).column(file.schema_arrow.names.index(name)).statistics
    if found is None or not found.has_min_max:
        return True
    return (start is None or found.max >= start) and (end is None or found.min < end)


def _narrow(table: pa.Table, columns: Sequence[str] | None, where: tuple[str, int | None, int | None] | None) -> pa.Table:
    if where is not None:
        import pyarrow.compute as pc

        name, start, end = where
        if start is not None:
            table = table.filter(pc.greater_equal(table[name], start))
        if end is not None:
            table = table.filter(pc.less(table[name], end))
    if columns is not None:
        table = table.select([name for name in columns if name in table.schema.names])
    return table
