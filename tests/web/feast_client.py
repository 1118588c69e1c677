"""What a user of Feast does with a remote online store, run by Feast's own Python; one line of JSON with all answers.

python tests/web/feast_client.py PORT FOLDER
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp

TYPES = {
    "whole": Int64,
    "small": Int32,
    "narrow": Float32,
    "wide": Float64,
    "text": String,
    "seen": UnixTimestamp,
    "flag": Bool,
    "wholes": Array(Int64),
    "wides": Array(Float64),
    "texts": Array(String),
    "flags": Array(Bool),
    "seens": Array(UnixTimestamp),
}
FACTS = [f"Facts:{name}" for name in TYPES]
TIME = pd.Timestamp("2026-02-01", tz="UTC")
VALUES = {
    "whole": 2**53 + 1,
    "small": 1,
    "narrow": 2.5,
    "wide": 0.1,
    "text": "ü",
    "seen": TIME,
    "flag": False,
    "wholes": [9],
    "wides": [1.5],
    "texts": ["q"],
    "flags": [True],
    "seens": [TIME],
}


def open_store(port: str, folder: str) -> FeatureStore:
    """A store with views of the names that the server has."""
    online = {"type": "remote", "path": f"http://127.0.0.1:{port}"}
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            registry=f"{folder}/registry.db",
            provider="local",
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    )
    user = Entity(name="user", join_keys=["uid"], value_type=ValueType.INT64)
    shop = Entity(name="shop", join_keys=["label"], value_type=ValueType.STRING)

    def view(name: str, entities: list[Entity], types: dict[str, Any], source: Any) -> FeatureView:
        keys = [Field(name=one.join_key, dtype=Int64 if one is user else String) for one in entities]
        schema = keys + [Field(name=name, dtype=kind) for name, kind in types.items()]
        return FeatureView(name=name, entities=entities, schema=schema, source=source, ttl=timedelta(hours=2))

    def file(name: str, **columns: str) -> FileSource:
        return FileSource(name=f"{name}_file", path=f"{folder}/{name}.parquet", timestamp_field="ts", **columns)

    pushed = PushSource(name="facts", batch_source=file("facts", created_timestamp_column="made"))
    facts = view("Facts", [user], TYPES, pushed)
    blobs = view("Blobs", [user], {"raw": Bytes, "raws": Array(Bytes)}, file("blobs"))
    pairs = view("Pairs", [user, shop], {"score": Float64, "whole": Int64}, file("pairs"))
    service = FeatureService(name="everything", features=[facts, blobs, pairs])
    store.apply([user, shop, facts, blobs, pairs, service])
    return store


def ask(store: FeatureStore, features: Any, rows: Any, **options: Any) -> dict[str, list[Any]]:
    """Values by name."""
    found: dict[str, list[Any]] = store.get_online_features(features=features, entity_rows=rows, **options).to_dict()
    return found


def read(store: FeatureStore) -> list[dict[str, Any]]:
    """Values as Feast's own types, which the view's schema says."""
    keys = [EntityKey(join_keys=["uid"], entity_values=[Value(int64_val=uid)]) for uid in (1, 2)]
    provider, view = store._get_provider(), store.get_feature_view("Facts")
    found = []
    for _, values in provider.online_read(store.config, view, keys, requested_features=list(TYPES)):
        held = {name: (value.WhichOneof("val"), value) for name, value in values.items()}
        found.append({name: kind and [kind, plain(getattr(value, kind))] for name, (kind, value) in held.items()})
    return found


def plain(value: Any) -> Any:
    return list(value.val) if hasattr(value, "val") else value


def told(act: Any) -> str:
    """What a call that must fail says."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever Feast makes of it
        return str(error)
    return "nothing"


def main(port: str, folder: str) -> dict[str, Any]:
    """Ask, read, write and push."""
    store = open_store(port, folder)
    now = datetime.now(timezone.utc).replace(tzinfo=None)  # noqa: UP017 - Feast's Python may be older
    times = {"ts": now, "made": now}
    answers: dict[str, Any] = {
        "facts": ask(store, FACTS, [{"uid": uid} for uid in (1, 2, 3, 9)]),
        "bytes": ask(store, ["Blobs:raw", "Blobs:raws"], [{"uid": 1}]),
        "statuses": [
            list(one.statuses)
            for one in store.get_online_features(
                features=["Facts:text"], entity_rows=[{"uid": uid} for uid in (1, 2, 3, 9)]
            ).proto.results
        ],
        "pairs": ask(store, ["Pairs:score", "Facts:wide"], {"uid": [1, 1, 2], "label": ["a", "b", "a"]}),
        "full": ask(store, ["Pairs:whole", "Facts:whole"], [{"uid": 1, "label": "a"}], full_feature_names=True),
        "service": sorted(
            ask(store, store.get_feature_service("everything"), [{"uid": 1, "label": "a"}], full_feature_names=True)
        ),
        "read": read(store),
    }
    store.write_to_online_store("Facts", pd.DataFrame([{"uid": 7, **times, **VALUES}]))
    store.push("facts", pd.DataFrame([{"uid": 8, **times, **VALUES, "text": "pushed"}]))
    nulls = {"text": None, "wide": None, "wholes": None, "seen": pd.NaT}
    store.write_to_online_store("Facts", pd.DataFrame([{"uid": 10, **times, **VALUES, **nulls}]))
    store.write_to_online_store("Pairs", pd.DataFrame([{"uid": 5, "label": "z", "ts": now, "score": 4.5, "whole": 3}]))
    answers["written"] = ask(store, FACTS, [{"uid": uid} for uid in (7, 8, 10)])
    answers["written_pair"] = ask(store, ["Pairs:score"], [{"uid": 5, "label": "z"}])
    answers["collision"] = told(lambda: ask(store, ["Pairs:whole", "Facts:whole"], [{"uid": 1, "label": "a"}]))
    answers["no_key"] = told(lambda: ask(store, ["Facts:whole"], [{"label": "a"}]))
    answers["materialize"] = told(lambda: store.materialize(now - timedelta(days=1), now))
    return answers


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(main(*sys.argv[1:])))
