"""Definitions of features: entities, views, on-request transforms, request values, services. Frozen values, no I/O.

A definition names columns and never reads them, so nothing here knows the type of a feature: types come from the source's
schema, through :mod:`tidewheel.features.columns`, when something is built or asked.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidewheel.clock import Micros, format_duration, parse_duration
from tidewheel.digest import Digest, digest
from tidewheel.errors import (
    BadTtl,
    CyclicTransform,
    Invalid,
    KeyTypeMismatch,
    NameCollision,
    UnknownFeature,
    UnsupportedKeyType,
    near_miss,
)
from tidewheel.features.feature import Feature, count, last, lookup, max, mean, min, std, std_pop, sum
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.schema import DataType, Field, data_type
from tidewheel.sources.definition import Source

__all__ = [
    "Entity",
    "Feature",
    "FeatureView",
    "Member",
    "Output",
    "Parameter",
    "Request",
    "ServiceDefinition",
    "Transform",
    "Use",
    "count",
    "entity",
    "features",
    "last",
    "lookup",
    "max",
    "mean",
    "min",
    "on_request",
    "request",
    "service",
    "std",
    "std_pop",
    "sum",
    "use",
    "view_of",
]

Class = TypeVar("Class", bound=type)
VERSION = 1
"""Version of the meaning of a view's definition; raising it makes every view a new one."""

_VIEW = "__tidewheel_view__"
_NOT_KEYS = (DataType.FLOAT32, DataType.FLOAT64, DataType.DECIMAL)


# ── entities and views ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Entity:
    """What features are about: a name, and the typed columns that identify one."""

    name: str
    keys: tuple[Field, ...]


def entity(name: str, **keys: object) -> Entity:
    """Declare an entity by the columns that identify it.

    Parameters
    ----------
    keys
        Column name and type, in the order of the key.

    Raises
    ------
    UnsupportedKeyType
        For floats, decimals and optional types: they do not compare reliably.

    Examples
    --------
    >>> [key.name for key in entity("route", pickup_zone=int, dropoff_zone=int).keys]
    ['pickup_zone', 'dropoff_zone']
    """
    if not keys:
        raise Invalid(f"entity {name} has no key", where=name, fix=f'name its columns: tw.entity("{name}", {name}_id=int)')
    made = []
    for key, annotation in keys.items():
        plain, optional = _optional(annotation)
        if optional:
            raise UnsupportedKeyType(f"key {key} of entity {name} is optional", where=key, fix="declare the plain type")
        kind = data_type(plain)
        if kind in _NOT_KEYS:
            raise UnsupportedKeyType(
                f"key {key} of entity {name} is {kind.value}", where=key, fix="use an int, str or bytes key"
            )
        made.append(Field(key, kind, nullable=False))
    return Entity(name, tuple(made))


@dataclass(frozen=True, slots=True)
class FeatureView:
    """Features of one entity from one source.

    Parameters
    ----------
    ttl
        Microseconds for which a looked-up row stays good; ``None`` for ever.
    strict_ties
        Refuse rows that differ only in value at one key and time, instead of taking the larger.
    """

    name: str
    source: Source
    entity: Entity
    features: tuple[Feature, ...]
    ttl: Micros | None = None
    strict_ties: bool = False
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()

    @property
    def lookups(self) -> tuple[Feature, ...]:
        """Features that read the latest row."""
        return tuple(one for one in self.features if one.kind == "lookup")

    @property
    def windows(self) -> tuple[Feature, ...]:
        """Features that fold events."""
        return tuple(one for one in self.features if one.kind == "window")

    @property
    def keys(self) -> tuple[Field, ...]:
        """The entity's key columns."""
        return self.entity.keys

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe: everything but owner, description and tags."""
        return {
            "version": VERSION,
            "name": self.name,
            "entity": self.entity.name,
            "keys": [[key.name, key.type.value] for key in self.entity.keys],
            "features": [one.parameters for one in self.features],
            "ttl": self.ttl,
            "strict_ties": self.strict_ties,
        }

    @property
    def version(self) -> Digest:
        """Digest of the definition and of its source's definition: what online rows are kept under."""
        return digest(["view", self.parameters, self.source.version])

    def __getitem__(self, name: str) -> Feature:
        for one in self.features:
            if one.name == name:
                return one
        known = [one.name for one in self.features]
        raise UnknownFeature(f"view {self.name} has no feature {name!r}", where=name, fix=near_miss(name, known))


def features(
    source: Source,
    *,
    by: Entity,
    ttl: str | timedelta | None = None,
    strict_ties: bool = False,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Callable[[Class], Class]:
    """Make a class of features a view of a source, one row per entity.

    The class comes back as it is, so editors complete its attributes; :func:`view_of` gives the view.

    Raises
    ------
    BadTtl
        For a ttl of zero.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time")
    >>> @features(trips, by=entity("zone", pickup_zone=int))
    ... class ZonePace:
    ...     trips_1h = count("1h")
    >>> ZonePace.trips_1h.name, view_of(ZonePace).name
    ('trips_1h', 'ZonePace')
    """
    where = place()
    span = None if ttl is None else parse_duration(ttl)
    if span is not None and span <= 0:
        raise BadTtl("ttl must be > 0 or omitted", where=where, fix='omit ttl to keep rows for ever, or write ttl="2h"')

    def decorate(cls: Class) -> Class:
        found: dict[str, Feature] = {}
        for base in reversed(cls.__mro__):
            found |= {name: value for name, value in vars(base).items() if isinstance(value, Feature)}
        if not found:
            raise Invalid(f"view {cls.__name__} has no feature", where=where, fix='add one: trips_1h = tw.count("1h")')
        made = {name: replace(value, name=name) for name, value in found.items()}
        _no_key_names(cls.__name__, by, made)
        text = description or inspect.cleandoc(cls.__doc__ or "")
        view = FeatureView(cls.__name__, source, by, tuple(made.values()), span, strict_ties, owner, text, tuple(tags))
        for name, value in made.items():
            setattr(cls, name, value)
        setattr(cls, _VIEW, view)
        declare(
            Declaration(
                node_id("view", view.name),
                view,
                where,
                parameters=view.parameters,
                upstream=(node_id("source", source.name),),
                meta={"owner": owner, "description": text, "tags": list(tags)},
            )
        )
        return cls

    return decorate


def _no_key_names(view: str, by: Entity, made: Mapping[str, Feature]) -> None:
    for key in by.keys:
        if key.name in made:
            raise NameCollision(
                f"view {view} has a feature called {key.name!r}, which is a key of entity {by.name}",
                where=key.name,
                fix="rename it",
            )


def view_of(view: type | FeatureView) -> FeatureView:
    """The view that a decorated class stands for.

    Examples
    --------
    >>> view_of(int)
    Traceback (most recent call last):
    tidewheel.errors.Invalid: int is not a feature view (at int). Fix: decorate the class: @tw.features(source, by=entity)
    """
    found: object = view if isinstance(view, FeatureView) else getattr(view, "__dict__", {}).get(_VIEW)
    if not isinstance(found, FeatureView):
        name = getattr(view, "__name__", repr(view))
        raise Invalid(f"{name} is not a feature view", where=name, fix="decorate the class: @tw.features(source, by=entity)")
    return found


@dataclass(frozen=True, slots=True)
class Use:
    """A view as a service uses it: under a prefix, with its keys read from other columns."""

    view: FeatureView
    prefix: str = ""
    keys: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> tuple[Field, ...]:
        """Column of the spine or the request that holds each of the entity's keys, in the entity's order."""
        names = dict(self.keys)
        return tuple(Field(names.get(key.name, key.name), key.type, nullable=False) for key in self.view.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Output name of each of the view's features, in order."""
        return tuple(self.prefix + one.name for one in self.view.features)


def use(view: type | FeatureView, *, prefix: str = "", keys: Mapping[str, str] | None = None) -> Use:
    """A view under an alias, so that a service can have it twice.

    Parameters
    ----------
    prefix
        Put before the name of each feature.
    keys
        Key of the entity, and the column of the spine or request that holds it here.

    Examples
    --------
    >>> from tidewheel.sources.definition import source
    >>> @features(source("weather", "w.parquet", time="ts"), by=entity("zone", zone=int))
    ... class Weather:
    ...     temperature = lookup("temperature")
    >>> use(Weather, prefix="origin_", keys={"zone": "origin"}).names
    ('origin_temperature',)
    """
    found = view_of(view)
    known = [key.name for key in found.keys]
    for key in keys or {}:
        if key not in known:
            raise UnknownFeature(f"view {found.name} has no key {key!r}", where=key, fix=near_miss(key, known))
    return Use(found, prefix, tuple((keys or {}).items()))


# ── request values and transforms ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Request:
    """Values that only the caller knows; each is a feature too."""

    fields: tuple[Field, ...]


def request(**values: object) -> Request:
    """Typed values that come with each request (and stand in the spine of a training set).

    Examples
    --------
    >>> request(trip_distance=float).fields[0].name
    'trip_distance'
    """
    made = []
    for name, annotation in values.items():
        plain, optional = _optional(annotation)
        made.append(Field(name, data_type(plain), nullable=optional))
    return Request(tuple(made))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of a transform."""

    name: str
    type: DataType
    optional: bool
    """Declared ``X | None``: called with None. Otherwise a null input makes a null output without a call."""
    required: bool = True
    """Without a default in the function's signature."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A typed Python function of one row, the same offline and online. Calling it calls the function."""

    name: str
    function: Callable[..., object]
    inputs: tuple[Parameter, ...]
    returns: Field
    timezone: str | None = None
    on_error: Literal["null", "raise"] = "null"

    def __call__(self, *args: object, **named: object) -> object:
        return self.function(*args, **named)

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe beside the function's code."""
        return {
            "inputs": [[one.name, one.type.value, one.optional, one.required] for one in self.inputs],
            "returns": [self.returns.type.value, self.returns.nullable],
            "timezone": self.timezone,
            "on_error": self.on_error,
        }


@overload
def on_request(function: Callable[..., object], /) -> Transform: ...
@overload
def on_request(
    *, timezone: str | None = None, on_error: Literal["null", "raise"] = "null"
) -> Callable[[Callable[..., object]], Transform]: ...
def on_request(
    function: Callable[..., object] | None = None,
    /,
    *,
    timezone: str | None = None,
    on_error: Literal["null", "raise"] = "null",
) -> Transform | Callable[[Callable[..., object]], Transform]:
    """Compute a feature from a request's values and other features, by one function for training and serving.

    Inputs are found by name among the service's features, request values, other transforms and keys. A null input that is not
    declared ``X | None`` makes a null output, and the function is not called.

    Parameters
    ----------
    timezone
        Zone in which the function sees instants; UTC by default.
    on_error
        ``"null"``: a row whose call raises is null and counted. ``"raise"``: it stops.

    Examples
    --------
    >>> from datetime import datetime
    >>> @on_request
    ... def hour(pickup_time: datetime) -> int:
    ...     return pickup_time.hour
    >>> hour(datetime(2026, 1, 1, 8)), hour.returns.type.value
    (8, 'int64')
    """
    where = place()

    def decorate(body: Callable[..., object]) -> Transform:
        transform = _read_function(body, timezone, on_error, where)
        declare(
            Declaration(
                node_id("transform", transform.name),
                transform,
                where,
                parameters=transform.parameters,
                functions=(body,),
                meta={"description": inspect.cleandoc(body.__doc__ or "")},
            )
        )
        return transform

    return decorate if function is None else decorate(function)


def _read_function(
    body: Callable[..., object], timezone: str | None, on_error: Literal["null", "raise"], where: str
) -> Transform:
    name = getattr(body, "__name__", "")
    if not name.isidentifier():
        raise Invalid(f"a transform needs a name, not {name!r}", where=where, fix="write it as a def")
    if on_error not in ("null", "raise"):
        raise Invalid(f"on_error is {on_error!r}", where=where, fix='write "null" or "raise"')
    if timezone is not None:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise Invalid(
                f"{timezone!r} is not a time zone", where=where, fix='write one such as "America/New_York"'
            ) from error
    hints = typing.get_type_hints(body)
    inputs = []
    for parameter in inspect.signature(body).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise Invalid(f"transform {name} takes {parameter}", where=where, fix="name each input")
        if parameter.name not in hints:
            raise Invalid(
                f"input {parameter.name} of transform {name} has no type", where=where, fix=f"write {parameter.name}: float"
            )
        plain, optional = _optional(hints[parameter.name])
        inputs.append(Parameter(parameter.name, data_type(plain), optional, parameter.default is parameter.empty))
    if hints.get("return") in (None, type(None)):
        raise Invalid(f"transform {name} has no return type", where=where, fix="write -> float after its inputs")
    plain, _ = _optional(hints["return"])
    return Transform(name, body, tuple(inputs), Field(name, data_type(plain)), timezone, on_error)


def _optional(annotation: object) -> tuple[object, bool]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


# ── services ─────────────────────────────────────────────────────────────────────────────────────

Member = Use | Transform | Request


@dataclass(frozen=True, slots=True)
class Output:
    """One feature of a service, in the model's order.

    ``type`` is known for request values and transforms; that of a view's feature comes from the source's schema, see
    :func:`tidewheel.features.columns.service_schema`.
    """

    name: str
    type: DataType | None
    origin: str
    """``view:NAME``, ``transform:NAME`` or ``request``."""


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """The features that a model takes, in order, from views, transforms and the request.

    Parameters
    ----------
    uses
        Views, under their aliases, in order of members.
    transforms
        In an order in which each comes after those it needs.
    request
        Declared request values, then those that only a transform takes.
    """

    name: str
    members: tuple[Member, ...]
    outputs: tuple[Output, ...]
    transforms: tuple[Transform, ...]
    request: tuple[Field, ...]
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = field(default=())

    @property
    def uses(self) -> tuple[Use, ...]:
        """Views under their aliases, in order of members."""
        return tuple(one for one in self.members if isinstance(one, Use))

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """Views, each once, in order of members."""
        return tuple({one.view.name: one.view for one in self.uses}.values())

    @property
    def keys(self) -> tuple[Field, ...]:
        """Columns that hold the keys of the views, each once, in order of members."""
        return tuple({column.name: column for one in self.uses for column in one.columns}.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(one.name for one in self.outputs)

    @property
    def parameters(self) -> dict[str, object]:
        """What is part of the recipe beside views and transforms."""
        return {
            "members": [
                ["use", one.view.name, one.prefix, [list(pair) for pair in one.keys]]
                if isinstance(one, Use)
                else ["transform", one.name]
                if isinstance(one, Transform)
                else ["request", [[value.name, value.type.value, value.nullable] for value in one.fields]]
                for one in self.members
            ]
        }

    def __iter__(self) -> Iterator[Output]:
        return iter(self.outputs)


def service(
    name: str,
    *members: type | FeatureView | Use | Transform | Request,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> ServiceDefinition:
    """The features that a model takes, in order of the members given.

    Raises
    ------
    NameCollision
        When two members make one name; :func:`use` with a prefix tells them apart.
    CyclicTransform
        When transforms need each other in a circle.

    Examples
    --------
    >>> @on_request
    ... def double(distance: float) -> float:
    ...     return distance * 2
    >>> service("inputs", request(distance=float), double).names
    ('distance', 'double')
    """
    where = place()
    found: list[Member] = [one if isinstance(one, Use | Transform | Request) else Use(view_of(one)) for one in members]
    if not found:
        raise Invalid(f"service {name} has no member", where=where, fix="give it views, transforms or tw.request(...)")
    outputs = _outputs(name, found)
    transforms = _in_order([one for one in found if isinstance(one, Transform)])
    made = ServiceDefinition(name, tuple(found), outputs, transforms, _requested(found), owner, description, tuple(tags))
    _check_keys(made)
    upstream = [node_id("view", view.name) for view in made.views] + [node_id("transform", one.name) for one in transforms]
    declare(
        Declaration(
            node_id("service", name),
            made,
            where,
            parameters=made.parameters,
            upstream=tuple(upstream),
            meta={"owner": owner, "description": description, "tags": list(tags)},
        )
    )
    return made


def _outputs(service: str, members: Sequence[Member]) -> tuple[Output, ...]:
    outputs: dict[str, Output] = {}
    for one in members:
        for made in _outputs_of(one):
            other = outputs.get(made.name)
            if other is not None:
                raise NameCollision(
                    f"service {service}: {other.origin} and {made.origin} both make {made.name!r}",
                    where=made.name,
                    fix='give one an alias: tw.use(VIEW, prefix="origin_")',
                )
            outputs[made.name] = made
    return tuple(outputs.values())


def _outputs_of(member: Member) -> list[Output]:
    if isinstance(member, Use):
        return [Output(name, None, f"view:{member.view.name}") for name in member.names]
    if isinstance(member, Transform):
        return [Output(member.name, member.returns.type, f"transform:{member.name}")]
    return [Output(one.name, one.type, "request") for one in member.fields]


def _requested(members: Sequence[Member]) -> tuple[Field, ...]:
    """Declared request values, and those inputs of transforms that nothing else gives."""
    known = {name for one in members if isinstance(one, Use) for name in (*one.names, *(key.name for key in one.columns))}
    known |= {one.name for one in members if isinstance(one, Transform)}
    asked = {one.name: one for member in members if isinstance(member, Request) for one in member.fields}
    for member in members:
        for one in member.inputs if isinstance(member, Transform) else ():
            if one.required and one.name not in known and one.name not in asked:
                asked[one.name] = Field(one.name, one.type, nullable=one.optional)
    return tuple(asked.values())


def _check_keys(made: ServiceDefinition) -> None:
    """One column has one type, whatever views and request values read it."""
    seen: dict[str, DataType] = {}
    for column in (*(key for one in made.uses for key in one.columns), *made.request):
        if seen.setdefault(column.name, column.type) is not column.type:
            raise KeyTypeMismatch(
                f"{column.name} is {seen[column.name].value} and {column.type.value} in service {made.name}",
                where=column.name,
                fix="declare it with one type",
            )


def _in_order(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Transforms such that each comes after those it takes; otherwise in the order given."""
    by_name = {one.name: one for one in transforms}
    done: dict[str, Transform] = {}
    path: list[str] = []

    def visit(one: Transform) -> None:
        if one.name in done:
            return
        if one.name in path:
            circle = " -> ".join([*path[path.index(one.name) :], one.name])
            raise CyclicTransform(f"transforms need each other: {circle}", where=one.name, fix="break the circle")
        path.append(one.name)
        for taken in one.inputs:
            if taken.name in by_name:
                visit(by_name[taken.name])
        path.pop()
        done[one.name] = one

    for one in transforms:
        visit(one)
    return tuple(done.values())


def describe(feature: Feature) -> str:
    """A feature in one line, as it was written.

    Examples
    --------
    >>> describe(mean("minutes", "1d"))
    'mean(minutes, 1d, hop 1h)'
    """
    if feature.kind == "lookup":
        return f"lookup({feature.column})"
    inner = [feature.column] if feature.column else []
    inner += [format_duration(feature.window), f"hop {format_duration(feature.hop)}"]
    if feature.where:
        inner.append(f"where {feature.where}")
    return f"{feature.aggregation}({', '.join(inner)})"
