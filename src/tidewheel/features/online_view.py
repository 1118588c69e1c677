"""One view's answers from what the online store holds of some keys: pure, and the same fold as for training sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tidewheel.clock import format_instant
from tidewheel.errors import Corrupt, HistoryUnavailable
from tidewheel.features import bytes_kernel, json_kernel, row_kernel
from tidewheel.features.columns import feature_type
from tidewheel.features.key_fold import KeyFold
from tidewheel.features.online import Blocked, OnlineLayout
from tidewheel.features.online_ends import Ends, TooEarly
from tidewheel.features.plan import plan_windows
from tidewheel.features.rows import split_order

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.found_columns import FoundColumns
    from tidewheel.features.online_fold import GeneralFold

Rows = list[list[object]]
_LEAST = -(1 << 62)
_MANY = 1_000
"""Rows from which on it is quicker to decode them by column than to make columns of their values."""


class Status(Enum):
    """Why a value is what it is."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


_TOLD = (Status.PRESENT, Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.NULL_VALUE, None)
"""By the codes of the kernel."""


@dataclass(slots=True)  # not frozen: that makes it three times as slow to make, which every answer does
class Held:
    """What the store holds of some keys: the closed row of each, and its open set items in order."""

    rows: list[bytes | None]
    sets: list[list[bytes]]


class Shared(NamedTuple):
    """Of some neighbouring values of every row: how many they are, the status and the event time that they share.

    A status is ``None`` where values differ in it.
    """

    width: int
    statuses: list[Status | None]
    event_times: list[int | None]


class ViewAnswer:
    """One row of values per query, in the order of the view's features.

    Parameters
    ----------
    found
        For each look-up slot and query the row that was found.
    """

    __slots__ = ("_found", "_times", "_view", "as_found", "rows")

    def __init__(
        self, view: OnlineView, rows: list[list[object]], found: list[list[bytes | None]], times: Sequence[int]
    ) -> None:
        self.rows = rows
        self.as_found = True  # rows hold what was found, and nothing in its place
        self._view, self._found, self._times = view, found, times

    def statuses(self) -> list[list[Status]]:
        """Why each value is what it is. Of windows: ``PRESENT`` or ``NULL_VALUE``."""
        if self._view.one_row and self._found:
            return [self._view.statuses_of(row, at) for row, at in zip(self._found[0], self._times, strict=True)]
        return [
            [
                (Status.NULL_VALUE if value is None else Status.PRESENT)
                if look is None
                else self._view.status(look, self._found[look.slot][number], self._times[number])
                for value, look in zip(row, self._view.looks, strict=True)
            ]
            for number, row in enumerate(self.rows)
        ]

    def shared(self) -> Shared | None:
        """What the values of each row share; ``None`` when they are of several rows."""
        if not self._view.one_row or not self._found:
            return None
        return Shared(len(self._view.looks), *self._view.tell(self._found[0], self._times))

    def columns(self) -> list[pa.Array] | None:
        """The values as Arrow columns, straight from the rows that were found.

        ``None`` when they are of several rows, and when there are so few that columns of the values are as quick.
        """
        if len(self.rows) < _MANY or not self._view.one_row or not self._found or not self.as_found:
            return None
        return self._view.columns_of(self._found[0], self._times)

    def event_times(self) -> list[list[int | None]]:
        """Event time of the row that each look-up found; ``None`` for windows."""
        if self._view.one_row and self._found:
            width = len(self._view.looks)
            return [[_time(row)] * width for row in self._found[0]]
        return [
            [None if look is None else _time(self._found[look.slot][number]) for look in self._view.looks]
            for number in range(len(self.rows))
        ]


@dataclass(frozen=True, slots=True)
class Look:
    """Where a look-up feature reads: its slot of the closed row, and byte and mask of its column's presence."""

    slot: int
    column: int
    presence: int
    mask: int
    default: object


class OnlineView:
    """Answers the features of one view.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, view_of
    >>> from tidewheel.schema import DataType, Field, Schema
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> schema = Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))
    >>> layout = OnlineLayout(view_of(Rating), 1, schema)
    >>> held = Held([None], [list(layout.numbered([layout.row(5, 0, available=5, values=(4.5,))]))])
    >>> OnlineView(layout).answer(held, [0, 0], [4, 5]).rows
    [[None], [4.5]]
    """

    def __init__(self, layout: OnlineLayout) -> None:
        view, schema = layout.view, layout.schema
        self.layout = layout
        self._plan = plan_windows(view, schema)
        self._available = len(layout.columns)
        slots = {name: slot for slot, name in enumerate(layout.slots)}
        self.looks: list[Look | None] = []
        for one in view.features:
            if one.kind == "window" or one.column is None:
                self.looks.append(None)
                continue
            place = layout.columns.index(one.column)
            slot, where = slots[one.column] if one.fill == "last_known" else 0, layout.codec.slot(place)
            default = one.default
            if default is not None:
                from tidewheel.features.encoding import typed_default

                default = typed_default(default, feature_type(one, schema), where=f"{view.name}.{one.name}").as_py()
            self.looks.append(Look(slot, place, where.presence, where.mask, default))
        own = [look for look in self.looks if look is not None]
        self._readers = [self._reader([look for look in own if look.slot == slot]) for slot in range(len(layout.slots))]
        self._one_slot = len(layout.slots) == 1
        self._corrected = layout.identity_place is not None
        self._ends = Ends(layout) if layout.ends else None
        self.one_row = self._one_slot and len(own) == len(self.looks) and self._ends is None
        """Whether every feature is of the one row that was found, and so shares its time."""
        first, last = min((look.presence for look in own), default=0), max((look.presence for look in own), default=0)
        self._presence = slice(first, last + 1)
        whole = bytearray(last - first + 1)
        for look in own:
            whole[look.presence - first] |= look.mask
        self._all_present = int.from_bytes(whole, "big")

    def tell(self, found: list[bytes | None], times: Sequence[int]) -> tuple[list[Status | None], list[int | None]]:
        """Status and event time that all values of a row share, where :attr:`one_row`; status ``None`` where they differ."""
        codes = bytearray()
        event_times = row_kernel.tell_rows(self._readers[0], found, times=list(times), codes=codes)
        return [_TOLD[code] for code in codes], event_times

    def columns_of(self, found: Sequence[bytes | None], times: Sequence[int]) -> list[pa.Array]:
        """A column of every feature, from the row found for each question, where :attr:`one_row`."""
        return self._found_columns.decode(found, times)

    @cached_property
    def _found_columns(self) -> FoundColumns:
        from tidewheel.features.found_columns import FoundColumns  # brings Arrow along

        own = [(look.column, look.default) for look in self.looks if look is not None]
        return FoundColumns(self.layout.codec, own, ttl=self.layout.view.ttl)

    @property
    def reader(self) -> row_kernel.RowPlan:
        """How the values of look-ups are read from the row that was found, where :attr:`one_row`."""
        return self._readers[0]

    def writer(self) -> json_kernel.JsonPlan:
        """How the values of look-ups are written, where :attr:`one_row`."""
        looks = [look for look in self.looks if look is not None]
        return self.layout.codec.writer(
            [look.column for look in looks],
            defaults=[look.default for look in looks],
            reader=self.reader,
            ttl=self.layout.view.ttl,
        )

    @property
    def reads_newest(self) -> bool:
        """Whether the newest few of a key's open rows say as much as all of them."""
        plain = self._ends is None and not self._corrected and not self.layout.delayed
        return self._one_slot and not self._plan.windows and plain

    def answer(self, held: Held, keys: Sequence[int], times: Sequence[int], *, since: int = _LEAST) -> ViewAnswer:
        """Answers of every feature of the view, in the view's order.

        Parameters
        ----------
        keys, times
            One per query: a place in ``held``, and the instant asked.
        since
            Windows are complete from this instant on.

        Raises
        ------
        HistoryUnavailable
            When a query lies before what is still known.
        FeatureOverflow
            When an exact sum does not fit.
        """
        windows = self._windows(held, keys, times, since) if self._plan.windows else []
        if not self._readers:
            return ViewAnswer(self, windows, [], times)
        if self._one_slot and self._ends is None:
            found, rows = self._look_up(held, keys, times)
            everything = [found]
        else:
            everything, rows = self._look_up_slots(held, keys, times)
        if windows:
            rows = [self._mixed(iter(own), iter(row)) for own, row in zip(windows, rows, strict=True)]
        return ViewAnswer(self, rows, everything, times)

    def statuses_of(self, row: bytes | None, at: int) -> list[Status]:
        """Statuses of all features, where :attr:`one_row`: most rows are whole, and share one."""
        if row is not None and int.from_bytes(row[self._presence], "big") & self._all_present != self._all_present:
            return [self.status(look, row, at) for look in self.looks if look is not None]
        look = self.looks[0]
        assert look is not None
        return [self.status(look, row, at)] * len(self.looks)

    def status(self, look: Look, row: bytes | None, at: int) -> Status:
        """Why a look-up's value is what it is, given the row that was found."""
        if row is None:
            return Status.NOT_FOUND
        ttl = self.layout.view.ttl
        if ttl is not None and at - split_order(row)[0] > ttl:
            return Status.OUTSIDE_MAX_AGE
        return Status.PRESENT if row[look.presence] & look.mask else Status.NULL_VALUE

    def _mixed(self, windows: Iterator[object], looked_up: Iterator[object]) -> list[object]:
        return [next(windows) if look is None else next(looked_up) for look in self.looks]

    # ── windows ──────────────────────────────────────────────────────────────────────────────────

    def _windows(self, held: Held, keys: Sequence[int], times: Sequence[int], since: int) -> list[list[object]]:
        """Values of the windows, one row per query."""
        if not len(keys):
            return []
        sets = held.sets if self._ends is None else [self._ends.events(items) for items in held.sets]
        how, place, rows = self._fold.fold((held.rows, sets), keys=keys, times=times, since=since)
        if how == bytes_kernel.CORRUPT:
            raise Corrupt("stored tiles or events are of another layout or schema", fix="materialise the view again")
        if how != bytes_kernel.FOLDED:
            raise self._before(held.rows[keys[place]], times[place], since)
        if self._fold.left:
            self._fill(rows, (held.rows, sets), keys=keys, times=times)
        return rows

    def _fill(
        self, rows: Rows, held: tuple[list[bytes | None], list[list[bytes]]], *, keys: Sequence[int], times: Sequence[int]
    ) -> None:
        """Put the values of those windows into the rows that are folded by column."""
        marks = [_LEAST if row is None else self.layout.decode_watermark(row) for row in held[0]]
        places: dict[tuple[int, int], int] = {}
        asked = [places.setdefault(one, len(places)) for one in zip(keys, times, strict=True)]
        try:
            columns = self._columns.fold(held, list(places), marks)
        except Blocked as error:
            key, at = list(places)[error.place]
            raise self._before(held[0][key], at, _LEAST) from error
        for place, column in zip(self._fold.left, columns, strict=True):
            for row, number in zip(rows, asked, strict=True):
                row[place] = column[number]

    def _before(self, row: bytes | None, at: int, since: int) -> HistoryUnavailable:
        return self._too_early(at, max(since, _LEAST if row is None else self.layout.decode_watermark(row)))

    @cached_property
    def _fold(self) -> KeyFold:
        """What folds the windows of some keys at some instants, but for some."""
        return KeyFold(self._plan, self.layout)

    @cached_property
    def _columns(self) -> GeneralFold:
        """What folds those."""
        from tidewheel.features.online_fold import GeneralFold  # brings Arrow along, which numbers do without

        return GeneralFold(self._plan, self.layout, self._fold.left)

    # ── look-ups ─────────────────────────────────────────────────────────────────────────────────

    def _reader(self, looks: Sequence[Look]) -> row_kernel.RowPlan:
        """How the values of some look-ups are read from a row."""
        layout = self.layout
        return layout.codec.reader(
            [look.column for look in looks],
            defaults=[look.default for look in looks],
            available=self._available if layout.delayed else None,
            after=layout.after,
            ordered=not layout.delayed and layout.columns == layout.lookup_names,
            ttl=layout.view.ttl,
        )

    def _look_up(self, held: Held, keys: Sequence[int], times: Sequence[int]) -> tuple[list[bytes | None], list[list[object]]]:
        """For each query the row found and its values; what the bytes alone do not tell is looked at one by one."""
        reader, found = self._readers[0], list[bytes | None]()
        sets = held.sets
        if self._corrected:  # of an open event the latest correction counts, whatever its time
            sets = [self._current(items) if len(items) > 1 else items for items in sets]
        rows = row_kernel.latest_values(reader, (held.rows, sets), keys=list(keys), times=list(times), found=found)
        if row_kernel.OPEN in found:
            for place, (key, at) in enumerate(zip(keys, times, strict=True)):
                if found[place] is row_kernel.OPEN:
                    found[place] = self._candidates(held, key, at)[0]
                    rows[place] = self._values(0, found[place], at)
        return found, rows

    def _current(self, items: list[bytes]) -> list[bytes]:
        """The items whose events no other one corrects."""
        return [row + bytes(4) for row in self.layout.distinct(items)]

    def _look_up_slots(
        self, held: Held, keys: Sequence[int], times: Sequence[int]
    ) -> tuple[list[list[bytes | None]], list[list[object]]]:
        candidates = [self._candidates(held, key, at) for key, at in zip(keys, times, strict=True)]
        rows = []
        for found, at in zip(candidates, times, strict=True):
            parts = [iter(self._values(slot, row, at)) for slot, row in enumerate(found)]
            rows.append([next(parts[look.slot]) for look in self.looks if look is not None])
        return [[found[slot] for found in candidates] for slot in range(len(self._readers))], rows

    def _values(self, slot: int, row: bytes | None, at: int) -> list[object]:
        looks = [look for look in self.looks if look is not None and look.slot == slot]
        ttl = self.layout.view.ttl
        if row is None or (ttl is not None and at - split_order(row)[0] > ttl):
            return [look.default for look in looks]
        values = row_kernel.read_values(self._readers[slot], row)
        if isinstance(values, list):
            return values
        self.layout.codec.decode(row)
        raise Corrupt(f"a stored row of view {self.layout.view.name} is cut short", fix="materialise the view again")

    def _candidates(self, held: Held, key: int, at: int) -> tuple[bytes | None, ...]:
        """Of each slot the greatest visible row of a key."""
        row = held.rows[key]
        closed = None if row is None else self.layout.decode_closed(row)
        if self._ends is not None:
            try:
                return self._ends.standing(closed, held.sets[key], at)
            except TooEarly as error:
                raise self._too_early(at, error.since) from error
        rows = self.layout.distinct(held.sets[key])
        _, high = self.layout.between(rows, _LEAST, at + 1)
        found = []
        for slot in range(len(self.layout.slots)):
            best = self._greatest(rows, high, at, slot)
            shut = None if closed is None else closed.lookups[slot]
            if shut is not None:
                ts, known = self.layout.times(shut)
                if ts > at or known > at:
                    raise self._too_early(at, max(ts, known))
                best = shut if best is None else self.layout.latest((best, shut), slot)
            found.append(best)
        return tuple(found)

    def _greatest(self, rows: Sequence[bytes], high: int, at: int, slot: int) -> bytes | None:
        for row in self._visible(rows, high, at):
            if self.layout.latest((row,), slot) is None:
                continue
            order = row[:16]
            tied = [one for one in self._visible(rows, high, at) if one[:16] == order] if self._ties(rows, row) else [row]
            return self.layout.latest(tied, slot)
        return None

    def _visible(self, rows: Sequence[bytes], high: int, at: int) -> Iterator[bytes]:
        for place in range(high - 1, -1, -1):
            if not (self.layout.delayed or self.layout.after) or self.layout.times(rows[place])[1] <= at:
                yield rows[place]

    def _ties(self, rows: Sequence[bytes], row: bytes) -> bool:
        ts, _ = split_order(row)
        low, high = self.layout.between(rows, ts, ts + 1)
        return high - low > 1

    def _too_early(self, at: int, since: int) -> HistoryUnavailable:
        name = self.layout.view.name
        return HistoryUnavailable(
            f"view {name} is not known online any more as it was at {format_instant(at)}",
            where=name,
            fix=f"ask for {format_instant(since)} or later, or retrieve it offline"
            if since > _LEAST
            else "retrieve it offline",
        )


def _time(row: bytes | None) -> int | None:
    return None if row is None else split_order(row)[0]
