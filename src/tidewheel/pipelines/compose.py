"""Pipelines: a plain function of steps as a node of the graph, and the arguments that a command line gives it."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from tidewheel.errors import Invalid, near_miss
from tidewheel.ledger.definition import Declaration, Function, NodeId, declare, node_id, place

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """A function that calls steps. It is called like any function, by another pipeline too: only its steps are kept."""

    def __init__(self, function: Callable[P, R], *, name: str, where: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.where = where

    @property
    def node(self) -> NodeId:
        """``pipeline:name``."""
        return node_id("pipeline", self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name} at {self.where}>"


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(
    *, name: str | None = None, owner: str | None = None, description: str | None = None, tags: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    owner: str | None = None,
    description: str | None = None,
    tags: Sequence[str] = (),
) -> Pipeline[P, R] | Callable[[Callable[P, R]], Pipeline[P, R]]:
    """Make a function of steps a node that can be run by its name: ``tidewheel run NAME --param x=1``.

    Its body is plain Python and runs every time: ``if``, loops, :func:`map`, and other pipelines. What its steps gave before
    is not computed again, so a run that failed or was stopped is simply run again.

    Parameters
    ----------
    name
        Default: the function's.
    owner, description, tags
        For people; the description is the first line of the docstring by default.

    Examples
    --------
    >>> import tidewheel as tw
    >>> @tw.step
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> @tw.pipeline
    ... def four_times(x: int = 1) -> int:
    ...     return double(double(x))
    >>> @tw.pipeline(owner="ann")
    ... def sums(upto: int) -> int:
    ...     return sum(four_times(x) for x in range(upto))
    >>> sums(3)
    12
    """
    where = place()

    def wrap(wrapped: Callable[P, R]) -> Pipeline[P, R]:
        made = Pipeline(wrapped, name=name or wrapped.__name__, where=where)
        told = description or (inspect.getdoc(wrapped) or "").partition("\n")[0]
        meta: dict[str, object] = {"owner": owner, "description": told, "tags": list(tags)}
        declare(Declaration(made.node, made, where, {}, (cast(Function, wrapped),), (), meta))
        return made

    return wrap if function is None else wrap(function)


def read_arguments(pipeline: Pipeline[..., object], given: Mapping[str, str]) -> Mapping[str, object]:
    """Arguments of a pipeline from texts, as its annotations say.

    ``int``, ``float``, ``bool``, ``str``, dates and times, enums, ``Literal`` and ``X | None`` are written as they are; lists,
    dicts and dataclasses as JSON. A parameter without an annotation has the type of its default.

    Raises
    ------
    Invalid
        When a name is unknown, a value is not of its type, or a parameter without a default is missing.

    Examples
    --------
    >>> @pipeline
    ... def train(rates: list[float], rounds: int, strict: bool = False, note="") -> None: ...
    >>> read_arguments(train, {"rates": "[0.1, 0.2]", "rounds": "10", "strict": "true", "note": "12"})
    {'rates': [0.1, 0.2], 'rounds': 10, 'strict': True, 'note': '12'}
    """
    parameters = inspect.signature(pipeline.function).parameters
    try:
        hints = typing.get_type_hints(pipeline.function)
    except (NameError, TypeError):
        hints = {}
    for name in given:
        if name not in parameters:
            raise Invalid(
                f"pipeline {pipeline.name} has no parameter {name!r}", where=pipeline.where, fix=near_miss(name, parameters)
            )
    missing = [name for name, one in parameters.items() if _required(one) and name not in given]
    if missing:
        raise Invalid(
            f"pipeline {pipeline.name} needs {', '.join(missing)}",
            where=pipeline.where,
            fix="give " + " ".join(f"--param {name}=..." for name in missing),
        )
    return {name: _read(pipeline, text, hints.get(name), parameters[name]) for name, text in given.items()}


def as_texts(arguments: Mapping[str, object]) -> dict[str, str]:
    """Arguments as :func:`read_arguments` reads them.

    Examples
    --------
    >>> as_texts({"rounds": 10, "note": "x", "rates": [0.5]})
    {'rounds': '10', 'note': 'x', 'rates': '[0.5]'}
    """
    plain = {name: msgspec.to_builtins(value) for name, value in arguments.items()}
    return {name: one if isinstance(one, str) else msgspec.json.encode(one).decode() for name, one in plain.items()}


def _required(one: inspect.Parameter) -> bool:
    return one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)


def _read(pipeline: Pipeline[..., object], text: str, hint: Any, parameter: inspect.Parameter) -> object:
    if hint is None:
        default = parameter.default
        hint = str if default is None or default is parameter.empty else type(default)
    try:
        return cast(object, msgspec.convert(text, hint, strict=False))
    except msgspec.ValidationError as error:
        try:
            return cast(object, msgspec.json.decode(text, type=hint, strict=False))
        except msgspec.DecodeError as deeper:
            told = deeper if text.lstrip()[:1] in ("[", "{") else error  # a list or a dict is known by its first character
            raise Invalid(
                f"{parameter.name}={text!r} of pipeline {pipeline.name}: {told}",
                where=pipeline.where,
                fix=f"give a value of {parameter.annotation if parameter.annotation is not parameter.empty else hint}",
            ) from error
