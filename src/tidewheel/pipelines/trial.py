"""Perform one trial of a sweep: in the driver's process or on a worker, always by the same code."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.digest import Digest
from tidewheel.errors import StepFailed
from tidewheel.fingerprint.record import heard, recording, unheard
from tidewheel.pipelines.codec import Codec
from tidewheel.pipelines.pruning import Pruner
from tidewheel.pipelines.record_trials import Trials
from tidewheel.pipelines.secrets import NO_SECRETS, Opened, call_hidden, secret_in_answer
from tidewheel.runs.observe import observe_environment
from tidewheel.runs.record import Run, Runs


class TrialSpec(msgspec.Struct, frozen=True):
    """Which trial a call is: what its process needs to log to its run, and to see how the others do.

    Parameters
    ----------
    database
        URL of the workspace's database without its password, which a worker finds where the driver has found it.
    takes_trial
        Whether the step has a parameter ``trial``.
    """

    database: str
    sweep: Digest
    number: int
    name: str
    metric: str
    minimize: bool
    prune: Pruner | None
    shown: dict[str, str]
    actor: str
    takes_trial: bool


class Trial:
    """What a step logs to while it is a trial of a sweep: its parameter ``trial``."""

    def __init__(self, told: TrialSpec, run: Run, trials: Trials) -> None:
        self.run = run
        self.number = told.number
        self.stopped = False
        self._told = told
        self._trials = trials
        self._last: dict[str, float] = {}

    def log(self, step: int | None = None, **metrics: float) -> None:
        """Log metrics to the trial's run, as :meth:`tidewheel.runs.Run.log` does."""
        with unheard():
            self.run.log(step, **metrics)
            self._last.update({name: float(value) for name, value in metrics.items()})

    @property
    def should_stop(self) -> bool:
        """Whether the sweep's rule would stop this trial after what it has logged. Once true, always true."""
        rule = self._told.prune
        if rule is None or self.stopped:
            return self.stopped
        with unheard():
            self.run.flush()
            curves = self._trials.curves(self._told.sweep, self._told.metric)
        _, own = curves.pop(self.number, ("waiting", {}))
        finished = [curve for state, curve in curves.values() if state == "finished"]
        others = [curve for _, curve in curves.values()]
        self.stopped = rule.stops(own, finished=finished, others=others, minimize=self._told.minimize)
        return self.stopped

    def objective(self, returned: object) -> float:
        """The last value of the metric: what was logged, else what was returned."""
        if self._told.metric in self._last:
            return self._last[self._told.metric]
        if isinstance(returned, int | float) and not isinstance(returned, bool):
            self.log(None, **{self._told.metric: float(returned)})
            return float(returned)
        raise StepFailed(
            f"trial {self.number} of {self._told.name} gave no {self._told.metric}",
            where=self._told.name,
            fix=f"call trial.log({self._told.metric}=...) in the step, or return the number",
        )


@cache
def _environment() -> Mapping[str, str]:
    """What is installed: looked up once in a process, which has imported it by then."""
    return observe_environment()


def perform(
    told: TrialSpec,
    function: Callable[..., object],
    *,
    arguments: Mapping[str, object],
    codec: Codec,
    root: Path,
    database: Database,
    opened: Opened = NO_SECRETS,
) -> None:
    """Call the function as one trial, with a run of its own, and write down what came of it.

    Raises
    ------
    StepFailed
        When it gives no number to judge it by. Whatever the function raises goes on to the caller.
    """
    trials = Trials(database)
    store: ArtifactStore = codec.store
    with unheard():
        runs = Runs(database, store, system_clock)
        run = runs.start(
            f"{told.name}-{told.number}",
            experiment=told.name,
            parameters=told.shown,
            actor=told.actor,
            environment_lock=_environment(),
            tags={"sweep": told.sweep, "trial": str(told.number)},
        )
        trials.change(told.sweep, told.number, run=run.id)
    with unheard(), run:
        trial = Trial(told, run, trials)
        given = {**arguments, "trial": trial} if told.takes_trial else arguments
        with heard(), recording(root, hidden=opened.names) as reads:
            value = call_hidden(function, given, opened)
        objective = trial.objective(value)
        if math.isnan(objective):
            raise StepFailed(f"{told.metric} of trial {told.number} is not a number", where=told.name, fix="mend the step")
        run.flush()
        output = codec.pack(value).data
        leaked = opened.holds(output)
        if leaked is not None:
            del value, output
            raise secret_in_answer(leaked, step=told.name)
    with unheard():
        trials.change(
            told.sweep,
            told.number,
            state="stopped" if trial.stopped else "finished",
            objective=objective,
            output=output,
            reads=json.dumps([(read.kind, read.name, read.value) for read in reads]),
        )
