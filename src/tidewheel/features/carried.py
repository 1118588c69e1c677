"""What the store holds of keys already, taken over into a run, so that the source is read again only from some instant on.

A closed row has the greatest row of each look-up slot and the tiles before its watermark. Of a key whose new rows all lie at or
after an instant, its *cut*, both still hold: the greatest of what was closed and of what is new is the greatest of all, and
tiles before the cut are what they were. So a run costs what arrived and what is open, however long the history is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidewheel.errors import Conflict
from tidewheel.features.key_arrays import number_keys
from tidewheel.features.online import AVAILABLE, OnlineLayout
from tidewheel.features.plan import WindowPlan
from tidewheel.features.row_arrays import ArrayDecoder
from tidewheel.features.rows import split_order
from tidewheel.features.tile_bytes import unpack_tiles
from tidewheel.features.tiles import Tiles, carry_tiles

if TYPE_CHECKING:
    import numpy.typing as npt

    Booleans = npt.NDArray[np.bool_]
    Integers = npt.NDArray[np.int64]

NEVER = -(1 << 62)
"""The cut of a key of which nothing is taken over: before every event."""

_AFTER_ALL, _BEFORE_ALL = (1 << 63) - 1, -(1 << 63)


@dataclass(frozen=True, slots=True)
class Carried:
    """Closed rows of some keys, in order, and the cut of each: what they say before it still holds.

    Parameters
    ----------
    rows
        ``None`` for a key that has none.
    items
        Open rows to take over as well, for each key: of views whose source is not read again at all.
    """

    rows: Sequence[bytes | None]
    cuts: Integers
    items: Sequence[Sequence[bytes]] = ()

    def check(self, layout: OnlineLayout) -> None:
        """Refuse rows that another run has changed since the cuts were chosen.

        Raises
        ------
        Conflict
            When one is closed only up to before its cut.
        """
        for row, cut in zip(self.rows, self.cuts.tolist(), strict=True):
            if row is not None and layout.decode_watermark(row) < cut:
                fix = "let one finish, and materialise again"
                raise Conflict(f"view {layout.view.name} is being materialised by another run", where=layout.view.name, fix=fix)

    def looked_up(self, layout: OnlineLayout, like: pa.Schema) -> tuple[pa.Table, Integers, Booleans]:
        """Rows that look-ups found at the closing, and open ones: the number of each one's key, and whether it is closed."""
        found: list[bytes] = []
        codes: list[int] = []
        for code, row in enumerate(self.rows):
            if row is not None and layout.slots:
                own = {one for one in layout.decode_closed(row).lookups if one is not None}
                found += sorted(own)
                codes += [code] * len(own)
        closed = len(found)
        for code, items in enumerate(self.items):
            found += [item[:-4] for item in items]
            codes += [code] * len(items)
        shut = np.arange(len(found)) < closed
        return decode_rows(layout, found, like), np.array(codes, dtype=np.int64), shut

    def tiles(self, layout: OnlineLayout, plan: WindowPlan, fresh: Sequence[Tiles]) -> list[Tiles]:
        """Fresh tiles of the keys, which begin at the cuts, behind the closed ones."""
        held = unpack_tiles(plan, [None if row is None else row[layout.tiles_start(row) :] or None for row in self.rows])
        return [carry_tiles(one, new, until=self.cuts) for one, new in zip(held, fresh, strict=True)]


def from_cuts(layout: OnlineLayout, rows: pa.Table, cuts: Mapping[bytes, int]) -> pa.Table:
    """Of rows of a source those that lie at or after the cut of their key, and those that have no key."""
    numbered = number_keys(layout.keys, rows)
    since = np.array([*(cuts.get(key, _AFTER_ALL) for key in numbered.keys), _BEFORE_ALL])  # the last one: null keys
    return rows.filter(pa.array(rows["__ts"].to_numpy() >= since[numbered.codes]))


def decode_rows(layout: OnlineLayout, rows: Sequence[bytes], like: pa.Schema) -> pa.Table:
    """Stored rows as a scan gives them; columns that are not stored, those of the key, are null."""
    names = [*layout.columns, *((AVAILABLE,) if layout.delayed else ())]
    ts, table = ArrayDecoder(layout.codec, names).decode(rows)
    created = np.array([split_order(row)[1] for row in rows], dtype=np.int64)
    known = table[AVAILABLE] if layout.delayed else pa.chunked_array([pa.array(ts + layout.after)])
    columns = {"__ts": pa.chunked_array([pa.array(ts)]), "__created": pa.chunked_array([pa.array(created)]), AVAILABLE: known}
    columns |= {name: table[name] for name in layout.columns}
    return pa.table(
        [columns[one.name].cast(one.type) if one.name in columns else pa.nulls(len(rows), one.type) for one in like],
        schema=like,
    )
