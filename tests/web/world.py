"""An application around a small world."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.serving.models import NOW, Calling, Linear, World, one_version

from tidewheel.errors import NotFound, TypeMismatch
from tidewheel.predictions import Label
from tidewheel.serving.answer import Answerer
from tidewheel.serving.answer_features import FeatureAnswerer
from tidewheel.serving.served_features import FeatureTable, ServedFeatures
from tidewheel.web.application import Application
from tidewheel.web.http import Request, handle


@dataclass
class Taken:
    """What was pushed and labelled."""

    world: World
    pushed: list[Mapping[str, object]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def push(self, source: str, rows: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
        if source != "trips":
            raise NotFound(f"no source {source!r}", where="source", fix="known: trips")
        for index, row in enumerate(rows):
            if not isinstance(row.get("pickup_zone"), int):
                raise TypeMismatch("pickup_zone must be int64", where=f"rows[{index}].pickup_zone", fix="send a whole number")
        self.pushed.extend(rows)
        return {"accepted": len(rows)}

    def label(self, deployment: str, labels: Sequence[Label]) -> int:
        self.labels.extend(labels)
        return len(labels)


def application(predictor: Linear | Calling | None = None) -> tuple[Taken, Application]:
    world, answerer = one_version(predictor)
    taken = Taken(world)
    return taken, Application("taxi", answerer, taken.push, taken.label, no_features(answerer), clock=lambda: NOW)


def no_features(answerer: Answerer) -> FeatureAnswerer:
    """No feature service."""

    def prepare_views(names: Sequence[str]) -> ServedFeatures:
        raise NotFound(f"no views {names}")

    table = FeatureTable(0, {})
    return FeatureAnswerer(
        lambda _: table,
        prepare_views=prepare_views,
        bookmarks=lambda _: {},
        clock=lambda: NOW,
        measurements=answerer.measurements,
    )


def call(
    app: Application, method: str, path: str, body: object = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    """One request without sockets; the answer's status and JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = handle(app, Request(method, path, headers or {}, sent))
    read = json.loads(response.body)
    assert isinstance(read, dict)
    return response.status, read
