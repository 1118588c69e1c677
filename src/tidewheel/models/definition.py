"""Models as a project declares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidewheel.errors import Invalid, near_miss
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.models.version import check_name

if TYPE_CHECKING:
    from tidewheel.datasets.definition import TrainingSet

ModelFunction = Callable[..., object]
"""``f(train, test, run)``, with two splits and the run, that returns the fitted model."""

METRICS: Mapping[str, bool] = {
    "mae": False,
    "rmse": False,
    "medae": False,
    "r2": True,
    "accuracy": True,
    "log_loss": False,
    "roc_auc": True,
}
"""Metrics that versions can be compared by, and whether greater is better."""

CLASSIFICATION = frozenset({"accuracy", "log_loss", "roc_auc"})
"""The metrics of classifiers."""


@dataclass(frozen=True)
class ModelDefinition:
    """A model: a function that trains it, and the training set that it learns from.

    Examples
    --------
    Calling the definition calls the function: training stays testable without a project.

    >>> from types import SimpleNamespace
    >>> rides = SimpleNamespace(name="rides")
    >>> eta = ModelDefinition("eta", lambda train, test, run: ("fitted", train), data=rides)
    >>> eta("train", "test", None)
    ('fitted', 'train')
    """

    name: str
    function: ModelFunction
    data: TrainingSet
    metric: str = "mae"
    allow_pickle: bool = False
    owner: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    where: str = field(default="", compare=False)

    def __call__(self, train: object, test: object, run: object) -> object:
        """Train, as plain Python: nothing is cached, recorded or registered."""
        return self.function(train, test, run)

    @property
    def greater_is_better(self) -> bool:
        """Whether a version with the greater metric is the better one."""
        return METRICS[self.metric]

    @property
    def task(self) -> str:
        """``"classification"`` or ``"regression"``, as the metric tells."""
        return "classification" if self.metric in CLASSIFICATION else "regression"


def model(
    name: str,
    *,
    data: TrainingSet,
    metric: str = "mae",
    allow_pickle: bool = False,
    owner: str | None = None,
    description: str = "",
    tags: tuple[str, ...] = (),
) -> Callable[[ModelFunction], ModelDefinition]:
    """Declare a model: ``@tw.model("eta", data=rides)`` on a function ``(train, test, run)`` that returns it fitted.

    The function is ordinary Python. Steps called in it are cached by recipe; what it returns is evaluated on the test
    split, stored and registered as the next version, once per recipe. Whether training twice gives the same bytes is up to the
    library: seed it, and for LightGBM also pass ``deterministic=True, force_row_wise=True, num_threads=<fixed>``.

    Parameters
    ----------
    data
        The training set; its split decides what ``train`` and ``test`` hold.
    metric
        What versions are compared by: ``mae``, ``rmse``, ``medae``, ``r2`` (regression), ``accuracy``, ``log_loss``,
        ``roc_auc`` (classification: labels are 0, 1, ... k-1).
    allow_pickle
        Permit pickle when no safe format takes the fitted object. Whoever can write such a file can run code where it
        is loaded.

    Raises
    ------
    Invalid
        For a bad name or an unknown metric.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rides = SimpleNamespace(name="rides")  # in a project: tw.training_set("rides", ...)
    >>> @model("eta", data=rides, metric="mae")
    ... def eta(train, test, run):
    ...     return "a fitted model"
    >>> eta.name, eta.task, eta.greater_is_better
    ('eta', 'regression', False)
    """
    where = place()
    check_name(name)
    if metric not in METRICS:
        raise Invalid(f"model {name!r}: no metric {metric!r}", where=where, fix=near_miss(metric, METRICS))

    def decorate(function: ModelFunction) -> ModelDefinition:
        made = ModelDefinition(
            name=name,
            function=function,
            data=data,
            metric=metric,
            allow_pickle=allow_pickle,
            owner=owner,
            description=description or (function.__doc__ or "").strip(),
            tags=tuple(tags),
            where=where,
        )
        declare(
            Declaration(
                node_id("model", name),
                made,
                where,
                parameters={"metric": metric, "allow_pickle": allow_pickle},
                functions=(function,),
                upstream=(node_id("training_set", data.name),),
                meta={"owner": owner, "description": made.description, "tags": list(tags)},
            )
        )
        return made

    return decorate
