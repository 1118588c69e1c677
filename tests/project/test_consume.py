"""kill -9 of `tidewheel consume` at any point: nothing is lost, nothing is doubled, poison is kept once."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.journeys.acting import Project
from tests.streams import Topic, kafka_topic, nats_topic, redis_topic

from tidewheel.clock import Micros, parse_instant
from tidewheel.features.definition import FeatureView, ServiceDefinition, view_of
from tidewheel.features.prepare import prepare
from tidewheel.features.register import OnlineViews
from tidewheel.features.retrieve import retrieve
from tidewheel.ledger.definition import NodeId
from tidewheel.project.consume import quarantine
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace

pytestmark = pytest.mark.slow

DAY = parse_instant("2026-01-01T00:00:00Z")
AT = Micros(DAY + 20 * 3_600_000_000)
EVENTS, USERS = 1_500, 7
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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "shop.py").write_text(DEFINITIONS)
    (root / "tidewheel.toml").write_text('project = "shop"\n')
    schema = {"id": pa.string(), "uid": pa.int64(), "ts": pa.timestamp("us", "UTC"), "x": pa.int64()}
    pq.write_table(pa.table({name: pa.array([], kind) for name, kind in schema.items()}), root / "orders.parquet")
    return Project(root)


@pytest.fixture(params=[redis_topic, nats_topic, kafka_topic], ids=["redis", "nats", "kafka"])
def topic(request: pytest.FixtureRequest) -> Iterator[Topic]:
    opened: AbstractContextManager[Topic] = request.param()
    with opened as made:
        yield made


def declared(project: Project, node: str, kind: type[D]) -> D:
    found = load_project(project.root).graph.nodes[NodeId(node)].definition
    if kind is FeatureView and isinstance(found, type):
        found = view_of(found)
    assert isinstance(found, kind)
    return found


def kept_bytes(project: Project) -> int:
    return sum(file.stat().st_size for file in (project.root / ".tidewheel" / "pushes").glob("orders/*"))


def order(number: int) -> bytes:
    row = {"id": f"o{number}", "uid": number % USERS, "ts": DAY + number * 20_000_000, "x": number}
    return json.dumps(row).encode()


def test_consumers_killed_again_and_again_lose_and_double_nothing(project: Project, topic: Topic) -> None:
    chance = random.Random(5)
    named = topic.consumer_url()
    (project.root / "tidewheel.toml").write_text(f'project = "shop"\n[workspace.local.streams]\norders = "{named}"\n')
    with open_workspace(project.root) as workspace:
        view = declared(project, "view:Lately", FeatureView)
        workspace.materializer.materialize(view, until=Micros(DAY))
    numbers = list(range(EVENTS)) + chance.sample(range(EVENTS), 200)  # a producer that sends again
    bodies = [order(number) for number in numbers]
    for place in range(5):
        bodies.insert(chance.randrange(len(bodies)), b"poison %d" % place)
    for trial in range(2):
        topic.publish(bodies[trial::2])
        process = project.start("consume", "orders")
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.readline()  # it has begun
        before, until = kept_bytes(project), time.monotonic() + 30
        while kept_bytes(project) == before and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))  # somewhere between the journal, the store and the commit of a batch
        process.kill()
        process.wait()
        process.stderr.close()
        process.stdout.close()
    told = project.json("consume", "orders", "--once")["orders"]
    assert told["lag"] == 0
    expected = [[len(range(uid, EVENTS, USERS)), sum(range(uid, EVENTS, USERS))] for uid in range(USERS)]
    with open_workspace(project.root) as workspace:
        held = quarantine(workspace, "orders").list()
        assert sorted((one.code, one.body) for one in held) == [("NotJson", b"poison %d" % place) for place in range(5)]
        lately = declared(project, "service:lately", ServiceDefinition)
        numbers_of = OnlineViews(workspace.database, workspace.clock).list_ids()
        schemas = {"orders": workspace.sources.schema(view.source)}
        prepared = prepare(lately, store=workspace.online, view_ids=numbers_of, schemas=schemas)
        answer = prepared.answer([{"uid": uid} for uid in range(USERS)], at=[AT] * USERS)
        assert [list(row) for row in answer.values] == expected
        spine = pa.table({"uid": list(range(USERS)), "at": pa.array([AT] * USERS, pa.int64())})
        offline = retrieve(lately, spine, time="at", sources=workspace.sources).table
        assert [list(row.values()) for row in offline.select(["n", "total"]).to_pylist()] == expected
