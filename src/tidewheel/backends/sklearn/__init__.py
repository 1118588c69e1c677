"""scikit-learn: models as skops files, which are read without running code from them."""

from __future__ import annotations

from tidewheel.backends.sklearn.model_format import SklearnFormat

__all__ = ["SklearnFormat"]
