"""What the server is handed: the answerer, and callables for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidewheel.clock import Clock, Micros, system_clock
from tidewheel.errors import Unavailable
from tidewheel.predictions import Label
from tidewheel.serving.answer import Answerer
from tidewheel.serving.answer_features import FeatureAnswerer


@dataclass(frozen=True, slots=True)
class AlertLine:
    """An alert, as the page shows it. ``state``: open, acknowledged or closed."""

    monitor: str
    what: str
    state: str
    opened_at: Micros
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run, as the page shows it. ``status``: running, finished or failed."""

    id: str
    name: str
    status: str
    started_at: Micros
    seconds: float | None = None
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model version, as the page shows it."""

    model: str
    version: int
    aliases: tuple[str, ...]
    created_at: Micros
    metrics: Mapping[str, float] | None = None
    format: str = ""


@dataclass(frozen=True, slots=True)
class EnvironmentLine:
    """What an environment points at: how many nodes of each kind, and who moved it last."""

    name: str
    version: int
    nodes: Mapping[str, int]
    moved_at: Micros | None = None
    moved_by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the status page beside the deployments."""

    alerts: Sequence[AlertLine] = ()
    runs: Sequence[RunLine] = ()
    models: Sequence[ModelLine] = ()
    environments: Sequence[EnvironmentLine] = ()


def no_overview() -> Overview:
    """An empty overview."""
    return Overview()


Push = Callable[[str, Sequence[Mapping[str, object]]], Mapping[str, object]]
"""Source and rows in, the receipt out, ``accepted`` its first value; raises before anything is written, or writes all."""

TakeLabels = Callable[[str, Sequence[Label]], int]
"""Deployment and labels in, number of accepted labels out."""


Explain = Callable[[str, Mapping[str, object], Micros], Mapping[str, object]]
"""Service, typed inputs and instant in, what made each feature out, as plain values."""


def explain_nothing(service: str, _asked: Mapping[str, object], _at: Micros) -> Mapping[str, object]:
    """Where there is no source to read, nothing can be explained."""
    raise Unavailable(f"features of {service} are not explained here", where="explain", fix="ask a server of the project")


Start = Callable[[str, str, str], Mapping[str, object]]
"""Trigger, secret of the caller and reason in, the task out; raises ``Denied`` for a wrong secret before anything else."""


def start_nothing(trigger: str, _secret: str, _reason: str) -> Mapping[str, object]:
    """Where there is no project, nothing can be started."""
    raise Unavailable(f"trigger {trigger} is not started here", where="trigger", fix="ask a server of the project")


@dataclass(frozen=True, slots=True)
class Application:
    """What one server serves.

    Parameters
    ----------
    push
        Raises ``NotFound`` for an unknown source, ``Invalid`` with column and row for rows it cannot take.
    explain
        Reads sources, so it is asked in a thread.
    start
        Writes the task of a trigger.
    overview
        Asked by the status page only, in a thread.
    """

    project: str
    answerer: Answerer
    push: Push
    label: TakeLabels
    features: FeatureAnswerer
    overview: Callable[[], Overview] = no_overview
    explain: Explain = explain_nothing
    start: Start = start_nothing
    clock: Clock = system_clock
    body_bytes: int = 10_000_000

    def refresh(self) -> None:
        """Load what the routes and the environment say now, and bring the metrics up to date."""
        self.answerer.measurements.settle()
        self.answerer.refresh()
        self.features.refresh()
