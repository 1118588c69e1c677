"""Monitors: whether the world is still the one that a model was trained on, and whether its answers are still good.

A monitor looks at one window of time after the other. It makes mergeable profiles of features and predictions and compares
them with the model version's baseline (PSI, and a distance test corrected for many features), and it measures performance
where labels have been joined. A breach opens one alert, which stays open while the breach persists, goes to a webhook, and
can start a retraining or a rollback. Thresholds are calibrated on the baseline's own windows to a stated rate of false
alarms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.monitors.alert import Alert
from tidewheel.monitors.definition import FalseAlarms, Monitor, monitor
from tidewheel.monitors.window import Check, WindowResult

if TYPE_CHECKING:
    from tidewheel.monitors.evaluate import Monitors as Monitors

__all__ = ["Alert", "Check", "FalseAlarms", "Monitor", "Monitors", "WindowResult", "monitor"]


def __getattr__(name: str) -> object:
    """Load the part that needs NumPy and SQL only when somebody asks for it."""
    if name != "Monitors":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tidewheel.monitors.evaluate import Monitors

    return Monitors
