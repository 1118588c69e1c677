"""Training sets that do not fit in memory are those that would have been built with room; sources are read once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.test_build import define, drivers, trips, write

import tidewheel as tw
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.backends.duckdb import DuckDB
from tidewheel.datasets.build import build_training_set, join
from tidewheel.datasets.sort_rows import sort_rows
from tidewheel.ports.query_engine import Files, Relation
from tidewheel.sources.budget import Budget
from tidewheel.sources.read import Sources


def limited(sources: Sources, size_bytes: int) -> Sources:
    return replace(sources, budget=Budget(size_bytes, sources.root / "spill"))


@pytest.mark.parametrize("size_bytes", [2_000, 200_000])
def test_a_training_set_in_parts_has_the_same_content_and_report(
    sources: Sources, artifacts: ArtifactStore, tmp_path: Path, size_bytes: int
) -> None:
    write(tmp_path, trips())
    drivers(tmp_path)
    options = {"spine": tw.spine(define().spine.source, time="started", last="9d", columns=["fare"])}
    whole = build_training_set(define(**options), sources=sources, artifacts=artifacts)
    parts = build_training_set(define(**options), sources=limited(sources, size_bytes), artifacts=artifacts)
    assert parts.content == whole.content
    assert json.loads(parts.to_json()) == json.loads(whole.to_json())
    assert not list(tmp_path.glob("spill/*"))


_sortable = st.tuples(st.integers(-5, 5), st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.text(max_size=3)))


@settings(max_examples=15)
@given(batches=st.lists(st.lists(_sortable), min_size=1), size_bytes=st.integers(1, 2_000))
def test_rows_sorted_on_disk_are_in_the_order_of_rows_sorted_in_memory(
    batches: list[list[tuple[int, float | None, str | None]]], size_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds = {"t": pa.int64(), "x": pa.float64(), "s": pa.string()}
    tables = [
        pa.table({name: pa.array([row[n] for row in rows], kind) for n, (name, kind) in enumerate(kinds.items())})
        for rows in batches
    ]
    budget = Budget(size_bytes, tmp_path_factory.mktemp("sort"))
    found, wanted = (sort_rows(iter(tables), ["t", "x", "s"], budget=one) for one in (budget, None))
    assert repr(found.to_pylist()) == repr(wanted.to_pylist())


class Recorded(DuckDB):
    """Counts how often a file is read."""

    def __init__(self) -> None:
        super().__init__(threads=1)
        self.reads: Counter[str] = Counter()

    def stream(
        self, sql: str, relations: Mapping[str, Relation], *, order_by: Sequence[str] = (), batch_rows: int = 1_000_000
    ) -> pa.RecordBatchReader:
        self.reads.update(Path(path).name for one in relations.values() if isinstance(one, Files) for path in one.paths)
        return super().stream(sql, relations, order_by=order_by, batch_rows=batch_rows)


@pytest.mark.parametrize("size_bytes", [None, 20_000])
def test_one_scan_serves_all_views_of_a_source_and_its_digest(sources: Sources, tmp_path: Path, size_bytes: int | None) -> None:
    write(tmp_path, trips())
    rides = tw.source("trips", "trips.parquet", time="ended", select="SELECT * FROM this WHERE miles >= 0")
    views = [
        tw.features(rides, by=key)(type(name, (), {f"{name}_count": tw.count("1d"), f"{name}_fare": tw.lookup("fare")}))
        for name, key in {
            "of_zone": tw.entity("zone", zone=int),
            "again": tw.entity("zone", zone=int),
            "of_driver": tw.entity("driver", driver=str),
            "of_all": None,
        }.items()
    ]
    with Recorded() as engine:
        reader = replace(sources, engine=engine)
        reader = reader if size_bytes is None else limited(reader, size_bytes)
        join(trips().select(["started", "zone", "driver"]), tw.service("s", *views), time="started", sources=reader)
        assert engine.reads == {"trips.parquet": 1}


_SCRIPT = """
import json, re, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import tidewheel as tw
from tidewheel.artifacts.columns import column_digests
from tidewheel.datasets.build import join
from tidewheel.project.open import open_workspace

def greatest():  # of this program: what getrusage tells begins with what the process was before it ran this
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

home = Path(sys.argv[1])
events = tw.source("events", "events.parquet", time="ts")
features = {"count_1d": tw.count("1d"), "sum_7d": tw.sum("x", "7d"), "last": tw.last("x", "7d"), "x": tw.lookup("x")}
view = tw.features(events, by=tw.entity("user", uid=int))(type("Lately", (), features))
with open_workspace(home, "local") as workspace:
    workspace.engine.stream("SELECT 1", {}).read_all()
    before = greatest()
    table, report = join(pq.read_table(home / "spine.parquet"), tw.service("s", view), time="t", sources=workspace.sources)
    peak = greatest()
digests = column_digests(table.column_names, table.columns)
print(json.dumps({"digests": digests, "report": report.render(), "peak": peak - before}))
"""


@pytest.mark.slow
def test_a_small_limit_gives_the_same_answer_in_less_memory(tmp_path: Path) -> None:
    import numpy as np

    draw, day = np.random.default_rng(11), 86_400_000_000
    rows, asked = 2_000_000, 150_000
    uid = np.minimum(draw.zipf(1.3, rows), 20_000)  # a quarter of the events is of one key
    ts = draw.integers(0, 60 * day, rows)
    pq.write_table(pa.table({"uid": uid, "ts": ts, "x": draw.normal(size=rows)}), tmp_path / "events.parquet")
    asking = np.minimum(draw.zipf(1.3, asked), 20_000)
    pq.write_table(pa.table({"uid": asking, "t": draw.integers(0, 60 * day, asked)}), tmp_path / "spine.parquet")
    told = []
    for limit in ("20GB", "30MB"):
        (tmp_path / "tidewheel.toml").write_text(f'project = "x"\n[workspace.local]\nmemory_limit = "{limit}"\n')
        command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ.copy())
        told.append(json.loads(done.stdout))
    whole, parts = told
    assert parts["digests"] == whole["digests"]
    assert parts["report"] == whole["report"]
    assert parts["peak"] < 0.6 * whole["peak"], (parts["peak"], whole["peak"])
    spill = tmp_path / ".tidewheel/spill"
    assert not [folder for folder in spill.iterdir() if folder.name.startswith("work-")]
