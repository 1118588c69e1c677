"""The contract of the sampler port: subclass it in the backend's tests and give it a fixture ``opener``.

Examples
--------
>>> class TestMine(SamplerContract):
...     pass  # and a pytest fixture called opener
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from tidewheel.errors import Invalid
from tidewheel.ports.sampler import Axis, Choice, Integers, Sampler, SamplerOpener, Uniform

FINITE: dict[str, Axis] = {"kind": Choice(("a", "b", "c")), "depth": Integers(-2, 3)}
ENDLESS: dict[str, Axis] = {"rate": Uniform(-1.0, 2.0), "size": Uniform(1e-4, 1.0, log=True)}


def points(sampler: Sampler, axes: dict[str, Axis], count: int = 12) -> list[dict[str, float | int]]:
    """Points that are drawn one after the other, each judged by its sum; every fifth fails, every fourth is cut short."""
    made: list[dict[str, float | int]] = []
    while len(made) < count and sampler.begin(len(made)):
        number = len(made)
        made.append({name: sampler.draw(name, axis) for name, axis in axes.items()})
        found = float(sum(made[-1].values()))
        failed = number % 5 == 4
        sampler.tell(number, None if failed else found, reported=[(0, found)], stopped=not failed and number % 4 == 3)
    return made


class SamplerContract:
    """What every sampler does alike. ``BY_CHANCE``: whether its points depend on the seed and may be endlessly many."""

    BY_CHANCE: ClassVar[bool] = True

    def axes(self) -> dict[str, Axis]:
        """All kinds of axes that it takes."""
        return FINITE | ENDLESS if self.BY_CHANCE else FINITE

    def test_values_are_of_their_axis(self, opener: SamplerOpener) -> None:
        for point in points(opener(seed=1, minimize=True), self.axes(), 18):
            assert point["kind"] in (0, 1, 2) and isinstance(point["kind"], int)
            assert point["depth"] in range(-2, 4) and isinstance(point["depth"], int)
            if self.BY_CHANCE:
                assert -1 <= point["rate"] <= 2
                assert 1e-4 <= point["size"] <= 1

    @pytest.mark.parametrize("minimize", [True, False])
    def test_the_same_calls_give_the_same_points(self, opener: SamplerOpener, minimize: bool) -> None:
        first, again = (points(opener(seed=5, minimize=minimize), self.axes(), 18) for _ in range(2))
        assert first == again
        assert len({tuple(point.values()) for point in first}) > 6

    def test_the_seed_decides(self, opener: SamplerOpener) -> None:
        first, other = (points(opener(seed=seed, minimize=True), self.axes()) for seed in (1, 2))
        assert (first != other) == self.BY_CHANCE

    def test_points_that_are_asked_for_together_are_told_of_later(self, opener: SamplerOpener) -> None:
        drawn = []
        for sampler in (opener(seed=3, minimize=True), opener(seed=3, minimize=True)):
            made: list[list[float]] = []
            for number in range(0, 12, 4):
                for each in range(number, number + 4):
                    assert sampler.begin(each)
                    made.append([sampler.draw(name, axis) for name, axis in self.axes().items()])
                for each in range(number, number + 4):
                    sampler.tell(each, sum(made[each]), reported=[], stopped=False)
            drawn.append(made)
        assert drawn[0] == drawn[1]

    def test_axes_may_depend_on_what_was_drawn(self, opener: SamplerOpener) -> None:
        sampler = opener(seed=0, minimize=True)
        seen = set()
        for number in range(40):
            if not sampler.begin(number):
                break
            kind = sampler.draw("kind", Choice(("tree", "line")))
            seen.add((kind, sampler.draw("depth", Integers(1, 2)) if kind == 0 else None))
            sampler.tell(number, float(number), reported=[], stopped=False)
        assert seen == {(0, 1), (0, 2), (1, None)}

    def test_it_says_what_decides_its_points(self, opener: SamplerOpener) -> None:
        assert opener(seed=0, minimize=True).identity == opener(seed=1, minimize=False).identity != ""

    def test_a_grid_refuses_endless_axes_and_chance_does_not(self, opener: SamplerOpener) -> None:
        sampler = opener(seed=0, minimize=True)
        assert sampler.begin(0)
        if self.BY_CHANCE:
            assert -1 <= sampler.draw("rate", ENDLESS["rate"]) <= 2
        else:
            with pytest.raises(Invalid, match="endlessly many"):
                sampler.draw("rate", ENDLESS["rate"])
