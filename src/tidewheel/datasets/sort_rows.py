"""Sort rows that need not fit in memory: they are dealt to disk by ranges of their first column, each sorted by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.sources.budget import Budget
from tidewheel.sources.spill import Spill

Integers = npt.NDArray[np.int64]
_SAMPLE = 1000
"""One of so many rows says where the ranges begin."""
_COPIES = 4
"""How often a row is in memory while it is sorted."""


def sort_rows(
    tables: Iterable[pa.Table], by: Sequence[str], *, budget: Budget | None, keep: Callable[[pa.Table], pa.Table] | None = None
) -> pa.Table:
    """All rows of some tables, ascending, nulls last.

    Parameters
    ----------
    by
        Columns; of the first one, which holds times without nulls, rows that fit in memory share a range.
    budget
        Above it, the rows are on disk, in the answer too; ``None`` holds all of them.
    keep
        Takes rows, at the latest when all have come by, and answers those to keep.

    Examples
    --------
    >>> sort_rows([pa.table({"t": [3, 1]}), pa.table({"t": [2]})], ["t"], budget=None)["t"].to_pylist()
    [1, 2, 3]
    """
    held: list[pa.Table] = []
    size = 0
    rest = iter(tables)
    for table in rest:
        held.append(table)
        size += table.nbytes
        if budget is not None and _COPIES * size > budget.size_bytes:
            with Spill(budget.folder) as spill:
                return _sorted_on_disk(chain(held, rest), by, spill, budget.size_bytes, keep)
    found = pa.concat_tables(held)
    return _sorted(found if keep is None else keep(found), by)


def _sorted(table: pa.Table, by: Sequence[str]) -> pa.Table:
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in by]))


def _sorted_on_disk(
    tables: Iterator[pa.Table], by: Sequence[str], spill: Spill, room: int, keep: Callable[[pa.Table], pa.Table] | None
) -> pa.Table:
    unsorted, size, sample = spill.strip(), 0, [np.empty(0, dtype=np.int64)]
    for table in tables:
        if table.num_rows or not unsorted.batches:
            unsorted.write(table)
            size += table.nbytes
            sample.append(_times(table, by[0])[::_SAMPLE])
    count = int(min(_COPIES * size // max(room, 1) + 1, 1024))
    known = np.sort(np.concatenate(sample))
    starts = known[len(known) * np.arange(1, count) // count] if len(known) else known
    ranges = spill.buckets(count, room_bytes=max(room // 8, 1 << 20))
    reader = unsorted.reader()
    nothing = reader.schema.empty_table()
    for place in range(reader.num_record_batches):
        rows = pa.Table.from_batches([reader.get_batch(place)])
        rows = rows if keep is None else keep(rows)
        ranges.add(np.searchsorted(starts, _times(rows, by[0]), side="right"), rows)
    unsorted.remove()
    ordered = spill.strip()
    for number in range(count):
        ordered.write(_sorted(pa.concat_tables([nothing, *ranges.read(number)]), by))
    ranges.remove()
    return ordered.mapped()


def _times(table: pa.Table, name: str) -> Integers:
    return np.ascontiguousarray(table[name].cast(pa.int64()).to_numpy())
