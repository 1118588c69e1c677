"""Contract suite of the port :class:`tidewheel.ports.model_format.ModelFormat`.

A backend's test derives from :class:`ModelFormatContract` and answers two questions: which format, and which fitted models.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from tidewheel.errors import Incompatible
from tidewheel.ports.model_format import ModelFormat

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted model with rows it can answer, and what its own library answers for them."""

    name: str
    model: object
    features: tuple[str, ...]
    rows: Floats
    expected: Floats


class NotAModel:
    """What no format accepts."""


class ModelFormatContract(ABC):
    """What every model format does. Derive, and implement :meth:`make_format` and :meth:`make_models`."""

    @abstractmethod
    def make_format(self) -> ModelFormat:
        """The format under test."""
        ...

    @abstractmethod
    def make_models(self) -> Sequence[FittedModel]:
        """Small fitted models: at least a regressor, a classifier of two classes and one of three."""
        ...

    def test_has_a_name(self) -> None:
        """The name is stored with each model, so it is a plain word."""
        assert self.make_format().name.isidentifier()

    def test_accepts_its_models_and_nothing_else(self) -> None:
        """Also classes and plain values are refused."""
        format = self.make_format()
        for fitted in self.make_models():
            assert format.accepts(fitted.model), fitted.name
            assert not format.accepts(type(fitted.model)), fitted.name
        assert not any(format.accepts(other) for other in (None, 1, "text", NotAModel(), lambda: None))

    def test_answers_what_the_library_answers(self) -> None:
        """In one batch and row by row, to the bit."""
        format = self.make_format()
        for fitted in self.make_models():
            predictor = format.predictor(fitted.model, fitted.features)
            assert _equal(predictor.predict(fitted.rows), fitted.expected), fitted.name
            for place in range(len(fitted.rows)):
                answer = predictor.predict(fitted.rows[place : place + 1])
                assert answer.dtype == np.float64
                assert answer.shape == fitted.expected[place : place + 1].shape
                np.testing.assert_allclose(answer, fitted.expected[place : place + 1], rtol=1e-12, err_msg=fitted.name)

    def test_a_stored_model_answers_the_same_bits(self) -> None:
        """Saving and loading changes no answer."""
        format = self.make_format()
        for fitted in self.make_models():
            loaded = format.load(format.save(fitted.model))
            assert _equal(format.predictor(loaded, fitted.features).predict(fitted.rows), fitted.expected), fitted.name

    def test_storing_again_gives_the_same_bytes(self) -> None:
        """Content addresses mean something only when equal models are equal bytes; a loaded model is equal to the
        stored one."""
        format = self.make_format()
        for fitted in self.make_models():
            first = format.save(fitted.model)
            assert format.save(fitted.model) == first, fitted.name
            assert format.save(format.load(first)) == first, fitted.name

    def test_no_rows_give_no_answers(self) -> None:
        """An empty batch is no error."""
        format = self.make_format()
        for fitted in self.make_models():
            answer = format.predictor(fitted.model, fitted.features).predict(fitted.rows[:0])
            assert answer.shape == fitted.expected[:0].shape, fitted.name

    def test_another_number_of_features_is_refused(self) -> None:
        """When the predictor is made, not at the first request."""
        format = self.make_format()
        for fitted in self.make_models():
            with pytest.raises(Incompatible):
                format.predictor(fitted.model, (*fitted.features, "one_more"))

    def test_rows_may_be_slices_of_another_order_in_memory(self) -> None:
        """Neither a Fortran-ordered batch nor a strided row changes the answer."""
        format = self.make_format()
        for fitted in self.make_models():
            predictor = format.predictor(fitted.model, fitted.features)
            assert _equal(predictor.predict(np.asfortranarray(fitted.rows)), fitted.expected), fitted.name
            wide = np.repeat(fitted.rows, 2, axis=1)[:, ::2]
            np.testing.assert_allclose(predictor.predict(wide[:1]), fitted.expected[:1], rtol=1e-12)

    def test_answers_from_many_threads(self) -> None:
        """Single rows asked at the same time do not mix."""
        format = self.make_format()
        fitted = self.make_models()[0]
        predictor = format.predictor(fitted.model, fitted.features)
        wrong: list[int] = []

        def ask(start: int) -> None:
            for turn in range(100):
                place = (start + turn) % len(fitted.rows)
                if not np.allclose(predictor.predict(fitted.rows[place : place + 1]), fitted.expected[place], rtol=1e-12):
                    wrong.append(place)

        threads = [threading.Thread(target=ask, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def _equal(one: Floats, two: Floats) -> bool:
    return one.dtype == np.float64 and np.array_equal(one, two)
