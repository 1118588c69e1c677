"""LightGBM's boosters as text, and as predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tidewheel.backends.lightgbm.predictor import BoosterPredictor
from tidewheel.errors import Corrupt, Incompatible, Invalid, MissingExtra
from tidewheel.ports.model_format import Predictor

if TYPE_CHECKING:
    import lightgbm

FILE = "model.txt"


class LightgbmFormat:
    """Boosters, and the fitted estimators of LightGBM's scikit-learn interface; both come back as a ``lightgbm.Booster``.

    With early stopping only the trees up to the best iteration are stored, which are those that predict. Training
    gives the same bytes twice only when it is seeded and run with ``deterministic=True, force_row_wise=True`` and a
    fixed ``num_threads``.

    Examples
    --------
    >>> LightgbmFormat().accepts("not a model")
    False
    """

    @property
    def name(self) -> str:
        """``lightgbm``."""
        return "lightgbm"

    def accepts(self, model: object) -> bool:
        """Whether it is a booster or a LightGBM estimator."""
        if not any(kind.__module__.partition(".")[0] == "lightgbm" for kind in type(model).__mro__):
            return False
        import lightgbm

        return isinstance(model, lightgbm.Booster | lightgbm.LGBMModel)

    def save(self, model: object) -> Mapping[str, bytes]:
        """One text file.

        Raises
        ------
        Invalid
            For an estimator that is not fitted, one of classes that are not numbered from 0, and one fitted on
            categorical columns of a data frame, whose coding is not in the numbers that serving has.
        """
        return {FILE: _booster(model).model_to_string().encode()}

    def load(self, files: Mapping[str, bytes]) -> lightgbm.Booster:
        """The booster."""
        try:
            import lightgbm
        except ImportError as error:
            raise MissingExtra("this model needs the package lightgbm", fix="pip install 'tidewheel[lightgbm]'") from error
        if FILE not in files:
            raise Corrupt(f"a LightGBM model holds {sorted(files)} and no {FILE}", fix="train and register it again")
        try:
            return lightgbm.Booster(model_str=files[FILE].decode())
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise Corrupt(f"{FILE} is not a LightGBM model: {error}", fix="train and register it again") from error

    def predictor(self, model: object, features: Sequence[str]) -> Predictor:
        """Single rows through the C interface on one thread, batches through the library's own.

        Raises
        ------
        Incompatible
            When the booster was trained on another number of columns, or on other names in another order.
        """
        booster = _booster(model)
        if booster.num_feature() != len(features):
            raise Incompatible(
                f"the model takes {booster.num_feature()} columns and there are {len(features)} features",
                fix="fit it on all columns of train.x, in their order",
            )
        names = booster.feature_name()
        wanted = [_as_lightgbm(name) for name in features]
        if sorted(names) == sorted(wanted) and names != wanted:
            raise Incompatible(
                f"the model was fitted on the columns {', '.join(names)}, and the features are {', '.join(features)}",
                fix="fit it on train.x, or on columns in the order of train.features",
            )
        return BoosterPredictor(booster)


def _booster(model: object) -> lightgbm.Booster:
    import lightgbm

    if isinstance(model, lightgbm.LGBMModel):
        try:
            booster = model.booster_
        except lightgbm.compat.LGBMNotFittedError as error:
            raise Invalid(f"the {type(model).__name__} is not fitted", fix="call fit before returning it") from error
        classes = getattr(model, "classes_", None)
        if classes is not None and not np.array_equal(np.asarray(classes), np.arange(len(classes))):
            raise Invalid(f"the classes are {list(classes)}", fix="number the classes 0, 1, ... k-1 in the source's select")
    elif isinstance(model, lightgbm.Booster):
        booster = model
    else:
        raise Invalid(f"a {type(model).__name__} is no LightGBM model", fix="return a Booster or a fitted LGBM estimator")
    if any(booster.pandas_categorical or ()):
        raise Invalid(
            "the model was fitted on categorical columns of a data frame, whose coding serving does not have",
            fix="fit on train.x, and name integer columns in categorical_feature=",
        )
    return booster


def _as_lightgbm(name: str) -> str:
    return name.replace(" ", "_")
