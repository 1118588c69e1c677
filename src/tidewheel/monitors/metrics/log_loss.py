"""Mean negative log likelihood of labels 0 and 1; a prediction is the probability of 1."""

from __future__ import annotations

import numpy as np

from tidewheel.monitors.metrics.loss import Floats, LossMetric

_LEAST = 1e-15


def _losses(prediction: Floats, label: Floats) -> Floats:
    sure = np.clip(prediction, _LEAST, 1 - _LEAST)
    return -(label * np.log(sure) + (1 - label) * np.log1p(-sure))


METRIC = LossMetric("log_loss", _losses, "lower")
