"""Rows and events in the one order that counts: by key, event time, created time, then canonical bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.features import lookup_kernel
from tidewheel.features.ties import canonical_ranks
from tidewheel.schema import Schema

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ordered:
    """Positions of rows in order, grouped by key.

    Parameters
    ----------
    offsets
        Key ``k`` has positions ``offsets[k]`` up to ``offsets[k + 1]``.
    order
        Row of each position.
    ambiguous
        Positions, each the first of some that have one key, time and created time, and differ in value.
    """

    offsets: Integers
    order: Integers
    ambiguous: Integers


@dataclass(frozen=True, slots=True)
class Events:
    """Events of many keys, in order.

    Parameters
    ----------
    offsets
        Shape (keys + 1,): key ``k`` has events ``offsets[k]`` up to ``offsets[k + 1]``.
    ts, known
        Event time, and the time from which the event is visible, in microseconds.
    rows
        The events' columns, as :func:`tidewheel.features.columns.event_columns` orders them.
    """

    offsets: Integers
    ts: Integers
    known: Integers
    rows: pa.Table

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return len(self.offsets) - 1


def order_rows(
    codes: Integers, keys: int, *, ts: Integers, created: Integers | None, rows: pa.Table, schema: Schema
) -> Ordered:
    """Put rows in order.

    Parameters
    ----------
    codes
        Number of each row's key, from 0 up to ``keys``; rows with a negative number are left out.
    created
        Microseconds; ``None`` where created time does not count (events).
    rows
        At least the columns of the schema, which break the remaining ties by their canonical bytes.
    """
    by_time: Integers | None = None
    if len(ts) > 1 and bool(np.any(ts[1:] < ts[:-1])):
        by_time = np.argsort(ts, kind="stable")
        codes = codes[by_time]
    offsets = np.zeros(keys + 1, dtype=np.int64)
    order = np.empty(len(codes), dtype=np.int64)
    kept = lookup_kernel.group(np.ascontiguousarray(codes, dtype=np.int64), offsets, order)
    order = order[:kept]
    if by_time is not None:
        order = by_time[order]
    ambiguous = _break_ties(offsets, order, ts, created, rows, schema)
    return Ordered(offsets, order, ambiguous)


def _break_ties(
    offsets: Integers, order: Integers, ts: Integers, created: Integers | None, rows: pa.Table, schema: Schema
) -> Integers:
    """Sort in place what ties in key and time; answer the first position of each group that only its values tell apart."""
    moments = ts[order]
    tied = _same(moments, offsets)
    if not len(schema) or not tied.any():  # rows without columns are alike, in any order
        return np.empty(0, dtype=np.int64)
    positions = _members(tied)
    picked = order[positions]
    sub = rows.select(list(schema.names)).take(pa.array(picked))
    bytes_rank = canonical_ranks(sub, schema)
    group = np.cumsum(~np.concatenate([[False], tied])[positions])
    then = np.zeros(len(picked), dtype=np.int64) if created is None else created[picked]
    resort = np.lexsort((bytes_rank, then, group))
    order[positions] = picked[resort]
    group, then, bytes_rank = group[resort], then[resort], bytes_rank[resort]
    equal = (group[1:] == group[:-1]) & (then[1:] == then[:-1])
    differ = equal & (bytes_rank[1:] != bytes_rank[:-1])
    starts = np.cumsum(np.concatenate([[True], ~equal])) - 1
    first: Integers = positions[np.flatnonzero(np.concatenate([[True], ~equal]))][np.unique(starts[1:][differ])]
    return first


def _same(moments: Integers, offsets: Integers) -> npt.NDArray[np.bool_]:
    """Whether each position but the first has the key and time of the one before it."""
    same: npt.NDArray[np.bool_] = moments[1:] == moments[:-1]
    inner = offsets[1:-1]
    same[inner[(inner > 0) & (inner < len(moments))] - 1] = False
    return same


def _members(tied: npt.NDArray[np.bool_]) -> Integers:
    """Positions that tie with a neighbour."""
    either = np.zeros(len(tied) + 1, dtype=np.bool_)
    either[1:] |= tied
    either[:-1] |= tied
    return np.flatnonzero(either).astype(np.int64)
