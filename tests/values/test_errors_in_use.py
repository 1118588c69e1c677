"""Every error that the specification of features names is raised by something, and says its own code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tidewheel import errors

SOURCE = Path(inspect.getfile(errors)).parent
CODES = (
    *("MixedTimezones", "AmbiguousTime", "KeyTypeMismatch", "UnsupportedKeyType", "NameCollision", "BadTtl", "BadWindow"),
    *("UnboundedState", "FeatureOverflow", "AmbiguousRows", "FutureLeak", "IncompatibleChange", "InUse", "NotMaterialized"),
    *("MissingColumns", "TypeMismatch", "MissingTime", "FutureEvent", "ImpureTransform", "TransformDiverges"),
    *("CyclicTransform", "HistoryUnavailable", "EngineCannot", "UnknownFeature"),
)
"""What the specification of features refuses."""


@pytest.fixture(scope="module")
def said() -> str:
    """The package without its imports and docstrings."""
    texts = []
    for path in SOURCE.rglob("*.py"):
        if path.name != "errors.py":
            text = re.sub(r'"""(?s:.*?)"""', "", path.read_text())
            texts.append(
                re.sub(
                    r"^(from tidewheel.errors import .*|import .*)$|from tidewheel.errors import \((?s:.*?)\)",
                    "",
                    text,
                    flags=re.M,
                )
            )
    return "\n".join(texts)


@pytest.mark.parametrize("code", CODES)
def test_an_error_that_is_declared_is_raised(said: str, code: str) -> None:
    assert re.search(rf"\b{code}\b", said), f"nothing raises {code}: delete it, or raise it"
    assert getattr(errors, code)("what").as_dict() == {"code": code, "error": "what"}
