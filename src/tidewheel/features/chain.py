"""Chained keys: a feature of one view that is a key of the next, and the rounds in which views are asked then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidewheel.errors import CyclicGraph, UnknownFeature, near_miss
from tidewheel.features.feature import Feature
from tidewheel.features.view import Use


def resolve_chains(service: str, uses: Sequence[Use]) -> dict[Use, Use]:
    """Uses with the features among their keys replaced by the names that these have in the service.

    Raises
    ------
    UnknownFeature
        When a feature is of no view of the service, or of one that is there under several aliases.
    """
    made = {}
    for use in uses:
        keys = tuple((key, _name(service, column, uses)) for key, column in use.keys)
        made[use] = Use(use.view, use.prefix, keys)
    return made


def _name(service: str, column: str | Feature, uses: Sequence[Use]) -> str:
    if isinstance(column, str):
        return column
    plain = [use for use in uses if not use.prefix and any(one is column for one in use.view.features)]
    among = plain or uses  # of a view that is there twice, the one that is not called otherwise
    names = [name for use in among for name, one in zip(use.names, use.view.features, strict=True) if one is column]
    if len(names) == 1:
        return names[0]
    told = "no view of it has" if not names else "several of its views have"
    raise UnknownFeature(
        f"service {service} chains a key to {column.name or 'a feature'}, which {told}",
        where=column.name or service,
        fix=near_miss(column.name, [name for use in uses for name in use.names])
        if not names
        else f"write the name of one: {', '.join(names)}",
    )


def rounds_of(service: str, uses: Sequence[Use]) -> tuple[tuple[Use, ...], ...]:
    """Uses by round: those of the first need only what is asked, those of a later one a feature of an earlier.

    Raises
    ------
    CyclicGraph
        When keys need each other in a circle.

    Examples
    --------
    >>> from tidewheel.features.definition import entity, features, lookup, use
    >>> from tidewheel.sources.definition import source
    >>> @features(source("buys", "b.parquet", time="ts"), by=entity("user", uid=int))
    ... class Last:
    ...     shop = lookup("shop")
    >>> @features(source("shops", "s.parquet", time="ts"), by=entity("shop", sid=int))
    ... class Shop:
    ...     rating = lookup("rating")
    >>> [[one.view.name for one in each] for each in rounds_of("s", [use(Shop, keys={"sid": "shop"}), use(Last)])]
    [['Last'], ['Shop']]
    """
    maker: Mapping[str, Use] = {name: use for use in uses for name in use.names}
    depth: dict[Use, int] = {}
    path: list[Use] = []

    def visit(use: Use) -> int:
        if use in path:
            circle = " -> ".join(one.view.name for one in [*path[path.index(use) :], use])
            raise CyclicGraph(f"service {service}: keys need each other: {circle}", where=use.view.name, fix="break the circle")
        if use not in depth:
            path.append(use)
            needed = [maker[column.name] for column in use.columns if column.name in maker]
            depth[use] = 1 + max((visit(one) for one in needed), default=-1)
            path.pop()
        return depth[use]

    for use in uses:
        visit(use)
    return tuple(tuple(use for use in uses if depth[use] == number) for number in range(max(depth.values(), default=-1) + 1))
