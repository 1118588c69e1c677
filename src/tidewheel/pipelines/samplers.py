"""Samplers that need no library: every combination, or points by chance. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from tidewheel.errors import Invalid
from tidewheel.ports.sampler import Axis, Choice, Integers, Uniform


class RandomSampler:
    """Points by chance. A value is decided by seed, trial and name alone, so it does not matter what else is drawn.

    Examples
    --------
    >>> sampler = RandomSampler(seed=0, minimize=True)
    >>> sampler.begin(0), sampler.draw("leaves", Integers(8, 128)) == sampler.draw("leaves", Integers(8, 128))
    (True, True)
    """

    identity = "random 1"
    learns = False

    def __init__(self, *, seed: int, minimize: bool) -> None:
        del minimize
        self._seed = seed
        self._number = 0

    def begin(self, number: int) -> bool:
        """There is always another point."""
        self._number = number
        return True

    def draw(self, name: str, axis: Axis) -> float | int:
        """A value by chance."""
        chance = random.Random(f"{self._seed} {self._number} {name}")
        if isinstance(axis, Integers):
            return chance.randint(axis.low, axis.high)
        if isinstance(axis, Choice):
            return chance.randrange(len(axis.options))
        if axis.log:
            drawn = math.exp(chance.uniform(math.log(axis.low), math.log(axis.high)))
            return min(max(drawn, axis.low), axis.high)
        return chance.uniform(axis.low, axis.high)

    def tell(self, number: int, objective: float | None, *, reported: Sequence[tuple[int, float]], stopped: bool) -> None:
        """Nothing is learned."""
        del number, objective, reported, stopped


class GridSampler:
    """Every combination, the last axis turning fastest; also where later axes depend on what was drawn before.

    Examples
    --------
    >>> sampler = GridSampler(seed=0, minimize=True)
    >>> axes = {"kind": Choice(("tree", "line")), "depth": Integers(1, 2)}
    >>> points = []
    >>> while sampler.begin(len(points)):
    ...     points.append([sampler.draw(name, axis) for name, axis in axes.items()])
    >>> points
    [[0, 1], [0, 2], [1, 1], [1, 2]]
    """

    identity = "grid 1"
    learns = False

    def __init__(self, *, seed: int, minimize: bool) -> None:
        del seed, minimize
        self._path: list[tuple[int, int]] = []  # place and number of values of each axis, in the order they were asked for
        self._depth = 0
        self._begun = False

    def begin(self, number: int) -> bool:
        """Turn the last axis that has a value left."""
        del number
        if self._begun:
            self._path = self._path[: self._depth]
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return False
            place, count = self._path[-1]
            self._path[-1] = (place + 1, count)
        self._begun, self._depth = True, 0
        return True

    def draw(self, name: str, axis: Axis) -> float | int:
        """The value at which the axis stands."""
        if isinstance(axis, Uniform):
            raise Invalid(
                f"{name} has endlessly many values, and a grid tries all of them",
                where=name,
                fix="give it tw.choice([...]) or tw.integers(...), or choose another sampler",
            )
        count = len(axis.options) if isinstance(axis, Choice) else axis.high - axis.low + 1
        if self._depth == len(self._path):
            self._path.append((0, count))
        place = self._path[self._depth][0]
        self._depth += 1
        return place if isinstance(axis, Choice) else axis.low + place

    def tell(self, number: int, objective: float | None, *, reported: Sequence[tuple[int, float]], stopped: bool) -> None:
        """Nothing is learned."""
        del number, objective, reported, stopped
