"""What a metric made of one number per row is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LossMetric:
    """A metric whose number over rows is a function of the mean of one number per row.

    Parameters
    ----------
    losses
        From predictions and labels, both of shape (rows,), the number of each row.
    better
        ``lower``, ``higher``, or ``zero`` when either side of zero is worse.
    root
        The metric is the square root of the mean.

    Examples
    --------
    >>> squared = LossMetric("rmse", lambda p, y: (p - y) ** 2, "lower", root=True)
    >>> squared.over(squared.losses(np.array([1.0, 5.0]), np.array([1.0, 1.0])))
    2.828427...
    """

    name: str
    losses: Callable[[Floats, Floats], Floats]
    better: Literal["lower", "higher", "zero"]
    root: bool = False

    def finish(self, mean: float) -> float:
        """The metric from the mean of the losses."""
        return math.sqrt(mean) if self.root else mean

    def over(self, losses: Floats) -> float:
        """The metric over rows."""
        return self.finish(float(np.mean(losses)))
