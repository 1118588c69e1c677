"""Features: what a model knows about an entity at an instant, as it was known then.

A view reads one source for one entity: a column of the latest visible row, or an aggregate over a window of visible events. A
transform computes from a request. A service puts them in a model's order. The same kernel answers for training sets and for
serving, so the number is the same to the bit. Semantics: ``features.md``.
"""

from tidewheel.features.definition import (
    Entity,
    Feature,
    FeatureView,
    Output,
    Request,
    ServiceDefinition,
    Transform,
    Use,
    entity,
    features,
    on_request,
    request,
    service,
    use,
    view_of,
)

__all__ = [
    "Entity",
    "Feature",
    "FeatureView",
    "Output",
    "Request",
    "ServiceDefinition",
    "Transform",
    "Use",
    "entity",
    "features",
    "on_request",
    "request",
    "service",
    "use",
    "view_of",
]
