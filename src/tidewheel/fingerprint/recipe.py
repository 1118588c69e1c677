"""Recipes: the named components that decide a result, and their one hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidewheel.digest import Digest, digest

ALGORITHM = 2
"""Version of the fingerprint's algorithm; a change of meaning raises it, and every recipe with it."""


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that a result depends on.

    ``value`` is what is hashed. ``where`` (``file:line``) and ``note`` (what to show a person, such as the old and
    new source line or a version number) are not. Neither is ``stands_for``: the content of the upstream node that the value was
    made from, where it is not that content; it is kept as an edge of lineage.
    """

    value: str
    where: str | None = None
    note: str | None = None
    stands_for: Digest | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the result of one node.

    Component names carry their class before a colon: ``param:ttl``, ``code:taxi.features.clean``,
    ``const:taxi.features.LIMIT``, ``lib:numpy``, ``python``, ``read:data/x.csv``, ``env:HOME``, ``upstream:source:trips``,
    ``column:source:trips.minutes``.

    ``algorithm`` is the version of the fingerprint that made it: one that was recorded keeps the version of its day.

    Examples
    --------
    >>> one = Recipe("view", {"param:ttl": Component("1d", where="f.py:3")})
    >>> two = Recipe("view", {"param:ttl": Component("1d", where="f.py:9")})
    >>> one.digest == two.digest
    True
    """

    kind: str
    components: Mapping[str, Component]
    algorithm: int = ALGORITHM
    _digest: list[Digest] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def digest(self) -> Digest:
        """Hash over the kind, the algorithm's version, and the names and values of the components."""
        if not self._digest:
            self._digest.append(self._hash())
        return self._digest[0]

    def _hash(self) -> Digest:
        return digest([self.algorithm, self.kind, {name: part.value for name, part in self.components.items()}])


def upstream_of(component: str) -> str | None:
    """The upstream node that a component is about; ``None`` when it is about the node itself.

    Examples
    --------
    >>> upstream_of("upstream:source:trips"), upstream_of("column:source:trips.minutes"), upstream_of("param:ttl")
    ('source:trips', 'source:trips', None)
    """
    prefix, _, rest = component.partition(":")
    if prefix == "upstream":
        return rest
    return rest.partition(".")[0] if prefix == "column" else None
