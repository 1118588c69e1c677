"""Which streams a project has, what is refused, and what is counted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tidewheel.backends.memory import MemoryTopic
from tidewheel.clock import Micros
from tidewheel.errors import Invalid, MissingExtra, NotFound
from tidewheel.features.consume import Consumer
from tidewheel.project.configuration import parse_configuration
from tidewheel.project.consume import StreamMetrics, list_streams, open_consumers
from tidewheel.project.load import load_project
from tidewheel.project.open import open_workspace
from tidewheel.sources.definition import source
from tidewheel.sources.quarantine import Quarantine

DEFINITIONS = """
import tidewheel as tw

declared = tw.source("declared", "rows.parquet", time="ts", event_id="id", stream="redis://127.0.0.1:1/0/declared")
configured = tw.source("configured", "rows.parquet", time="ts", event_id="id")
without = tw.source("without", "rows.parquet", time="ts")
files = tw.source("files", "rows.parquet", time="ts")
"""
STREAMS = """
project = "shop"
[workspace.local.streams]
declared = "redis://127.0.0.1:1/0/elsewhere"
configured = "redis://127.0.0.1:1/0/configured"
without = "redis://127.0.0.1:1/0/without"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(DEFINITIONS)
    pq.write_table(pa.table({"id": ["a"], "ts": pa.array([0], pa.int64())}), tmp_path / "rows.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("toml", "streams"),
    [
        ('project = "shop"', {"declared": "redis://127.0.0.1:1/0/declared"}),
        (
            STREAMS,
            {
                name: f"redis://127.0.0.1:1/0/{key}"
                for name, key in {"declared": "elsewhere", "configured": "configured", "without": "without"}.items()
            },
        ),
    ],
)
def test_the_workspace_says_where_the_streams_are(root: Path, toml: str, streams: dict[str, str]) -> None:
    (root / "tidewheel.toml").write_text(toml)
    with open_workspace(root) as workspace:
        assert list_streams(load_project(root), workspace) == streams


def test_what_cannot_be_consumed_is_told(root: Path) -> None:
    (root / "tidewheel.toml").write_text(STREAMS)
    project = load_project(root)
    with open_workspace(root) as workspace:
        with pytest.raises(NotFound, match="declard"):
            open_consumers(project, workspace, ["declard"])
        with pytest.raises(Invalid, match="files has no stream"):
            open_consumers(project, workspace, ["files"])
        with pytest.raises(Invalid, match="no event_id"):
            open_consumers(project, workspace, ["without"])
        (consumer,) = open_consumers(project, workspace, ["configured"]).values()
        assert consumer.name == "redis://127.0.0.1:1/0/configured"


def test_a_stream_needs_an_event_id() -> None:
    with pytest.raises(Invalid, match="no event_id"):
        source("orders", "orders.parquet", time="ts", stream="redis://host/0/orders")


def test_where_rows_come_from_is_no_part_of_the_recipe() -> None:
    plain = source("orders", "orders.parquet", time="ts", event_id="id")
    streamed = source("orders", "orders.parquet", time="ts", event_id="id", stream="redis://user:secret@host/0/orders")
    assert plain.version == streamed.version
    assert "secret" not in repr(streamed)


def test_a_technology_that_there_is_not_is_told(root: Path) -> None:
    (root / "tidewheel.toml").write_text('project = "shop"\n[workspace.local.streams]\ndeclared = "redi://host/0/x"\n')
    with open_workspace(root) as workspace, pytest.raises((NotFound, MissingExtra), match="redi"):
        open_consumers(load_project(root), workspace)


def test_streams_are_a_table_of_strings() -> None:
    for wrong in ({"streams": "redis://"}, {"streams": {"orders": 1}}):
        with pytest.raises(Invalid, match="streams"):
            parse_configuration({"project": "shop", "workspace": {"local": wrong}})


def test_prometheus_sees_lag_and_quarantine(tmp_path: Path) -> None:
    topic, kept = MemoryTopic(), Quarantine(tmp_path / "refused")
    consumer = Consumer("memory", topic.open(), push=len, quarantine=kept, clock=lambda: Micros(0))
    topic.publish([b"{}", b"{}", b"poison", b"{}"])
    consumer.step(limit=3, seconds=0)
    consumer.measure()
    consumer.state.trouble = "gone"
    registry = CollectorRegistry()
    registry.register(StreamMetrics({"orders": consumer}))
    told = generate_latest(registry).decode()
    for line in ("stream_events_total", "stream_lag", "stream_quarantined_total", "stream_up"):
        assert f'tidewheel_{line}{{source="orders"}} ' in told
    assert 'tidewheel_stream_lag{source="orders"} 1.0' in told
    assert 'tidewheel_stream_events_total{source="orders"} 2.0' in told
    assert 'tidewheel_stream_quarantined_total{source="orders"} 1.0' in told
    assert 'tidewheel_stream_up{source="orders"} 0.0' in told
    consumer.close()
