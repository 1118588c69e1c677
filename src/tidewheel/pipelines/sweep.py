"""Sweeps: call a step with many points of a space, and answer the best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from tidewheel.clock import system_clock
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import place
from tidewheel.pipelines.definition import Step, current_runner
from tidewheel.pipelines.search import Search, Space, Sweep, Swept
from tidewheel.ports.sampler import Axis, Choice, Integers, Uniform

_GRID = Search()


def sweep(
    step: Step[..., object],
    space: Space | None = None,
    /,
    *,
    minimize: str | None = None,
    maximize: str | None = None,
    search: Search = _GRID,
    name: str | None = None,
    **arguments: object,
) -> Swept:
    """Call a step with many points of a space, each a run of its own, and answer the best.

    Called while a session is active (in a model, or a step that calls others), the points and what came of them are kept. A
    sweep whose process was killed goes on with the same points, and repeats no trial that has ended; a finished one is answered
    at once as long as code, arguments and what was read are the same; more trials are added to those that are there. Called
    elsewhere nothing is kept.

    Parameters
    ----------
    space
        A function that draws and returns the arguments of one trial, for axes that depend on each other: it is passed
        ``draw(name, axis)``. Without it the axes are among the arguments.
    minimize, maximize
        The metric, one of them. The step logs it (``trial.log(loss=0.3)``, where its parameter ``trial`` is passed), and its
        last value counts; or the step returns it.
    search
        How: :func:`search`. Every combination by default.
    name
        Of the sweep and of the experiment that its runs belong to; the step's by default.
    arguments
        Axes (:func:`uniform`, :func:`log_uniform`, :func:`integers`, :func:`choice`), and what every trial gets as it is.

    Raises
    ------
    StepFailed
        When every trial failed; single ones may.

    Examples
    --------
    >>> import tidewheel as tw
    >>> @tw.step
    ... def fit(rate: float, leaves: int) -> float:
    ...     return (rate - 0.1) ** 2 + leaves
    >>> found = tw.sweep(fit, minimize="loss", rate=tw.choice([0.1, 0.3]), leaves=tw.integers(1, 3))
    >>> len(found.trials), found.best.parameters, found.result
    (6, {'rate': 0.1, 'leaves': 1}, 1.0)
    """
    where = place()
    if (minimize is None) == (maximize is None):
        raise Invalid("a sweep has one aim", where=where, fix='give minimize="loss" or maximize="accuracy"')
    if not isinstance(step, Step):
        raise Invalid(f"{step!r} is no step", where=where, fix="decorate the function with @tw.step")
    axes = {key: value for key, value in arguments.items() if isinstance(value, Uniform | Integers | Choice)}
    if (space is None) == (not axes):
        raise Invalid(
            "a sweep needs a space, in one place", where=where, fix="give axes as arguments, or one function that draws"
        )
    wanted = Sweep(
        step,
        str(minimize if minimize is not None else maximize),
        minimize is not None,
        cast("Mapping[str, Axis]", axes) if space is None else space,
        {key: value for key, value in arguments.items() if key not in axes},
        search,
        name or step.name,
    )
    runner = current_runner()
    found = _alone(wanted) if runner is None else runner.sweep(wanted)
    return cast(Swept, found)


def _alone(wanted: Sweep) -> Swept:
    # Here, since a name of the package that is only looked at loads no database and no columns.
    from tidewheel.artifacts.store import ArtifactStore
    from tidewheel.database.open import Database
    from tidewheel.fingerprint.walk import Fingerprinter
    from tidewheel.pipelines.codec import Codec
    from tidewheel.pipelines.run_sweep import Stage, own_samplers, run_sweep

    database = Database.open("sqlite://")
    codec = Codec(ArtifactStore.open("memory:///"), (), pickle=wanted.step.policy.pickle)
    try:
        return run_sweep(
            Stage(database, codec, Fingerprinter(Path.cwd()), "", system_clock, lambda *_: None, own_samplers), wanted
        )
    finally:
        database.close()
