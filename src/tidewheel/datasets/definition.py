"""Training sets as declared: which rows (the spine), which features, which label, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tidewheel.clock import Micros, format_duration, parse_duration
from tidewheel.errors import FutureLeak, Invalid, NameCollision
from tidewheel.features.definition import ServiceDefinition
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.sources.definition import Source


@dataclass(frozen=True, slots=True)
class Spine:
    """Rows to learn from: an entity's keys, request values and a label at a time; made by :func:`spine`.

    Examples
    --------
    >>> from tidewheel.sources import source
    >>> spine(source("trips", "data/*.parquet", time="dropoff_time"), time="pickup_time", last="365d").parameters["last"]
    '365d'
    """

    source: Source
    time: str
    where: str | None = None
    last: Micros | None = None
    columns: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe beside the source."""
        last = None if self.last is None else format_duration(self.last)
        return {"time": self.time, "where": self.where, "last": last, "columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class ByTime:
    """Split by time: the last part of the spine's time is for testing; made by :func:`by_time`.

    Examples
    --------
    >>> by_time(test="30d").parameters
    {'by': 'time', 'test': '30d'}
    """

    test: Micros

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe."""
        return {"by": "time", "test": format_duration(self.test)}


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training set as declared; made by :func:`training_set`.

    Examples
    --------
    >>> from tidewheel.features.definition import request, service
    >>> from tidewheel.sources import source
    >>> rows = spine(source("trips", "data/*.parquet", time="dropoff_time"), time="pickup_time")
    >>> TrainingSet("rides", rows, "minutes", service("inputs", request(miles=float))).parameters["label"]
    'minutes'
    """

    name: str
    spine: Spine
    label: str
    features: ServiceDefinition
    split: ByTime | None = None
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe beside the source and the service."""
        split = None if self.split is None else self.split.parameters
        return {"spine": self.spine.parameters, "label": self.label, "split": split}


def spine(
    source: Source,
    *,
    time: str,
    where: str | None = None,
    last: str | timedelta | None = None,
    columns: Sequence[str] | None = None,
) -> Spine:
    """Rows of a source as the rows to learn from.

    A row's label is known when the row is: at the source's own time and availability. Rows whose label is not known yet
    when the training set is built are left out.

    Parameters
    ----------
    time
        Column with the instant of prediction: features are those that were known then. Not the source's own time, at which
        the label is known.
    where
        Condition on the source's columns, in DuckDB's SQL.
    last
        Only rows whose time lies within this span before the newest label that is known, such as ``"365d"``.
    columns
        Columns to keep beside keys, request values and label.

    Examples
    --------
    >>> from tidewheel.sources import source
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time")
    >>> spine(trips, time="pickup_time", last="365d").last
    31536000000000
    """
    span = None if last is None else parse_duration(last)
    if span is not None and span <= 0:
        raise Invalid(f"last is {last!r}", where=place(), fix="omit it, or give a duration above 0")
    return Spine(source, time, where, span, tuple(columns or ()))


def by_time(*, test: str | timedelta) -> ByTime:
    """Split by time: rows of the last ``test`` before the newest row are for testing, earlier ones for training.

    Examples
    --------
    >>> by_time(test="30d").test
    2592000000000
    """
    span = parse_duration(test)
    if span <= 0:
        raise Invalid(f"test is {test!r}", where=place(), fix="give a duration above 0")
    return ByTime(span)


def training_set(
    name: str,
    *,
    spine: Spine,
    label: str,
    features: ServiceDefinition,
    split: ByTime | None = None,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> TrainingSet:
    """Declare a training set: the spine's rows, each with the features that were known at its time, and its label.

    Parameters
    ----------
    label
        Column of the spine's source to predict. It is no feature: not a request value, nor an input of a transform.

    Raises
    ------
    FutureLeak
        When the label would be a feature.
    NameCollision
        When a feature has the name of the label or of a column to keep.

    Examples
    --------
    >>> from tidewheel.features.definition import request, service
    >>> from tidewheel.sources import source
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time")
    >>> inputs = service("inputs", request(trip_distance=float))
    >>> training_set("rides", spine=spine(trips, time="pickup_time"), label="minutes", features=inputs).label
    'minutes'
    """
    where = place()
    made = TrainingSet(name, spine, label, features, split, owner, description, tuple(tags))
    check_label(features, label, where)
    requested = {one.name for one in features.request}
    for column in spine.columns:
        if column in features.names and column not in requested:
            fix = 'leave it out of columns, or give the view an alias: tw.use(VIEW, prefix="...")'
            raise NameCollision(f"training set {name}: {column} is a column to keep and a feature", where=where, fix=fix)
    declare(
        Declaration(
            node_id("training_set", name),
            made,
            where,
            parameters=made.parameters,
            upstream=(node_id("source", spine.source.name), node_id("service", features.name)),
            meta={"owner": owner, "description": description, "tags": list(tags)},
        )
    )
    return made


def check_label(features: ServiceDefinition, label: str, where: str | None = None) -> None:
    """Refuse a label that is a feature, or that would overwrite one."""
    if label in {one.name for one in features.request} | {key.name for key in features.keys}:
        raise FutureLeak(
            f"{label} is the label and a request value or key of service {features.name}",
            where=where or label,
            fix="take it out of the request: at prediction time nobody knows it",
        )
    if label in features.names:
        fix = 'give the view an alias: tw.use(VIEW, prefix="...")'
        raise NameCollision(f"{label} is the label and a feature of service {features.name}", where=where or label, fix=fix)
