"""Mean error: above zero the model answers too much."""

from __future__ import annotations

from tidewheel.monitors.metrics.loss import Floats, LossMetric


def _losses(prediction: Floats, label: Floats) -> Floats:
    return prediction - label


METRIC = LossMetric("bias", _losses, "zero")
