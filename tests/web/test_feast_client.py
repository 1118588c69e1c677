"""Feast's own client, with a remote online store, against ``tidewheel serve``; skipped where Feast was never installed."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.peers import FEAST, environment_folder
from tests.journeys.acting import Project, serve

FOLDER = environment_folder("feast", FEAST)

pytestmark = [
    pytest.mark.slow,  # starts real processes
    pytest.mark.skipif(
        not (FOLDER / "ready").exists(), reason="no environment of Feast: benchmarks/features/server.py makes it"
    ),
]

DEFINITIONS = """
import tidewheel as tw

user = tw.entity("user", uid=int)
pair = tw.entity("pair", uid=int, label=str)
facts = tw.source("facts", "facts.parquet", time="ts", created="made", timezone="America/New_York")
blobs = tw.source("blobs", "blobs.parquet", time="ts")
pairs = tw.source("pairs", "pairs.parquet", time="ts")


@tw.features(facts, by=user, ttl="2h")
class Facts:
    whole = tw.lookup("whole")
    small = tw.lookup("small")
    narrow = tw.lookup("narrow")
    wide = tw.lookup("wide")
    text = tw.lookup("text")
    seen = tw.lookup("seen")
    flag = tw.lookup("flag")
    wholes = tw.lookup("wholes")
    wides = tw.lookup("wides")
    texts = tw.lookup("texts")
    flags = tw.lookup("flags")
    seens = tw.lookup("seens")


@tw.features(blobs, by=user)
class Blobs:
    raw = tw.lookup("raw")
    raws = tw.lookup("raws")


@tw.features(pairs, by=pair)
class Pairs:
    score = tw.lookup("score")
    whole = tw.lookup("whole")


everything = tw.service("everything", Facts, Blobs, tw.use(Pairs, prefix="pair_"))
"""
BIG = 2**53 + 1
SEEN = 1767268800
FIRST: dict[str, Any] = {
    "whole": BIG,
    "small": 7,
    "narrow": 1.5,
    "wide": 0.1,
    "text": "zürich",
    "seen": SEEN,
    "flag": True,
    "wholes": [1, 2, 3],
    "wides": [0.5, 0.25],
    "texts": ["a", "b"],
    "flags": [True, False],
    "seens": [SEEN],
}
WRITTEN: dict[str, Any] = {
    "whole": BIG,
    "small": 1,
    "narrow": 2.5,
    "wide": 0.1,
    "text": "ü",
    "seen": 1769904000,
    "flag": False,
    "wholes": [9],
    "wides": [1.5],
    "texts": ["q"],
    "flags": [True],
    "seens": [1769904000],
}
KINDS = {
    "whole": "int64_val",
    "small": "int32_val",
    "narrow": "float_val",
    "wide": "double_val",
    "text": "string_val",
    "seen": "unix_timestamp_val",
    "flag": "bool_val",
    "wholes": "int64_list_val",
    "wides": "double_list_val",
    "texts": "string_list_val",
    "flags": "bool_list_val",
    "seens": "unix_timestamp_list_val",
}


def write_project(folder: Path) -> Project:
    """User 1 has every value, user 2 nulls, user 3 is too old."""
    (folder / "tidewheel.toml").write_text('project = "shop"\ndefinitions = ["definitions"]\n')
    (folder / "definitions.py").write_text(DEFINITIONS)
    moment = pa.timestamp("us", "UTC")
    hour = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    seen = datetime.fromtimestamp(SEEN, UTC)
    full = FIRST | {"seen": seen, "seens": [seen]}
    facts = [
        {"uid": 1, "ts": hour, "made": hour, **full},
        {"uid": 2, "ts": hour, "made": hour},
        {"uid": 3, "ts": hour - timedelta(hours=4), "made": hour, **full},
    ]
    kinds = {"whole": pa.int64(), "small": pa.int32(), "narrow": pa.float32(), "wide": pa.float64(), "text": pa.string()}
    kinds |= {"seen": moment, "flag": pa.bool_(), "wholes": pa.list_(pa.int64()), "wides": pa.list_(pa.float64())}
    kinds |= {"texts": pa.list_(pa.string()), "flags": pa.list_(pa.bool_()), "seens": pa.list_(moment)}
    schema = pa.schema([("uid", pa.int64()), ("ts", moment), ("made", moment), *kinds.items()])
    pq.write_table(pa.Table.from_pylist(facts, schema=schema), folder / "facts.parquet")
    blobs = {"uid": [1], "ts": pa.array([hour], moment), "raw": [b"\0\xff"], "raws": [[b"x", b"\xff"]]}
    pq.write_table(pa.table(blobs), folder / "blobs.parquet")
    pairs = {"uid": [1, 1], "label": ["a", "b"], "ts": pa.array([hour, hour], moment), "score": [0.5, 0.75], "whole": [1, 2]}
    pq.write_table(pa.table(pairs), folder / "pairs.parquet")
    return Project(folder)


def test_feasts_client_reads_writes_and_pushes_values_of_every_type(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    project.run("apply", "--yes")
    server = serve(project, "everything")
    try:
        command = [str(FOLDER / "bin" / "python"), "-W", "ignore", str(Path(__file__).with_name("feast_client.py"))]
        done = subprocess.run(
            [*command, server.url.rpartition(":")[2], str(tmp_path)], capture_output=True, text=True, timeout=240, check=False
        )
    finally:
        assert server.stop() == 0
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["facts"] == {"uid": [1, 2, 3, 9]} | {name: [value, None, None, None] for name, value in FIRST.items()}
    assert told["statuses"] == [[1, 1, 1, 1], [1, 2, 4, 3]]
    assert told["bytes"] == {"uid": [1], "raw": ["AP8="], "raws": [["eA==", "/w=="]]}
    pairs = {"uid": [1, 1, 2], "label": ["a", "b", "a"], "score": [0.5, 0.75, None], "wide": [0.1, 0.1, None]}
    assert told["pairs"] == pairs
    assert told["full"] == {"uid": [1], "label": ["a"], "Pairs__whole": [1], "Facts__whole": [BIG]}
    assert {"Facts__wide", "Blobs__raw", "Pairs__pair_score"} <= set(told["service"])
    assert told["read"] == [{name: [KINDS[name], value] for name, value in FIRST.items()}, dict.fromkeys(FIRST)]
    assert told["written"] == {"uid": [7, 8, 10]} | {
        name: [
            value,
            "pushed" if name == "text" else value,
            None if name in ("text", "wide", "wholes", "seen") else value,
        ]
        for name, value in WRITTEN.items()
    }
    assert told["written_pair"]["score"] == [4.5]
    assert "full_feature_names" in told["collision"]
    assert "send uid as int64" in told["no_key"]
    assert "no path '/materialize'" in told["materialize"]
