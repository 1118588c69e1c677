"""Open a model version for answering: its predictor, and the features it was trained on."""

from __future__ import annotations

from tidewheel.features.definition import FeatureView
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.project.open import Workspace
from tidewheel.project.pinned import PinnedProjects
from tidewheel.schema import Schema
from tidewheel.serving.served import ServedModel


def open_version(
    workspace: Workspace, pinned: PinnedProjects, *, model: str, version: int
) -> tuple[ServedModel, list[FeatureView]]:
    """A version, loaded, with the views that it reads.

    The service is the one that the version was trained with, from its packed code; its views are looked up under their own
    versions, so a changed feature is another view and never reaches this model.

    Raises
    ------
    NotFound
        No such version, or its code no longer declares the service.
    NotMaterialized
        A view that it reads was never brought into the online store.
    """
    found = workspace.registry.get(f"{model}:{version}")
    service = pinned.service(found)
    loaded = workspace.registry.load(found)
    schemas = {view.source.name: workspace.sources.schema(view.source) for view in service.views}
    numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
    prepared = prepare(service, store=workspace.online, view_ids=numbers, schemas=schemas)
    keys = tuple(key.name for key in service.keys)
    served = ServedModel(
        model=model,
        version=version,
        features=found.features,
        inputs=Schema((*service.keys, *service.request)),
        keys=keys,
        lookup=prepared,
        predictor=loaded.predictor,
    )
    return served, list(service.views)
