"""Feast's historical features over the same files, run by the Python of Feast's own environment: data folder, answer's path."""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import timedelta
from pathlib import Path

import ibis
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStoreConfig
from feast.types import Float64
from feast.value_type import ValueType


def main(folder: Path, answer: Path) -> None:
    """Join three views, write the answer, print what it cost."""
    spine = pd.read_parquet(folder / "spine.parquet").rename(columns={"t": "event_timestamp"})
    spine["row"] = range(len(spine))
    user = Entity(name="user", join_keys=["uid"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=name,
            entities=[user],
            ttl=timedelta(days=36500),
            schema=[Field(name="x", dtype=Float64), Field(name="z", dtype=Float64)],
            source=FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="ts", created_timestamp_column="created"),
        )
        for name in ("a", "b", "c")
    ]
    configuration = RepoConfig(
        project="bench",
        registry=str(answer.with_suffix(".registry.db")),
        provider="local",
        offline_store=DuckDBOfflineStoreConfig(),
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=configuration)
    store.apply([user, *views])
    features = [f"{name}:{value}" for name in ("a", "b", "c") for value in ("x", "z")]
    for limit in ("max_temp_directory_size = '8GB'", "memory_limit = '6GB'"):  # or it fills both: it joins every pair of a key
        ibis.get_backend().raw_sql(f"SET {limit}")
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = store.get_historical_features(spine, features, full_feature_names=True).to_arrow()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = {"cpu": spent, "wall": time.perf_counter() - start, "peak": after.ru_maxrss / 1024}
    frame = found.to_pandas().sort_values("row")
    frame[["row", *(name.replace(":", "__") for name in features)]].to_parquet(answer)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
