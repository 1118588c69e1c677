"""Search among vectors, exactly and through an index, in one run on the same rows; recall is the share of the exact ten found.

    python benchmarks/features/vectors.py --rows 100000 --width 64

Vectors lie in clouds, as embeddings do; every tenth item is told twice, and half of the searches ask for the past.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tidewheel as tw
from tidewheel.project.open import open_workspace

HOUR = 3_600_000_000


def main() -> None:
    """Make the rows, search, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--index", default="usearch")
    asked = parser.parse_args()
    draw = np.random.default_rng(11)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "tidewheel.toml").write_text('project = "vectors"\n')
        centres = draw.normal(size=(200, asked.width))
        vectors = (centres[draw.integers(0, 200, asked.rows)] + 0.4 * draw.normal(size=(asked.rows, asked.width))).astype("f4")
        items = np.arange(asked.rows)
        items[::10] = np.roll(items, 1)[::10]
        ts = pa.array(draw.integers(0, 100, asked.rows) * HOUR, pa.int64()).cast(pa.timestamp("us", "UTC"))
        lists = pa.ListArray.from_arrays(pa.array(np.arange(asked.rows + 1) * asked.width, pa.int32()), vectors.reshape(-1))
        pq.write_table(pa.table({"item": items, "ts": ts, "v": lists}), root / "items.parquet")

        @tw.features(tw.source("items", "items.parquet", time="ts"), by=tw.entity("item", item=int))
        class Item:
            v = tw.vector("v", asked.width)

        queries = [
            (centres[n % 200] + 0.4 * draw.normal(size=asked.width), int((50 + 50 * (n % 2)) * HOUR))
            for n in range(asked.queries)
        ]
        with open_workspace(root) as workspace:
            search = workspace.features.nearest
            started = time.perf_counter()
            search(Item, queries[0][0].tolist(), at=queries[0][1], index=asked.index)
            print(f"{asked.rows} rows of {asked.width}: index made in {time.perf_counter() - started:.1f} s")
            spent, found = {"exact": 0.0, asked.index: 0.0}, 0
            for query, at in queries:
                answers = {}
                for way in spent:
                    started = time.perf_counter()
                    made = search(Item, query.tolist(), at=at, index=None if way == "exact" else way)
                    spent[way] += time.perf_counter() - started
                    answers[way] = set(made["item"].to_pylist())
                found += len(answers["exact"] & answers[asked.index])
        for way, seconds in spent.items():
            print(f"{way:8} {1e3 * seconds / len(queries):8.1f} ms a search")
        print(f"recall of ten: {found / 10 / len(queries):.3f}; {spent['exact'] / spent[asked.index]:.0f} times as quick")


if __name__ == "__main__":
    main()
