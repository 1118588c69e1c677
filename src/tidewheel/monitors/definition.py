"""Monitors as declared: what is watched, how often an alarm may be false, and what a breach does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tidewheel.clock import DAY, Micros, format_duration, parse_duration
from tidewheel.errors import Invalid
from tidewheel.ledger.definition import Declaration, declare, node_id, place
from tidewheel.predictions.definition import LabelSource

if TYPE_CHECKING:
    from tidewheel.serving.definition import Deployment

OnBreach = Literal["retrain", "rollback"]
"""What the platform does by itself when an alert opens."""

LEAST_ROWS = 30
"""Fewer in a window are too few to compare distributions."""

METRICS = ("mae", "bias", "rmse", "accuracy", "log_loss")
"""Performance metrics that a monitor can watch; one file each in ``monitors/metrics``."""


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """How many alarms may be false in how long a time, over all features and metrics of one monitor together.

    Examples
    --------
    >>> rate = FalseAlarms.parse("1/365d")
    >>> round(rate.per_window(parse_duration("7d")), 5)
    0.01918
    """

    count: float
    span: Micros

    @classmethod
    def parse(cls, text: str) -> FalseAlarms:
        """Read ``count/duration``, such as ``"1/365d"``."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\S+)", text)
        if found is None:
            raise Invalid(f"{text!r} is not a rate of false alarms", where="false_alarms", fix='write "1/365d": one a year')
        count, span = float(found.group(1)), parse_duration(found.group(2))
        if count <= 0 or span <= 0:
            raise Invalid(f"{text!r} allows no false alarm, so no alarm at all", where="false_alarms", fix='write "1/365d"')
        return cls(count, span)

    def per_window(self, window: Micros) -> float:
        """Probability that a window without any change alarms; at most 0.2."""
        return min(0.2, self.count * window / self.span)

    def __str__(self) -> str:
        return f"{self.count:g}/{format_duration(self.span)}"


@dataclass(frozen=True, slots=True)
class Monitor:
    """Checks over the predictions of one deployment, one window of time after the other.

    Parameters
    ----------
    drift
        Whether features and predictions are compared with the model's baseline.
    labels
        A source of labels, besides those that are posted.
    window
        Length of a window, microseconds.
    delay
        Performance of a window is judged this long after its end, microseconds: quick outcomes arrive first.
    metrics
        Performance metrics, judged where labels are joined; those that the model cannot have are skipped.
    features
        Watch only these features; empty watches all.
    min_rows
        A window with fewer rows is not judged.
    """

    name: str
    deployment: str
    drift: bool
    labels: LabelSource | None
    window: Micros
    delay: Micros
    false_alarms: FalseAlarms
    metrics: tuple[str, ...]
    features: tuple[str, ...]
    min_rows: int
    on_breach: OnBreach | None
    webhook: str | None


def monitor(
    deployment: Deployment | str,
    *,
    drift: bool = True,
    labels: LabelSource | None = None,
    window: str = "7d",
    delay: str | None = None,
    false_alarms: str = "1/365d",
    metrics: Sequence[str] = ("mae", "bias"),
    features: Sequence[str] = (),
    min_rows: int = 200,
    on_breach: OnBreach | None = None,
    webhook: str | None = None,
    name: str | None = None,
    owner: str | None = None,
    description: str = "",
    tags: Sequence[str] = (),
) -> Monitor:
    """Watch a deployment: drift of features and predictions against the training baseline, and performance on labels.

    Thresholds are not given but calibrated: the baseline is cut into windows of the same length, and a feature alarms when it
    moves further than its own weeks and seasons do, at a rate of false alarms that you state.

    Parameters
    ----------
    labels
        A source of labels (:func:`tidewheel.predictions.labels`); labels that are posted count in any case.
    window
        Length of a window, a duration.
    delay
        Performance is judged this long after a window's end. Default: the delay of ``labels``, else none.
    false_alarms
        ``count/duration`` for the whole monitor: ``"1/365d"`` is one a year when nothing changes.
    metrics
        ``mae``, ``bias``, ``rmse``, ``accuracy``, ``log_loss``.
    on_breach
        ``"retrain"`` runs the model's pipeline, ``"rollback"`` goes back to the route before: when an alert opens, and while
        it lasts again after 2, 4, 8 ... windows.
    webhook
        URL that gets a POST with JSON when an alert opens and when it closes; retried until it answers 2xx.

    Raises
    ------
    Invalid
        For an unknown metric, a rate or duration that cannot be read, a webhook that is no http(s) URL.

    Examples
    --------
    >>> watch = monitor("eta", window="7d", false_alarms="1/365d", on_breach="retrain")
    >>> watch.name, watch.metrics
    ('eta', ('mae', 'bias'))
    """
    where = place()
    target = deployment if isinstance(deployment, str) else deployment.name
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise Invalid(f"unknown metric {unknown[0]!r}", where=where, fix=f"use one of {', '.join(METRICS)}")
    if webhook is not None and not re.match(r"https?://", webhook):
        raise Invalid(f"{webhook!r} is not a URL for a webhook", where=where, fix="give http://... or https://...")
    if min_rows < LEAST_ROWS:
        few = f"min_rows={min_rows} is too few to compare distributions"
        raise Invalid(few, where=where, fix=f"give {LEAST_ROWS} or more")
    span = parse_duration(window)
    if span <= 0 or span > 366 * DAY:
        raise Invalid(f"a window of {window} cannot be watched", where=where, fix='give "1h" to "366d", such as "7d"')
    wait = parse_duration(delay) if delay is not None else (labels.delay if labels is not None else Micros(0))
    made = Monitor(
        name=name or target,
        deployment=target,
        drift=drift,
        labels=labels,
        window=span,
        delay=wait,
        false_alarms=FalseAlarms.parse(false_alarms),
        metrics=tuple(metrics),
        features=tuple(features),
        min_rows=min_rows,
        on_breach=on_breach,
        webhook=webhook,
    )
    declare(_declaration(made, where, {"owner": owner, "description": description, "tags": list(tags)}))
    return made


def _declaration(made: Monitor, where: str, meta: dict[str, object]) -> Declaration:
    """Where alerts go, and what they start, never changes what was measured, so it is meta."""
    upstream = [node_id("deployment", made.deployment)]
    parameters: dict[str, object] = {
        "drift": made.drift,
        "window": format_duration(made.window),
        "delay": format_duration(made.delay),
        "false_alarms": str(made.false_alarms),
        "metrics": list(made.metrics),
        "features": list(made.features),
        "min_rows": made.min_rows,
    }
    if made.labels is not None:
        upstream.append(node_id("source", made.labels.source.name))
        parameters["labels"] = [made.labels.value, list(made.labels.by), made.labels.time, made.labels.id]
    return Declaration(
        node_id("monitor", made.name),
        made,
        where,
        parameters=parameters,
        upstream=tuple(upstream),
        meta=meta | {"on_breach": made.on_breach, "webhook": made.webhook},
    )
