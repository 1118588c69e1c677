"""Mean absolute error."""

from __future__ import annotations

import numpy as np

from tidewheel.monitors.metrics.loss import Floats, LossMetric


def _losses(prediction: Floats, label: Floats) -> Floats:
    return np.abs(prediction - label)


METRIC = LossMetric("mae", _losses, "lower")
