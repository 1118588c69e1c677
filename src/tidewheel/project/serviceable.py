"""Whether what a build left can still be used by the Tidewheel that is installed now."""

from __future__ import annotations

import json

from tidewheel.features.definition import view_of
from tidewheel.features.view import FeatureView
from tidewheel.ledger.build import Build
from tidewheel.ledger.definition import Declaration


def is_serviceable(declaration: Declaration, build: Build) -> bool:
    """Whether a build found by its recipe spares building it.

    Online rows lie under a digest that this version of Tidewheel may compute in another way than the one that wrote them: then
    nobody would look for them where they are.
    """
    if declaration.kind != "view":
        return True
    definition = declaration.definition
    assert isinstance(definition, FeatureView | type)
    return bool(json.loads(build.output).get("version") == view_of(definition).online_version)
