"""A training set with look-ups and windows, beside DuckDB and Polars by hand on the same Parquet files, in one run.

Data is made from a seed: 100,000 rows of spine, 1,000,000 events, 20,000 keys drawn by Zipf's law. The peers do less: they
neither order ties nor report coverage. CPU seconds are of the process and its threads; each work is done three times, the
best counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.datasets.build import join
from tidewheel.project.open import open_workspace

SPINE, EVENTS, KEYS, DAY = 100_000, 1_000_000, 20_000, 86_400_000_000
REPEATS = 3


def make_data(folder: Path) -> None:
    """Events and spine over 60 days."""
    draw = np.random.default_rng(7)
    keys = np.minimum(draw.zipf(1.3, EVENTS), KEYS).astype(np.int64)
    times = np.sort(draw.integers(0, 60 * DAY, EVENTS)) + 1_577_836_800_000_000
    events = {"uid": keys, "ts": pa.array(times, pa.timestamp("us", "UTC")), "x": draw.normal(size=EVENTS)}
    pq.write_table(pa.table(events), folder / "events.parquet")
    asked = draw.integers(30 * DAY, 60 * DAY, SPINE) + 1_577_836_800_000_000
    spine = {"uid": np.minimum(draw.zipf(1.3, SPINE), KEYS).astype(np.int64), "t": pa.array(asked, pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(spine), folder / "spine.parquet")


def best(work: Callable[[], object]) -> float:
    """Least CPU seconds of several tries."""
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> None:
    """Print CPU seconds and ratios."""
    folder = Path(tempfile.mkdtemp())
    make_data(folder)
    (folder / "tidewheel.toml").write_text('project = "bench"\n[workspace.local]\nonline = "memory"\n')
    user = tw.entity("user", uid=int)
    source = tw.source("events", "events.parquet", time="ts")

    @tw.features(source, by=user)
    class Latest:
        x = tw.lookup("x")

    @tw.features(source, by=user)
    class Lately:
        n_1d = tw.count("1d")
        sum_1d = tw.sum("x", "1d")
        mean_1d = tw.mean("x", "1d")
        min_1d = tw.min("x", "1d")
        max_1d = tw.max("x", "1d")

    spine = pq.read_table(folder / "spine.parquet")
    asof = (
        f"SELECT s.*, e.x FROM '{folder}/spine.parquet' s "
        f"ASOF LEFT JOIN '{folder}/events.parquet' e ON s.uid = e.uid AND s.t >= e.ts"
    )
    frames = f"""
        SELECT * FROM (
          SELECT *, count(x) OVER w, sum(x) OVER w, avg(x) OVER w, min(x) OVER w, max(x) OVER w FROM (
            SELECT uid, ts AS t, x, false AS asked FROM '{folder}/events.parquet'
            UNION ALL SELECT uid, t, NULL, true FROM '{folder}/spine.parquet')
          WINDOW w AS (PARTITION BY uid ORDER BY t RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW))
        WHERE asked"""
    with open_workspace(folder) as workspace:
        ours = best(lambda: join(spine, tw.service("latest", Latest), time="t", sources=workspace.sources))
        windows = best(lambda: join(spine, tw.service("lately", Lately), time="t", sources=workspace.sources))
    by_duckdb = best(lambda: duckdb.sql(asof).to_arrow_table())
    left, right = pl.scan_parquet(folder / "spine.parquet"), pl.scan_parquet(folder / "events.parquet")
    by_polars = best(lambda: left.sort("t").join_asof(right.sort("ts"), left_on="t", right_on="ts", by="uid").collect())
    by_frames = best(lambda: duckdb.sql(frames).to_arrow_table())
    print(f"one look-up view: Tidewheel {ours:.2f} CPU-s, DuckDB ASOF {by_duckdb:.2f}, Polars join_asof {by_polars:.2f}")
    print(f"  ratio to DuckDB {ours / by_duckdb:.2f}, to Polars {ours / by_polars:.2f} (below 1 is quicker)")
    print(f"five window aggregates: Tidewheel {windows:.2f} CPU-s, DuckDB RANGE frames {by_frames:.2f}")
    print(f"  ratio to DuckDB {windows / by_frames:.2f} (below 1 is quicker)")


if __name__ == "__main__":
    main()
