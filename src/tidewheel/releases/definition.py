"""Gates as declared: the conditions under which a new version may take over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, declare, node_id, place

if TYPE_CHECKING:
    from tidewheel.models.definition import ModelDefinition

METRICS = ("mae", "rmse", "accuracy", "log_loss")
"""Metrics that a gate can compare with an interval."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Better than an alias on held-out rows, by a relative margin, with an interval."""

    alias: str
    metric: str
    by: float
    confidence: float


@dataclass(frozen=True, slots=True)
class NoWorse:
    """Not shown to be worse than an alias, over all rows and in each slice."""

    metric: str
    slices: tuple[str, ...]
    alias: str
    tolerance: float
    confidence: float
    min_rows: int


@dataclass(frozen=True, slots=True)
class Under:
    """Latency of one-row answers, measured."""

    p95_ms: float


Condition = Beats | NoWorse | Under
"""What a gate asks for."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Conditions that a version of a model must meet, all of them."""

    name: str
    model: str
    conditions: tuple[Condition, ...]


def beats(alias: str, metric: str, *, by: float = 0.0, confidence: float = 0.95) -> Beats:
    """Ask that the challenger's metric is better than that of the version under an alias.

    Parameters
    ----------
    by
        Margin, relative to the metric of the version under the alias: 0.01 is one per cent. The whole interval of the relative
        improvement must lie above it.
    confidence
        Of the two-sided paired bootstrap interval.

    Examples
    --------
    >>> beats("champion", "mae", by=0.01).by
    0.01
    """
    _check(metric, confidence)
    if not -1 < by < 1:
        raise Invalid(f"by={by} is not a relative margin", where="by", fix="0.01 asks for one per cent")
    return Beats(alias, metric, by, confidence)


def no_worse(
    metric: str,
    *,
    slices: Sequence[str] = (),
    alias: str = "champion",
    tolerance: float = 0.0,
    confidence: float = 0.95,
    min_rows: int = 30,
) -> NoWorse:
    """Ask that the challenger is nowhere shown to be worse: over all rows, and in each slice.

    A slice is a value of the column; a number with more than 24 values is cut into eight slices of about as many rows. The
    level is corrected for the number of slices (Bonferroni), so that many slices do not fail by chance.

    Parameters
    ----------
    slices
        Names of features.
    tolerance
        Relative worsening that is accepted.
    min_rows
        Slices with fewer rows are reported but not judged.

    Examples
    --------
    >>> no_worse("mae", slices=["hour_of_week"]).slices
    ('hour_of_week',)
    """
    _check(metric, confidence)
    if not 0 <= tolerance < 1:
        raise Invalid(f"tolerance={tolerance} is not a relative margin", where="tolerance", fix="0.01 accepts one per cent")
    return NoWorse(metric, tuple(slices), alias, tolerance, confidence, min_rows)


def under(*, p95_ms: float) -> Under:
    """Ask that 95 of 100 one-row answers take less than this many milliseconds.

    Examples
    --------
    >>> under(p95_ms=10)
    Under(p95_ms=10.0)
    """
    if p95_ms <= 0:
        raise Invalid(f"p95_ms={p95_ms} cannot be met", where="p95_ms", fix="give a number above 0")
    return Under(float(p95_ms))


def gate(
    model: ModelDefinition | str,
    *conditions: Condition,
    name: str | None = None,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Gate:
    """Declare what a new version of a model must show before it takes over.

    Examples
    --------
    >>> guard = gate("eta", beats("champion", "mae", by=0.01), under(p95_ms=10))
    >>> guard.name, len(guard.conditions)
    ('eta', 2)
    """
    where = place()
    target = model if isinstance(model, str) else model.name
    if not conditions:
        raise Invalid(f"gate of {target!r} asks for nothing", where=where, fix='add tw.beats("champion", "mae")')
    made = Gate(name or target, target, conditions)
    declare(
        Declaration(
            node_id("gate", made.name),
            made,
            where,
            parameters={"conditions": [[type(part).__name__, asdict(part)] for part in conditions]},
            upstream=(node_id("model", target),),
            meta={"owner": owner, "description": description, "tags": list(tags)},
        )
    )
    return made


def _check(metric: str, confidence: float) -> None:
    if metric not in METRICS:
        raise Invalid(f"unknown metric {metric!r}", where="metric", fix=f"use one of {', '.join(METRICS)}")
    if not 0.5 <= confidence < 1:
        raise Invalid(f"confidence={confidence} is not a level", where="confidence", fix="give 0.95")
