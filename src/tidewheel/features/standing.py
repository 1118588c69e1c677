"""Look-ups over rows that are visible for a while only: they are gathered, and answered when all are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.clock import format_instant
from tidewheel.errors import AmbiguousRows
from tidewheel.features.columns import row_schema
from tidewheel.features.definition import FeatureView
from tidewheel.features.events import Ordered, order_rows
from tidewheel.features.intervals import FOREVER, find_standing, replaced_until
from tidewheel.features.lookups import LookedUp, Rows, take_column
from tidewheel.features.questions import Questions
from tidewheel.features.tiles import NULL_KEY
from tidewheel.schema import Schema
from tidewheel.sources.definition import GONE, UNTIL

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]


class StandingLookUps:
    """The look-ups of a view over a bounded source (:attr:`tidewheel.sources.definition.Source.bounded`).

    Parameters
    ----------
    schema
        The source's.
    """

    def __init__(self, view: FeatureView, schema: Schema, questions: Questions) -> None:
        self._view = view
        self._schema = schema
        self._questions = questions
        self._rows = row_schema(view, schema)
        self._kept: list[Rows] = []
        self._columns = list(dict.fromkeys([*self._rows.names, UNTIL]))

    def add(self, rows: Rows) -> None:
        """Take the next rows: those of keys that are asked for stay, changes that only end an earlier one do not."""
        wanted = rows.codes >= 0
        if GONE in rows.table.column_names:
            wanted &= ~rows.table.column(GONE).to_numpy()
        places = np.flatnonzero(wanted)
        table = rows.table.select(self._columns).take(pa.array(places))
        self._kept.append(Rows(rows.codes[places], rows.ts[places], rows.created[places], rows.known[places], table))

    def finish(self, keys: Sequence[pa.Array]) -> LookedUp:
        """The answers to all questions, in the spine's order.

        Raises
        ------
        AmbiguousRows
            Under ``strict_ties``, when only its value tells two rows of one key and time apart.
        """
        view, asked, kept = self._view, self._questions, self._kept
        table = pa.concat_tables([one.table for one in kept]).combine_chunks()
        codes, ts, created, known = (
            np.concatenate([getattr(one, name) for one in kept]) for name in ("codes", "ts", "created", "known")
        )
        ordered = order_rows(codes, asked.size, ts=ts, created=created, rows=table, schema=self._rows)
        if view.strict_ties and len(ordered.ambiguous):
            raise self._ambiguous(ordered, ts)
        order = ordered.order
        since = np.maximum(ts[order], known[order])
        until = table.column(UNTIL).fill_null(FOREVER).to_numpy()[order]
        if view.source.valid_to is not None:
            until = replaced_until(ordered.offsets, ts[order], known=known[order], until=until)
        fresh, too_old = self._fresh(find_standing(ordered.offsets, since, until=until, asked=asked), order, ts)
        null = asked.keys == NULL_KEY
        columns = []
        for one in view.lookups:
            assert one.column is not None
            picked, column = fresh, table.column(one.column)
            if one.fill == "last_known" and column.null_count:
                there = column.is_valid().to_numpy()[order]
                known_until = np.where(there, until, since)
                picked, _ = self._fresh(find_standing(ordered.offsets, since, until=known_until, asked=asked), order, ts)
            columns.append(take_column(view, one, column, schema=self._schema, picked=picked, null=null))
        return LookedUp(columns, int(np.count_nonzero(fresh >= 0)), too_old, len(ordered.ambiguous))

    def _fresh(self, found: Integers, order: Integers, ts: Integers) -> tuple[Integers, int]:
        """Rows of places in the order, without those that are older than the ttl, and how many those are."""
        picked = np.where(found >= 0, order[np.maximum(found, 0)], -1) if len(order) else found
        if self._view.ttl is None or not len(ts):
            return picked, 0
        old = (picked >= 0) & (self._questions.times - ts[np.maximum(picked, 0)] > self._view.ttl)
        return np.where(old, -1, picked), int(np.count_nonzero(old))

    def _ambiguous(self, ordered: Ordered, ts: Integers) -> AmbiguousRows:
        times = ", ".join(format_instant(int(ts[place])) for place in ordered.order[ordered.ambiguous[:5]])
        return AmbiguousRows(
            f"view {self._view.name}: rows of one key and time differ only in value: {times} ({len(ordered.ambiguous)} in all)",
            where=self._view.name,
            fix="declare created= on the source, remove the duplicates, or drop strict_ties",
        )
