"""Spill tables to disk and read them back: what work holds no room for, in a folder that is gone when the work is done."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from tidewheel.errors import Unavailable

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_LOCK = "lock"
_PREFIX = "work-"
_NEW_SECONDS = 60
"""A folder this young may not have its lock yet."""


class Spill:
    """A folder for one piece of work, removed at the end of the block; those that killed processes have left go first.

    Parameters
    ----------
    folder
        Where such folders are made.

    Examples
    --------
    >>> with Spill(Path(tempfile.mkdtemp()) / "spill") as spill:
    ...     strip = spill.strip()
    ...     strip.write(pa.table({"a": [1, 2]}))
    ...     table = strip.mapped()
    >>> table.to_pydict(), spill.folder.exists()
    ({'a': [1, 2]}, False)
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder; idempotent. Tables that are mapped stay as long as somebody holds them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def buckets(self, count: int, *, room_bytes: int) -> Buckets:
        """Rows to be read by bucket."""
        return Buckets(self._path(), count, room_bytes=room_bytes)

    def strip(self) -> Strip:
        """Rows to be read in their order."""
        return Strip(self._path())

    def numbers(self, count: int) -> Integers:
        """So many integers to be set, whose bytes stay on disk; the file is gone with them."""
        path = self._path()
        try:
            made = np.memmap(path, np.int64, "w+", shape=(max(count, 1),))[:count]
        except OSError as error:
            raise _full(path, error) from error
        path.unlink()
        return made.view(np.ndarray)

    def _path(self) -> Path:
        self._count += 1
        return self.folder / f"{self._count}.arrow"


class Strip:
    """Rows on disk, in the order in which they were written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.batches = 0
        self._writer: pa.RecordBatchFileWriter | None = None

    def write(self, table: pa.Table) -> None:
        """Append rows, always of the same columns."""
        try:
            if self._writer is None:
                self._writer = pa.ipc.new_file(str(self.path), table.schema)
            for batch in table.combine_chunks().to_batches() or [_no_rows(table.schema)]:
                self._writer.write_batch(batch)
                self.batches += 1
        except OSError as error:
            raise _full(self.path, error) from error

    def reader(self) -> pa.RecordBatchFileReader:
        """What reads any batch by its place; nothing may be written afterwards."""
        self._finish()
        return pa.ipc.open_file(pa.OSFile(str(self.path)))

    def mapped(self) -> pa.Table:
        """The rows as a table whose bytes stay on disk, in the page cache's care; the file is gone with the table."""
        self._finish()
        table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        self.path.unlink()
        return table

    def remove(self) -> None:
        """Give the room on disk back."""
        self._finish()
        self.path.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:
                raise _full(self.path, error) from error
            self._writer = None


class Buckets:
    """Rows on disk by bucket: gathered until there are enough of them, then written bucket after bucket into one file.

    Parameters
    ----------
    count
        Buckets are numbered from 0 up to it.
    room_bytes
        How much is gathered before it is written.

    Examples
    --------
    >>> with Spill(Path(tempfile.mkdtemp())) as spill:
    ...     buckets = spill.buckets(2, room_bytes=1)
    ...     buckets.add(np.array([1, 0, 1]), pa.table({"a": [5, 6, 7]}))
    ...     buckets.add(np.array([1]), pa.table({"a": [8]}))
    ...     [table["a"].to_pylist() for table in buckets.read(1)], buckets.rows.tolist()
    ([[5, 7], [8]], [1, 3])
    """

    def __init__(self, path: Path, count: int, *, room_bytes: int) -> None:
        self._strip = Strip(path)
        self._count = count
        self._room = room_bytes
        self._pending: list[tuple[Integers, pa.Table]] = []
        self._held = 0
        self._reader: pa.RecordBatchFileReader | None = None
        self.rows: Integers = np.zeros(count, dtype=np.int64)
        """How many rows each bucket has."""
        self.size_bytes = 0
        """How many bytes all rows have."""

    def add(self, buckets: Integers, rows: pa.Table) -> None:
        """Take rows, always of the same columns, each with the number of its bucket."""
        self.rows += np.bincount(buckets, minlength=self._count)
        self._pending.append((buckets.astype(np.uint16), rows))  # numbers of 16 bits are sorted in one go
        self._held += rows.nbytes
        self.size_bytes += rows.nbytes
        if self._held >= self._room:
            self._flush()

    def read(self, bucket: int) -> Iterator[pa.Table]:
        """The rows of one bucket, in the order in which they came; nothing may be added afterwards."""
        if self._reader is None:
            self._flush()
            self._reader = self._strip.reader()
        for place in range(bucket, self._reader.num_record_batches, self._count):
            batch = self._reader.get_batch(place)
            if batch.num_rows:
                yield pa.Table.from_batches([batch])

    def remove(self) -> None:
        """Give the room on disk back."""
        self._reader = None
        self._strip.remove()

    def _flush(self) -> None:
        if not self._pending:
            return
        codes = np.concatenate([numbers for numbers, _ in self._pending])
        table = pa.concat_tables([rows for _, rows in self._pending]).combine_chunks()
        self._pending, self._held = [], 0
        ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=self._count))]).tolist()
        ordered = table.take(pa.array(np.argsort(codes, kind="stable"))).combine_chunks()
        del table
        for start, end in pairwise(ends):
            self._strip.write(ordered.slice(start, end - start))


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


def _sweep(folder: Path) -> None:
    """Remove folders whose process is no more."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _NEW_SECONDS:
                continue
            lock = os.open(left / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _full(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"what does not fit in memory cannot be put aside: {error}",
        where=str(path.parent),
        fix="make room on the disk, raise memory_limit, or ask for fewer rows",
    )
