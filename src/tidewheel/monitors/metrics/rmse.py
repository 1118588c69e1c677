"""Root of the mean squared error."""

from __future__ import annotations

import numpy as np

from tidewheel.monitors.metrics.loss import Floats, LossMetric


def _losses(prediction: Floats, label: Floats) -> Floats:
    return np.square(prediction - label)


METRIC = LossMetric("rmse", _losses, "lower", root=True)
