"""Tidewheel: features, training sets, experiments, pipelines, models, serving, monitoring and releases as one graph.

    import tidewheel as tw

Everything a project's files need is an attribute of this module. Names load on first use, so importing costs
milliseconds and none of the heavy libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# ``features`` is a function here and a package below. Importing the package sets this attribute to the package, once; so it is
# imported first, and the function takes the name for good.
from tidewheel.features.definition import features as features

if TYPE_CHECKING:
    from tidewheel.artifacts.table import Table as Table
    from tidewheel.datasets.definition import by_time as by_time
    from tidewheel.datasets.definition import spine as spine
    from tidewheel.datasets.definition import training_set as training_set
    from tidewheel.errors import TidewheelError as TidewheelError
    from tidewheel.features.case import test_case as test_case
    from tidewheel.features.definition import count as count
    from tidewheel.features.definition import entity as entity
    from tidewheel.features.definition import last as last
    from tidewheel.features.definition import lookup as lookup
    from tidewheel.features.definition import max as max
    from tidewheel.features.definition import mean as mean
    from tidewheel.features.definition import min as min
    from tidewheel.features.definition import on_request as on_request
    from tidewheel.features.definition import request as request
    from tidewheel.features.definition import service as service
    from tidewheel.features.definition import std as std
    from tidewheel.features.definition import std_pop as std_pop
    from tidewheel.features.definition import sum as sum
    from tidewheel.features.definition import use as use
    from tidewheel.features.vector import vector as vector
    from tidewheel.models.definition import model as model
    from tidewheel.monitors.definition import monitor as monitor
    from tidewheel.pipelines.definition import fixed as fixed
    from tidewheel.pipelines.definition import grid as grid
    from tidewheel.pipelines.definition import map as map
    from tidewheel.pipelines.definition import resources as resources
    from tidewheel.pipelines.definition import step as step
    from tidewheel.predictions.definition import labels as labels
    from tidewheel.project.open import Workspace as Workspace
    from tidewheel.project.open import open_workspace as open_workspace
    from tidewheel.releases.definition import beats as beats
    from tidewheel.releases.definition import gate as gate
    from tidewheel.releases.definition import no_worse as no_worse
    from tidewheel.releases.definition import under as under
    from tidewheel.schema import Timestamp as Timestamp
    from tidewheel.serving.definition import deployment as deployment
    from tidewheel.sources.changes import changes as changes
    from tidewheel.sources.definition import source as source
    from tidewheel.sources.expectation import expect as expect
    from tidewheel.sources.expectation import fresh as fresh
    from tidewheel.sources.location import location as location
    from tidewheel.sources.location import query as query

_HOMES = {
    "tidewheel.artifacts.table": ("Table",),
    "tidewheel.datasets.definition": ("by_time", "spine", "training_set"),
    "tidewheel.errors": ("TidewheelError",),
    "tidewheel.features.case": ("test_case",),
    "tidewheel.features.definition": (
        *("count", "entity", "last", "lookup", "max", "mean", "min", "on_request", "request", "service"),
        *("std", "std_pop", "sum", "use"),
    ),
    "tidewheel.features.vector": ("vector",),
    "tidewheel.models.definition": ("model",),
    "tidewheel.monitors.definition": ("monitor",),
    "tidewheel.pipelines.definition": ("fixed", "grid", "map", "resources", "step"),
    "tidewheel.predictions.definition": ("labels",),
    "tidewheel.project.open": ("Workspace", "open_workspace"),
    "tidewheel.releases.definition": ("beats", "gate", "no_worse", "under"),
    "tidewheel.schema": ("Timestamp",),
    "tidewheel.serving.definition": ("deployment",),
    "tidewheel.sources.changes": ("changes",),
    "tidewheel.sources.definition": ("source",),
    "tidewheel.sources.expectation": ("expect", "fresh"),
    "tidewheel.sources.location": ("location", "query"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(["features", *_HOME_OF])


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'tidewheel' has no attribute {name!r}")
    found: object = getattr(importlib.import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
