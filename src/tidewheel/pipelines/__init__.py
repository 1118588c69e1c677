"""A pipeline is plain Python over steps: functions whose results are looked up by recipe before they are run.

Inside an active session a step's call is looked up in the ledger and, when unknown, run in this process or on an executor's
worker; a result is one build like any other, so a pipeline that was killed goes on where it stopped. There is no second
mechanism for caching, resuming or lineage. :mod:`~tidewheel.pipelines.definition` holds what a user writes,
:mod:`~tidewheel.pipelines.execute` the session, :mod:`~tidewheel.pipelines.worker` what a worker process does.
"""

from tidewheel.pipelines.compose import Pipeline, pipeline
from tidewheel.pipelines.definition import (
    Fixed,
    Policy,
    Resources,
    Step,
    fixed,
    grid,
    imap,
    map,
    resources,
    running,
    secret,
    step,
)

__all__ = [
    "Fixed",
    "Pipeline",
    "Policy",
    "Resources",
    "Step",
    "fixed",
    "grid",
    "imap",
    "map",
    "pipeline",
    "resources",
    "running",
    "secret",
    "step",
]
