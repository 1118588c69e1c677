"""Sampler by Optuna: asked and told in memory; what was found is kept by whoever asks."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from tidewheel.ports.sampler import Axis, Choice, Integers


def open_sampler(*, seed: int, minimize: bool) -> OptunaSampler:
    """A sampler at its beginning."""
    return OptunaSampler(seed=seed, minimize=minimize)


class OptunaSampler:
    """Optuna's TPE with its defaults.

    Examples
    --------
    >>> sampler = OptunaSampler(seed=0, minimize=True)
    >>> sampler.begin(0), 1 <= sampler.draw("leaves", Integers(1, 9)) <= 9
    (True, True)
    """

    learns = True

    def __init__(self, *, seed: int, minimize: bool) -> None:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for each study, which are ours
        self._study = optuna.create_study(
            direction="minimize" if minimize else "maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        optuna.logging.set_verbosity(before)
        self._trials: dict[int, optuna.trial.Trial] = {}
        self._newest = 0

    @property
    def identity(self) -> str:
        """Optuna's version: another one may choose other points."""
        return f"optuna {optuna.__version__}"

    def begin(self, number: int) -> bool:
        """There is always another point."""
        self._trials[number] = self._study.ask()
        self._newest = number
        return True

    def draw(self, name: str, axis: Axis) -> float | int:
        """What Optuna suggests; of a choice the place, so that an option may be any value."""
        trial = self._trials[self._newest]
        if isinstance(axis, Choice):
            return trial.suggest_categorical(name, tuple(range(len(axis.options))))
        if isinstance(axis, Integers):
            return trial.suggest_int(name, axis.low, axis.high)
        return trial.suggest_float(name, axis.low, axis.high, log=axis.log)

    def tell(self, number: int, objective: float | None, *, reported: Sequence[tuple[int, float]], stopped: bool) -> None:
        """Tell Optuna the same."""
        trial = self._trials.pop(number)
        for step, value in reported:
            trial.report(value, step)
        if objective is None or stopped:
            state = optuna.trial.TrialState.PRUNED if stopped and objective is not None else optuna.trial.TrialState.FAIL
            self._study.tell(trial, state=state)
        else:
            self._study.tell(trial, objective)
