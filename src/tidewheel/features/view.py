"""Entities, and views: the features of one entity from one source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from tidewheel.clock import Micros, parse_duration
from tidewheel.digest import Digest, digest
from tidewheel.errors import BadTtl, Invalid, NameCollision, UnknownFeature, UnsupportedKeyType, near_miss
from tidewheel.features.annotation import read_annotation
from tidewheel.features.feature import Feature
from tidewheel.features.needed_columns import columns_of_lookups, columns_of_windows
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.schema import LISTS, DataType, Field, data_type
from tidewheel.sources.column_basis import basis_of
from tidewheel.sources.definition import Source, check_aside, expected_meta
from tidewheel.sources.expectation import Expectation, quarantine_rules

Class = TypeVar("Class", bound=type)
VERSION = 1
"""Version of the meaning of a view's definition; raising it makes every view a new one."""

_VIEW = "__tidewheel_view__"
_NOT_KEYS = (DataType.FLOAT32, DataType.FLOAT64, DataType.DECIMAL, *LISTS.values())


@dataclass(frozen=True, slots=True)
class Entity:
    """What features are about: a name, and the typed columns that identify one."""

    name: str
    keys: tuple[Field, ...]


EVERYTHING = Entity("everything", ())
"""The one thing that features without an entity are about."""


def entity(name: str, **keys: object) -> Entity:
    """Declare an entity by the columns that identify it.

    Parameters
    ----------
    keys
        Column name and type, in the order of the key.

    Raises
    ------
    UnsupportedKeyType
        For floats, decimals and optional types, which do not compare reliably, and for lists.

    Examples
    --------
    >>> [key.name for key in entity("route", pickup_zone=int, dropoff_zone=int).keys]
    ['pickup_zone', 'dropoff_zone']
    """
    if not keys:
        fix = f'name its columns: tw.entity("{name}", {name}_id=int); features of everything are by=None'
        raise Invalid(f"entity {name} has no key", where=name, fix=fix)
    made = []
    for key, annotation in keys.items():
        plain, optional = read_annotation(annotation)
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
    def columns(self) -> tuple[str, ...]:
        """Every column of the source that it needs: keys, then those of look-ups and of events."""
        looked, folded = columns_of_lookups(self.features), columns_of_windows(self.features, self.source.event_id)
        return tuple(dict.fromkeys((*(key.name for key in self.keys), *looked, *folded)))

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
        """Digest of the definition, and of what of its source's definition decides the rows and the columns that it needs."""
        return digest(["view", self.parameters, self._basis])

    @property
    def _basis(self) -> list[object]:
        found = basis_of(self.source, self.columns)
        return [self.source.name, found.rows, found.columns]

    @property
    def online_version(self) -> Digest:
        """Digest of what decides the bytes of the view's online rows, which are kept under it.

        Look-ups in another order, names, defaults, a ttl and ``strict_ties`` are read into the rows, not written: views that
        differ in nothing else share their rows, and such a change writes none. A column more or less decides which of two
        rows of one time is the greater, so it makes rows of its own.

        Examples
        --------
        >>> from tidewheel.features.feature import lookup
        >>> from tidewheel.sources.definition import source
        >>> shops, shop = source("shops", "s.parquet", time="ts"), entity("shop", shop=int)
        >>> def view(ttl=None, **made):
        ...     return view_of(features(shops, by=shop, ttl=ttl)(type("Shop", (), made)))
        >>> first = view(a=lookup("a"), b=lookup("b"))
        >>> view(ttl="1d", c=lookup("b", default=0), a=lookup("a")).online_version == first.online_version
        True
        >>> view(a=lookup("a")).online_version == first.online_version
        False
        """
        lookups = {digest([one.column, one.fill, _options(one)]) for one in self.lookups}
        windows = [_written(one) for one in self.windows]
        keys = [[key.name, key.type.value] for key in self.entity.keys]
        return digest(["online", VERSION, self.name, keys, sorted(lookups), windows, self._basis])

    def __getitem__(self, name: str) -> Feature:
        for one in self.features:
            if one.name == name:
                return one
        known = [one.name for one in self.features]
        raise UnknownFeature(f"view {self.name} has no feature {name!r}", where=name, fix=near_miss(name, known))


def features(
    source: Source,
    *,
    by: Entity | None,
    ttl: str | timedelta | None = None,
    strict_ties: bool = False,
    expect: Sequence[Expectation] = (),
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Callable[[Class], Class]:
    """Make a class of features a view of a source, one row per entity.

    The class comes back as it is, so editors complete its attributes; :func:`view_of` gives the view.

    Parameters
    ----------
    by
        What the features are about; ``None`` for everything at once: one answer, whatever is asked for.
    expect
        What rows are to be for this view, beside what is expected of its source.

    Raises
    ------
    BadTtl
        For a ttl of zero.
    Invalid
        For windows over a source with ``valid_to``.

    Examples
    --------
    >>> from tidewheel.features.aggregations.count import count
    >>> from tidewheel.sources.definition import source
    >>> trips = source("trips", "data/*.parquet", time="dropoff_time")
    >>> @features(trips, by=entity("zone", pickup_zone=int))
    ... class ZonePace:
    ...     trips_1h = count("1h")
    >>> ZonePace.trips_1h.name, view_of(ZonePace).name
    ('trips_1h', 'ZonePace')
    """
    where = place()
    about = EVERYTHING if by is None else by
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
        _no_key_names(cls.__name__, about, made)
        if source.valid_to is not None and any(value.kind == "window" for value in made.values()):
            raise Invalid(
                f"view {cls.__name__} has windows over {source.name}, whose rows have a valid_to",
                where=where,
                fix="look columns up; where the start of a state is an event, declare a second source over the same rows with "
                'time="valid_from\'s column" and event_id=, and put the windows there',
            )
        text = description or inspect.cleandoc(cls.__doc__ or "")
        check_aside(source, expect, where)
        rows = replace(source, expect=(*source.expect, *expect)) if expect else source
        view = FeatureView(cls.__name__, rows, about, tuple(made.values()), span, strict_ties, owner, text, tuple(tags))
        for name, value in made.items():
            setattr(cls, name, value)
        setattr(cls, _VIEW, view)
        declare(
            Declaration(
                node_id("view", view.name),
                view,
                where,
                parameters=view.parameters | _aside(expect),
                upstream=(node_id("source", source.name),),
                meta={"owner": owner, "description": text, "tags": list(tags)} | expected_meta(expect),
            )
        )
        return cls

    return decorate


def _options(feature: Feature) -> list[object]:
    return [[name, list(value) if isinstance(value, tuple) else value] for name, value in feature.options]


def _written(window: Feature) -> dict[str, object]:
    """Parameters of a window that decide what is written for it."""
    return {name: value for name, value in window.parameters.items() if name not in ("name", "default")}


def _aside(expect: Sequence[Expectation]) -> dict[str, object]:
    rules = [rule.condition for rule in quarantine_rules(expect)]
    return {"quarantine": rules} if rules else {}


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
    keys: tuple[tuple[str, str | Feature], ...] = ()

    @property
    def columns(self) -> tuple[Field, ...]:
        """Column of the spine or the request, or feature of another view, that is each of the entity's keys, in its order."""
        names = {key: column if isinstance(column, str) else column.name for key, column in self.keys}
        return tuple(Field(names.get(key.name, key.name), key.type, nullable=False) for key in self.view.keys)

    @property
    def names(self) -> tuple[str, ...]:
        """Output name of each of the view's features, in order."""
        return tuple(self.prefix + one.name for one in self.view.features)


def use(view: type | FeatureView, *, prefix: str = "", keys: Mapping[str, str | Feature] | None = None) -> Use:
    """A view under an alias, so that a service can have it twice.

    Parameters
    ----------
    prefix
        Put before the name of each feature.
    keys
        Key of the entity, and the column of the spine or request that holds it here; or a feature of another view of the
        service: its value at the time asked is the key then, and where that is null every feature is.

    Examples
    --------
    >>> from tidewheel.features.feature import lookup
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
