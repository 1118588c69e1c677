"""The border to code that is not ours: whatever it raises becomes our error, with the cause chained."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from tidewheel.errors import TidewheelError


class Border:
    """Turns foreign exceptions into ours; our own pass.

    Examples
    --------
    >>> from tidewheel.errors import ModelFailed
    >>> with Border(lambda error: ModelFailed(f"the model raised {error!r}")):
    ...     {}["x"]
    Traceback (most recent call last):
    tidewheel.errors.ModelFailed: the model raised KeyError('x')
    """

    __slots__ = ("_explain",)

    def __init__(self, explain: Callable[[Exception], TidewheelError]) -> None:
        self._explain = explain

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, TidewheelError):
            raise self._explain(error) from error


def describe(error: Exception) -> str:
    """Type and first line of a foreign exception.

    Examples
    --------
    >>> describe(ValueError("Input contains NaN.\\nEstimator does not accept"))
    'ValueError: Input contains NaN.'
    """
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
