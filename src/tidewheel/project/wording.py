"""Parameters of nodes in words: a line for each feature, rather than what a program would read."""

from __future__ import annotations

from collections.abc import Mapping

from tidewheel.clock import format_duration
from tidewheel.features.windows import EXACT, FOREVER

_WIDTH = 120
_SPANS = ("window", "hop", "offset")
_PLAIN = ("where", "fill", "default")


def describe(value: object, *, width: int = _WIDTH) -> str:
    """A parameter's value, each line of it at most so wide.

    Examples
    --------
    >>> from tidewheel.features.aggregations.sum import sum
    >>> from tidewheel.features.feature import lookup
    >>> print(describe([{**sum("x", "7d", offset="7d").parameters, "name": "x_7d"}, {**lookup("y").parameters, "name": "y"}]))
    x_7d = sum(x, window=7d, hop=1h, offset=7d)
    y = lookup(y)
    >>> print(describe([{**sum("x", "1d", tail="exact").parameters, "name": "x_1d"}]))
    x_1d = sum(x, window=1d, tail=exact)
    >>> describe(["a", 1])
    "['a', 1]"
    """
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) and "kind" in one for one in value):
        return "\n".join(_cut(f"{one['name']} = {_call(one)}", width) for one in value)
    return _cut(value if isinstance(value, str) else repr(value), width)


def _call(feature: Mapping[str, object]) -> str:
    parts = feature.get("parts")
    if isinstance(parts, list | tuple) and parts:
        said = [_call(one) for one in parts if isinstance(one, Mapping)]
    else:
        said = [str(feature["column"])] if feature.get("column") is not None else []
        said += [_span(name, feature[name]) for name in _SPANS if feature.get(name)]
        said += [f"{name}={value!r}" for name, value in _options(feature)]
    said += [f"{name}={feature[name]!r}" for name in _PLAIN if feature.get(name) is not None]
    return f"{feature.get('aggregation') or feature['kind']}({', '.join(said)})"


def _span(name: str, value: object) -> str:
    assert isinstance(value, int)
    if name == "hop" and value == EXACT:
        return "tail=exact"
    return f"{name}={'forever' if value == FOREVER else format_duration(value)}"


def _options(feature: Mapping[str, object]) -> list[tuple[object, object]]:
    given = feature.get("options")
    return [(name, value) for name, value in given] if isinstance(given, list | tuple) else []


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
