"""A project whose orders come by a stream: made, asked online and offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from tests.journeys.acting import Project

from tidewheel.clock import Micros, parse_instant
from tidewheel.features.definition import FeatureView, ServiceDefinition, view_of
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.ledger.definition import NodeId
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace

DAY = parse_instant("2026-01-01T00:00:00Z")
AT = Micros(DAY + 20 * 3_600_000_000)
USERS = 7
D = TypeVar("D")

DEFINITIONS = """
import tidewheel as tw

orders = tw.source("orders", "orders.parquet", time="ts", event_id="id")

@tw.features(orders, by=tw.entity("user", uid=int))
class Lately:
    n = tw.count("1d")
    total = tw.sum("x", "1d")

lately = tw.service("lately", Lately)
"""


def make_project(folder: Path, stream: str) -> Project:
    """A project with an empty file of orders, and the URL of their stream."""
    root = folder / "shop"
    root.mkdir()
    (root / "shop.py").write_text(DEFINITIONS)
    (root / "tidewheel.toml").write_text(f'project = "shop"\n[workspace.local.streams]\norders = "{stream}"\n')
    schema = {"id": pa.string(), "uid": pa.int64(), "ts": pa.timestamp("us", "UTC"), "x": pa.int64()}
    pq.write_table(pa.table({name: pa.array([], kind) for name, kind in schema.items()}), root / "orders.parquet")
    return Project(root)


def declared(project: Project, node: str, kind: type[D]) -> D:
    """A definition of the project."""
    found = load_project(project.root).graph.nodes[NodeId(node)].definition
    if kind is FeatureView and isinstance(found, type):
        found = view_of(found)
    assert isinstance(found, kind)
    return found


def materialize(project: Project) -> None:
    """Nothing is there yet, and the view is known to be online."""
    with open_workspace(project.root) as workspace:
        workspace.materializer.materialize(declared(project, "view:Lately", FeatureView), until=Micros(DAY))


def order(number: int) -> bytes:
    """An event."""
    row = {"id": f"o{number}", "uid": number % USERS, "ts": DAY + number * 20_000_000, "x": number}
    return json.dumps(row).encode()


def check_answers(project: Project, expected: list[list[int]]) -> None:
    """Count and sum of every user, online and offline."""
    view = declared(project, "view:Lately", FeatureView)
    lately = declared(project, "service:lately", ServiceDefinition)
    with open_workspace(project.root) as workspace:
        numbers = OnlineViews(workspace.database, workspace.clock).list_ids()
        schemas = {"orders": workspace.sources.schema(view.source)}
        prepared = prepare(lately, store=workspace.online, view_ids=numbers, schemas=schemas)
        answer = prepared.answer([{"uid": uid} for uid in range(USERS)], at=[AT] * USERS)
        assert [list(row) for row in answer.values] == expected
        spine = pa.table({"uid": list(range(USERS)), "at": pa.array([AT] * USERS, pa.int64())})
        offline = retrieve(lately, spine, time="at", sources=workspace.sources).table
        assert [list(row.values()) for row in offline.select(["n", "total"]).to_pylist()] == expected
