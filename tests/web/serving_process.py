"""A real server in its own process: routes in SQLite, the prediction log in a folder, the port announced on stdout.

python -m tests.web.serving_process FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.serving.models import World
from tests.web.world import no_features

from tidewheel.clock import system_clock
from tidewheel.database import Database
from tidewheel.errors import NotFound
from tidewheel.predictions import Label, PredictionLog
from tidewheel.serving.answer import Answerer
from tidewheel.serving.definition import Deployment
from tidewheel.serving.recall import recall
from tidewheel.serving.route import Routes
from tidewheel.web.application import Application
from tidewheel.web.serve import serve


def push(source: str, rows: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """Accept everything."""
    if source != "trips":
        raise NotFound(f"no source {source!r}", where="source", fix="known: trips")
    return {"accepted": len(rows)}


def label(deployment: str, labels: Sequence[Label]) -> int:
    """Accept everything."""
    return len(labels)


def main(folder: Path, *, port: int = 0) -> None:
    """Serve until a signal."""
    database = Database.open(f"sqlite:///{folder / 'tidewheel.db'}")
    world = World()
    for version in range(1, 100):
        world.add(version)
    log = PredictionLog(folder / "predictions")
    answerer = Answerer(
        [Deployment("eta", "eta")],
        routes=Routes(database, system_clock),
        open_version=world.open,
        log=log.append,
        clock=system_clock,
    )
    answerer.recall("eta", recall(log, system_clock))
    app = Application("taxi", answerer, push, label, no_features(answerer))
    serve(app, port=port, announce=lambda line: print(line, flush=True), drain_seconds=10)
    log.close()
    database.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
