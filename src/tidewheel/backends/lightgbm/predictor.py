"""Answer rows with a booster.

``Booster.predict`` costs 30 microseconds of preparation a call. For one row LightGBM's C interface has a pair of functions that
prepare once (``...SingleRowFastInit``) and then take a pointer: 8 microseconds, and the same bits. They are called in
the library that the ``lightgbm`` package itself has loaded. When it does not offer them, or answers differently on a
trial row, ``Booster.predict`` is used.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tidewheel.errors import Unavailable

if TYPE_CHECKING:
    import lightgbm

Floats = npt.NDArray[np.float64]

_NORMAL = ctypes.c_int(0)  # C_API_PREDICT_NORMAL
_FLOAT64 = ctypes.c_int(1)  # C_API_DTYPE_FLOAT64
_FUNCTIONS = ("LGBM_BoosterPredictForMatSingleRowFastInit", "LGBM_BoosterPredictForMatSingleRowFast", "LGBM_FastConfigFree")


class BoosterPredictor:
    """A booster that answers; safe to call from many threads."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        self._booster = booster
        self._columns = booster.num_feature()
        self._outputs = booster.num_model_per_iteration()
        self._library = _find_library(booster)
        self._rows = threading.local()  # the prepared call has buffers of its own, which two threads must not share
        if self._library is not None and not self._agrees():
            self._library = None

    @property
    def fast(self) -> bool:
        """Whether single rows take the short way."""
        return self._library is not None

    def predict(self, columns: Floats) -> Floats:
        """Shape (rows,); (rows, classes) for a model of more than two classes."""
        if len(columns) != 1 or self._library is None:
            return self.predict_batch(columns)
        row: _Row | None = getattr(self._rows, "row", None)
        if row is None:
            row = self._rows.row = _Row(self._library, self._booster, self._columns, self._outputs)
        return row.predict(columns)

    def predict_batch(self, columns: Floats) -> Floats:
        """Through ``Booster.predict``: on all threads for many rows, on one for a few."""
        if not len(columns):
            return np.empty(0 if self._outputs == 1 else (0, self._outputs))
        return np.asarray(self._booster.predict(columns, num_threads=1 if len(columns) < 64 else 0), dtype=np.float64)

    def _agrees(self) -> bool:
        trials = np.zeros((3, self._columns))
        trials[1] = np.nan
        trials[2] = np.linspace(-1e3, 1e3, self._columns)
        expected = self.predict_batch(trials)
        try:
            found = np.concatenate([self.predict(trials[place : place + 1]) for place in range(3)])
        except Unavailable:
            return False
        return np.array_equal(found, expected, equal_nan=True)


class _Row:
    """One prepared call: a buffer for the row, one for the answer, and pointers to both."""

    def __init__(self, library: ctypes.CDLL, booster: lightgbm.Booster, columns: int, outputs: int) -> None:
        self._booster = booster  # the library's configuration points into it
        self._row = np.empty(columns, dtype=np.float64)
        self._answer = np.empty(outputs, dtype=np.float64)
        self._length = ctypes.c_int64()
        self._config = ctypes.c_void_p()
        failed = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,
            _NORMAL,
            ctypes.c_int(0),
            ctypes.c_int(booster.best_iteration),
            _FLOAT64,
            ctypes.c_int32(columns),
            b"num_threads=1",
            ctypes.byref(self._config),
        )
        if failed:
            raise Unavailable("LightGBM did not prepare a row", fix="upgrade lightgbm")
        weakref.finalize(self, library.LGBM_FastConfigFree, self._config)
        self._call = library.LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (
            self._config,
            ctypes.c_void_p(self._row.ctypes.data),
            ctypes.byref(self._length),
            ctypes.c_void_p(self._answer.ctypes.data),
        )
        self._one = outputs == 1

    def predict(self, columns: Floats) -> Floats:
        self._row[:] = columns[0]
        if self._call(*self._arguments):
            raise Unavailable("LightGBM did not answer a row", fix="upgrade lightgbm")
        return self._answer.copy() if self._one else self._answer.copy()[None]


def _find_library(booster: lightgbm.Booster) -> ctypes.CDLL | None:
    from lightgbm import basic

    library: object = getattr(basic, "_LIB", None)  # private, like Booster._handle; hence the trial, and the other way
    if not isinstance(library, ctypes.CDLL) or not isinstance(getattr(booster, "_handle", None), ctypes.c_void_p):
        return None
    return library if all(hasattr(library, name) for name in _FUNCTIONS) else None
