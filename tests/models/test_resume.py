"""A training that is killed with -9 is resumed by running it again: finished steps are not run twice, and one version
is made."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, signal, sys
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.backends.lightgbm.model_format import LightgbmFormat
from tidewheel.clock import system_clock
from tidewheel.database.open import Database
from tidewheel.datasets.definition import spine, training_set
from tidewheel.datasets.handle import Dataset, Split
from tidewheel.datasets.report import Report
from tidewheel.digest import digest
from tidewheel.features.definition import request, service
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.ledger.record import Ledger
from tidewheel.models.definition import model
from tidewheel.models.registry import Registry
from tidewheel.models.train import train_model
from tidewheel.pipelines.definition import step
from tidewheel.pipelines.execute import Session
from tidewheel.runs.record import Runs
from tidewheel.sources.definition import source

HERE = Path(__file__).parent
KILL = sys.argv[1] == "kill"


def note(leaves):
    os.write(2, f"fit {leaves}\\n".encode())


@step
def fit(train: Split, leaves: int):
    note(leaves)
    return lightgbm.LGBMRegressor(n_estimators=5, num_leaves=leaves, n_jobs=1, random_state=1, verbose=-1).fit(train.x, train.y)


trips = source("trips", "data/*.parquet", time="dropoff_time")
rides = training_set(
    "rides", spine=spine(trips, time="pickup_time"), label="minutes", features=service("inputs", request(distance=float))
)


@model("eta", data=rides)
def eta(train, test, run):
    best = None
    for leaves in (4, 8, 16):
        fitted = fit(train, leaves=leaves)
        error = run.evaluate(fitted, test)["mae"]
        if leaves == 8 and KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        best = (fitted, error) if best is None or error < best[1] else best
    return best[0]


def split(store, start, rows):
    distance = np.random.default_rng(start).uniform(1, 20, rows)
    table = pa.table({"t": pa.array(np.arange(rows) + start, pa.int64()), "distance": distance, "minutes": distance * 2})
    return Split(Table.write(store, table), features=("distance",), label="minutes", time="t")


if __name__ == "__main__":
    database = Database.open(f"sqlite:///{HERE}/tidewheel.db")
    store = ArtifactStore.open(f"file://{HERE}/artifacts")
    formats = [LightgbmFormat()]
    runs = Runs(database, store, system_clock)
    registry = Registry(database, store, formats, system_clock)
    session = Session(Ledger(database, system_clock), store, fingerprinter=Fingerprinter(HERE), actor="ann", formats=formats)
    dataset = Dataset("rides", train=split(store, 0, 300), test=split(store, 300, 50), report=Report(rows=350))
    version = train_model(
        eta,
        dataset,
        runs=runs,
        session=session,
        registry=registry,
        recipe=digest(1),
        project_snapshot=digest("code"),
        actor="ann",
    )
    print(json.dumps({
        "version": version.name,
        "content": version.content,
        "versions": len(registry.list("eta")),
        "statuses": [run.status.value for run in runs.search(order_by=["started_at"]).runs],
        "resumes": runs.get(version.run_id).tags.get("resumes"),
        "first": runs.search(order_by=["started_at"]).runs[0].id,
    }))
    database.close()
"""


def run(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(folder / "program.py"), how], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_killed_training_is_resumed(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("killed", "whole")]
    for folder in folders:
        folder.mkdir()
        (folder / "program.py").write_text(PROGRAM)
    killed = run(folders[0], "kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stderr.split("\n")[:2] == ["fit 4", "fit 8"]

    again = run(folders[0], "finish")
    assert again.returncode == 0, again.stderr
    assert again.stderr.strip().split("\n") == ["fit 16"], "finished steps were run twice"
    found = json.loads(again.stdout)
    assert (found["version"], found["versions"]) == ("eta:1", 1)
    assert found["statuses"] == ["interrupted", "finished"]
    assert found["resumes"] == found["first"]

    third = json.loads(run(folders[0], "finish").stdout)
    assert (third["version"], third["versions"], third["statuses"]) == ("eta:1", 1, ["interrupted", "finished"])
    whole = json.loads(run(folders[1], "finish").stdout)
    assert whole["content"] == found["content"], "resumed and uninterrupted training give the same model"
