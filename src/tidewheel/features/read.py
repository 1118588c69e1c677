"""Read features offline: of many keys at one instant, or of some keys over a range of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidewheel.clock import Micros, format_instant, parse_duration, parse_instant, to_micros
from tidewheel.errors import Conflict, Invalid, MissingColumns, TypeMismatch
from tidewheel.features.columns import feature_type, view_columns
from tidewheel.features.definition import Feature, FeatureView, ServiceDefinition, Use, outputs_of, view_of
from tidewheel.features.divide import SLICE_ROWS, piece_of
from tidewheel.features.index_vectors import VectorIndexes, Wanted
from tidewheel.features.intervals import FOREVER
from tidewheel.features.match import KeyIndex, key_column, one_key
from tidewheel.features.retrieve import retrieve
from tidewheel.features.vector import width_of
from tidewheel.features.vectors import check_search, find_nearest
from tidewheel.features.view_answer import whole_numbers
from tidewheel.ports.vector_index import Metric
from tidewheel.schema import DataType, Field
from tidewheel.sources.definition import GONE, UNTIL, ArrowStream
from tidewheel.sources.read import Sources

if TYPE_CHECKING:
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Doubles = npt.NDArray[np.float64]

Instant = datetime | str | int
"""An aware time, an ISO 8601 text, or microseconds UTC."""
Keys = ArrowStream | Sequence[Mapping[str, object]]
"""Keys by the names that the service gives them: rows, or a table."""
Asked = type | FeatureView | ServiceDefinition

AT = "at"
"""Column of the instant in what is answered."""
_MOST = 10_000_000
_FIRST, _LAST = parse_instant("0100-01-01T00:00:00Z"), parse_instant("9900-01-01T00:00:00Z")
_ROOM = 1 << 20
"""Keys that may wait, some of them twice, before they are made distinct."""


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one workspace, read from its sources.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tidewheel.backends.duckdb import DuckDB
    >>> from tidewheel.features.definition import entity, features, lookup
    >>> from tidewheel.sources.definition import source
    >>> rows = pa.table({"uid": [1, 1, 2], "ts": [10, 30, 20], "x": [5, 6, 7]})
    >>> @features(source("scores", rows, time="ts"), by=entity("user", uid=int))
    ... class Score:
    ...     x = lookup("x")
    >>> read = Features(Sources(Path("."), DuckDB(), Path("/nowhere"), {}.get, {}.__setitem__, lambda: Micros(0)))
    >>> read.snapshot(Score, at=20).to_pylist()
    [{'uid': 1, 'x': 5}, {'uid': 2, 'x': 7}]
    >>> read.history(Score, [{"uid": 1}], start=0, end=100).column("x").to_pylist()
    [None, 5, 6]
    """

    sources: Sources
    indexes: VectorIndexes | None = None

    def snapshot(self, asked: Asked, *, at: Instant, keys: Keys | None = None) -> pa.Table:
        """The features of many keys at one instant, as they were known then.

        Parameters
        ----------
        asked
            A view or a service without request values.
        keys
            The keys to answer, in order; by default all that a row known at the instant names, in order of the keys.

        Returns
        -------
        The key columns, then the features.

        Raises
        ------
        Invalid
            For a service with request values, or, without ``keys``, one whose views have different keys.
        """
        service, moment = _service(asked), _micros(at)
        table = self._known(service, moment) if keys is None else _keys(service, keys)
        return self._answer(service, table, np.full(table.num_rows, moment, dtype=np.int64)).drop_columns([AT])

    def history(
        self, asked: Asked, keys: Keys, *, start: Instant, end: Instant, step: str | timedelta | None = None
    ) -> pa.Table:
        """The features of some keys from ``start`` until just before ``end``.

        Parameters
        ----------
        asked
            A view or a service without request values.
        step
            Answer at every ``step`` from the start. Without it: at the start, and wherever a look-up changes.

        Returns
        -------
        The key columns, ``at`` and the features, ordered by the keys as given and by ``at``.

        Raises
        ------
        Invalid
            When windows or chained keys are asked without a step, or nothing lies between start and end.
        """
        service, first, last = _service(asked), _micros(start), _micros(end)
        if last <= first:
            what = f"history from {format_instant(first)} ends at {format_instant(last)}"
            raise Invalid(what, where="end", fix="give a later end")
        table = _keys(service, keys)
        if step is not None:
            moments = _steps(first, last, parse_duration(step), table.num_rows)
            rows = np.repeat(np.arange(table.num_rows), len(moments))
            return self._answer(service, table.take(pa.array(rows)), np.tile(moments, table.num_rows))
        _only_look_ups(service)
        rows, times = self._changes(service, table, first, last)
        return _changed(self._answer(service, table.take(pa.array(rows)), times), rows, service.names)

    def nearest(
        self,
        view: type | FeatureView,
        query: Sequence[float],
        *,
        k: int = 10,
        feature: Feature | str | None = None,
        metric: Metric = "cosine",
        at: Instant | None = None,
        index: str | None = None,
    ) -> pa.Table:
        """The keys whose vector is nearest to a query: exactly, or through an index.

        Parameters
        ----------
        query
            As many numbers as the vectors have.
        feature
            The look-up of a list of floats; may be left out where the view has one.
        at
            The instant as of which vectors count; now by default.
        index
            A technology, such as ``"usearch"``, whose index proposes which vectors to compare. It is made from the source's
            rows when they have changed, and kept; distances are exact, and rows that do not stand at the instant are never
            among the answers, but some of the nearest may be missed.

        Returns
        -------
        The key columns and ``distance``, the nearest first; of equal distances the lesser key.

        Raises
        ------
        TypeMismatch
            When a vector is not as wide as the query.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tidewheel.backends.duckdb import DuckDB
        >>> from tidewheel.features.definition import entity, features, lookup
        >>> from tidewheel.sources.definition import source
        >>> rows = pa.table({"item": [1, 2], "ts": [0, 0], "v": [[0.0, 1.0], [1.0, 1.0]]})
        >>> @features(source("items", rows, time="ts"), by=entity("item", item=int))
        ... class Item:
        ...     v = lookup("v")
        >>> read = Features(Sources(Path("."), DuckDB(), Path("/nowhere"), {}.get, {}.__setitem__, lambda: Micros(9)))
        >>> read.nearest(Item, [2.0, 2.0], k=1).column("item").to_pylist()
        [2]
        """
        made = view_of(view)
        wanted = self._vector(made, feature, len(query))
        moment = self.sources.clock() if at is None else _micros(at)
        numbers = np.asarray(query, dtype=np.float64)
        check_search(numbers, k=k, metric=metric)
        if index is not None:
            found = self._indexed(made, wanted, numbers, technology=index, metric=metric, k=k, at=moment)
            if found is not None:
                return found
        held = self.snapshot(made, at=moment)
        places, distances = np.empty(0, dtype=np.int64), np.empty(0)
        for start in range(0, max(held.num_rows, 1), SLICE_ROWS):  # the nearest of all are among the nearest of each piece
            column = piece_of(held[wanted.name], start, SLICE_ROWS)
            near, far = find_nearest(column, numbers, k=k, metric=metric, where=f"{made.name}.{wanted.name}")
            places, distances = np.concatenate([places, start + near]), np.concatenate([distances, far])
            order = np.argsort(distances, kind="stable")[:k]
            places, distances = places[order], distances[order]
        keys = held.select([key.name for key in made.keys]).take(pa.array(places))
        return keys.append_column("distance", pa.array(distances))

    # ── how ──────────────────────────────────────────────────────────────────────────────────────

    def _vector(self, view: FeatureView, feature: Feature | str | None, width: int) -> Feature:
        schema = self.sources.schema(view.source)
        kinds = (DataType.LIST_FLOAT32, DataType.LIST_FLOAT64)
        vectors = [one for one in view.lookups if feature_type(one, schema) in kinds]
        if feature is not None:
            wanted = view[feature if isinstance(feature, str) else feature.name]
            vectors = [one for one in vectors if one.name == wanted.name]
        if len(vectors) != 1:
            told = ", ".join(one.name for one in vectors) or "none"
            fix = "name a look-up of a list of floats: feature="
            raise Invalid(f"which vector of view {view.name} is searched? It has {told}", where=view.name, fix=fix)
        declared = width_of(vectors[0])
        if declared is not None and declared != width:
            what = f"a query of {width} numbers for {view.name}.{vectors[0].name}, which has {declared}"
            raise TypeMismatch(what, where="query", fix="search with the model that made the vectors")
        return vectors[0]

    def _indexed(
        self, view: FeatureView, feature: Feature, query: Doubles, *, technology: str, metric: Metric, k: int, at: int
    ) -> pa.Table | None:
        """The answer by way of an index; ``None`` where only a look at all rows will do."""
        if self.indexes is None:
            raise Invalid(
                "these features have no folder for indexes", where="index", fix="use ws.features, or leave out index="
            )
        only = replace(view, features=(feature,))
        content = self.sources.snapshot(view.source).content
        wanted = Wanted(technology, metric, len(query), series=str(only.version), content=str(content))

        def history() -> pa.Table:
            service = _service(only)
            keys = self._known(service, _LAST - 1)
            rows, times = self._changes(service, keys, _FIRST, _LAST)
            told = self._answer(service, keys.take(pa.array(rows)), times)
            if self.sources.snapshot(view.source).content != content:
                raise Conflict(
                    f"rows of {view.source.name} changed while they were indexed", where=view.name, fix="search again"
                )
            return told

        found = self.indexes.search(wanted, history, query, k=k, at=at)
        return None if found is None else found[0].append_column("distance", pa.array(found[1]))

    def _answer(self, service: ServiceDefinition, keys: pa.Table, times: Integers) -> pa.Table:
        moments = pa.array(times, pa.int64()).cast(DataType.TIMESTAMP.arrow())
        spine = keys.append_column(AT, moments)
        found = retrieve(service, spine, time=AT, sources=self.sources).table
        for name in found.column_names:
            spine = spine.append_column(name, found[name])
        return spine

    def _known(self, service: ServiceDefinition, at: int) -> pa.Table:
        """Every key of which a row was known at an instant, in order."""
        names = [key.name for key in service.keys]
        uses = [use for use in service.rounds[0] if use.columns]
        if any({column.name for column in use.columns} != set(names) for use in uses):
            raise Invalid(f"the views of {service.name} have different keys", where=service.name, fix="give keys=")
        if not names:
            return _nothing(1)
        known = pa.table({key.name: pa.array([], key.type.arrow()) for key in service.keys}).select(names)
        fresh: list[pa.Table] = []
        for use in uses:
            for rows in self.sources.batches(use.view.source, [key.name for key in use.view.keys], end=Micros(at + 1)):
                rows = rows.filter(pc.less_equal(rows["__avail"], at))
                if GONE in rows.column_names:
                    rows = rows.filter(pc.invert(rows[GONE]))
                held = {
                    column.name: key_column(rows[key.name], key) for column, key in zip(use.columns, use.view.keys, strict=True)
                }
                fresh.append(pa.table(held).select(names).drop_null())
                if sum(one.num_rows for one in fresh) > max(_ROOM, known.num_rows):
                    known, fresh = _distinct([known, *fresh]), []
        return _distinct([known, *fresh]).sort_by([(name, "ascending") for name in names])

    def _changes(self, service: ServiceDefinition, keys: pa.Table, first: int, last: int) -> tuple[Integers, Integers]:
        """Rows of keys, and instants at which a look-up of theirs may change: the start, and every border of a source's row."""
        rows, times = [np.arange(keys.num_rows)], [np.full(keys.num_rows, first, dtype=np.int64)]
        for use in service.uses:
            asked = [key_column(keys[column.name], column) for column in use.columns] or [one_key(keys.num_rows)]
            index = KeyIndex(asked)
            for batch in self.sources.batches(use.view.source, view_columns(use.view), end=Micros(last)):
                held = [key_column(batch[key.name], key) for key in use.view.keys] or [one_key(batch.num_rows)]
                codes = index.find(held)
                for moments in _borders(use.view, batch):
                    inside = np.flatnonzero((codes >= 0) & (moments > first) & (moments < last))
                    order = np.argsort(index.asked, kind="stable")  # a key may be asked for more than once
                    low = np.searchsorted(index.asked[order], codes[inside])
                    count = np.searchsorted(index.asked[order], codes[inside], side="right") - low
                    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
                    rows.append(order[np.repeat(low, count) + offset])
                    times.append(np.repeat(moments[inside], count))
        pairs = np.unique(np.stack([np.concatenate(rows), np.concatenate(times)], axis=1), axis=0)
        return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def _distinct(keys: Sequence[pa.Table]) -> pa.Table:
    together = pa.concat_tables(keys)
    return together.group_by(together.column_names).aggregate([]).select(together.column_names)


def _borders(view: FeatureView, rows: pa.Table) -> list[Integers]:
    """Instants from which a row is seen, is too old, and is not visible any more."""
    ts = whole_numbers(rows, "__ts")
    made = [np.maximum(ts, whole_numbers(rows, "__avail"))]
    if view.ttl is not None:
        made.append(ts + int(view.ttl) + 1)
    if UNTIL in rows.column_names:
        made.append(rows[UNTIL].fill_null(FOREVER).to_numpy())
    return made


def _changed(answers: pa.Table, rows: Integers, names: Sequence[str]) -> pa.Table:
    """Answers without those that are as the one before of the same key."""
    changed = np.ones(len(rows), dtype=np.bool_)
    changed[1:] = rows[1:] != rows[:-1]
    for name in names:
        column = answers[name].combine_chunks()
        if pa.types.is_nested(column.type):
            column = pa.array([repr(value) for value in column.to_pylist()], pa.string())
        codes = np.asarray(column.dictionary_encode().indices.fill_null(-1))
        changed[1:] |= codes[1:] != codes[:-1]
    return answers.filter(pa.array(changed))


def _service(asked: Asked) -> ServiceDefinition:
    if not isinstance(asked, ServiceDefinition):
        use = Use(view_of(asked))
        return ServiceDefinition(use.view.name, (use,), outputs_of(use.view.name, (use,)), (), ())
    if asked.request:
        raise Invalid(
            f"service {asked.name} takes {', '.join(one.name for one in asked.request)} from a request",
            where=asked.name,
            fix="ask for a view, or make a training set with these values in its spine",
        )
    return asked


def _keys(service: ServiceDefinition, keys: Keys) -> pa.Table:
    fields: Sequence[Field] = service.keys
    if isinstance(keys, ArrowStream):
        table = pa.table(keys)
        missing = [one.name for one in fields if one.name not in table.column_names]
        if missing:
            raise MissingColumns(f"keys of {service.name} lack {missing[0]}", where=missing[0], fix=f"give {missing[0]}")
        return table.select([one.name for one in fields]) if fields else _nothing(table.num_rows)
    columns = {}
    for one in fields:
        if any(one.name not in row for row in keys):
            raise MissingColumns(f"a key of {service.name} lacks {one.name}", where=one.name, fix=f"give {one.name}")
        columns[one.name] = pa.array([row[one.name] for row in keys], one.type.arrow())
    return pa.table(columns) if columns else _nothing(len(keys))


def _nothing(rows: int) -> pa.Table:
    """So many rows without a column."""
    return pa.table({"_": pa.nulls(rows)}).select([])


def _only_look_ups(service: ServiceDefinition) -> None:
    windows = [view.name for view in service.views if view.windows]
    if windows or service.transforms or len(service.rounds) > 1:
        what = f"windows of {windows[0]}" if windows else "transforms or chained keys"
        raise Invalid(f"{service.name} has {what}, which change at any time", where=service.name, fix='give step="1h"')


def _steps(first: int, last: int, step: int, keys: int) -> Integers:
    if step <= 0 or (last - first) // step * max(keys, 1) > _MOST:
        raise Invalid(f"a step of {step} microseconds is too small", where="step", fix="give a longer one")
    return np.arange(first, last, step, dtype=np.int64)


def _micros(moment: Instant) -> int:
    if isinstance(moment, datetime):
        return to_micros(moment)
    return parse_instant(moment) if isinstance(moment, str) else moment
