"""Steps: plain functions whose results are kept by recipe, and the calls that fan them out."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, Protocol, TypeVar, cast, overload

from tidewheel.clock import Micros, parse_duration
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, Function, NodeId, declare, node_id, place
from tidewheel.ports.secret_store import Secret

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a step may use. Never part of a recipe.

    Parameters
    ----------
    cpu
        Processors; more than 0.
    memory_bytes
        Upper bound, or ``None`` for no bound.
    """

    cpu: float = 1.0
    memory_bytes: int | None = None


_MEMORY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def resources(*, cpu: float = 1.0, memory: str | int | None = None) -> Resources:
    """What a step may use.

    Parameters
    ----------
    cpu
        Processors that a worker sets aside; more than 0.
    memory
        Bytes, or a number with ``K M G T`` (powers of 1024), such as ``"2G"``.

    Examples
    --------
    >>> resources(cpu=2, memory="2G").memory_bytes
    2147483648
    """
    if not cpu > 0:
        raise Invalid(f"cpu is {cpu}", where="cpu", fix="give a number above 0")
    if isinstance(memory, str):
        number, unit = memory[:-1], memory[-1:]
        if unit not in _MEMORY or not number.replace(".", "", 1).isdigit():
            raise Invalid(
                f"{memory!r} is no amount of memory", where="memory", fix='write a number with K, M, G or T, such as "2G"'
            )
        memory = int(float(number) * _MEMORY[unit])
    return Resources(cpu, memory)


def secret(name: str) -> Secret:
    """A secret by reference, for ``@tw.step(secrets={"TOKEN": tw.secret("shop/token")})``.

    While the step runs, its value is in the environment variable. It is read by the process that runs the step, from the store
    that ``secrets`` in ``tidewheel.toml`` names: environment variables (``"env"``), files (``"file:///run/secrets"``).

    Examples
    --------
    >>> secret("shop/token")
    Secret(name='shop/token')
    """
    if not name:
        raise Invalid("a secret needs a name", where="secret", fix='write tw.secret("token")')
    return Secret(name)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a step is run and for how long its result holds.

    ``fresh``, ``reads`` and the names of ``secrets`` are part of its recipe, and so is what of ``environment`` it reads.
    """

    resources: Resources = field(default_factory=Resources)
    retries: int = 0
    timeout: Micros | None = None
    fresh: Micros | None = None
    reads: tuple[str, ...] | None = None
    pickle: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, Secret] = field(default_factory=dict, hash=False)

    @property
    def trusted(self) -> bool:
        """Whether the step has said itself for how long its result holds, or what it reads that cannot be followed."""
        return self.fresh is not None or self.reads is not None


class Runner(Protocol):
    """What runs steps while it is active: see :func:`running`."""

    def call(self, step: Step[..., object], arguments: Mapping[str, object]) -> object:
        """Result of one call."""
        ...

    def map(self, step: Step[..., object], calls: Sequence[Mapping[str, object]]) -> list[object]:
        """Results of many calls, in their order."""
        ...

    def imap(self, step: Step[..., object], calls: Sequence[Mapping[str, object]], *, ahead: int) -> Iterator[object]:
        """Results of many calls, one by one in their order."""
        ...

    def bind(self, step: Step[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> Mapping[str, object]:
        """Arguments by name."""
        ...

    def sweep(self, wanted: object) -> object:
        """What a :class:`tidewheel.pipelines.search.Sweep` finds."""
        ...


_runner: ContextVar[Runner | None] = ContextVar("tidewheel_runner", default=None)


@contextmanager
def running(runner: Runner | None) -> Iterator[None]:
    """Let a runner take the calls of steps inside the block; with ``None`` they are plain calls."""
    token = _runner.set(runner)
    try:
        yield
    finally:
        _runner.reset(token)


def current_runner() -> Runner | None:
    """What takes the calls of steps now."""
    return _runner.get()


class Step(Generic[P, R]):
    """A function whose calls are cached, retried and sent to workers while a session is active, and plain calls otherwise."""

    def __init__(self, function: Callable[P, R], *, name: str, policy: Policy, where: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.policy = policy
        self.where = where

    @property
    def node(self) -> NodeId:
        """``step:name``."""
        return node_id("step", self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        runner = _runner.get()
        if runner is None:
            return self.function(*args, **kwargs)
        generic = cast("Step[..., object]", self)
        return cast(R, runner.call(generic, runner.bind(generic, args, kwargs)))

    def __repr__(self) -> str:
        return f"<step {self.name} at {self.where}>"


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    resources: Resources | None = None,
    retries: int = 0,
    timeout: str | None = None,
    fresh: str | None = None,
    reads: Sequence[str] | None = None,
    pickle: bool = False,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    resources: Resources | None = None,
    retries: int = 0,
    timeout: str | None = None,
    fresh: str | None = None,
    reads: Sequence[str] | None = None,
    pickle: bool = False,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, Secret] | None = None,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a step, bare or with options.

    Called while a session is active, a step's result is looked up by its recipe (its code and all that this reaches, and the
    content of its arguments) and only computed when it is not known. Called elsewhere it is an ordinary function.

    Parameters
    ----------
    resources, retries, timeout
        How it is run; a change of these recomputes nothing. ``timeout`` is a duration, for one try.
    fresh
        A duration: the result is used for at most that long, even if nothing that can be followed has changed. For steps
        that read the clock or the network.
    reads
        Files, relative to the project, that are read in ways that cannot be followed: by DuckDB, Polars or PyArrow, or in
        another process. An empty list says that there are none.
    pickle
        Allow arguments and results that only pickle can store.
    env
        Environment variables that are set for the step and what it calls, and taken back after it, such as
        ``{"OMP_NUM_THREADS": "1"}``. A change recomputes nothing, unless the step's own code reads the variable. A library that
        looks at a variable only when it is loaded sees it where it is not loaded yet. Not for secrets: it is kept with the
        project's definitions.
    secrets
        Environment variables whose values are :func:`tidewheel.secret`. Another name recomputes; another value does not.

    Examples
    --------
    >>> @step(retries=2)
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double(4)
    8
    >>> step(env={"OMP_NUM_THREADS": 1})
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: the environment variable OMP_NUM_THREADS is 1, which is no text...
    """
    where = place()
    _refuse_variables(env or {}, secrets or {}, where)
    if retries < 0:
        raise Invalid(f"retries is {retries}", where=where, fix="give 0 or more")
    policy = Policy(
        resources or Resources(),
        retries,
        parse_duration(timeout) if timeout is not None else None,
        parse_duration(fresh) if fresh is not None else None,
        None if reads is None else tuple(reads),
        pickle,
        dict(env or {}),
        dict(secrets or {}),
    )

    def wrap(wrapped: Callable[P, R]) -> Step[P, R]:
        made = Step(wrapped, name=name or wrapped.__name__, policy=policy, where=where)
        meta: dict[str, object] = {"resources": policy.resources, "retries": retries, "timeout": timeout}
        meta |= {"env": dict(policy.environment)} if env else {}
        parameters: dict[str, object] = {"fresh": fresh, "reads": None if reads is None else list(reads)}
        if secrets:
            parameters["secrets"] = {variable: one.name for variable, one in policy.secrets.items()}
        declare(Declaration(made.node, made, where, parameters, (cast(Function, wrapped),), (), meta))
        return made

    return wrap if function is None else wrap(function)


def _refuse_variables(env: Mapping[str, object], secrets: Mapping[str, object], where: str) -> None:
    for name, value in {**env, **secrets}.items():
        if not name or "=" in name or (name in env and not isinstance(value, str)):
            raise Invalid(
                f"the environment variable {name} is {value!r}, which is no text",
                where=where,
                fix='write it as text, such as "1"',
            )
        if name in secrets and not isinstance(value, Secret):
            raise Invalid(
                f"{name} among the secrets is a {type(value).__name__}",
                where=where,
                fix=f'name it: {{"{name}": tw.secret("...")}}',
            )
        if name in secrets and name in env:
            raise Invalid(f"{name} is in env and in secrets", where=where, fix="leave it out of env")


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that :func:`map` passes to every call as it is."""

    value: object


def fixed(value: object) -> Fixed:
    """Pass a list to every call of a :func:`map`, instead of one item to each.

    Examples
    --------
    >>> @step
    ... def scale(x: int, weights: list[int]) -> int:
    ...     return x * sum(weights)
    >>> map(scale, x=[1, 2], weights=fixed([3, 4]))
    [7, 14]
    """
    return Fixed(value)


def grid(**axes: Sequence[object]) -> dict[str, list[object]]:
    """Every combination of the axes' values, as lists of equal length for :func:`map`; the last axis turns fastest.

    Examples
    --------
    >>> grid(rate=[0.05, 0.1], leaves=[31, 127])
    {'rate': [0.05, 0.05, 0.1, 0.1], 'leaves': [31, 127, 31, 127]}
    """
    rows = list(itertools.product(*axes.values()))
    return {name: [row[index] for row in rows] for index, name in enumerate(axes)}


def map(step: Step[..., R], /, **arguments: object) -> list[R]:
    """Call a step once per item; at the same time where the session has workers.

    Parameters
    ----------
    arguments
        Lists and tuples give one item to each call and must be of one length; every other value goes to all calls, and so
        does a list inside :func:`fixed`.

    Returns
    -------
    One result per call, in the order of the items.

    Raises
    ------
    Invalid
        When the lists differ in length, or there is none.

    Examples
    --------
    >>> import tidewheel.pipelines.definition as tw
    >>> @tw.step
    ... def power(base: int, exponent: int) -> int:
    ...     return base**exponent
    >>> tw.map(power, base=2, exponent=[1, 2, 3])
    [2, 4, 8]
    """
    calls = _spread(step, arguments)
    runner = _runner.get()
    if runner is None:
        return [step.function(**call) for call in calls]
    generic = cast("Step[..., object]", step)
    return cast("list[R]", runner.map(generic, [runner.bind(generic, (), call) for call in calls]))


def imap(step: Step[..., R], /, *, ahead: int = 100, **arguments: object) -> Generator[R, None, None]:
    """Call a step once per item, as :func:`map`, and take the results one by one as they are wanted.

    For results that are large together, or a consumer that is slow: of those that are not taken yet at most ``ahead`` are
    begun, so the workers do not fill the memory. In this process each call runs when its result is wanted.

    Parameters
    ----------
    ahead
        How many calls may be at work, or finished and not taken yet; at least 1.
    arguments
        As for :func:`map`.

    Returns
    -------
    An iterator, in the order of the items. When it is closed early, calls that are at work are stopped.

    Examples
    --------
    >>> import tidewheel.pipelines.definition as tw
    >>> @tw.step
    ... def power(base: int, exponent: int) -> int:
    ...     return base**exponent
    >>> for found in tw.imap(power, ahead=2, base=2, exponent=[1, 2, 3]):
    ...     print(found)
    2
    4
    8
    """
    if ahead < 1:
        raise Invalid(f"ahead is {ahead}", where="ahead", fix="give 1 or more")
    calls = _spread(step, arguments)
    runner = _runner.get()
    if runner is None:
        return (step.function(**call) for call in calls)
    generic = cast("Step[..., object]", step)
    return cast(
        "Generator[R, None, None]", runner.imap(generic, [runner.bind(generic, (), call) for call in calls], ahead=ahead)
    )


def _spread(step: Step[..., R], arguments: Mapping[str, object]) -> list[dict[str, object]]:
    lengths = {name: len(value) for name, value in arguments.items() if isinstance(value, list | tuple)}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items()) or "no list was given"
        raise Invalid(
            f"map of {step.name} needs lists of one length ({told})",
            where=place(),
            fix="make them equally long, use tw.grid for all combinations, or tw.fixed for a list that every call gets",
        )
    count = next(iter(lengths.values()))
    return [{name: _item(value, index) for name, value in arguments.items()} for index in range(count)]


def _item(value: object, index: int) -> object:
    if isinstance(value, Fixed):
        return value.value
    if isinstance(value, list | tuple):
        return cast("Sequence[object]", value)[index]
    return value
