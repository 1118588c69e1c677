"""Training sets beside their peers on the same Parquet files, in one run: three look-up views, and nine window aggregates.

``--size S``: 100,000 rows of spine, 1,000,000 rows in each of three views (2 % are corrections), 700,000 events; M is ten times
as large, L asks ten times as much of five times the rows. Keys are drawn by Zipf's law or uniformly. Every contender runs in a
process of its own, which says what it spent: CPU seconds from files to the answer in memory, and the most memory that the whole
process held. Feast may spend ``FEAST_SECONDS`` and spill 8 GB: with zipf keys it joins more pairs than that, and what it spent
is then a lower bound. Peers by hand (``training_set_peers/joins.py``) write no report, know that nothing is null, and need not
give the same sums to the bit online: the one in C takes what leaves a window from the sum again, which ours may not. Feast runs
from an environment of its own. Answers are compared with ours, row by row.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))

from peers import FEAST, ensure_environment  # noqa: E402  # beside the folders of benchmarks

SIZES = {"S": (100_000, 1_000_000), "M": (1_000_000, 10_000_000), "L": (10_000_000, 50_000_000)}
LIMITS = {"L": "4GB"}
"""``memory_limit`` of our workspace, where it is not the default."""

MOST_ROWS = 10_000_000
DAY = 86_400_000_000
START = 1_577_836_800_000_000
Draw = Callable[[int], "np.ndarray[tuple[int], np.dtype[np.int64]]"]
PEERS = {"lookups": ("compiled", "polars", "duckdb", "feast"), "windows": ("compiled", "duckdb")}
SLOW = {"feast": ("S",), "duckdb windows": ("S", "M"), "polars": ("S", "M"), "compiled": ("S", "M"), "duckdb": ("S", "M")}
"""At which sizes a contender is run: beyond, Feast does not fit in memory, and frames take minutes."""

FEAST_SECONDS = 120
"""CPU seconds after which Feast is stopped, unless ``--feast-seconds`` says otherwise: what it took is then a lower bound."""

AGGREGATES = ("count_1h", "sum_1h", "count_1d", "sum_1d", "min_1d", "max_1d", "mean_7d", "std_7d", "count_7d")


# ── data ─────────────────────────────────────────────────────────────────────────────────────────


def make_data(folder: Path, size: str, law: str) -> None:
    """Three views, events and a spine over 60 days; files in the order in which rows were made."""
    asked, rows = SIZES[size]
    keys = asked // 5
    draw = np.random.default_rng(7)

    def drawn(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if law == "uniform":
            return draw.integers(0, keys, count)
        return np.minimum(draw.zipf(1.3, count), keys) - 1

    for name in ("a", "b", "c"):
        write(folder / f"{name}.parquet", (view_rows(draw, drawn, part, span) for part, span in parts(rows)))
    events = (event_rows(draw, drawn, part, span) for part, span in parts(7 * asked))
    write(folder / "events.parquet", events)
    times = draw.integers(30 * DAY, 60 * DAY, asked) + START
    pq.write_table(pa.table({"uid": drawn(asked), "t": instants(times)}), folder / "spine.parquet")


def parts(rows: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Numbers of rows that fit in memory, each with its own part of the 60 days."""
    count = -(-rows // MOST_ROWS)
    for part in range(count):
        span = (60 * DAY * part // count, 60 * DAY * (part + 1) // count)
        yield rows * (part + 1) // count - rows * part // count, span


def view_rows(draw: np.random.Generator, drawn: Draw, rows: int, span: tuple[int, int]) -> pa.Table:
    """Rows of a view; 2 % are made again, later."""
    uid, ts = drawn(rows), np.sort(draw.integers(*span, rows)) + START
    created = ts + draw.integers(0, 60_000_000, rows)
    corrected = draw.choice(rows - 1, rows // 50, replace=False)
    uid[corrected + 1], ts[corrected + 1] = uid[corrected], ts[corrected]
    created[corrected + 1] = created[corrected] + 1
    values = {"x": draw.normal(size=rows), "z": draw.random(rows)}
    return pa.table({"uid": uid, "ts": instants(ts), "created": instants(created)} | values)


def event_rows(draw: np.random.Generator, drawn: Draw, rows: int, span: tuple[int, int]) -> pa.Table:
    """Events in order of time."""
    ts = np.sort(draw.integers(*span, rows)) + START
    return pa.table({"uid": drawn(rows), "ts": instants(ts), "x": draw.normal(size=rows)})


def write(path: Path, tables: Iterator[pa.Table]) -> None:
    """One file of tables that together need not fit in memory."""
    writer = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def instants(microseconds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    """Times in UTC."""
    return pa.array(microseconds, pa.timestamp("us", "UTC"))


# ── contenders ───────────────────────────────────────────────────────────────────────────────────


def ours(folder: Path, kind: str, limit: str | None) -> Callable[[], pa.Table]:
    """The join as a user calls it, its report included; opening the workspace is not timed."""
    import tidewheel as tw
    from tidewheel.datasets.build import join
    from tidewheel.project.open import open_workspace

    home = Path(tempfile.mkdtemp())
    limited = f'memory_limit = "{limit}"\n' if limit else ""
    (home / "tidewheel.toml").write_text(f'project = "bench"\n[workspace.local]\nonline = "memory"\n{limited}')
    user = tw.entity("user", uid=int)
    made = []
    if kind == "lookups":
        for name in ("a", "b", "c"):
            rows = tw.source(f"of_{name}", f"{folder}/{name}.parquet", time="ts", created="created")
            features = {f"{name}_{value}": tw.lookup(value) for value in ("x", "z")}
            made.append(tw.features(rows, by=user)(type(f"View{name}", (), features)))
    else:
        events = tw.source("events", f"{folder}/events.parquet", time="ts")
        features = {}
        for one in AGGREGATES:
            function, span = one.split("_")
            features[one] = tw.count(span) if function == "count" else getattr(tw, function)("x", span)
        made.append(tw.features(events, by=user)(type("Lately", (), features)))
    service = tw.service("bench", *made)
    workspace = open_workspace(home)
    sources = workspace.sources
    sources.engine.stream("SELECT 1 AS one", {}).read_all()  # what it imports is not timed, as for the others

    def work() -> pa.Table:
        spine = pq.read_table(folder / "spine.parquet")
        table, _ = join(spine, service, time="t", sources=sources)
        return table.drop_columns(["uid", "t"])

    return work


def contender(name: str, folder: Path, kind: str, limit: str | None) -> Callable[[], pa.Table]:
    """What is timed."""
    if name == "ours":
        return ours(folder, kind, limit)
    from training_set_peers import joins

    function: Callable[[Path], pa.Table] = getattr(joins, f"{kind}_{name}")
    return lambda: function(folder)


def run_worker(name: str, folder: Path, kind: str, answer: Path, limit: str | None) -> None:
    """In a process of its own: time the work, print what it cost, write the answer."""
    work = contender(name, folder, kind, limit)
    pa.array(np.zeros(1))  # imports pandas where it is installed, and reading imports Arrow's datasets: nobody's are timed
    pq.read_table(folder / "spine.parquet", columns=[])
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    table = work()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": spent, "wall": wall, "peak": after.ru_maxrss / 1024}), flush=True)
    pq.write_table(table, answer)


def spend(
    name: str, folder: Path, kind: str, repeats: int, limit: str | None = None, most: int = FEAST_SECONDS
) -> dict[str, float] | None:
    """The least of some runs; Feast, when it has spent ``most`` CPU seconds, is stopped, and what it spent is told."""
    answer = folder / f"answer_{kind}_{name}.parquet"
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--worker",
        name,
        "--folder",
        str(folder),
        "--kind",
        kind,
        "--answer",
        str(answer),
        *(["--memory-limit", limit] if limit else []),
    ]
    if name == "feast":
        python = ensure_environment("feast", FEAST)
        if python is None:
            return None
        command = [str(python), str(HERE / "training_set_peers" / "feast_join.py"), str(folder), str(answer)]
    runs = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        limits = partial(resource.setrlimit, resource.RLIMIT_CPU, (most, most)) if name == "feast" else None
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, preexec_fn=limits)
        if done.returncode and name == "feast":
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            why = "stopped" if done.returncode < 0 else (done.stderr.strip().splitlines() or [""])[-1]
            print(f"  feast: did not finish within {spent:.0f} CPU-s and {after.ru_maxrss / 2**20:.1f} GiB ({why[:80]})")
            return {"cpu": spent, "stopped": 1.0}
        if done.returncode:
            print(f"  {name}: failed with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
            return None
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return {key: min(run[key] for run in runs) for key in runs[0]}


# ── comparison ───────────────────────────────────────────────────────────────────────────────────


def differing(folder: Path, kind: str, name: str) -> tuple[int, int]:
    """How many rows are missing, and how many differ from ours; sums may, in the last bits."""
    mine = pq.read_table(folder / f"answer_{kind}_ours.parquet")
    other = pq.read_table(folder / f"answer_{kind}_{name}.parquet")
    lost = mine.num_rows - other.num_rows
    places = np.arange(mine.num_rows)
    if "row" in other.column_names:
        places = other["row"].to_numpy()
    wrong = np.zeros(other.num_rows, dtype=bool)
    for column in mine.column_names:
        there = column if column in other.column_names else column.replace("_", "__")
        one, two = (held.cast(pa.float64()).to_numpy() for held in (mine[column], other[there]))
        one = one[places]
        near = np.isclose(one, two, rtol=1e-6, atol=1e-6, equal_nan=True) if kind == "windows" else one == two
        wrong |= ~(near | (np.isnan(one) & np.isnan(two)))
    return lost, int(wrong.sum())


def compare(size: str, law: str, kind: str, only: list[str], limit: str | None, most: int) -> None:
    """Run all contenders of one work on one set of data; print a line for each."""
    folder = Path(tempfile.mkdtemp(prefix="training-set-"))
    try:
        make_data(folder, size, law)
        told = f", memory_limit {limit}" if limit else ""
        print(f"{kind}, {size}, {law} keys: {SIZES[size][0]:,} rows of spine{told}", flush=True)
        repeats = 3 if size == "S" else 1
        base = spend("ours", folder, kind, repeats, limit)
        if base is None:
            return
        print(f"  {'ours':10} {base['cpu']:7.2f} CPU-s {base['wall']:7.2f} s {base['peak']:7.0f} MiB", flush=True)
        for name in PEERS[kind]:
            sizes = SLOW.get(f"{name} {kind}", SLOW.get(name, tuple(SIZES)))
            if (only and name not in only) or (size not in sizes and name not in only):
                continue
            found = spend(name, folder, kind, 1 if name == "feast" else repeats, most=most)
            if found is not None and "stopped" in found:
                print(f"  {name:10} took at least {found['cpu'] / base['cpu']:.1f} times as much as ours", flush=True)
            if found is None or "stopped" in found:
                continue
            lost, wrong = differing(folder, kind, name)
            print(
                f"  {name:10} {found['cpu']:7.2f} CPU-s {found['wall']:7.2f} s {found['peak']:7.0f} MiB, ours / it "
                f"{base['cpu'] / found['cpu']:.3f} (below 1 is quicker), rows lost {lost}, rows that differ {wrong}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--keys", choices=("zipf", "uniform", "both"), default="both")
    parser.add_argument("--kind", choices=(*PEERS, "both"), default="both")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="PEER", help="these peers, also at sizes where they are left out"
    )
    parser.add_argument("--memory-limit", help="of our workspace; 4GB at L, and half of the machine's else")
    parser.add_argument("--feast-seconds", type=int, default=FEAST_SECONDS, help="CPU seconds after which Feast is stopped")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        run_worker(given.worker, given.folder, given.kind, given.answer, given.memory_limit)
        return
    for law in ("zipf", "uniform") if given.keys == "both" else (given.keys,):
        for kind in PEERS if given.kind == "both" else (given.kind,):
            compare(given.size, law, kind, given.only, given.memory_limit or LIMITS.get(given.size), given.feast_seconds)


if __name__ == "__main__":
    main()
