"""LightGBM: models in the library's own text format, answered row by row through its C interface."""

from __future__ import annotations

from tidewheel.backends.lightgbm.model_format import LightgbmFormat

__all__ = ["LightgbmFormat"]
