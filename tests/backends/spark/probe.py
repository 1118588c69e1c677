"""Answers views on a Spark of its own, as ``python -m tests.backends.spark.probe URL FOLDER``: a process has only one Spark."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tests.backends.spark.worlds import answer, views

import tidewheel
from tidewheel.backends.spark import open_query_engine
from tidewheel.ports.query_engine import Files, InMemory, Side
from tidewheel.sources.definition import source


def main(url: str, folder: Path) -> None:
    """Write ``answer.parquet``, and print where the workers' code lies."""
    spine = pq.read_table(folder / "spine.parquet")
    of = source("events", str(folder / "events.parquet"), time="ts", created="made")
    with open_query_engine(url, temporary=folder / "spark") as engine:
        pq.write_table(answer(views(of), spine, engine, folder).table, folder / "answer.parquet")
        row = {"this": InMemory(pa.table({"k": [1], "t": [0]}))}
        side = Side("SELECT * FROM this", row, keys=("k",), time="t", schema=row["this"].table.schema)

        def place(left: pa.Table, right: pa.Table) -> pa.Table:
            return pa.table({"place": [str(tidewheel.__file__)]})

        found = engine.cogroup(side, side, place, schema=pa.schema([("place", pa.string())]))
        assert isinstance(found, Files)
        print(next(value for path in found.paths for value in pq.read_table(path)[0].to_pylist()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
