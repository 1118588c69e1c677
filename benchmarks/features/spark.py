"""Nine window aggregates and a look-up: ours on DuckDB, ours on Spark, and plain Spark SQL, on the same files in one run.

Size S: 100,000 rows of spine, 700,000 events, 20,000 keys (``--keys zipf`` or ``uniform``). Spark runs on all cores of this
machine and is warm: its start and the first run of each work are not counted. CPU seconds are of this process with its threads
and of all processes below it, Java and Python workers; each work is done twice more, the best counts. Plain Spark SQL does
less: its frames end at the spine's own instant and have no hops, and it looks up without ties, availability or a report.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import which

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.datasets.build import join
from tidewheel.project.open import open_workspace

START, DAY = 1_577_836_800_000_000, 86_400_000_000
AGGREGATES = ("count(x)", "sum(x)", "avg(x)", "min(x)", "max(x)", "stddev_samp(x)", "stddev_pop(x)", "last(x)", "first(x)")
FRAMES = """
    SELECT uid, t, {columns} FROM (
      SELECT *, {aggregates} FROM (
        SELECT uid, unix_micros(CAST(ts AS TIMESTAMP_LTZ)) AS t, x, false AS asked FROM parquet.`{folder}/events.parquet`
        UNION ALL SELECT uid, unix_micros(CAST(t AS TIMESTAMP_LTZ)), NULL, true FROM parquet.`{folder}/spine.parquet`))
    WHERE asked"""
LATEST = """
    SELECT s.uid, s.t, max_by(e.x, e.ts) AS x FROM parquet.`{folder}/spine.parquet` s
    LEFT JOIN parquet.`{folder}/events.parquet` e ON s.uid = e.uid AND e.ts <= s.t AND e.ts > s.t - INTERVAL 1 DAY
    GROUP BY s.uid, s.t"""


def make_data(folder: Path, keys: str, spine: int, events: int) -> None:
    """Events over 60 days, and a spine over the later half."""
    draw = np.random.default_rng(7)

    def uid(rows: int) -> np.ndarray:
        drawn = np.minimum(draw.zipf(1.3, rows), 20_000) if keys == "zipf" else draw.integers(1, 20_001, rows)
        return drawn.astype(np.int64)

    def times(ticks: np.ndarray) -> pa.Array:
        return pa.array(ticks + START, pa.timestamp("us", "UTC"))

    held = {"uid": uid(events), "ts": times(np.sort(draw.integers(0, 60 * DAY, events))), "x": draw.normal(size=events)}
    pq.write_table(pa.table(held), folder / "events.parquet")
    pq.write_table(
        pa.table({"uid": uid(spine), "t": times(draw.integers(30 * DAY, 60 * DAY, spine))}), folder / "spine.parquet"
    )


def cpu_seconds() -> float:
    """Of this process and of every process below it, living or gone."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
        spent[int(path.parent.name)] = sum(map(int, fields[11:15]))
    total, waiting = 0, [os.getpid()]
    while waiting:
        one = waiting.pop()
        total += spent.get(one, 0)
        waiting += children.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")


def best(work: Callable[[], object]) -> tuple[float, float]:
    """Least CPU seconds and wall seconds of two tries."""
    spent = []
    for _ in range(2):
        cpu, wall = cpu_seconds(), time.perf_counter()
        work()
        spent.append((cpu_seconds() - cpu, time.perf_counter() - wall))
    return min(spent)


def services() -> tuple[tw.Service, tw.Service]:
    """Nine windows of a day, and a look-up of at most a day."""
    user = tw.entity("user", uid=int)
    source = tw.source("events", "events.parquet", time="ts")

    @tw.features(source, by=user)
    class Lately:
        n = tw.count("1d")
        nx = tw.count("x", "1d")
        total = tw.sum("x", "1d")
        middle = tw.mean("x", "1d")
        least = tw.min("x", "1d")
        most = tw.max("x", "1d")
        spread = tw.std("x", "1d")
        spread_pop = tw.std_pop("x", "1d")
        final = tw.last("x", "1d")

    @tw.features(source, by=user, ttl="1d")
    class Latest:
        x = tw.lookup("x")

    return tw.service("lately", Lately), tw.service("latest", Latest)


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", choices=["zipf", "uniform"], default="uniform")
    parser.add_argument("--spine", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=700_000)
    given = parser.parse_args()
    if which("java") is None:
        print("no Java here, so no Spark to compare with")
        return
    folder = Path(tempfile.mkdtemp())
    make_data(folder, given.keys, given.spine, given.events)
    engines = {"duckdb": "duckdb", "spark": "spark://local[*]?spark.driver.memory=2g"}
    lines = [f'[workspace.{name}]\nonline = "memory"\nengine = "{url}"\n' for name, url in engines.items()]
    (folder / "tidewheel.toml").write_text('project = "bench"\n' + "".join(lines))
    windows, look_up = services()
    spine = pq.read_table(folder / "spine.parquet")
    spent: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {}
    answers: dict[str, list[pa.Table]] = {}
    for name in engines:
        with open_workspace(folder, name=name) as workspace:
            sources = workspace.sources
            answers[name] = [join(spine, one, time="t", sources=sources)[0] for one in (windows, look_up)]
            runs = [best(partial(join, spine, one, time="t", sources=sources)) for one in (windows, look_up)]
            spent[f"ours on {name}"] = (runs[0], runs[1])
            if name == "spark":
                spent["plain Spark SQL"] = plain(folder)
    same = [one.equals(other) for one, other in zip(answers["duckdb"], answers["spark"], strict=True)]
    print(f"{given.spine} rows of spine, {given.events} events, {given.keys} keys; both engines answer the same: {same}")
    for place, work in enumerate(("nine windows", "one look-up")):
        least = spent["ours on duckdb"][place]
        for name, runs in spent.items():
            cpu, wall = runs[place]
            print(f"{work}: {name:16} {cpu:8.2f} CPU-s {wall:8.2f} s   {cpu / least[0]:8.1f} times ours on duckdb in CPU")


def plain(folder: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    """Spark alone, in the session that runs: RANGE frames, and a range join."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    over = f"OVER (PARTITION BY uid ORDER BY t RANGE BETWEEN {DAY} PRECEDING AND CURRENT ROW)"
    made = ", ".join(f"{text} {over} AS a{place}" for place, text in enumerate(AGGREGATES))
    names = ", ".join(f"a{place}" for place in range(len(AGGREGATES)))
    frames = FRAMES.format(folder=folder, aggregates=made, columns=names)
    latest = LATEST.format(folder=folder)
    return best(lambda: session.sql(frames).toArrow()), best(lambda: session.sql(latest).toArrow())


if __name__ == "__main__":
    main()
