"""Port: what chooses the points of a search space that are tried.

A sampler is told everything in one order and draws from nothing else: the same seed and the same calls give the same points.
That is how a search goes on after a crash: the calls are made again, with what was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tidewheel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every number of ``[low, high]``, each as likely; by its logarithm where ``log``."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (self.low < self.high and abs(self.low) + abs(self.high) < float("inf")):
            raise Invalid(
                f"{self.low} to {self.high} is no range", where="low, high", fix="give two numbers, the lower one first"
            )
        if self.log and not self.low > 0:
            raise Invalid(f"a logarithmic range begins at {self.low}", where="low", fix="give a number above 0")


@dataclass(frozen=True, slots=True)
class Integers:
    """Every whole number of ``[low, high]``, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise Invalid(f"{self.low} to {self.high} is no range", where="low, high", fix="give the lower one first")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some options; what is drawn is its place."""

    options: tuple[object, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise Invalid("there is nothing to choose from", where="options", fix="give at least one option")


Axis = Uniform | Integers | Choice


class Sampler(Protocol):
    """Chooses points, one trial after the other; trials are numbered from 0."""

    @property
    def identity(self) -> str:
        """Name and version of what decides which points are drawn."""
        ...

    @property
    def learns(self) -> bool:
        """Whether a point depends on how good the points before were."""
        ...

    def begin(self, number: int) -> bool:
        """Begin with the next trial; ``False`` when every point has been tried."""
        ...

    def draw(self, name: str, axis: Axis) -> float | int:
        """The value of one axis, in the trial that was begun last; of a :class:`Choice` its place."""
        ...

    def tell(self, number: int, objective: float | None, *, reported: Sequence[tuple[int, float]], stopped: bool) -> None:
        """How good a trial was: ``None`` when it failed. ``reported``: its values by step; ``stopped``: it was cut short."""
        ...


class SamplerOpener(Protocol):
    """What the entry point of a backend is."""

    def __call__(self, *, seed: int, minimize: bool) -> Sampler:
        """A sampler at its beginning."""
        ...
