"""Prepare a service for answering online: names, types, keys and plans are resolved once, then a call is one read and a fold.

The fold, the order of rows and the transforms are the functions that make training sets. Only where the rows come from differs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotMaterialized
from tidewheel.features.answer_lookups import NEWEST, Found, PlainLookups
from tidewheel.features.columns import service_schema
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.online import Mark, OnlineLayout
from tidewheel.features.online_view import Held, OnlineView, Shared, Status, ViewAnswer
from tidewheel.features.request_values import check_value, get_value
from tidewheel.features.rows import order_prefix
from tidewheel.features.transform import run_transform
from tidewheel.ports.online_store import OnlineStore
from tidewheel.schema import DataType, Schema

if TYPE_CHECKING:
    import pyarrow as pa

_FLOAT = struct.Struct("f")
_NO_ERRORS: Mapping[str, int] = MappingProxyType({})


class Answer(msgspec.Struct):
    """Answers of a service: one row per request, in the order asked, one column per output, in the service's order.

    Parameters
    ----------
    values
        Plain Python values, ``None`` for null, instants as aware datetimes.
    parts
        Gives the answers of views, and the place of the first output of each; called when somebody asks for what they tell.
    transform_errors
        Transforms of which a row failed, and how many rows did.
    """

    values: list[list[object]]
    parts: Callable[[], Sequence[tuple[int, ViewAnswer]]]
    transform_errors: Mapping[str, int]

    @property
    def statuses(self) -> list[list[Status]]:
        """Why each value is what it is. Of windows, request values and transforms: ``PRESENT`` or ``NULL_VALUE``."""
        parts = self.parts()
        if self._one_part(parts):
            return parts[0][1].statuses()
        made = [[Status.NULL_VALUE if value is None else Status.PRESENT for value in row] for row in self.values]
        for place, part in parts:
            for row, own in zip(made, part.statuses(), strict=True):
                row[place : place + len(own)] = own
        return made

    @property
    def event_times(self) -> list[list[int | None]]:
        """Microseconds: event time of the row that a look-up found; ``None`` for everything else."""
        parts = self.parts()
        if self._one_part(parts):
            return parts[0][1].event_times()
        made: list[list[int | None]] = [[None] * len(row) for row in self.values]
        for place, part in parts:
            for row, own in zip(made, part.event_times(), strict=True):
                row[place : place + len(own)] = own
        return made

    @property
    def shared(self) -> list[Shared] | None:
        """What neighbouring values share, from the first output to the last; ``None`` when some are of no row or several."""
        parts = self.parts()
        found = [part.shared() for _, part in parts]
        told = [one for one in found if one is not None]
        width = len(self.values[0]) if self.values else 0
        return told if told and len(told) == len(found) and sum(one.width for one in told) == width else None

    def columns(self) -> dict[int, pa.Array]:
        """Arrow columns of those outputs that were read from rows as they lie, by their places."""
        made: dict[int, pa.Array] = {}
        for place, part in self.parts():
            columns = part.columns()
            if columns is not None:
                made |= dict(enumerate(columns, place))
        return made

    def _one_part(self, parts: Sequence[tuple[int, ViewAnswer]]) -> bool:
        """Whether all outputs are of one view."""
        return len(parts) == 1 and parts[0][1].rows is self.values


class PreparedFeatures:
    """A service's features with everything resolved; thread safe as far as its store is."""

    def __init__(
        self, service: ServiceDefinition, store: OnlineStore, numbers: Mapping[Digest, int], schemas: Mapping[str, Schema]
    ) -> None:
        self.service = service
        self.schema = service_schema(service, schemas)
        self._store = store
        self._views: dict[str, OnlineView] = {}
        for view in service.views:
            number = numbers.get(view.online_version)
            if number is None:
                raise _not_materialized(view.name)
            self._views[view.name] = OnlineView(OnlineLayout(view, number, schemas[view.source.name]))
        self._uses = [(self._views[use.view.name], tuple(column.name for column in use.columns)) for use in service.uses]
        self._marks = [one.layout.mark_key for one in self._views.values()]
        self._known = [*(key.name for key in service.keys), *(one.name for one in service.request)]
        given = {name for use in service.uses for name in use.names}
        self._chained = {column.name for use in service.uses for column in use.columns} & given
        self._rounds = [[service.uses.index(use) for use in uses] for uses in service.rounds]
        asked = {one.name for one in service.request}
        self._key_names = list(dict.fromkeys(key.name for key in service.keys if key.name not in asked))
        self._first = [service.names.index(use.names[0]) for use in service.uses]
        views = self._views.values()
        self._newest = NEWEST if all(one.reads_newest for one in views) else None
        self._after = max((one.layout.after for one in views), default=0)
        self._taken = self._taken_by_transforms()
        self._parts = self._in_order()
        self._alone = self._parts == [0]  # a row is what one view answers, as it is
        plain = not (service.transforms or service.request or self._chained) and self._parts == list(range(len(self._uses)))
        plain = plain and all(PlainLookups.takes(view, keys) for view, keys in self._uses)
        self._plain = PlainLookups(store, self._uses, self._marks) if plain and self._uses else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the model."""
        return self.service.names

    def answer(self, requests: Sequence[Mapping[str, object]], *, at: Sequence[Micros]) -> Answer:
        """Answer requests, in their order, with one read of the store; where keys are chained, with one more for each link.

        Parameters
        ----------
        requests
            For each: the keys of the service's views, and its request values. Other values are ignored.
        at
            The instant of each request, in microseconds UTC: nothing that happened or became known later counts.

        Raises
        ------
        KeyTypeMismatch, MissingColumns, TypeMismatch
            Naming the field at fault.
        NotMaterialized
            When a view is not in the store.
        HistoryUnavailable
            When an instant lies before what the store still knows.
        """
        if len(requests) != len(at):
            raise Invalid(f"{len(requests)} requests and {len(at)} instants", where="at", fix="give one instant per request")
        if self._plain is not None:
            found = self._plain.find(requests, at)
            if found is not None:
                return Answer(found[0], partial(self._plain_parts, found, at), _NO_ERRORS)
        columns = self._request_columns(requests)
        answers = self._read_views(at, columns) if self._uses else []
        for place, taken in self._taken:
            for column, name in taken:
                columns[name] = [row[column] for row in answers[place].rows]
        errors = self._run_transforms(columns, len(requests)) if self.service.transforms else {}
        values = answers[0].rows if self._alone else self._rows(answers, columns, len(requests))
        parts = list(zip(self._first, answers, strict=True))
        return Answer(values, lambda: parts, errors)

    def write(
        self,
        requests: Sequence[Mapping[str, object]],
        *,
        at: Sequence[Micros],
        parts: tuple[bool, bool],
        ends: tuple[bytes, bytes],
    ) -> bytes | None:
        """JSON of :meth:`answer`, row by row: values, then statuses and event times where ``parts`` say so, between ``ends``.

        ``None`` where something about the service, a request or what is stored is out of the ordinary: :meth:`answer` knows
        all cases.
        """
        return None if self._plain is None else self._plain.write(requests, at, parts=parts, ends=ends)

    def _plain_parts(self, found: Found, at: Sequence[Micros]) -> list[tuple[int, ViewAnswer]]:
        values, everything = found
        parts = zip(self._first, self._uses, everything, strict=True)
        return [(place, ViewAnswer(use[0], values, [rows], at)) for place, use, rows in parts]

    def _taken_by_transforms(self) -> list[tuple[int, list[tuple[int, str]]]]:
        """Of each use the places and names of the features that a transform takes."""
        inputs = {one.name for transform in self.service.transforms for one in transform.inputs}
        taken = [[(column, name) for column, name in enumerate(use.names) if name in inputs] for use in self.service.uses]
        return [(place, some) for place, some in enumerate(taken) if some]

    def _in_order(self) -> list[int | str]:
        """What a row consists of: all features of a use, by its number, or one column by its name."""
        parts: list[int | str] = []
        for name in self.service.names:
            use = next((place for place, one in enumerate(self.service.uses) if name in one.names), None)
            if use is None:
                parts.append(name)
            elif not parts or parts[-1] != use:
                parts.append(use)
        return parts

    def _rows(self, answers: Sequence[ViewAnswer], columns: Mapping[str, list[object]], count: int) -> list[list[object]]:
        made: list[list[object]] = [[] for _ in range(count)]
        for part in self._parts:
            if isinstance(part, int):
                for row, own in zip(made, answers[part].rows, strict=True):
                    row += own
            else:
                for row, value in zip(made, columns[part], strict=True):
                    row.append(value)
        return made

    def _request_columns(self, requests: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
        columns: dict[str, list[object]] = {}
        for field in self.service.request:
            columns[field.name] = [check_value(field, get_value(one, field.name, self._known)) for one in requests]
        for name in self._key_names:
            try:
                columns[name] = [one[name] for one in requests]
            except KeyError:
                columns[name] = [get_value(one, name, self._known) for one in requests]
        return columns

    def _read_views(self, at: Sequence[Micros], columns: dict[str, list[object]]) -> list[ViewAnswer]:
        """The answer of each use, with one read of the store for each round of chained keys."""
        if not self._chained:
            return self._read(self._uses, at, columns)
        answers: dict[int, ViewAnswer] = {}
        for places in self._rounds:
            uses = [self._uses[place] for place in places]
            for place, answer in zip(places, self._read(uses, at, columns), strict=True):
                for number, parts in enumerate(zip(*(columns[name] for name in self._uses[place][1]), strict=True)):
                    if None in parts:
                        answer.rows[number] = [None] * len(answer.rows[number])
                        answer.as_found = False
                for column, name in enumerate(self.service.uses[place].names):
                    if name in self._chained:
                        columns[name] = [row[column] for row in answer.rows]
                answers[place] = answer
        return [answers[place] for place in range(len(self._uses))]

    def _keys_of(self, view: OnlineView, names: Sequence[str], columns: Mapping[str, list[object]], count: int) -> list[bytes]:
        codec, parts = view.layout.keys, [columns[name] for name in names]
        if not parts:
            return [codec.prefix] * count
        if self._chained.isdisjoint(names):
            return codec.encode_many(parts)
        return [codec.prefix if None in key else codec.encode(key) for key in zip(*parts, strict=True)]  # a key of nothing

    def _read(
        self, uses: Sequence[tuple[OnlineView, tuple[str, ...]]], at: Sequence[Micros], columns: Mapping[str, list[object]]
    ) -> list[ViewAnswer]:
        """The answer of some uses, with one read of the store."""
        places: dict[bytes, int] = {}
        asked: list[list[int]] = []
        for view, names in uses:
            keys = self._keys_of(view, names, columns, len(at))
            asked.append([places.setdefault(key, len(places)) for key in keys])
        keys_read = list(places)
        base = len(self._marks)
        rows, sets = self._store.read([*self._marks, *keys_read], keys_read, newest=self._newest)
        marks = self._checked_marks(rows)
        if self._newest is not None and max(map(len, sets), default=0) == NEWEST:
            self._read_more(keys_read, sets, at)
        held = Held(rows[base:], sets)
        if len(uses) == 1:
            view = uses[0][0]
            return [view.answer(held, asked[0], at, since=marks[view.layout.view.name])]
        answers = []
        for (view, _), own in zip(uses, asked, strict=True):
            local: dict[int, int] = {}
            keys_of_use = [local.setdefault(place, len(local)) for place in own]
            part = Held([held.rows[place] for place in local], [sets[place] for place in local])
            answers.append(view.answer(part, keys_of_use, at, since=marks[view.layout.view.name]))
        return answers

    def _read_more(self, keys: Sequence[bytes], sets: list[list[bytes]], at: Sequence[Micros]) -> None:
        """Read whole sets where the newest items do not tell what was visible at the earliest instant asked."""
        bound = order_prefix(min(at) - self._after + 1, -(1 << 63))
        cut = [place for place, items in enumerate(sets) if len(items) == NEWEST and items[1] >= bound]
        for place, items in zip(cut, self._store.read([], [keys[place] for place in cut])[1], strict=True) if cut else ():
            sets[place] = items

    def _checked_marks(self, rows: Sequence[bytes | None]) -> dict[str, int]:
        marks = {}
        for name, row in zip(self._views, rows, strict=False):
            if row is None:
                raise _not_materialized(name)
            layout = self._views[name].layout
            if Mark.decode_schema(row) not in (0, layout.codec.fingerprint):  # tiles do not say themselves what they are of
                raise NotMaterialized(
                    f"view {name} was materialised from columns of other types", where=name, fix="tidewheel apply"
                )
            marks[name] = layout.decode_watermark(row)
        return marks

    def _run_transforms(self, columns: dict[str, list[object]], rows: int) -> dict[str, int]:
        errors = {}
        for one in self.service.transforms:
            computed = run_transform(one, columns, rows)
            values = computed.values
            if one.returns.type is DataType.FLOAT32:  # as the training set's column holds it
                values = [_FLOAT.unpack(_FLOAT.pack(value))[0] if isinstance(value, float) else value for value in values]
            columns[one.name] = values
            if computed.errors:
                errors[one.name] = computed.errors
        return errors


def prepare(
    service: ServiceDefinition, *, store: OnlineStore, view_ids: Mapping[Digest, int], schemas: Mapping[str, Schema]
) -> PreparedFeatures:
    """Resolve a service for answering online.

    Parameters
    ----------
    view_ids
        Numbers of materialised views by online version (:meth:`tidewheel.features.register.OnlineViews.list_ids`).
    schemas
        Schema of each view's source, by the source's name.

    Raises
    ------
    NotMaterialized
        When a view has never been materialised.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, service, request
    >>> from tidewheel.schema import Field
    >>> from tidewheel.sources.definition import source
    >>> @features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
    ... class Rating:
    ...     rating = lookup("rating")
    >>> schemas = {"ratings": Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))}
    >>> prepare(service("pickup", Rating, request(distance=float)), store=None, view_ids={}, schemas=schemas)
    Traceback (most recent call last):
    tidewheel.errors.NotMaterialized: view Rating was never materialised (at Rating). Fix: tidewheel apply
    """
    return PreparedFeatures(service, store, view_ids, schemas)


def _not_materialized(view: str) -> NotMaterialized:
    return NotMaterialized(f"view {view} was never materialised", where=view, fix="tidewheel apply")
