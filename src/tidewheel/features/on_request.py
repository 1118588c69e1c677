"""Request values, and the transforms that compute from them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidewheel.errors import Invalid
from tidewheel.features.annotation import read_annotation
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.schema import DataType, Field, data_type


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
        plain, optional = read_annotation(annotation)
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
        plain, optional = read_annotation(hints[parameter.name])
        inputs.append(Parameter(parameter.name, data_type(plain), optional, parameter.default is parameter.empty))
    if hints.get("return") in (None, type(None)):
        raise Invalid(f"transform {name} has no return type", where=where, fix="write -> float after its inputs")
    plain, _ = read_annotation(hints["return"])
    return Transform(name, body, tuple(inputs), Field(name, data_type(plain)), timezone, on_error)
