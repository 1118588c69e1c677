"""Predictions: every answer that was given, and the truth that arrived for it later.

A deployment has one log of predictions and one of labels. Both are append-only journals that survive ``kill -9``, turned into
Parquet behind the writers' backs. A prediction is in the log before its answer leaves the process; reading joins the Parquet
files with the live journal, and gives each prediction id once. Labels come by id, by key and time, or from a source, in any
order and any number of times: the latest correction holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.predictions.definition import Label, LabelSource, labels
from tidewheel.predictions.row import PredictionRow, Scalar

if TYPE_CHECKING:
    from tidewheel.predictions.join import join_labels as join_labels
    from tidewheel.predictions.label_log import LabelLog as LabelLog
    from tidewheel.predictions.log import PredictionLog as PredictionLog

__all__ = ["Label", "LabelLog", "LabelSource", "PredictionLog", "PredictionRow", "Scalar", "join_labels", "labels"]

_HOMES = {"PredictionLog": "log", "LabelLog": "label_log", "join_labels": "join"}


def __getattr__(name: str) -> object:
    """Load the parts that need Arrow only when somebody asks for them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
