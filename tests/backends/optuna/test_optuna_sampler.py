from __future__ import annotations

from typing import Literal

import optuna
import pytest

from tidewheel.backends.optuna import open_sampler
from tidewheel.ports.sampler import Axis, Choice, Integers, SamplerOpener, Uniform
from tidewheel.testing.sampler import SamplerContract

Direction = Literal["minimize", "maximize"]


class TestOptuna(SamplerContract):
    @pytest.fixture
    def opener(self) -> SamplerOpener:
        return open_sampler


def loss(rate: float, leaves: int, kind: int) -> float:
    return (rate - 0.03) ** 2 + abs(leaves - 17) / 30 + (0.0, 0.2, 0.1)[kind]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_points_are_those_of_optuna_itself(direction: Direction) -> None:
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=11))
    sampler = open_sampler(seed=11, minimize=direction == "minimize")
    axes: dict[str, Axis] = {"rate": Uniform(1e-4, 1.0, log=True), "leaves": Integers(2, 60), "kind": Choice(("x", "y", "z"))}
    for number in range(40):
        theirs = study.ask()
        own = {
            "rate": theirs.suggest_float("rate", 1e-4, 1.0, log=True),
            "leaves": theirs.suggest_int("leaves", 2, 60),
            "kind": "xyz".index(theirs.suggest_categorical("kind", ["x", "y", "z"])),
        }
        assert sampler.begin(number)
        assert {name: sampler.draw(name, axis) for name, axis in axes.items()} == own
        value = loss(float(own["rate"]), int(own["leaves"]), int(own["kind"]))
        theirs.report(value, 3)
        if number % 7 == 3:
            study.tell(theirs, state=optuna.trial.TrialState.PRUNED)
        elif number % 7 == 5:
            study.tell(theirs, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(theirs, value)
        sampler.tell(number, None if number % 7 == 5 else value, reported=[(3, value)], stopped=number % 7 == 3)


def pruned_by(pruner: optuna.pruners.BasePruner, curves: list[list[float]], *, direction: Direction) -> list[int]:
    """At which report Optuna stops each trial, one trial after the other; the number of reports where it does not."""
    study = optuna.create_study(direction=direction, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    ended = []
    for curve in curves:
        trial = study.ask()
        for step, value in enumerate(curve, start=1):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                ended.append(step)
                break
        else:
            study.tell(trial, curve[-1])
            ended.append(len(curve) + 1)
    return ended
