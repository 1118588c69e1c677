"""What the status page and ``GET /api/status`` show, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from tidewheel.clock import format_instant
from tidewheel.errors import TidewheelError
from tidewheel.serving.arm import Arm
from tidewheel.serving.measure import Pace
from tidewheel.web.application import Application, Overview


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One deployment: who answers, since when and why, and how it goes."""

    name: str
    ready: bool
    trouble: str | None
    revision: int
    routed_at: str | None
    actor: str
    reason: str
    arms: tuple[Arm, ...]
    pace: Pace


@dataclass(frozen=True, slots=True)
class State:
    """The whole page."""

    project: str
    at: str
    ready: bool
    deployments: tuple[DeploymentState, ...]
    overview: Overview


def state_of(app: Application) -> State:
    """Collect the state; asks the stores behind the overview."""
    answerer = app.answerer
    deployments = tuple(_deployment(app, name) for name in answerer.names)
    return State(app.project, format_instant(app.clock()), answerer.ready(), deployments, app.overview())


def _deployment(app: Application, name: str) -> DeploymentState:
    pace = app.answerer.measurements.pace(name)
    trouble = app.answerer.trouble(name)
    told = None if trouble is None else str(trouble)
    try:
        route = app.answerer.find(name).route
    except TidewheelError as error:
        return DeploymentState(name, False, told or str(error), 0, None, "", "", (), pace)
    return DeploymentState(
        name, True, told, route.revision, format_instant(route.at), route.actor, route.reason, route.arms, pace
    )
