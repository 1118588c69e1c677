"""A project with feature services only: one Parquet file with a column of every type, served by the real application."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidewheel.clock import Micros, parse_instant
from tidewheel.project.load import Project, load_project
from tidewheel.project.open import Workspace, open_workspace
from tidewheel.project.prepare_services import list_views
from tidewheel.web.application import Application
from tidewheel.web.assemble import assemble

NOW = parse_instant("2026-01-01T12:00:00Z")
BIG = 9_007_199_254_740_993
RAW = base64.b64encode(b"\0\xff").decode()

DEFINITIONS = """
import tidewheel as tw

user = tw.entity("user", uid=int)
shop = tw.entity("shop", label=str)
facts = tw.source("facts", "facts.parquet", time="ts")
sales = tw.source("sales", "sales.parquet", time="ts")


@tw.features(facts, by=user, ttl="2h")
class Facts:
    whole = tw.lookup("whole")
    narrow = tw.lookup("narrow")
    wide = tw.lookup("wide")
    text = tw.lookup("text")
    raw = tw.lookup("raw")
    day = tw.lookup("day")
    seen = tw.lookup("seen")
    price = tw.lookup("price")
    flag = tw.lookup("flag")


@tw.features(sales, by=shop)
class Sales:
    sold_1h = tw.count("1h")
    mean_1h = tw.mean("amount", "1h")


@tw.features(sales, by=shop)
class Never:
    sold_1d = tw.count("1d")


@tw.on_request
def double(wide: float | None, factor: float) -> float:
    return (wide or 0.0) * factor


everything = tw.service("everything", Facts, Sales, double, tw.request(when=tw.Timestamp), owner="ada", tags=["x"])
facts_only = tw.service("facts_only", Facts)
never = tw.service("never", Never)
"""


def write_project(folder: Path) -> None:
    """Definitions and data; user 1 has every value, user 2 nulls, user 3 is too old."""
    (folder / "tidewheel.toml").write_text('project = "shop"\ndefinitions = ["definitions"]\n')
    (folder / "definitions.py").write_text(DEFINITIONS)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    full = {
        "whole": BIG,
        "narrow": 1.111,
        "wide": 0.1,
        "text": "zürich",
        "raw": b"\0\xff",
        "day": date(2026, 1, 2),
        "seen": noon.replace(microsecond=1),
        "price": Decimal("1.50"),
        "flag": True,
    }
    null = dict.fromkeys(full)
    facts = [
        {"uid": 1, "ts": noon.replace(hour=11), **full},
        {"uid": 2, "ts": noon.replace(hour=11), **null},
        {"uid": 3, "ts": noon.replace(hour=9), **full},
    ]
    schema = pa.schema(
        [
            ("uid", pa.int64()),
            ("ts", pa.timestamp("us", "UTC")),
            ("whole", pa.int64()),
            ("narrow", pa.float32()),
            ("wide", pa.float64()),
            ("text", pa.string()),
            ("raw", pa.binary()),
            ("day", pa.date32()),
            ("seen", pa.timestamp("us", "UTC")),
            ("price", pa.decimal128(38, 9)),
            ("flag", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(facts, schema=schema), folder / "facts.parquet")
    sales = [{"label": "a", "ts": noon.replace(hour=11, minute=minute), "amount": float(minute)} for minute in (10, 20, 40)]
    pq.write_table(
        pa.Table.from_pylist(
            sales, schema=pa.schema([("label", pa.string()), ("ts", pa.timestamp("us", "UTC")), ("amount", pa.float64())])
        ),
        folder / "sales.parquet",
    )


@contextmanager
def shop(folder: Path) -> Iterator[tuple[Application, Project, Workspace]]:
    """The application at noon, two of the three views materialised."""
    write_project(folder)
    project = load_project(folder)
    with open_workspace(folder, clock=lambda: Micros(NOW)) as workspace:
        views = list_views(project)
        for name in ("Facts", "Sales"):
            workspace.materializer.materialize(views[name], until=NOW)
        app = assemble(project, workspace, ())
        app.refresh()
        yield app, project, workspace
        app.answerer.close()
