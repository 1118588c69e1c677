"""Look-ups: for every key and time asked, the greatest row that was visible.

Rows are offered to the spine's questions, batch by batch and in any order: each to the first question of its key that can see
it, where it stays if it is the greatest there. The answer to a question is then the greatest of its own row and those of
earlier questions. So a source is read once, and no more of it is kept than there are questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import format_instant
from tidewheel.errors import AmbiguousRows
from tidewheel.features import lookup_kernel
from tidewheel.features.columns import feature_type, row_schema
from tidewheel.features.definition import FeatureView
from tidewheel.features.encoding import typed_default
from tidewheel.features.feature import Feature
from tidewheel.features.questions import Questions
from tidewheel.features.ties import canonical_ranks
from tidewheel.features.tiles import NULL_KEY
from tidewheel.schema import Schema
from tidewheel.sources.definition import GONE

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

_ROOM = 1 << 16


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a source.

    Parameters
    ----------
    codes
        Number of each row's key; negative for rows that nobody asks for.
    ts, created, known
        Microseconds: event time, created time, and from when the row is visible.
    table
        The columns.
    """

    codes: Integers
    ts: Integers
    created: Integers
    known: Integers
    table: pa.Table


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Answers of a view's look-ups: one column per feature, and what the report tells."""

    columns: list[pa.Array]
    found: int
    too_old: int
    ambiguous: int


class LookUps:
    """The look-ups of a view, answered while its rows come by.

    Parameters
    ----------
    schema
        The source's.
    """

    def __init__(self, view: FeatureView, schema: Schema, questions: Questions) -> None:
        self._view = view
        self._schema = schema
        self._questions = questions
        rows = row_schema(view, schema)
        self._columns = list(rows.names)
        self._latest = _Greatest(questions, rows)
        filled = {one.column for one in view.lookups if one.fill == "last_known"}
        self._known = {name: _Greatest(questions, rows) for name in sorted(name for name in filled if name is not None)}

    def add(self, rows: Rows) -> None:
        """Take the next rows."""
        table = rows.table.select(self._columns)
        self._latest.add(rows, table)
        for name, greatest in self._known.items():
            column = table.column(name)
            if not column.null_count:
                greatest.add(rows, table)
                continue
            there = np.flatnonzero(_says(table, name))
            some = Rows(rows.codes[there], rows.ts[there], rows.created[there], rows.known[there], rows.table)
            greatest.add(some, table.take(pa.array(there)))

    def finish(self, keys: Sequence[pa.Array]) -> LookedUp:
        """The answers to all questions, in the spine's order.

        Parameters
        ----------
        keys
            The parts of the spine's keys, to name one in an error.

        Raises
        ------
        AmbiguousRows
            Under ``strict_ties``, when only its value tells the row of an answer from another one.
        """
        view, asked = self._view, self._questions
        best = self._latest.settle()
        if view.strict_ties and best.ambiguous:
            raise _ambiguous(view, best, keys)
        fresh, too_old = _fresh(view.ttl, best, asked.times)
        null = asked.keys == NULL_KEY
        columns = []
        for one in view.lookups:
            assert one.column is not None
            picked, rows = fresh, best.rows
            if one.column in self._known and one.fill == "last_known":
                known = self._known[one.column].settle()
                picked, rows = _fresh(view.ttl, known, asked.times)[0], known.rows
            picked = _present(rows, picked)
            columns.append(take_column(view, one, rows.column(one.column), schema=self._schema, picked=picked, null=null))
        fresh = _present(best.rows, fresh)
        return LookedUp(columns, int(np.count_nonzero(fresh >= 0)), too_old, best.ambiguous)


@dataclass(frozen=True, slots=True)
class _Best:
    """For each spine row the place of its answer in ``rows``, or -1, and the answer's event time."""

    picked: Integers
    ts: Integers
    rows: pa.Table
    ambiguous: int
    doubtful: Integers


class _Greatest:
    """The greatest row offered to each question."""

    def __init__(self, questions: Questions, schema: Schema) -> None:
        self._asked = questions
        self._schema = schema
        count = len(questions.order)
        held = np.zeros((count, 4), dtype=np.int64)
        held[:, 0], held[:, 3] = questions.moments, -1
        self._ts, self._created, self._row = held[:, 1], held[:, 2], held[:, 3]
        self._tied = np.zeros(count, dtype=np.uint8)
        self._slots = lookup_kernel.Slots(questions.offsets, held, self._tied, questions.offsets[:-1].copy())
        self._types = schema.arrow()
        self._held: list[pa.Table] = [self._types.empty_table()]
        self._count = 0

    def add(self, rows: Rows, table: pa.Table) -> None:
        """Offer rows, whose values are in ``table``."""
        size = len(rows.codes)
        touched, rivals, contested = (np.empty(size, dtype=np.int64) for _ in range(3))
        offers = lookup_kernel.Offers(rows.codes, rows.ts, rows.created, rows.known)
        taken, ties = lookup_kernel.offer(self._slots, offers, touched=touched, rivals=rivals, rival_slots=contested)
        changed = touched[:taken]
        if ties:
            changed = self._contest(rows, table, rivals[:ties], contested[:ties], changed)
        if not len(changed):
            return
        local = -2 - self._row[changed]
        self._row[changed] = self._count + np.arange(len(changed))
        self._held.append(table.take(pa.array(local)).cast(self._types))
        self._count += len(changed)
        if self._count > 2 * len(self._row) + _ROOM:
            self._forget()

    def _contest(self, rows: Rows, table: pa.Table, rivals: Integers, slots: Integers, changed: Integers) -> Integers:
        """Decide by their values between rows of the same times; answers which slots hold a row of this batch now."""
        still = (rows.ts[rivals] == self._ts[slots]) & (rows.created[rivals] == self._created[slots])
        rivals, slots = rivals[still], slots[still]
        if not len(rivals):  # a later row of this batch has outdone them all
            return changed
        held = np.unique(slots)
        now = self._row[held]
        before, local = now >= 0, np.concatenate([-2 - now[now < -1], rivals])
        candidates = pa.concat_tables([self._rows().take(pa.array(now[before])), table.take(pa.array(local)).cast(self._types)])
        owners = np.concatenate([held[before], held[~before], slots])
        rank = canonical_ranks(candidates, self._schema)
        order = np.lexsort((rank, owners))
        owners, rank, number = owners[order], rank[order], order
        last = np.flatnonzero(np.concatenate([owners[1:] != owners[:-1], [True]]))
        first = np.concatenate([[0], last[:-1] + 1])
        self._tied[owners[last]] |= rank[first] != rank[last]
        winner = number[last]
        mine = winner >= np.count_nonzero(before)
        moved = owners[last][mine]
        self._row[moved] = -2 - local[winner[mine] - np.count_nonzero(before)]
        return np.union1d(changed, moved)

    def settle(self) -> _Best:
        """The answers; nothing may be added afterwards."""
        count = len(self._row)
        rank, marks = np.empty(0, dtype=np.int64), np.zeros(count, dtype=np.uint8)
        rows = self._rows()
        if lookup_kernel.equals(self._slots, marks):
            places = np.flatnonzero(marks)
            rank = np.zeros(count, dtype=np.int64)
            rank[places] = canonical_ranks(rows.take(pa.array(self._row[places])), self._schema)
        found, doubts = np.empty(count, dtype=np.int64), np.zeros(count, dtype=np.uint8)
        ambiguous = lookup_kernel.settle(self._slots, rank, found=found, doubts=doubts)
        moments = np.zeros(max(self._count, 1), dtype=np.int64)
        there = self._row >= 0
        moments[self._row[there]] = self._ts[there]
        asked = self._asked
        picked = np.full(len(asked.keys), -1, dtype=np.int64)
        picked[asked.order] = found
        return _Best(picked, moments[np.maximum(picked, 0)], rows, ambiguous, asked.order[np.flatnonzero(doubts)])

    def _rows(self) -> pa.Table:
        """What is held, as one table in one piece."""
        if len(self._held) > 1:
            self._held = [pa.concat_tables(self._held).combine_chunks()]
        return self._held[0]

    def _forget(self) -> None:
        """Drop the rows that have been outdone."""
        there = np.flatnonzero(self._row >= 0)
        self._held = [self._rows().take(pa.array(self._row[there]))]
        self._row[there] = np.arange(len(there))
        self._count = len(there)


def _fresh(ttl: int | None, best: _Best, times: Integers) -> tuple[Integers, int]:
    """Answers that are not older than ``ttl``, and how many are."""
    if ttl is None:
        return best.picked, 0
    old = (best.picked >= 0) & (times - best.ts > ttl)
    return np.where(old, -1, best.picked), int(np.count_nonzero(old))


def _says(table: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    """Rows that have a value in a column, and those that end all earlier values."""
    there: npt.NDArray[np.bool_] = table.column(name).is_valid().to_numpy()
    return there | table.column(GONE).to_numpy() if GONE in table.column_names else there


def _present(rows: pa.Table, picked: Integers) -> Integers:
    """Answers without those that are tombstones."""
    if GONE not in rows.column_names or not rows.num_rows:
        return picked
    gone = rows.column(GONE).to_numpy()
    return np.where((picked >= 0) & gone[np.maximum(picked, 0)], -1, picked)


def take_column(
    view: FeatureView,
    feature: Feature,
    column: pa.ChunkedArray,
    *,
    schema: Schema,
    picked: Integers,
    null: npt.NDArray[np.bool_],
) -> pa.Array:
    """A look-up's column from the rows picked for it (-1: none), its default in place of nulls but for null keys."""
    kind = feature_type(feature, schema)
    values = column.combine_chunks().cast(kind.arrow()).take(pa.array(picked, mask=picked < 0))
    if feature.default is None:
        return values
    default = typed_default(feature.default, kind, where=f"{view.name}.{feature.name}")
    filled = values.fill_null(default)
    return pa.compute.if_else(pa.array(null), pa.scalar(None, filled.type), filled) if null.any() else filled


def _ambiguous(view: FeatureView, best: _Best, keys: Sequence[pa.Array]) -> AmbiguousRows:
    told = [
        f"{', '.join(f'{key.name}={part[row].as_py()!r}' for key, part in zip(view.keys, keys, strict=True))} "
        f"at {format_instant(int(best.ts[row]))}"
        for row in best.doubtful[:5].tolist()
    ]
    return AmbiguousRows(
        f"view {view.name}: rows of one key and time differ only in value: {'; '.join(told)} ({best.ambiguous} in all)",
        where=view.name,
        fix="declare created= on the source, remove the duplicates, or drop strict_ties",
    )
