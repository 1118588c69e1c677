"""Metrics of monitors, one file each: distances between two profiles, and losses of predictions.

A *loss metric* is a module with a ``METRIC``; its number over a window is made from one number per row, so windows can be
resampled and merged. A *distance* compares the counts of two profiles.
"""

from __future__ import annotations

from importlib import import_module

from tidewheel.errors import NotFound, near_miss
from tidewheel.monitors.metrics.loss import LossMetric

LOSSES = ("accuracy", "bias", "log_loss", "mae", "rmse")

__all__ = ["LOSSES", "LossMetric", "find_loss"]


def find_loss(name: str) -> LossMetric:
    """The loss metric of a name.

    Examples
    --------
    >>> find_loss("mae").better
    'lower'
    """
    if name not in LOSSES:
        raise NotFound(f"no metric {name!r}", where=name, fix=near_miss(name, LOSSES))
    found = import_module(f"tidewheel.monitors.metrics.{name}").METRIC
    assert isinstance(found, LossMetric)
    return found
