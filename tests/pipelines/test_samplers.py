"""The samplers of our own: their contract, and that chance is as it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tidewheel.pipelines.samplers import GridSampler, RandomSampler
from tidewheel.ports.sampler import Axis, Choice, Integers, SamplerOpener, Uniform
from tidewheel.testing.sampler import SamplerContract

DRAWS = 4_000
ALMOST_NEVER = 1e-4


class TestRandom(SamplerContract):
    @pytest.fixture
    def opener(self) -> SamplerOpener:
        return RandomSampler


class TestGrid(SamplerContract):
    BY_CHANCE = False

    @pytest.fixture
    def opener(self) -> SamplerOpener:
        return GridSampler

    def test_it_tries_each_combination_once(self) -> None:
        sampler = GridSampler(seed=0, minimize=True)
        seen: list[tuple[float, ...]] = []
        while sampler.begin(len(seen)):
            pair = [sampler.draw(name, axis) for name, axis in (("a", Integers(1, 3)), ("b", Choice(("x", "y"))))]
            seen.append(tuple(pair))
        assert seen == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]


def drawn(axis: Axis, *, by_seed: bool) -> list[float]:
    """Many values: of the trials of one sweep, or of the first trial of many sweeps."""
    samplers = [RandomSampler(seed=seed if by_seed else 42, minimize=True) for seed in range(DRAWS)]
    return [sampler.draw("x", axis) for number, sampler in enumerate(samplers) if sampler.begin(0 if by_seed else number)]


@pytest.mark.parametrize("by_seed", [False, True])
def test_ranges_are_as_likely_as_they_are_wide(by_seed: bool) -> None:
    flat = drawn(Uniform(-1, 3), by_seed=by_seed)
    assert stats.kstest(flat, stats.uniform(-1, 4).cdf).pvalue > ALMOST_NEVER
    steep = drawn(Uniform(1e-4, 10, log=True), by_seed=by_seed)
    assert stats.kstest(steep, stats.loguniform(1e-4, 10).cdf).pvalue > ALMOST_NEVER
    assert stats.kstest(steep, stats.uniform(1e-4, 10).cdf).pvalue < ALMOST_NEVER


@pytest.mark.parametrize("by_seed", [False, True])
def test_whole_numbers_and_options_are_equally_likely(by_seed: bool) -> None:
    for axis, values in ((Integers(3, 9), range(3, 10)), (Choice(tuple("abcde")), range(5))):
        counts = np.bincount(np.array(drawn(axis, by_seed=by_seed), dtype=np.int64), minlength=10)
        assert counts.sum() == counts[list(values)].sum()
        assert stats.chisquare(counts[list(values)]).pvalue > ALMOST_NEVER


def test_axes_of_one_trial_do_not_follow_each_other() -> None:
    sampler = RandomSampler(seed=7, minimize=True)
    pairs = [(sampler.draw("a", Uniform(0, 1)), sampler.draw("b", Uniform(0, 1))) for n in range(DRAWS) if sampler.begin(n)]
    assert stats.spearmanr([a for a, _ in pairs], [b for _, b in pairs]).pvalue > ALMOST_NEVER
