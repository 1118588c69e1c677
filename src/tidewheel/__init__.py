"""Tidewheel: features, training sets, experiments, pipelines, models, serving, monitoring and releases as one graph.

    import tidewheel as tw

Everything a project's files need is an attribute of this module. Names load on first use, so importing costs
milliseconds and none of the heavy libraries.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

# ``features`` is a function here and a package below. Importing the package sets this attribute to the package, once; so it is
# imported first, and the function takes the name for good.
from tidewheel.features.definition import features as features

if TYPE_CHECKING:
    from tidewheel.artifacts.file import File as File
    from tidewheel.artifacts.table import Table as Table
    from tidewheel.datasets.definition import by_time as by_time
    from tidewheel.datasets.definition import spine as spine
    from tidewheel.datasets.definition import training_set as training_set
    from tidewheel.errors import TidewheelError as TidewheelError
    from tidewheel.features.aggregations.approx_distinct import approx_distinct as approx_distinct
    from tidewheel.features.aggregations.count import count as count
    from tidewheel.features.aggregations.distinct import distinct as distinct
    from tidewheel.features.aggregations.first import first as first
    from tidewheel.features.aggregations.first_k import first_k as first_k
    from tidewheel.features.aggregations.histogram import histogram as histogram
    from tidewheel.features.aggregations.last import last as last
    from tidewheel.features.aggregations.last_k import last_k as last_k
    from tidewheel.features.aggregations.max import max as max
    from tidewheel.features.aggregations.mean import mean as mean
    from tidewheel.features.aggregations.min import min as min
    from tidewheel.features.aggregations.quantile import quantile as quantile
    from tidewheel.features.aggregations.ratio import ratio as ratio
    from tidewheel.features.aggregations.std import std as std
    from tidewheel.features.aggregations.std_pop import std_pop as std_pop
    from tidewheel.features.aggregations.sum import sum as sum
    from tidewheel.features.aggregations.top_k import top_k as top_k
    from tidewheel.features.aggregations.var import var as var
    from tidewheel.features.aggregations.var_pop import var_pop as var_pop
    from tidewheel.features.case import test_case as test_case
    from tidewheel.features.definition import entity as entity
    from tidewheel.features.definition import lookup as lookup
    from tidewheel.features.definition import on_request as on_request
    from tidewheel.features.definition import request as request
    from tidewheel.features.definition import service as service
    from tidewheel.features.definition import use as use
    from tidewheel.features.vector import vector as vector
    from tidewheel.models.definition import model as model
    from tidewheel.monitors.definition import monitor as monitor
    from tidewheel.pipelines.compose import pipeline as pipeline
    from tidewheel.pipelines.definition import fixed as fixed
    from tidewheel.pipelines.definition import grid as grid
    from tidewheel.pipelines.definition import imap as imap
    from tidewheel.pipelines.definition import map as map
    from tidewheel.pipelines.definition import resources as resources
    from tidewheel.pipelines.definition import secret as secret
    from tidewheel.pipelines.definition import step as step
    from tidewheel.pipelines.partition import Partition as Partition
    from tidewheel.pipelines.pruning import prune_halving as prune_halving
    from tidewheel.pipelines.pruning import prune_median as prune_median
    from tidewheel.pipelines.search import choice as choice
    from tidewheel.pipelines.search import integers as integers
    from tidewheel.pipelines.search import log_uniform as log_uniform
    from tidewheel.pipelines.search import search as search
    from tidewheel.pipelines.search import uniform as uniform
    from tidewheel.pipelines.sweep import sweep as sweep
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
    from tidewheel.triggers.definition import alert as alert
    from tidewheel.triggers.definition import built as built
    from tidewheel.triggers.definition import new_data as new_data
    from tidewheel.triggers.definition import schedule as schedule
    from tidewheel.triggers.definition import trigger as trigger

_HOMES = {
    "tidewheel.artifacts.file": ("File",),
    "tidewheel.artifacts.table": ("Table",),
    "tidewheel.datasets.definition": ("by_time", "spine", "training_set"),
    "tidewheel.errors": ("TidewheelError",),
    "tidewheel.features.case": ("test_case",),
    "tidewheel.features.definition": ("entity", "lookup", "on_request", "request", "service", "use"),
    "tidewheel.features.vector": ("vector",),
    "tidewheel.models.definition": ("model",),
    "tidewheel.monitors.definition": ("monitor",),
    "tidewheel.pipelines.definition": ("fixed", "grid", "imap", "map", "resources", "secret", "step"),
    "tidewheel.pipelines.partition": ("Partition",),
    "tidewheel.pipelines.compose": ("pipeline",),
    "tidewheel.pipelines.pruning": ("prune_halving", "prune_median"),
    "tidewheel.pipelines.search": ("choice", "integers", "log_uniform", "search", "uniform"),
    "tidewheel.pipelines.sweep": ("sweep",),
    "tidewheel.predictions.definition": ("labels",),
    "tidewheel.project.open": ("Workspace", "open_workspace"),
    "tidewheel.releases.definition": ("beats", "gate", "no_worse", "under"),
    "tidewheel.schema": ("Timestamp",),
    "tidewheel.serving.definition": ("deployment",),
    "tidewheel.sources.changes": ("changes",),
    "tidewheel.sources.definition": ("source",),
    "tidewheel.sources.expectation": ("expect", "fresh"),
    "tidewheel.sources.location": ("location", "query"),
    "tidewheel.triggers.definition": ("alert", "built", "new_data", "schedule", "trigger"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_AGGREGATIONS = "tidewheel.features.aggregations"
"""A package with one module, and one name, for each aggregation: found here, and listed above for editors."""

_HOME_OF |= {
    module.name: f"{_AGGREGATIONS}.{module.name}"
    for module in pkgutil.iter_modules([str(Path(__file__).parent / "features" / "aggregations")])
}

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
