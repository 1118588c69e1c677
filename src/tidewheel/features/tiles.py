"""Tiles: folded states of one hop of events each, and the fold of a window over them. Training and serving both call this.

The value of a window is the left fold, in time order, of the states of its closed tiles, then of the events of the open tile
one by one. The state of a tile is the left fold of its visible events in order. Nothing is ever subtracted. A tile that was
stored has the very bits of the one that its events would make again, so it makes no difference who folded it, or when.

The steps: ``plan_windows`` (:mod:`~tidewheel.features.plan`) once for a view and its source's schema; :func:`build_tiles` from
events; ``pack_tiles`` and ``unpack_tiles`` (:mod:`~tidewheel.features.tile_bytes`) to keep closed tiles; :func:`fold` to answer
queries from closed tiles and raw events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.features import kernel, sweep_kernel
from tidewheel.features.aggregations import Ended
from tidewheel.features.encoding import Encoded, decode_lists, decode_values, encode_column, ranks, sorted_unique
from tidewheel.features.events import Events
from tidewheel.features.maps import Maps, MapSweep, Swept, When, tile_maps, window_maps
from tidewheel.features.plan import PlannedWindow, TileGroup, WindowPlan
from tidewheel.features.prompt_windows import is_prompt, keeps_events, most_tiles, sweep_prompt
from tidewheel.features.questions import Questions, order_questions
from tidewheel.features.state import COUNT, Part, State
from tidewheel.features.windows import FOREVER

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Booleans = npt.NDArray[np.bool_]

    _States = tuple[Integers, Floats, Maps | None]

UNKNOWN_KEY = -1
"""Code of a key that has no events: empty windows."""
NULL_KEY = -2
"""Code of a key with a null in it: every feature is null."""


# ── tiles ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Tiles:
    """The tiles of one group, for many keys, ordered by key and start; tiles without a value do not exist.

    Parameters
    ----------
    offsets
        Shape (keys + 1,).
    start
        First instant of each tile.
    known
        From when every event of the tile is visible.
    first
        Position of the tile's first value among those it was folded from, -1 when they are not here.
    ints, floats
        States: shapes (tiles, state.ints) and (tiles, state.floats).
    dictionary
        For ranked states: the sorted values that ranks point into.
    maps
        Of states that have one, a map per tile.
    """

    offsets: Integers
    start: Integers
    known: Integers
    first: Integers
    ints: Integers
    floats: Floats
    dictionary: pa.Array | None = None
    maps: Maps | None = None


@dataclass(frozen=True, slots=True)
class _Valued:
    """The events of one group: those that meet its condition and have a value."""

    offsets: Integers
    ts: Integers
    known: Integers
    values: Encoded

    @property
    def at_once(self) -> bool:
        """Whether every event is known at its own time."""
        return self.known is self.ts or bool(np.array_equal(self.known, self.ts))


def build_tiles(plan: WindowPlan, events: Events, *, before: Integers | None = None) -> list[Tiles]:
    """Tiles of every group from raw events.

    Parameters
    ----------
    before
        One instant per key, in microseconds: only tiles that end at or before it are built. ``None`` builds all.

    Returns
    -------
    One :class:`Tiles` per group of the plan. Their ``first`` is -1: the tiles stand for themselves.
    """
    made = []
    for group, valued in zip(plan.groups, _values(plan, events), strict=True):
        tiles = _tiles(group, valued)
        if before is not None:
            ends = tiles.start + group.hop
            tiles = _pick(tiles, np.flatnonzero(ends <= np.repeat(before, np.diff(tiles.offsets))))
        made.append(replace(tiles, first=np.full(len(tiles.start), -1, dtype=np.int64)))
    return made


def _values(plan: WindowPlan, events: Events) -> list[_Valued]:
    """Encode each group's events, each column and condition once."""
    masks: dict[tuple[str | None, str | None], tuple[_Valued, pa.Array | None]] = {}
    encoded: dict[tuple[object, ...], _Valued] = {}
    made = []
    for group in plan.groups:
        source = (group.column, group.where)
        if source not in masks:
            masks[source] = _narrowed(group, events)
        name = (*source, group.state.encoding, group.state.entries, group.state.merge is None)
        if name not in encoded:
            valued, column = masks[source]
            encoded[name] = replace(valued, values=encode_column(column, group.kind, group.state))
        made.append(encoded[name])
    return made


def _narrowed(group: TileGroup, events: Events) -> tuple[_Valued, pa.Array | None]:
    nothing = Encoded(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64))
    everything = _Valued(events.offsets, events.ts, events.known, nothing)
    mask = column = None
    if group.where is not None:
        from tidewheel.features.condition import parse_condition  # parses SQL, which most windows need not

        mask = parse_condition(group.where).mask(events.rows)
    if group.column is not None:
        assert group.kind is not None
        column = events.rows.column(group.column).combine_chunks().cast(group.kind.arrow())
        if column.null_count:
            present = column.is_valid().to_numpy(zero_copy_only=False)
            mask = present if mask is None else mask & present
    if mask is None or mask.all():
        return everything, column
    places = np.flatnonzero(mask)
    offsets = np.concatenate([[0], np.cumsum(mask)])[events.offsets]
    ts = events.ts[places]
    valued = _Valued(offsets, ts, ts if events.known is events.ts else events.known[places], nothing)
    return valued, None if column is None else column.take(pa.array(places))


def _tiles(group: TileGroup, valued: _Valued) -> Tiles:
    state, count = group.state, len(valued.ts)
    number = valued.ts // group.hop
    opens = np.empty(count, dtype=np.bool_)
    opens[:1] = True
    opens[1:] = number[1:] != number[:-1]
    opens[valued.offsets[:-1][valued.offsets[:-1] < count]] = True
    first = np.flatnonzero(opens).astype(np.int64)
    ints = np.zeros((len(first), state.ints), dtype=np.int64)
    floats = np.zeros((len(first), state.floats), dtype=np.float64)
    ends = np.concatenate([first, np.array([count], dtype=np.int64)])
    values = valued.values
    kernel.fold_ranges(_kernel_values(state, values), ends, kernel.States(ints.reshape(-1), floats.reshape(-1)))
    return Tiles(
        offsets=np.searchsorted(first, valued.offsets).astype(np.int64),
        start=number[first] * group.hop,
        known=np.maximum.reduceat(valued.known, first) if count else np.empty(0, dtype=np.int64),
        first=first,
        ints=ints,
        floats=floats,
        dictionary=values.dictionary,
        maps=None if values.counts is None else tile_maps(state, values.ints, values.counts, first=ends),
    )


def _pick(tiles: Tiles, places: Integers) -> Tiles:
    """Some of the tiles, in order."""
    return Tiles(
        offsets=np.searchsorted(places, tiles.offsets).astype(np.int64),
        start=tiles.start[places],
        known=tiles.known[places],
        first=tiles.first[places],
        ints=np.ascontiguousarray(tiles.ints[places]),
        floats=np.ascontiguousarray(tiles.floats[places]),
        dictionary=tiles.dictionary,
        maps=None if tiles.maps is None else tiles.maps.pick(places),
    )


def join_tiles(closed: Tiles, later: Tiles) -> Tiles:
    """Two sets of tiles of the same keys, where of each key every tile of the second starts after every one of the first.

    Their dictionaries must be one already.
    """
    if not len(later.start):
        return closed
    if not len(closed.start):
        return later
    keys = len(closed.offsets) - 1
    order: Integers | slice = slice(None)
    maps = None if closed.maps is None or later.maps is None else closed.maps.behind(later.maps)
    if keys > 1:
        places = np.arange(keys)
        code = np.concatenate([np.repeat(places, np.diff(closed.offsets)), np.repeat(places, np.diff(later.offsets))])
        order = np.argsort(code, kind="stable").astype(np.int64)
        maps = None if maps is None else maps.pick(order)
    return Tiles(
        offsets=closed.offsets + later.offsets,
        start=np.concatenate([closed.start, later.start])[order],
        known=np.concatenate([closed.known, later.known])[order],
        first=np.concatenate([closed.first, later.first])[order],
        ints=np.concatenate([closed.ints, later.ints])[order],
        floats=np.concatenate([closed.floats, later.floats])[order],
        dictionary=closed.dictionary,
        maps=maps,
    )


def trim_tiles(tiles: Tiles, since: Integers) -> Tiles:
    """Of each key the tiles that begin at an instant or later."""
    kept = tiles.start >= np.repeat(since, np.diff(tiles.offsets))
    return tiles if kept.all() else _pick(tiles, np.flatnonzero(kept))


def carry_tiles(closed: Tiles, later: Tiles, *, until: Integers) -> Tiles:
    """Of each key the closed tiles that begin before an instant, and then the later ones, in one dictionary."""
    kept = closed.start < np.repeat(until, np.diff(closed.offsets))
    if not kept.all():
        closed = _pick(closed, np.flatnonzero(kept))
    if closed.dictionary is not None and later.dictionary is not None:
        both = sorted_unique([closed.dictionary, later.dictionary])
        closed = _moved(closed, ranks(closed.dictionary, both), both)
        later = _moved(later, ranks(later.dictionary, both), both)
    return join_tiles(closed, later)


def compact_tiles(group: TileGroup, tiles: Tiles, before: Integers) -> Tiles:
    """Tiles of which all of a key that end at or before an instant are one: of windows without a start.

    A window folds its tiles from the first on, so what it has folded of the first ones is where it goes on from.

    Parameters
    ----------
    before
        One instant per key, on a border of tiles.
    """
    counts = np.diff(tiles.offsets)
    old = tiles.start < np.repeat(before, counts)
    ends = np.concatenate([[0], np.cumsum(old)])[tiles.offsets]
    many = np.flatnonzero(np.diff(ends) > 1)
    if not len(many):
        return tiles
    keys = len(counts)
    none = np.empty(0, dtype=np.int64)
    nothing = Encoded(none, np.empty(0), None, none if group.state.merge is not None else None)
    raw = _Valued(np.zeros(keys + 1, dtype=np.int64), none, none, nothing)
    blocked = np.zeros(len(many), dtype=np.uint8)
    span = (int(FOREVER), 0)
    stands = replace(tiles, known=np.full(len(tiles.known), -FOREVER, dtype=np.int64))
    ints, floats, maps = _run(group, span, stands, raw, many.astype(np.int64), before[many], blocked)
    gone = old & np.repeat(np.diff(ends) > 1, counts)
    sizes = np.diff(ends)[many]
    known = np.maximum.reduceat(tiles.known[gone], np.cumsum(sizes) - sizes)
    offsets = np.concatenate([[0], np.cumsum(np.diff(ends) > 1)]).astype(np.int64)
    nowhere = np.full(len(many), -1, dtype=np.int64)
    start = tiles.start[tiles.offsets[many]]
    whole = Tiles(offsets, start, known, nowhere, ints, floats, tiles.dictionary, maps)
    return join_tiles(whole, _pick(tiles, np.flatnonzero(~gone)))


def _one_dictionary(closed: Tiles, later: Tiles, values: Encoded) -> tuple[Tiles, Tiles, Encoded]:
    """Let two sets of tiles and the values of the second rank in one dictionary."""
    assert closed.dictionary is not None and later.dictionary is not None
    both = sorted_unique([closed.dictionary, later.dictionary])
    moved = ranks(later.dictionary, both)
    closed, later = _moved(closed, ranks(closed.dictionary, both), both), _moved(later, moved, both)
    return closed, later, replace(values, ints=moved[values.ints], dictionary=both)


def _moved(tiles: Tiles, moved: Integers, dictionary: pa.Array) -> Tiles:
    maps = None if tiles.maps is None else tiles.maps.moved(moved)
    return replace(tiles, ints=ranked_again(tiles.ints, moved), dictionary=dictionary, maps=maps)


def ranked_again(ints: Integers, moved: Integers) -> Integers:
    """States whose ranks point into another dictionary."""
    again = ints.copy()
    held = holds_rank(ints)
    again[:, 1:][held] = moved[ints[:, 1:][held]]
    return again


def holds_rank(ints: Integers) -> Booleans:
    """Which integers after the count are ranks: as many as values were folded, as far as there is room.

    Examples
    --------
    >>> holds_rank(np.array([[1, 5, 0], [7, 5, 2]])).tolist()
    [[True, False], [True, True]]
    """
    return np.arange(ints.shape[1] - 1) < ints[:, :1]


# ── the fold ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Folded:
    """Answers: one column per window of the plan, and which queries reach back further than what is known here.

    ``blocked`` rows have wrong values: a closed tile holds an event that was not visible yet, and its events are gone.
    """

    columns: list[pa.Array]
    blocked: Booleans


def fold(
    plan: WindowPlan,
    events: Events,
    *,
    keys: Integers,
    times: Integers,
    closed: Sequence[Tiles] | None = None,
    watermark: Integers | None = None,
) -> Folded:
    """Answer every window of the plan for every query.

    Parameters
    ----------
    events
        Raw events, in order. With ``closed``: those from ``plan.needed_from(watermark)`` on; earlier ones may be there and are
        ignored where tiles stand for them.
    keys
        Shape (queries,): number of the key, :data:`UNKNOWN_KEY` or :data:`NULL_KEY`. Quickest when
        sorted by key and time.
    times
        Shape (queries,): microseconds. Events at or after it do not count.
    closed
        Stored tiles of the same keys, one per group.
    watermark
        Shape (keys,): closed tiles stand for every event before it, rounded down to the group's hop.
    """
    if closed is None or watermark is None:
        answers = fold_questions(plan, events, order_questions(keys, times, keys=events.keys))
        return Folded(answers, np.zeros(len(keys), dtype=np.bool_))
    blocked = np.zeros(len(keys), dtype=np.uint8)
    wanted = (*plan.windows, *plan.parts)
    columns: dict[int, pa.Array] = {}
    for number, (group, valued, stored) in enumerate(zip(plan.groups, _values(plan, events), closed, strict=True)):
        valued, tiles = _resumed(group, valued, stored, watermark)
        states: dict[tuple[int, int], _States] = {}
        for place, window in enumerate(wanted):
            if window.group == number:
                span = (window.feature.window, window.feature.offset)
                if span not in states:
                    states[span] = _run(group, span, tiles, valued, keys, times, blocked)
                columns[place] = _finished(window, group, states[span], keys, tiles.dictionary)
    return Folded(_with_ratios(plan, columns, keys), blocked.astype(np.bool_))


def fold_questions(plan: WindowPlan, events: Events, questions: Questions) -> list[pa.Array]:
    """Answer every window of the plan for every question, from raw events alone: one column per window, in the spine's order.

    The bits are those of :func:`fold`. As the questions are in order of time, each event is looked at once for all windows of
    one length, and no tile is made that no window reaches.
    """
    wanted, valued = (*plan.windows, *plan.parts), _values(plan, events)
    columns = _prompt_columns(plan, wanted, valued, questions)
    passes: dict[tuple[int, ...], list[int]] = {}
    sweeps: dict[int, MapSweep] = {}
    for place, window in enumerate(wanted):
        if not window.parts and place not in columns:
            mine = valued[window.group]
            name = (id(mine.offsets), id(mine.ts), plan.groups[window.group].hop, window.feature.window, window.feature.offset)
            passes.setdefault(name, []).append(place)
    for (*_, window_length, offset), places in passes.items():
        numbers = list(dict.fromkeys(wanted[place].group for place in places))
        states = _sweep([(plan.groups[one], valued[one]) for one in numbers], questions, (window_length, offset))
        for number, (ints, floats) in zip(numbers, states, strict=True):
            here = [place for place in places if wanted[place].group == number]
            windows = [wanted[place] for place in here]
            counts = valued[number].values.counts
            if counts is not None:
                mine = valued[number]
                if id(mine) not in sweeps:  # windows of all lengths number the same entries
                    sweeps[id(mine)] = MapSweep((mine.values.ints, counts), (mine.offsets, mine.ts, mine.known))
                dictionary = mine.values.dictionary
                made = _map_columns(plan.groups[number], windows, sweeps[id(mine)], questions, ints, dictionary)
            else:
                folded = (ints, floats, None)
                dictionary = valued[number].values.dictionary
                made = [_finished(one, plan.groups[number], folded, questions.keys, dictionary) for one in windows]
            columns |= dict(zip(here, made, strict=True))
    return _with_ratios(plan, columns, questions.keys)


def _prompt_columns(
    plan: WindowPlan, wanted: Sequence[PlannedWindow], valued: Sequence[_Valued], questions: Questions
) -> dict[int, pa.Array]:
    """Columns of the windows, by their places, that one sweep answers for all folds and lengths at once."""
    passes: dict[tuple[int, ...], dict[int, list[int]]] = {}
    at_once = {key: one.at_once for key, one in {id(one.known): one for one in valued}.items()}
    for place, window in enumerate(wanted):
        mine = valued[window.group]
        if window.parts or not is_prompt(plan.groups[window.group].state, window.feature) or not at_once[id(mine.known)]:
            continue
        counts = plan.groups[window.group].state == COUNT  # has no values, and goes with any
        by_values = passes.setdefault((id(mine.offsets), id(mine.ts), plan.groups[window.group].hop), {})
        by_values.setdefault(0 if counts else id(mine.values.floats), []).append(place)
    columns: dict[int, pa.Array] = {}
    for (*_, hop), by_values in passes.items():
        counted = by_values.pop(0, [])
        for places in by_values.values() or ([],):
            places, counted = places + counted, []
            mine = valued[wanted[places[0]].group]
            windows = [(wanted[place].feature.window, plan.groups[wanted[place].group].state) for place in places]
            states = sweep_prompt((mine.offsets, mine.ts, mine.values.floats), questions, windows, hop=hop)
            for place, (ints, floats) in zip(places, states, strict=True):
                window = wanted[place]
                columns[place] = _finished(window, plan.groups[window.group], (ints, floats, None), questions.keys, None)
    return columns


def _with_ratios(plan: WindowPlan, columns: Mapping[int, pa.Array], keys: Integers) -> list[pa.Array]:
    """The plan's windows, in order; the ratios among them are made of columns behind them."""
    behind = len(plan.windows)
    return [
        _ratio(window, [columns[behind + part] for part in window.parts], keys) if window.parts else columns[place]
        for place, window in enumerate(plan.windows)
    ]


def _resumed(group: TileGroup, valued: _Valued, closed: Tiles, watermark: Integers) -> tuple[_Valued, Tiles]:
    """Closed tiles up to the watermark, and tiles of the raw events from there on."""
    since = watermark // group.hop * group.hop
    fresh = valued.ts >= np.repeat(since, np.diff(valued.offsets))
    if not fresh.all():
        places = np.flatnonzero(fresh)
        offsets = np.concatenate([[0], np.cumsum(fresh)])[valued.offsets]
        valued = replace(
            valued, offsets=offsets, ts=valued.ts[places], known=valued.known[places], values=_rows(group, valued, places)
        )
    later = _tiles(group, valued)
    ready = closed.start < np.repeat(since, np.diff(closed.offsets))
    if not ready.all():
        closed = _pick(closed, np.flatnonzero(ready))
    if closed.dictionary is not None:
        closed, later, values = _one_dictionary(closed, later, valued.values)
        valued = replace(valued, values=values)
    return valued, join_tiles(closed, later)


def _rows(group: TileGroup, valued: _Valued, places: Integers) -> Encoded:
    values = valued.values
    width = 0 if group.state.encoding in ("none", "float") else max(1, len(values.ints) // max(1, len(valued.ts)))
    ints = np.ascontiguousarray(values.ints.reshape(-1, width)[places]).reshape(-1) if width else values.ints
    floats = values.floats[places] if group.state.encoding == "float" else values.floats
    counts = None if values.counts is None else values.counts[places]
    return Encoded(ints, floats, values.dictionary, counts)


def _kernel_values(state: State, values: Encoded) -> kernel.Values:
    return kernel.Values(int(state.fold), state.ints, state.floats, values.ints, values.floats)


def _sweep(
    groups: Sequence[tuple[TileGroup, _Valued]], questions: Questions, span: tuple[int, int]
) -> list[tuple[Integers, Floats]]:
    """States of one window, for every question, of groups over the same events."""
    window, offset = span
    hop, valued = groups[0][0].hop, groups[0][1]
    moments = kernel.Moments(valued.offsets, valued.ts, valued.known)
    asked = sweep_kernel.Asked(questions.offsets, questions.moments, questions.order, window, hop, offset)
    by_tiles = [not (keeps_events(group.state) and valued.at_once) for group, _ in groups]
    made, room = [], most_tiles(valued.offsets, valued.ts, hop) if any(by_tiles) else 0
    folds = []
    for (group, mine), tiled in zip(groups, by_tiles, strict=True):
        wi, wf = group.state.ints, group.state.floats
        ints = np.zeros((len(questions.keys), wi), dtype=np.int64)
        floats = np.zeros((len(questions.keys), wf), dtype=np.float64)
        tiles = room + 3 if tiled else 0
        held = kernel.States(np.empty(tiles * wi, dtype=np.int64), np.empty(tiles * wf, dtype=np.float64))
        to = kernel.States(ints.reshape(-1), floats.reshape(-1))
        one = sweep_kernel.Fold(_kernel_values(group.state, mine.values), held, to)
        if tiled:
            folds.append(one)
        else:
            queue = np.empty(int(np.diff(valued.offsets).max(initial=0)), dtype=np.int64)
            sweep_kernel.sweep_rows(one, moments, asked, queue=queue)
        made.append((ints, floats))
    if folds:
        first, known = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        sweep_kernel.sweep(folds, moments, asked, first=first, known=known)
    return made


def _map_columns(
    group: TileGroup,
    windows: Sequence[PlannedWindow],
    sweep: MapSweep,
    questions: Questions,
    ints: Integers,
    dictionary: pa.Array | None,
) -> list[pa.Array]:
    """The columns of windows of one length whose states have maps: these are made and ended some at a time."""
    span = (windows[0].feature.window, group.hop, windows[0].feature.offset)
    rest = np.flatnonzero(questions.keys < 0)
    back = np.empty(len(questions.keys), dtype=np.int64)
    back[np.concatenate([rest, questions.order])] = np.arange(len(back))
    wanted = [None if one.aggregation.part is None else one.aggregation.part(one.feature) for one in windows]
    columns: dict[int, pa.Array] = {}
    for part in dict.fromkeys(wanted):
        here = [place for place, one in enumerate(wanted) if one == part]
        pieces: dict[int, list[pa.Array]] = {place: [] for place in here}
        at = -1
        for found in chain([_no_maps(len(rest), part)], sweep.run(group.state, questions, window=span, part=part)):
            rows = rest if at < 0 else questions.order[at : at + found.rows]
            at = 0 if at < 0 else at + found.rows
            for place in here:
                folded = Ended(
                    windows[place].feature,
                    group.state,
                    ints[rows],
                    np.empty((len(rows), group.state.floats)),
                    found.maps,
                    found.numbers,
                )
                pieces[place].append(_ended(windows[place], group, folded, questions.keys[rows], dictionary))
        columns |= {place: pa.concat_arrays(made).take(pa.array(back)) for place, made in pieces.items()}
    return [columns[place] for place in range(len(windows))]


def _no_maps(rows: int, part: Part | None) -> Swept:
    """What is wanted of maps without entries."""
    if part is None or part.kind == "top":
        nothing = np.empty(0, dtype=np.int64)
        return Swept(rows, Maps.sized(np.zeros(rows, dtype=np.int64), nothing, nothing))
    return Swept(rows, numbers=np.zeros((rows, part.number if part.kind == "levels" else 1), dtype=np.int64))


def _run(
    group: TileGroup,
    span: tuple[int, int],
    tiles: Tiles,
    valued: _Valued,
    keys: Integers,
    times: Integers,
    blocked: npt.NDArray[np.uint8],
) -> _States:
    wi, wf = group.state.ints, group.state.floats
    window, offset = span
    ints = np.zeros((len(keys), wi), dtype=np.int64)
    floats = np.zeros((len(keys), wf), dtype=np.float64)
    kernel.fold_windows(
        _kernel_values(group.state, valued.values),
        kernel.Moments(valued.offsets, valued.ts, valued.known),
        kernel.Tiles(
            tiles.offsets,
            tiles.start,
            tiles.known,
            tiles.first,
            kernel.States(tiles.ints.reshape(-1), tiles.floats.reshape(-1)),
        ),
        queries=kernel.Queries(keys, times, window, group.hop, offset),
        to=kernel.States(ints.reshape(-1), floats.reshape(-1)),
        scratch=kernel.States(np.zeros(2 * wi, dtype=np.int64), np.zeros(2 * wf, dtype=np.float64)),
        blocked=blocked,
    )
    if tiles.maps is None or valued.values.counts is None:
        return ints, floats, None
    maps = window_maps(
        group.state,
        (valued.values.ints, valued.values.counts),
        tiles.maps,
        when=When((valued.offsets, valued.ts, valued.known), (tiles.offsets, tiles.start, tiles.known, tiles.first)),
        queries=(keys, times),
        window=(window, group.hop, offset),
    )
    return ints, floats, maps


def _finished(
    window: PlannedWindow,
    group: TileGroup,
    folded: _States,
    keys: Integers,
    dictionary: pa.Array | None,
) -> pa.Array:
    """States to a column of the feature's type: an empty state takes the default, a null key is null."""
    return _ended(window, group, Ended(window.feature, group.state, *folded), keys, dictionary)


def _ended(window: PlannedWindow, group: TileGroup, folded: Ended, keys: Integers, dictionary: pa.Array | None) -> pa.Array:
    values, there = window.aggregation.finish(folded)
    ranked = dictionary if window.type.element is group.kind else None
    if window.type.is_list:
        column = decode_lists(values, there.astype(np.int64), kind=window.type, dictionary=ranked)
        return _null_where(column, keys)
    valid = there.astype(np.bool_)
    if window.default is not None:
        valid = valid & (folded.ints[:, 0] > 0)
    column = decode_values(values, valid, kind=window.type, dictionary=ranked)
    if window.default is not None:
        column = column.fill_null(window.default)
    return _null_where(column, keys)


def _ratio(window: PlannedWindow, parts: Sequence[pa.Array], keys: Integers) -> pa.Array:
    over, under = (pc.cast(one, pa.float64(), safe=False) for one in parts)
    column = pc.divide(over, pc.if_else(pc.equal(under, 0.0), pa.scalar(None, pa.float64()), under))
    return _null_where(column if window.default is None else column.fill_null(window.default), keys)


def _null_where(column: pa.Array, keys: Integers) -> pa.Array:
    null = keys == NULL_KEY
    if null.any():
        column = pc.if_else(pa.array(null), pa.scalar(None, column.type), column)
    return column
