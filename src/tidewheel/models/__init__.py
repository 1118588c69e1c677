"""Models: the registry of what was trained.

A **model** is declared with ``@tw.model`` on the function that trains it. Each training that changes something becomes
a **version**: the stored model in a safe format, its signature, the recipe and content of what it learned from, its
metrics, the environment and a baseline for monitors. Versions never change. **Aliases** (``champion``, ``challenger``)
point at versions and keep their history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.models.definition import ModelDefinition, model
from tidewheel.models.version import AliasMove, FeatureProfile, ModelVersion, Provenance, Signature, parse_reference

if TYPE_CHECKING:
    from tidewheel.models.registry import LoadedModel, Registry
    from tidewheel.models.train import train_model

__all__ = [
    "AliasMove",
    "FeatureProfile",
    "LoadedModel",
    "ModelDefinition",
    "ModelVersion",
    "Provenance",
    "Registry",
    "Signature",
    "model",
    "parse_reference",
    "train_model",
]


def __getattr__(name: str) -> object:
    if name in ("LoadedModel", "Registry"):
        from tidewheel.models import registry

        return getattr(registry, name)
    if name == "train_model":
        from tidewheel.models.train import train_model

        return train_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
