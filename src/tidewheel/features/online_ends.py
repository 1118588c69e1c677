"""Rows that end something, as the online store holds them: which count as events, and which stand at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tidewheel.features.online import Closed, OnlineLayout
from tidewheel.sources.definition import GONE, UNTIL

Order = tuple[bytes, bytes, bool, bool, bytes]


class TooEarly(Exception):
    """What stood at the instant asked is not held any more; it is from :attr:`since` on."""

    def __init__(self, since: int) -> None:
        super().__init__(since)
        self.since = since


class Ends:
    """Reads tombstones, ends and changes from the rows of one layout, whose source has some of them.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.schema import DataType, Field, Schema
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts", deleted="gone"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> schema = Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))
    >>> layout = OnlineLayout(view_of(Rating), 1, schema)
    >>> rows = [layout.row(ts, 0, available=ts, values=(4.5, ts == 7)) for ts in (5, 7)]
    >>> held = list(layout.numbered(rows))
    >>> [Ends(layout).standing(None, held, at) == (rows[0],) for at in (6, 7)]
    [True, False]
    """

    def __init__(self, layout: OnlineLayout) -> None:
        self._layout = layout
        source = layout.view.source
        self._changes = source.changes is not None
        self._bounded = source.bounded
        self._gone = layout.codec.slot(layout.columns.index(GONE)).offset if source.retracts else None
        self._until = layout.columns.index(UNTIL) if source.bounded else None

    def events(self, items: Sequence[bytes]) -> list[bytes]:
        """Set items that are events: no tombstones, and of changes only what is there by now."""
        if not self._changes:
            rows = items if self._layout.identity_place is None else [row + bytes(4) for row in self._layout.distinct(items)]
            return [item for item in rows if not self._is_gone(item)]
        current = self._versions(item[:-4] for item in items)
        return [row + bytes(4) for row in sorted(current) if not self._is_gone(row) and self._end(row) is None]

    def standing(self, closed: Closed | None, items: Sequence[bytes], at: int) -> tuple[bytes | None, ...]:
        """Of each look-up slot the row that answers at an instant.

        Raises
        ------
        TooEarly
            When rows that stood then are closed.
        """
        layout = self._layout
        shut = () if closed is None else closed.lookups
        if not self._bounded:
            rows = self._visible(layout.distinct(items), at)
            for row in shut:
                if row is not None and max(layout.times(row)) > at:
                    raise TooEarly(max(layout.times(row)))
            pools = [[*rows, *([shut[slot]] if shut and shut[slot] else [])] for slot in range(len(layout.slots))]
            return tuple(self._greatest(slot, [row for row in pool if row is not None]) for slot, pool in enumerate(pools))
        if closed is not None and at < closed.until:
            raise TooEarly(closed.until)
        held = {*(row for row in shut if row is not None), *(item[:-4] for item in items)}
        if self._changes:
            known = [row for row in held if layout.times(row)[1] <= at]
            latest = [row for row in self._visible(self._versions(known), at) if not self._is_gone(row)]
        else:
            starts: dict[bytes, bytes] = {}
            for row in self._visible(held, at):
                other = starts.get(row[:8])
                starts[row[:8]] = row if other is None else self._greater(row, other)
            latest = list(starts.values())
        alive = [row for row in latest if (end := self._end(row)) is None or at < end]
        return tuple(self._greatest(slot, alive) for slot in range(len(layout.slots)))

    def replacing_closed(self, new: Sequence[bytes], items: Sequence[bytes], told: Iterable[bytes]) -> set[bytes]:
        """Of new changes of a key those that take the place of a row which is not open: it may be in closed tiles.

        Parameters
        ----------
        items
            What is open.
        told
            Those of the new ones that say that there was a row before; a deletion says so anyway.
        """
        layout, found = self._layout, set[bytes]()
        rows = [*new, *(item[:-4] for item in items)]
        first: dict[object, Order] = {}
        for row in rows:
            identity, order = layout.identity(row), self._order(row)
            first[identity] = min(order, first.get(identity, order))
        for row in {*told, *(one for one in new if self._is_gone(one))}:
            if first[layout.identity(row)] == self._order(row):
                found.add(row)
        return found

    def _is_gone(self, row: bytes) -> bool:
        return self._gone is not None and row[self._gone] == 1

    def _end(self, row: bytes) -> int | None:
        """From when on a row does not stand any more, as far as it knows itself."""
        if self._until is None:
            return None
        end = self._layout.codec.decode(row).values[self._until]
        assert end is None or isinstance(end, int)
        return end

    def _visible(self, rows: Iterable[bytes], at: int) -> list[bytes]:
        return [row for row in rows if max(self._layout.times(row)) <= at]

    def _versions(self, rows: Iterable[bytes]) -> list[bytes]:
        """The latest change of each row of the table, deletions among them; rows without an id all stay."""
        best: dict[object, bytes] = {}
        kept = []
        for row in rows:
            identity = self._layout.identity(row)
            if identity is None:
                kept.append(row)
            elif identity not in best or self._order(row) > self._order(best[identity]):
                best[identity] = row
        return [*kept, *best.values()]

    def _order(self, row: bytes) -> Order:
        """Of changes of one row the greatest counts; of two copies the one that knows its end."""
        return row[8:16], row[:8], self._is_gone(row), self._end(row) is not None, row[16:]

    def _greatest(self, slot: int, rows: Iterable[bytes]) -> bytes | None:
        """The greatest of some rows, of those with a value where the slot asks for one; none for a tombstone."""
        place = self._layout.slot_places[slot]
        best: bytes | None = None
        for row in rows:
            says = place is None or self._is_gone(row) or self._layout.codec.decode(row).values[place] is not None
            if says:
                best = row if best is None else self._greater(row, best)
        return None if best is None or self._is_gone(best) else best

    def _greater(self, one: bytes, other: bytes) -> bytes:
        if one[:16] != other[:16]:
            return max(one, other)
        keys = [(self._is_gone(row), self._layout.content(row)) for row in (one, other)]
        return one if keys[0] > keys[1] else other
