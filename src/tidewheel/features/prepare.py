"""Prepare a service for answering online: names, types, keys and plans are resolved once, then a call is one read and a fold.

The fold, the order of rows and the transforms are the functions that make training sets. Only where the rows come from differs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TypeVar

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid, NotMaterialized
from tidewheel.features.columns import service_schema
from tidewheel.features.definition import ServiceDefinition
from tidewheel.features.online import OnlineLayout
from tidewheel.features.online_view import Held, OnlineView, Status, ViewAnswer
from tidewheel.features.request_values import check_value, get_value
from tidewheel.features.transform import run_transform
from tidewheel.ports.online_store import OnlineStore
from tidewheel.schema import DataType, Schema

_FLOAT = struct.Struct("f")
T = TypeVar("T")


class Answer:
    """Answers of a service: one row per request, in the order asked, one column per output, in the service's order.

    Parameters
    ----------
    values
        Plain Python values, ``None`` for null, instants as aware datetimes.
    found
        Of the outputs that are look-ups: the answers of their views, by place.
    transform_errors
        Transforms of which a row failed, and how many rows did.
    """

    __slots__ = ("_found", "transform_errors", "values")

    def __init__(
        self, values: list[list[object]], found: Mapping[int, ViewAnswer], transform_errors: Mapping[str, int]
    ) -> None:
        self.values = values
        self.transform_errors = transform_errors
        self._found = found

    @property
    def statuses(self) -> list[list[Status]]:
        """Why each value is what it is. Of windows, request values and transforms: ``PRESENT`` or ``NULL_VALUE``."""
        made = [[Status.NULL_VALUE if value is None else Status.PRESENT for value in row] for row in self.values]
        for place, answer in self._found.items():
            for row, status in zip(made, answer.statuses or (), strict=True):
                row[place] = status
        return made

    @property
    def event_times(self) -> list[list[int | None]]:
        """Microseconds: event time of the row that a look-up found; ``None`` for everything else."""
        made: list[list[int | None]] = [[None] * len(row) for row in self.values]
        for place, answer in self._found.items():
            for row, ts in zip(made, answer.event_times or (), strict=True):
                row[place] = ts
        return made


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
            number = numbers.get(view.version)
            if number is None:
                raise _not_materialized(view.name)
            self._views[view.name] = OnlineView(OnlineLayout(view, number, schemas[view.source.name]))
        self._uses = [(use, tuple(column.name for column in use.columns)) for use in service.uses]
        self._marks = [one.layout.mark_key for one in self._views.values()]
        self._known = [*(key.name for key in service.keys), *(one.name for one in service.request)]
        self._key_names = {key.name for key in service.keys}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the model."""
        return self.service.names

    def answer(self, requests: Sequence[Mapping[str, object]], *, at: Sequence[Micros]) -> Answer:
        """Answer requests, in their order, with one read of the store.

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
        columns = self._request_columns(requests)
        parts: dict[str, ViewAnswer] = {}
        self._read_views(at, columns, parts)
        errors = self._run_transforms(columns, len(requests))
        names = self.service.names
        found = {place: parts[name] for place, name in enumerate(names) if name in parts}
        return Answer(_rows([columns[name] for name in names]) if requests else [], found, errors)

    def _request_columns(self, requests: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
        columns: dict[str, list[object]] = {}
        for field in self.service.request:
            columns[field.name] = [check_value(field, get_value(one, field.name, self._known)) for one in requests]
        for name in self._key_names:
            if name not in columns:
                columns[name] = [get_value(one, name, self._known) for one in requests]
        return columns

    def _read_views(
        self,
        at: Sequence[Micros],
        columns: dict[str, list[object]],
        parts: dict[str, ViewAnswer],
    ) -> None:
        places: dict[bytes, int] = {}
        asked: list[list[int]] = []
        for use, names in self._uses:
            codec = self._views[use.view.name].layout.keys
            keys = zip(*(columns[name] for name in names), strict=True)
            asked.append([places.setdefault(codec.encode(parts_of_key), len(places)) for parts_of_key in keys])
        keys_read = list(places)
        rows, sets = self._store.read([*self._marks, *keys_read], keys_read)
        marks = self._checked_marks(rows)
        base = len(self._marks)
        for (use, _), own in zip(self._uses, asked, strict=True):
            view = self._views[use.view.name]
            local: dict[int, int] = {}
            keys_of_use = [local.setdefault(place, len(local)) for place in own]
            held = [Held(rows[base + place], sets[place]) for place in local]
            answers = view.answer(held, keys_of_use, at, since=marks[use.view.name])
            for name, one in zip(use.names, answers, strict=True):
                columns[name] = one.values
                if one.statuses is not None:
                    parts[name] = one

    def _checked_marks(self, rows: Sequence[bytes | None]) -> dict[str, int]:
        marks = {}
        for name, row in zip(self._views, rows, strict=False):
            if row is None:
                raise _not_materialized(name)
            marks[name] = self._views[name].layout.decode_watermark(row)
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
        Numbers of materialised views by version (:meth:`tidewheel.features.register.OnlineViews.list_ids`).
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


def _rows(columns: Sequence[Sequence[T]]) -> list[list[T]]:
    return [list(row) for row in zip(*columns, strict=True)]
