"""Load the versions of a route beside those that answer."""

from __future__ import annotations

import numpy as np

from tidewheel.errors import Corrupt, Incompatible, TidewheelError
from tidewheel.serving.arm import Arm, Route
from tidewheel.serving.border import Border, describe
from tidewheel.serving.definition import Deployment
from tidewheel.serving.inputs import InputReader
from tidewheel.serving.live import LiveArm, LiveDeployment
from tidewheel.serving.served import OpenVersion, ServedModel


def load_route(
    deployment: Deployment, route: Route, *, live: LiveDeployment | None, open_version: OpenVersion
) -> LiveDeployment:
    """Everything that a route names, loaded and warm; versions that answer already are taken over.

    Raises
    ------
    Corrupt
        When a version's own code or bytes raise while it loads or answers its first row.
    Incompatible
        When the deployment splits by an input that the model does not have.
    """
    loaded = {} if live is None else {(a.arm.model, a.arm.version): a for a in (*live.answering, *live.shadows)}
    arms: dict[Arm, LiveArm] = {}
    for arm in route.arms:
        found = loaded.get((arm.model, arm.version))
        served = found.served if found is not None else _open_warm(arm, open_version)
        arms[arm] = LiveArm(arm, served, found.reader if found is not None else InputReader(served.inputs))
    answering = tuple(arms[arm] for arm in route.answering)
    champion = answering[-1].served
    for name in deployment.split_by:
        if name not in champion.inputs:
            raise Incompatible(
                f"deployment {deployment.name!r} splits by {name!r}, which is no input of {champion.model}:{champion.version}",
                where=name,
                fix=f"split by one of: {', '.join(champion.inputs.names)}",
            )
    split_by = deployment.split_by or champion.keys or champion.inputs.names
    return LiveDeployment(deployment.name, route, answering, tuple(arms[arm] for arm in route.shadows), split_by)


def _open_warm(arm: Arm, open_version: OpenVersion) -> ServedModel:
    name = f"{arm.model}:{arm.version}"

    def explain(error: Exception) -> TidewheelError:
        fix = "see the model's card for its format and environment; the old version goes on answering"
        return Corrupt(f"model {name} cannot be loaded: {describe(error)}", where=name, fix=fix)

    with Border(explain):
        served = open_version(arm.model, arm.version)
        served.predictor.predict(np.zeros((1, len(served.features))))  # the first call pays lazy imports, thread pools, buffers
    return served
