"""An engine that runs functions of ours over buckets of keys in the plainest way: what others do on clusters, from near."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.backends.duckdb import DuckDB
from tidewheel.ports.query_engine import OWN, Files, InMemory, Relation, Side

BUCKETS = 3


class BucketEngine(DuckDB):
    """DuckDB with buckets by the text of the key; functions are pickled, as they would be on their way to a worker.

    With a ``folder``, answers are files in it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(threads=1)
        self._answers = folder
        self.calls = 0
        """How often it was asked to run a function."""

    def cogroup(
        self, left: Side, right: Side, function: Callable[[pa.Table, pa.Table], pa.Table], *, schema: pa.Schema
    ) -> Relation:
        """See the port."""
        self.calls += 1
        sent: Callable[[pa.Table, pa.Table], pa.Table] = pickle.loads(pickle.dumps(function))
        lefts, rights = self._buckets(left), self._buckets(right)
        found = []
        for one, other in zip(lefts, rights, strict=True):
            found.append(sent(one, other.append_column(OWN, pa.array([True] * other.num_rows, pa.bool_()))))
        if self._answers is None:
            return InMemory(pa.concat_tables(found).cast(schema))
        paths = []
        for one in found:
            paths.append(str(self._answers / f"{uuid.uuid4().hex}.parquet"))
            pq.write_table(one.cast(schema), paths[-1])
        return Files("parquet", tuple(paths))

    def _buckets(self, side: Side) -> list[pa.Table]:
        rows = self.stream(side.sql, side.relations).read_all()
        if side.prepare is not None:
            rows = pickle.loads(pickle.dumps(side.prepare))(rows)
        rows = rows.select(side.schema.names).cast(side.schema)
        keys = zip(*[rows[name].to_pylist() for name in side.keys], strict=True)
        places = np.array([sum(str(key).encode()) % BUCKETS for key in keys], dtype=np.int64)
        return [rows.filter(pa.array(places == bucket, pa.bool_())) for bucket in range(BUCKETS)]
