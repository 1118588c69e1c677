"""Our rules of stopping early stop the same trials at the same steps as Optuna's pruners do."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from tests.backends.optuna.test_optuna_sampler import pruned_by

from tidewheel.pipelines.pruning import Curve, Pruner, prune_halving, prune_median


def stopped_by(rule: Pruner, curves: list[list[float]], *, minimize: bool) -> list[int]:
    """The same by our rule."""
    ended: list[int] = []
    finished: list[Curve] = []
    others: list[Curve] = []
    for curve in curves:
        own: dict[int, float] = {}
        for step, value in enumerate(curve, start=1):
            own[step] = value
            if rule.stops(own, finished=finished, others=others, minimize=minimize):
                ended.append(step)
                break
        else:
            ended.append(len(curve) + 1)
            finished.append(own)
        others.append(own)
    return ended


def curves_of(seed: int) -> list[list[float]]:
    draw = np.random.default_rng(seed)
    made = draw.normal(size=(30, 1)) + np.cumsum(draw.normal(scale=0.4, size=(30, 20)), axis=1)
    made[draw.random(made.shape) < 0.02] = np.nan
    made[:, -1] = 0.5  # Optuna takes a NaN at the end for a failure
    return [list(map(float, row)) for row in made]


@pytest.mark.filterwarnings("ignore:All-NaN slice")  # Optuna's own, of a trial that has reported nothing else
@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("startup", "warmup"), [(5, 0), (1, 4), (0, 0)])
def test_the_median_rule(seed: int, startup: int, warmup: int, minimize: bool) -> None:
    theirs = optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
    expected = pruned_by(theirs, curves_of(seed), direction="minimize" if minimize else "maximize")
    assert stopped_by(prune_median(startup=startup, warmup=warmup), curves_of(seed), minimize=minimize) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("first", "keep"), [(1, 2), (2, 3), (1, 4)])
def test_successive_halving(seed: int, first: int, keep: int, minimize: bool) -> None:
    theirs = optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=keep)
    expected = pruned_by(theirs, curves_of(seed), direction="minimize" if minimize else "maximize")
    assert stopped_by(prune_halving(first=first, keep_one_of=keep), curves_of(seed), minimize=minimize) == expected
    assert len(set(expected)) > 1
