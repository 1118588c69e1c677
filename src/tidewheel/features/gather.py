"""Gather rows of a source in parts that memory holds, each of keys that stand together.

What fits stays where it is, as one part. What does not is cut into ranges of keys, so that a store that keeps keys in order is
filled from one end to the other: a first pass over the key columns finds where to cut, a second one puts the rows into a
file for each range. The files have no name, so a process that is killed leaves none behind.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features.encoding import to_int64
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.keys import KeyCodec
from tidewheel.schema import DataType

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int16]

MEMORY_BYTES = 256 << 20
"""Rows up to this size, as Arrow holds them, are one part."""

_PARTS_OF_MEMORY = 4  # several parts are in work at once, each with copies of its rows
_MOST_PARTS = 512
_SAMPLE_ROWS = 512


@dataclass(frozen=True, slots=True)
class Part:
    """Rows whose keys lie in ``[low, high)``; ``None`` where there is no bound.

    ``take`` gives the rows, once.
    """

    number: int
    low: bytes | None
    high: bytes | None
    take: Callable[[], pa.Table]


class Gathered:
    """Rows in parts; closing it drops them.

    Parameters
    ----------
    bounds
        Keys at which each part but the first begins.
    """

    def __init__(self, bounds: Sequence[bytes], take: Callable[[int], pa.Table], files: ExitStack) -> None:
        self.bounds = list(bounds)
        self._take, self._files = take, files

    def __enter__(self) -> Gathered:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def __len__(self) -> int:
        return len(self.bounds) + 1

    def parts(self) -> Iterator[Part]:
        """The parts, in the order of their keys."""
        ends = [None, *self.bounds, None]
        for number in range(len(self)):
            yield Part(number, ends[number], ends[number + 1], self._taker(number))

    def _taker(self, number: int) -> Callable[[], pa.Table]:
        return lambda: self._take(number)


def gather(
    rows: Iterable[pa.Table],
    keys: Callable[[], Iterable[pa.Table]],
    codec: KeyCodec,
    *,
    folder: Path,
    memory_bytes: int = MEMORY_BYTES,
    bounds: Sequence[bytes] | None = None,
    skip: frozenset[int] = frozenset(),
) -> Gathered:
    """Gather rows; at least one table of them must come, be it empty.

    Parameters
    ----------
    keys
        The key columns of the same rows, or of more, for a pass before the rows are cut.
    folder
        Where the files lie, when there are any.
    bounds
        Where an earlier run has cut the same rows, so that its parts are these.
    skip
        Numbers of parts whose rows nobody will take.
    """
    tables, held, size = iter(rows), list[pa.Table](), 0
    if bounds is None:
        for table in tables:
            held.append(table)
            size += table.nbytes
            if size > memory_bytes:
                break
        else:
            return Gathered([], lambda _: _all(held), ExitStack())
        count = sum(table.num_rows for table in held)
        bounds = find_bounds(keys(), codec, row_bytes=size / max(1, count), part_bytes=memory_bytes // _PARTS_OF_MEMORY)
    files = ExitStack()
    try:
        spill = files.enter_context(_Spill(codec, bounds, folder, skip))
        while held:
            spill.add(held.pop(0))
        for table in tables:
            spill.add(table)
    except BaseException:
        files.close()
        raise
    return Gathered(bounds, spill.take, files)


def _all(held: list[pa.Table]) -> pa.Table:
    found = pa.concat_tables(held)
    held.clear()  # so that the rows are in memory once, while their one holder makes one piece of them
    return found


def find_bounds(keys: Iterable[pa.Table], codec: KeyCodec, *, row_bytes: float, part_bytes: int) -> list[bytes]:
    """Keys that cut rows into parts of about this size, by a sample of rows spread evenly over all of them.

    Examples
    --------
    >>> from tidewheel.schema import Field, Schema
    >>> codec = KeyCodec(1, Schema((Field("zone", DataType.INT64),)))
    >>> found = find_bounds([pa.table({"zone": list(range(100))})], codec, row_bytes=8, part_bytes=400)
    >>> [codec.decode(key) for key in found]
    [(50,)]
    """
    sample: list[bytes] = []
    total = 0
    for table in keys:
        total += table.num_rows
        some = table.take(pa.array(np.arange(0, table.num_rows, max(1, table.num_rows // _SAMPLE_ROWS))))
        numbered = number_keys(codec, some)
        sample += [numbered.keys[code] for code in numbered.codes.tolist() if code >= 0]
    parts = min(_MOST_PARTS, -int(-total * row_bytes // part_bytes))
    sample.sort()
    places = [len(sample) * number // parts for number in range(1, parts)] if sample else []
    return sorted({sample[place] for place in places} - set(sample[:1]))


class _Spill:
    """A file without a name for each part."""

    def __init__(self, codec: KeyCodec, bounds: Sequence[bytes], folder: Path, skip: frozenset[int]) -> None:
        self._codec, self._bounds, self._folder, self._skip = codec, list(bounds), folder, skip
        self._open = ExitStack()
        self._files: dict[int, IO[bytes]] = {}
        self._writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
        self._schema: pa.Schema | None = None
        whole = len(codec.schema) == 1 and codec.schema.fields[0].type is DataType.INT64
        self._numbers = np.array([codec.decode(key)[0] for key in bounds], dtype=np.int64) if whole else None

    def __enter__(self) -> _Spill:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, table: pa.Table) -> None:
        self._schema = self._schema or table.schema
        part = self._part_of(table)
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(len(self._bounds) + 2))
        for number in range(len(self._bounds) + 1):
            low, high = int(ends[number]), int(ends[number + 1])
            if low < high and number not in self._skip:
                self._writer(number).write_table(table.take(pa.array(order[low:high])).combine_chunks())

    def take(self, number: int) -> pa.Table:
        if number not in self._files:
            assert self._schema is not None
            return self._schema.empty_table()
        self._writers.pop(number).close()
        with self._files.pop(number) as file:
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()

    def _writer(self, number: int) -> pa.ipc.RecordBatchStreamWriter:
        if number not in self._writers:
            self._folder.mkdir(parents=True, exist_ok=True)
            assert self._schema is not None
            self._files[number] = self._open.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115  # it is one
            self._writers[number] = pa.ipc.new_stream(self._files[number], self._schema)
        return self._writers[number]

    def _part_of(self, table: pa.Table) -> Integers:
        """The part of each row; rows with a null in their key are in the first."""
        if self._numbers is not None:
            column = table[self._codec.schema.names[0]].combine_chunks()
            numbers = to_int64(column.fill_null(0) if column.null_count else column)
            found: Integers = np.searchsorted(self._numbers, numbers, side="right").astype(np.int16)  # which radix sort takes
            return np.where(column.is_valid().to_numpy(zero_copy_only=False), found, 0) if column.null_count else found
        numbered = number_keys(self._codec, table)
        begins = [bisect_left(numbered.keys, bound) for bound in self._bounds]
        parts = np.searchsorted(np.array(begins, dtype=np.int64), np.arange(len(numbered.keys) + 1), side="right")
        parts[-1] = 0  # of code -1
        return parts[numbered.codes].astype(np.int16)
