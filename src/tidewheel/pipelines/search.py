"""Searches as values: where to look, how, and what was found. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidewheel.errors import Invalid, NotFound
from tidewheel.ledger.definition import place
from tidewheel.pipelines.definition import Step
from tidewheel.pipelines.pruning import Pruner
from tidewheel.ports.sampler import Axis, Choice, Integers, Uniform

TrialState = Literal["waiting", "finished", "stopped", "failed"]

Draw = Callable[[str, Axis], object]
"""Draws the value of a named axis."""

Space = Mapping[str, Axis] | Callable[[Draw], Mapping[str, object]]


def uniform(low: float, high: float) -> Uniform:
    """An axis of a :func:`sweep`: any number of ``[low, high]``, each as likely.

    Examples
    --------
    >>> uniform(0, 1)
    Uniform(low=0.0, high=1.0, log=False)
    """
    return Uniform(float(low), float(high))


def log_uniform(low: float, high: float) -> Uniform:
    """An axis of a :func:`sweep`: any number of ``[low, high]``, each order of magnitude as likely; ``low`` is above 0.

    Examples
    --------
    >>> log_uniform(1e-4, 1)
    Uniform(low=0.0001, high=1.0, log=True)
    """
    return Uniform(float(low), float(high), log=True)


def integers(low: int, high: int) -> Integers:
    """An axis of a :func:`sweep`: any whole number from ``low`` to ``high``, both included.

    Examples
    --------
    >>> integers(1, 10)
    Integers(low=1, high=10)
    """
    return Integers(low, high)


def choice(options: list[object] | tuple[object, ...]) -> Choice:
    """An axis of a :func:`sweep`: one of some options, of any type that a step can be passed.

    Examples
    --------
    >>> choice(["gini", "entropy"])
    Choice(options=('gini', 'entropy'))
    """
    return Choice(tuple(options))


@dataclass(frozen=True, slots=True)
class Search:
    """How a space is searched: see :func:`search`."""

    trials: int | None = None
    sampler: str = "grid"
    seed: int = 0
    prune: Pruner | None = None
    parallel: int | None = None


def search(
    trials: int | None = None,
    *,
    sampler: str | None = None,
    seed: int = 0,
    prune: Pruner | None = None,
    parallel: int | None = None,
) -> Search:
    """How a :func:`sweep` searches.

    Parameters
    ----------
    trials
        How many points; ``None`` for all of a grid.
    sampler
        ``"grid"``, ``"random"``, or ``"optuna"`` (``pip install 'tidewheel[optuna]'``; TPE).
        ``None``: a grid when ``trials`` is not given, else by chance.
    prune
        :func:`prune_median` or :func:`prune_halving`: when ``trial.should_stop`` is true.
    parallel
        How many trials at a time where the session has workers, by default one for each processor. A sampler that learns draws
        so many points before it is told of the first of them, and a sweep keeps the number that it began with.

    Raises
    ------
    Invalid
        For a search by chance without an end.

    Examples
    --------
    >>> search(50, seed=7).sampler, search().sampler
    ('random', 'grid')
    """
    chosen = sampler or ("grid" if trials is None else "random")
    where = place()
    if trials is None and chosen != "grid":
        raise Invalid(f"a search by {chosen} has no end", where=where, fix="say how many trials: tw.search(50)")
    for name, number in (("trials", trials), ("parallel", parallel)):
        if number is not None and number < 1:
            raise Invalid(f"{name} is {number}", where=where, fix="give 1 or more")
    return Search(trials, chosen, seed, prune, parallel)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is to be searched: see :func:`tidewheel.sweep`."""

    step: Step[..., object]
    metric: str
    minimize: bool
    space: Space
    fixed: Mapping[str, object]
    search: Search
    name: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial.

    Parameters
    ----------
    parameters
        What was drawn, as the step got it.
    objective
        The last value of the metric; also that of a trial that was stopped. ``None`` when it failed.
    run
        Id of its run, which has the curve.
    """

    number: int
    state: TrialState
    parameters: Mapping[str, object]
    objective: float | None
    run: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has found.

    Parameters
    ----------
    result
        What the step returned in the best trial.
    """

    id: str
    name: str
    metric: str
    minimize: bool
    trials: tuple[Tried, ...]
    result: object = field(default=None, repr=False)

    @property
    def best(self) -> Tried:
        """The finished trial with the best objective, of equal ones the first.

        Raises
        ------
        NotFound
            When no trial has finished.
        """
        return best_of(self.trials, minimize=self.minimize)

    @property
    def ranked(self) -> list[Tried]:
        """All trials, the best first; those that were stopped after those that finished, those that failed last."""
        return rank(self.trials, minimize=self.minimize)


def rank(trials: tuple[Tried, ...], *, minimize: bool) -> list[Tried]:
    """Best first.

    Examples
    --------
    >>> made = tuple(Tried(n, "finished", {}, value, "") for n, value in enumerate([2.0, 1.0]))
    >>> [one.number for one in rank(made, minimize=True)]
    [1, 0]
    """
    order = {"finished": 0, "stopped": 1, "waiting": 2, "failed": 3}

    def place(trial: Tried) -> tuple[int, float, int]:
        value = trial.objective
        return (order[trial.state], 0.0 if value is None else value if minimize else -value, trial.number)

    return sorted(trials, key=place)


def best_of(trials: tuple[Tried, ...], *, minimize: bool) -> Tried:
    """The best of the finished ones."""
    first = rank(trials, minimize=minimize)[:1]
    if not first or first[0].state != "finished":
        raise NotFound("no trial of the sweep has finished", fix="look at its runs, and widen the space or prune less")
    return first[0]
