"""Definitions of features: entities, views, on-request transforms, request values, services. Frozen values, no I/O.

A definition names columns and never reads them, so nothing here knows the type of a feature: types come from the source's
schema, through :mod:`tidewheel.features.columns`, when something is built or asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidewheel.errors import CyclicTransform, Invalid, KeyTypeMismatch, NameCollision
from tidewheel.features.aggregations.count import count
from tidewheel.features.aggregations.last import last
from tidewheel.features.aggregations.max import max
from tidewheel.features.aggregations.mean import mean
from tidewheel.features.aggregations.min import min
from tidewheel.features.aggregations.std import std
from tidewheel.features.aggregations.std_pop import std_pop
from tidewheel.features.aggregations.sum import sum
from tidewheel.features.chain import resolve_chains, rounds_of
from tidewheel.features.feature import Feature, lookup
from tidewheel.features.on_request import Parameter, Request, Transform, on_request, request
from tidewheel.features.view import Entity, FeatureView, Use, entity, features, use, view_of
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.schema import DataType, Field

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
    tags: tuple[str, ...] = ()

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
        """Columns that hold the keys of the views, each once, in order of members; not those that another view gives."""
        given = {name for one in self.uses for name in one.names}
        columns = {column.name: column for one in self.uses for column in one.columns}
        return tuple(column for name, column in columns.items() if name not in given)

    @property
    def rounds(self) -> tuple[tuple[Use, ...], ...]:
        """Uses in the order in which they can be answered: a key may be a feature of an earlier round."""
        return rounds_of(self.name, self.uses)

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
    chained = resolve_chains(name, [one for one in found if isinstance(one, Use)])
    found = [chained[one] if isinstance(one, Use) else one for one in found]
    outputs = outputs_of(name, found)
    transforms = _in_order([one for one in found if isinstance(one, Transform)])
    made = ServiceDefinition(name, tuple(found), outputs, transforms, _requested(found), owner, description, tuple(tags))
    _check_keys(made)
    rounds_of(name, made.uses)
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


def outputs_of(service: str, members: Sequence[Member]) -> tuple[Output, ...]:
    """What some members make, in order.

    Raises
    ------
    NameCollision
        When two make one name.

    Examples
    --------
    >>> outputs_of("inputs", [request(distance=float)])[0].name
    'distance'
    """
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
    """One column has one type, whatever views and request values read it, and no transform makes it."""
    seen: dict[str, DataType] = {}
    transforms = {one.name for one in made.transforms}
    for column in (*(key for one in made.uses for key in one.columns), *made.request):
        if column.name in transforms:
            raise Invalid(
                f"service {made.name} has transform {column.name} for a key",
                where=column.name,
                fix="chain to a feature of a view, or read the key from the request",
            )
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
