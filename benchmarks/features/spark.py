"""Nine window aggregates: ours on DuckDB, ours on Spark, and plain Spark SQL in the three ways that its users write it.

Size S: 100,000 rows of spine, 700,000 events, 20,000 keys; M: ten times that (``--keys zipf`` or ``uniform``). Every contender
has a process of its own. *Cold* is all of it: imports, Spark's start, and the first answer. *Warm* is the better of two more
in the same process, with Java compiled and files in the cache. CPU seconds are of the whole tree of processes, Java and Python
workers too, read from ``/proc``. Plain Spark SQL joins spine and events by key and day and then by range, or frames both with
``RANGE BETWEEN``, or joins by key and range alone; the quickest counts, cold against cold and warm against warm. Who has
proven the target with something to spare is stopped, and what it had used until then is printed as what it takes at least.
Plain Spark SQL does less than ours: no order of ties, availability or report, and its frames begin at the instant and not at
the hour. Both of ours are compared to the bit, and with the counts of Spark's joins.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree, which

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START, DAY = 1_577_836_800_000_000, 86_400_000_000
SIZES = {"S": (100_000, 700_000), "M": (1_000_000, 7_000_000)}
OURS, FAR, DAYS, FRAMES, JOIN = "ours on duckdb", "ours on spark", "Spark SQL, by day", "Spark SQL, frames", "Spark SQL, join"
PEERS = (DAYS, FRAMES, JOIN)
TARGET, SPARE = 50, 1.2
NINE = """count(e.ts) AS n, count(e.x) AS nx, sum(e.x) AS total, avg(e.x) AS middle, min(e.x) AS least,
      max(e.x) AS most, stddev_samp(e.x) AS spread, stddev_pop(e.x) AS spread_pop, max_by(e.x, e.ts) AS final"""
SPARK = "spark://local[*]?spark.driver.memory=3g&spark.driver.maxResultSize=2g"
SQL = {
    FRAMES: """
    SELECT uid, t, n, nx, total, middle, least, most, spread, spread_pop, final FROM (
      SELECT *, count_if(NOT asked) OVER day AS n, count(x) OVER day AS nx, sum(x) OVER day AS total, avg(x) OVER day AS middle,
        min(x) OVER day AS least, max(x) OVER day AS most, stddev_samp(x) OVER day AS spread,
        stddev_pop(x) OVER day AS spread_pop, last(x, true) OVER day AS final
      FROM (
        SELECT uid, unix_micros(ts) AS t, x, false AS asked FROM events
        UNION ALL SELECT uid, unix_micros(t), NULL, true FROM spine)
      WINDOW day AS (PARTITION BY uid ORDER BY t RANGE BETWEEN 86400000000 PRECEDING AND 1 PRECEDING))
    WHERE asked""",
    JOIN: f"""
    SELECT s.uid, s.t, {NINE}
    FROM spine s LEFT JOIN events e ON s.uid = e.uid AND e.ts < s.t AND e.ts >= date_trunc('hour', s.t - INTERVAL 1 DAY)
    GROUP BY s.uid, s.t""",
    DAYS: f"""
    SELECT s.uid, s.t, {NINE}
    FROM (SELECT *, unix_micros(t) DIV 86400000000 AS day FROM spine) s LEFT JOIN (
      SELECT *, explode(array(unix_micros(ts) DIV 86400000000, unix_micros(ts) DIV 86400000000 + 1)) AS day FROM events) e
    ON s.uid = e.uid AND s.day = e.day AND e.ts < s.t AND e.ts >= date_trunc('hour', s.t - INTERVAL 1 DAY)
    GROUP BY s.uid, s.t""",
}


@dataclass
class Told:
    """What one contender used: CPU and wall seconds, of an answer that was stopped so far."""

    cold: tuple[float, float] | None = None
    warm: tuple[float, float] | None = None
    stopped: dict[str, float] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    digest: str = ""
    said: str = ""


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", choices=["zipf", "uniform", "both"], default="both")
    parser.add_argument("--size", choices=sorted(SIZES), default="S")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender is not None:
        work(given.contender, given.folder)
        return
    if which("java") is None:
        print("no Java here, so no Spark to compare with")
        return
    for keys in ("uniform", "zipf") if given.keys == "both" else (given.keys,):
        folder = Path(tempfile.mkdtemp())
        try:
            make_data(folder, keys, *SIZES[given.size])
            compare(folder, f"{given.size} {keys}")
        finally:
            rmtree(folder)


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
    asked = draw.integers(30 * DAY, 60 * DAY, spine)
    pq.write_table(pa.table({"uid": uid(spine), "t": times(asked)}), folder / "spine.parquet")
    lines = [
        f'[workspace.{name}]\nonline = "memory"\nengine = "{url}"\n' for name, url in (("duckdb", "duckdb"), ("spark", SPARK))
    ]
    (folder / "tidewheel.toml").write_text('project = "bench"\n' + "".join(lines))


def compare(folder: Path, title: str) -> None:
    """Run every contender, and print what it used, beside ours."""
    print(f"── {title}, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores", flush=True)
    found: dict[str, Told] = {}
    best: dict[str, tuple[str, float]] = {}
    for name in (OURS, FAR, *PEERS):
        limits = {}
        if name in PEERS:  # a cold answer comes first, so that it may be slow says nothing of the warm one
            limits = {phase: SPARE * TARGET * spent(found[OURS], phase)[1] for phase in ("cold", "warm")}
        found[name] = told = run(name, folder, limits)
        if found[OURS].warm is None:
            raise SystemExit(f"ours gave no answer: {told.said}")
        for phase in ("cold", "warm"):
            mark, cpu = spent(told, phase)
            if not cpu:
                if not told.stopped:
                    print(f"{phase} {name:18} failed: {told.said}")
                continue
            took = getattr(told, phase)
            wall = f"{took[1]:8.2f} s" if took else "   stopped"
            ratio = cpu / spent(found[OURS], phase)[1]
            print(f"{phase} {name:18} {mark:9}{cpu:8.2f} CPU-s {wall}   {mark}{ratio:7.1f} times ours", flush=True)
            if name in PEERS and (phase not in best or (took and cpu < best[phase][1])):
                best[phase] = (mark, cpu)
    print(f"both of ours answer the same bits: {found[OURS].digest == found[FAR].digest}")
    for name in (DAYS, JOIN):
        if found[name].rows:
            print(f"{name} counts the same events: {found[name].rows == found[OURS].rows}")
    for phase, (mark, cpu) in best.items():
        ratio = cpu / spent(found[OURS], phase)[1]
        print(f"ours against the quickest plain Spark, {phase}: {mark}{ratio:.1f} times (target {TARGET})")


def spent(told: Told, phase: str) -> tuple[str, float]:
    """CPU seconds of a phase, and whether that is what it took at least; 0 for one that never began."""
    took = getattr(told, phase)
    return ("", took[0]) if took else ("at least ", told.stopped.get(phase, 0.0))


def run(name: str, folder: Path, limits: dict[str, float]) -> Told:
    """One contender in a process of its own, until it is done or one of its answers has used up its CPU seconds."""
    command = [sys.executable, __file__, "--contender", name, "--folder", str(folder)]
    told = Told()
    with (folder / "told").open("w+") as out, (folder / "errors").open("w+") as errors:
        child = subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True)
        while child.poll() is None:
            done = told_cpu(folder / "told")
            phase, used = "warm" if done else "cold", tree(child.pid)[0] - sum(done)
            if used > limits.get(phase, float("inf")):
                told.stopped[phase] = used
                for one in reversed(tree(child.pid)[1]):
                    stop(one)
                child.wait()
            time.sleep(0.5)
        errors.seek(0)
        told.said = "" if child.returncode == 0 else errors.read()[-500:]
    for line in (folder / "told").read_text().splitlines():
        one = json.loads(line)
        if one["phase"] == "cold":
            told.cold, told.rows, told.digest = (one["cpu"], one["wall"]), one["rows"], one["digest"]
        else:
            told.warm = min(told.warm or (one["cpu"], one["wall"]), (one["cpu"], one["wall"]))
    return told


def told_cpu(path: Path) -> list[float]:
    """CPU seconds of what is finished: the limit is for each answer."""
    return [float(json.loads(line)["cpu"]) for line in path.read_text().splitlines()]


def stop(process: int) -> None:
    """End one process that this benchmark has started."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def tree(root: int) -> tuple[float, list[int]]:
    """CPU seconds of a process and of every process below it, living or waited for; and those that live."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
        spent[int(path.parent.name)] = sum(map(int, fields[11:15]))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return sum(spent.get(one, 0) for one in found) / os.sysconf("SC_CLK_TCK"), found


# ── in the contender's process ───────────────────────────────────────────────────────────────────


def work(name: str, folder: Path) -> None:
    """Answer three times, and say what each took."""
    ask = CONTENDERS[name](folder)
    before = 0.0
    for phase in ("cold", "warm", "warm"):
        wall = time.perf_counter() if phase == "warm" else START_WALL
        answer = ask()
        cpu, wall = tree(os.getpid())[0], time.perf_counter() - wall
        facts = facts_of(answer) if phase == "cold" else {}
        print(json.dumps({"phase": phase, "cpu": cpu - before, "wall": wall} | facts), flush=True)
        before = tree(os.getpid())[0]


def facts_of(answer: pa.Table) -> dict[str, object]:
    """What contenders can be compared by: counts in order of key and time, and the bits of all columns."""
    distinct = answer.select(["uid", "t", "n"]).group_by(["uid", "t"]).aggregate([("n", "max")])
    counts = distinct.sort_by([("uid", "ascending"), ("t", "ascending")])["n_max"].to_numpy()
    digest = hashlib.sha256()
    for column in answer.columns:
        for buffer in column.combine_chunks().fill_null(0).buffers():
            digest.update(b"" if buffer is None else buffer)
    return {"rows": [len(counts), int(counts.sum()), int((counts**2).sum())], "digest": digest.hexdigest()}


def ours(workspace: str) -> Callable[[Path], Callable[[], pa.Table]]:
    """Nine windows of a day on one of our engines."""

    def made(folder: Path) -> Callable[[], pa.Table]:
        import tidewheel as tw
        from tidewheel.datasets.build import join
        from tidewheel.project.open import open_workspace

        @tw.features(tw.source("events", "events.parquet", time="ts"), by=tw.entity("user", uid=int))
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

        lately = tw.service("lately", Lately)
        spine = pq.read_table(folder / "spine.parquet")
        opened = open_workspace(folder, name=workspace)
        return lambda: join(spine, lately, time="t", sources=opened.sources)[0]

    return made


def plain(folder: Path, sql: str) -> Callable[[], pa.Table]:
    """Spark alone, as its users would start it."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").config("spark.driver.memory", "3g").config("spark.ui.enabled", "false")
    fixed = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.sql.session.timeZone": "UTC"}
    fixed |= {"spark.driver.maxResultSize": "2g", "spark.local.dir": str(folder), "spark.ui.showConsoleProgress": "false"}
    for name, value in fixed.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    for name in ("events", "spine"):
        session.read.parquet(str(folder / f"{name}.parquet")).createOrReplaceTempView(name)
    return lambda: session.sql(sql).toArrow()


CONTENDERS: dict[str, Callable[[Path], Callable[[], pa.Table]]] = {
    OURS: ours("duckdb"),
    FAR: ours("spark"),
    **{name: partial(plain, sql=SQL[name]) for name in PEERS},
}
START_WALL = time.perf_counter()

if __name__ == "__main__":
    main()
