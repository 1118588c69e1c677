"""Share of right answers; a prediction is a class, or the probability of class 1."""

from __future__ import annotations

import numpy as np

from tidewheel.monitors.metrics.loss import Floats, LossMetric


def _losses(prediction: Floats, label: Floats) -> Floats:
    return np.where(np.floor(prediction + 0.5) == label, 1.0, 0.0)


METRIC = LossMetric("accuracy", _losses, "higher")
