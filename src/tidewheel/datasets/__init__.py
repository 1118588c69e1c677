"""A dataset is a frozen training set: rows with the features known at their time and a label, split and reported on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.datasets.definition import ByTime, Spine, TrainingSet, by_time, spine, training_set

if TYPE_CHECKING:
    from tidewheel.datasets.build import build_training_set as build_training_set
    from tidewheel.datasets.build import join as join
    from tidewheel.datasets.handle import Dataset as Dataset
    from tidewheel.datasets.handle import Split as Split
    from tidewheel.datasets.report import Report as Report

__all__ = [
    "ByTime",
    "Dataset",
    "Report",
    "Spine",
    "Split",
    "TrainingSet",
    "build_training_set",
    "by_time",
    "join",
    "spine",
    "training_set",
]

_HOMES = {"Dataset": "handle", "Report": "report", "Split": "handle", "build_training_set": "build", "join": "build"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"tidewheel.datasets.{_HOMES[name]}"), name)
