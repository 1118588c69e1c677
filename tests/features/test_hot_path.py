"""What answers online stays light: a process that only answers numbers loads neither Arrow nor an engine."""

from __future__ import annotations

import subprocess
import sys

ANSWER = """
import sys
from tidewheel.backends.memory import MemoryOnlineStore
from tidewheel.features.definition import entity, features, lookup, mean, service, view_of
from tidewheel.features.online import Closed, Mark, OnlineLayout
from tidewheel.features.prepare import prepare
from tidewheel.schema import DataType, Field, Schema
from tidewheel.sources.definition import source
import tidewheel.backends.lmdb.online_store

@features(source("ratings", "r.parquet", time="ts"), by=entity("driver", driver=int))
class Rating:
    rating = lookup("rating")
    mean_1h = mean("rating", "1h")

schema = Schema((Field("driver", DataType.INT64), Field("rating", DataType.FLOAT64)))
layout = OnlineLayout(view_of(Rating), 1, schema)
store = MemoryOnlineStore()
row = layout.row(5, 0, available=5, values=(4.5,))
store.write([(layout.mark_key, Mark(1, 0, 0).encode())], [(layout.keys.encode((7,)), item) for item in layout.numbered([row])])
numbers = {view_of(Rating).online_version: 1}
prepared = prepare(service("pickup", Rating), store=store, view_ids=numbers, schemas={"ratings": schema})
assert prepared.answer([{"driver": 7}], at=[10]).values == [[4.5, 4.5]]
print(sorted({"pyarrow", "duckdb", "sqlglot", "sqlalchemy", "pandas"} & set(sys.modules)))
"""
LOOKUPS = """
import sys
import tidewheel.features.prepare, tidewheel.backends.lmdb.online_store
print("numpy" in sys.modules)
"""


def test_what_answers_look_ups_is_imported_without_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKUPS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_answer_in_numbers_loads_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", ANSWER], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
