"""Points chosen from what was found so far, by Optuna's tree-structured Parzen estimator."""

from tidewheel.backends.optuna.sampler import OptunaSampler, open_sampler

__all__ = ["OptunaSampler", "open_sampler"]
