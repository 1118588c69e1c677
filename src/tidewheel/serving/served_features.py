"""Feature services that are loaded: what answers under each name, as one table that is replaced as a whole."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tidewheel.clock import Micros
from tidewheel.errors import TidewheelError, UnknownFeature, near_miss
from tidewheel.schema import DataType, Field, Schema

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.features.definition import ServiceDefinition
    from tidewheel.features.online_view import Shared, Status


class FeatureValues(Protocol):
    """Answers of a feature service: one row per request, one place per output."""

    @property
    def values(self) -> list[list[object]]:
        """Plain Python values, ``None`` for null."""
        ...

    @property
    def statuses(self) -> Sequence[Sequence[Status]]:
        """Why each value is what it is."""
        ...

    @property
    def event_times(self) -> Sequence[Sequence[int | None]]:
        """Microseconds: event time of the row that a look-up found."""
        ...

    @property
    def shared(self) -> Sequence[Shared] | None:
        """Status and event time that neighbouring outputs share, from the first output to the last; ``None`` where none do."""
        ...

    def columns(self) -> Mapping[int, pa.Array]:
        """Arrow columns, by place, of those outputs that need not be made of :attr:`values`."""
        ...

    @property
    def transform_errors(self) -> Mapping[str, int]:
        """Transforms that failed on a row and gave null there, and on how many rows."""
        ...


class FeatureReader(Protocol):
    """A prepared feature service."""

    def answer(self, requests: Sequence[Mapping[str, object]], *, at: Sequence[Micros]) -> FeatureValues:
        """Features of each row at its instant; rows hold entity keys and request values."""
        ...

    def write(
        self,
        requests: Sequence[Mapping[str, object]],
        *,
        at: Sequence[Micros],
        parts: tuple[bool, bool],
        ends: tuple[bytes, bytes],
    ) -> bytes | None:
        """JSON of the values, and of statuses and event times where ``parts`` say so; ``None`` where :meth:`answer` must."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ServedFeatures:
    """One feature service, ready to answer.

    Parameters
    ----------
    outputs
        Names and types, in the service's order.
    """

    service: ServiceDefinition
    reader: FeatureReader
    outputs: Schema
    names: tuple[str, ...] = field(init=False)
    keys: tuple[Field, ...] = field(init=False)
    inputs: tuple[Field, ...] = field(init=False)
    """Keys, then request values: what a caller must send. A request value that is a key too stands once."""
    narrow: tuple[int, ...] = field(init=False)
    """Places of the outputs that are 32-bit floats."""

    def __post_init__(self) -> None:
        keys = self.service.keys
        inputs = {one.name: one for one in (*keys, *self.service.request)}
        inputs |= {key.name: key for key in keys}
        object.__setattr__(self, "names", self.outputs.names)
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "inputs", tuple(inputs.values()))
        places = tuple(place for place, one in enumerate(self.outputs) if one.type is DataType.FLOAT32)
        object.__setattr__(self, "narrow", places)

    def places(self, features: Sequence[str]) -> list[int]:
        """Places of some outputs, by name.

        Raises
        ------
        UnknownFeature
            With the name that is nearest.
        """
        place = {name: number for number, name in enumerate(self.names)}
        for name in features:
            if name not in place:
                raise UnknownFeature(
                    f"service {self.service.name} has no feature {name[:100]!r}",
                    where="features",
                    fix=near_miss(name[:100], self.names),
                )
        return [place[name] for name in features]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """Every service that was declared: ready, or with the reason why not.

    Parameters
    ----------
    revision
        Differs when anything may have changed.
    views
        Names of the declared views, with those of their features.
    """

    revision: object
    ready: Mapping[str, ServedFeatures]
    trouble: Mapping[str, TidewheelError] = field(default_factory=dict)
    views: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the services, in the order declared."""
        return tuple(sorted({*self.ready, *self.trouble}))

    def find(self, service: str) -> ServedFeatures:
        """A service by name.

        Raises
        ------
        UnknownFeature
            When there is none of that name.
        TidewheelError
            Whatever keeps it from answering, ``NotMaterialized`` as a rule.
        """
        found = self.ready.get(service)
        if found is not None:
            return found
        trouble = self.trouble.get(service)
        if trouble is not None:
            raise again(trouble)
        raise UnknownFeature(f"no feature service {service[:100]!r}", where="service", fix=near_miss(service[:100], self.names))

    def split(self, features: Sequence[str]) -> list[tuple[str, str]]:
        """View and feature of names such as ``Pace:trips_1h``.

        Raises
        ------
        UnknownFeature
            With the name that is nearest: of a view that exists, its nearest feature however far.

        Examples
        --------
        >>> FeatureTable(0, {}, views={"f": ["x"]}).split(["f:nope"])
        Traceback (most recent call last):
        tidewheel.errors.UnknownFeature: no feature 'f:nope' (at features). Fix: did you mean f:x?
        """
        found = []
        for name in features:
            view, _, feature = name.partition(":")
            known = self.views.get(view)
            if known is None or feature not in known:
                raise UnknownFeature(
                    f"no feature {name[:100]!r}", where="features", fix=self._nearest(name[:100], view, feature)
                )
            found.append((view, feature))
        return found

    def _nearest(self, name: str, view: str, feature: str) -> str:
        known = self.views.get(view)
        if known is None:
            return near_miss(name, [f"{one}:{each}" for one, names in self.views.items() for each in names])
        (nearest,) = difflib.get_close_matches(feature[:100], known, n=1, cutoff=0.0)
        return f"did you mean {view}:{nearest}?"


def again(error: TidewheelError) -> TidewheelError:
    """An equal error without the frames that the first one has met: what is kept may be raised any number of times."""
    return type(error)(error.what, where=error.where, fix=error.fix)
