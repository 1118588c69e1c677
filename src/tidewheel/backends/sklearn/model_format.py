"""scikit-learn's estimators as skops files, and as predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zipfile import BadZipFile

from tidewheel.backends.sklearn.container import normalise
from tidewheel.backends.sklearn.predictor import EstimatorPredictor
from tidewheel.backends.sklearn.trees import CHECKED_TYPES, check_trees
from tidewheel.errors import Corrupt, Invalid, MissingExtra, UnsafeFormat
from tidewheel.ports.model_format import Predictor

FILE = "model.skops"

OWN_FORMATS = frozenset({"catboost", "lightgbm", "xgboost"})
"""Libraries whose estimators derive from scikit-learn's, and whose native format is safer and quicker."""

PLAIN_TYPES = (
    "numpy.dtype",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
)
"""Types that skops does not list as trusted and that only hold values: reading them runs nothing."""


class SklearnFormat:
    """Fitted estimators and pipelines of scikit-learn.

    A skops file names the types to rebuild. They are compared with those known to be safe before anything is built,
    when a model is stored (so that training fails, not serving) and again when it is read. Trees are data for C code
    that trusts them: they are checked after reading.

    Examples
    --------
    >>> SklearnFormat().accepts("not a model")
    False
    """

    @property
    def name(self) -> str:
        """``skops``."""
        return "skops"

    def accepts(self, model: object) -> bool:
        """Whether it is an estimator of scikit-learn, or of a class derived from one whose library has no format of its own."""
        packages = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
        if "sklearn" not in packages or packages & OWN_FORMATS:
            return False
        from sklearn.base import BaseEstimator

        return isinstance(model, BaseEstimator)

    def save(self, model: object) -> Mapping[str, bytes]:
        """One skops file; equal models give equal bytes.

        Raises
        ------
        UnsafeFormat
            When the model holds types that are not known to be safe, naming them.
        """
        try:
            import skops.io
        except ImportError as error:
            raise MissingExtra(
                "a scikit-learn model is stored by the package skops", fix="pip install 'tidewheel[sklearn]'"
            ) from error
        try:
            data = normalise(skops.io.dumps(model))
        except skops.io.exceptions.UnsupportedTypeException as error:
            raise UnsafeFormat(f"skops cannot store this {type(model).__name__}: {error}", fix=_FIX) from error
        self._check_types(data)
        return {FILE: data}

    def load(self, files: Mapping[str, bytes]) -> object:
        """The estimator.

        Raises
        ------
        UnsafeFormat
            When the file names types that are not known to be safe; none of them was imported or built.
        Corrupt
            When the file is no skops file, or its trees point outside of themselves.
        """
        try:
            import skops.io
        except ImportError as error:
            raise MissingExtra(
                "this model needs the packages scikit-learn and skops", fix="pip install 'tidewheel[sklearn]'"
            ) from error
        if FILE not in files:
            raise Corrupt(f"a scikit-learn model holds {sorted(files)} and no {FILE}", fix="train and register it again")
        data = files[FILE]
        try:
            trusted = self._check_types(data)
            model: object = skops.io.loads(data, trusted=trusted)
        except (
            BadZipFile,
            KeyError,
            ValueError,
            TypeError,
            AttributeError,
            ImportError,
            skops.io.exceptions.UntrustedTypesFoundException,
        ) as error:
            raise Corrupt(f"{FILE} cannot be read: {error}", fix="train and register it again") from error
        check_trees(model)
        return model

    def predictor(self, model: object, features: Sequence[str]) -> Predictor:
        """Through the estimator: ``predict_proba`` of a classifier that has it, else ``predict``.

        Raises
        ------
        Incompatible
            When the estimator was fitted on another number of columns, or on columns of other names or order.
        Invalid
            When the classes are not numbered 0, 1, ... k-1.
        """
        from sklearn.base import BaseEstimator

        if not isinstance(model, BaseEstimator):
            raise Invalid(f"a {type(model).__name__} is no scikit-learn estimator", fix="return a fitted estimator")
        return EstimatorPredictor(model, features)

    def _check_types(self, data: bytes) -> list[str]:
        import skops.io

        found = list(skops.io.get_untrusted_types(data=data))
        safe = set(CHECKED_TYPES) | set(PLAIN_TYPES)
        unsafe = sorted(name for name in found if name not in safe and not name.startswith("sklearn.gaussian_process.kernels."))
        if unsafe:
            raise UnsafeFormat(f"the model holds types that are not known to be safe: {', '.join(unsafe)}", fix=_FIX)
        return found


_FIX = "choose an estimator without them, or permit pickle: @tw.model(..., allow_pickle=True)"
