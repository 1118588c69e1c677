"""Tables of runs.

A metric is a series with its summary, so that lists, filters and sorts never touch the points. NaN is a flag beside a null
value: SQLite has no NaN, and PostgreSQL's sorts above infinity.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, Table, Text

from tidewheel.database.tables import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("recipe", Text),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_started", BigInteger, nullable=False),
    Column("environment", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("error", Text, nullable=False),
    Index(None, "started_at", "id"),
    Index(None, "experiment", "started_at"),
    Index(None, "status"),
    Index(None, "recipe"),
)

parameters = Table(
    "run_parameters",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("number", Float),
    Index(None, "key", "number"),
)

tags = Table(
    "run_tags",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index(None, "key", "value"),
)

series = Table(
    "run_metrics",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("last", Float),
    Column("last_nan", Boolean, nullable=False),
    Index(None, "run_id", "key", unique=True),
    Index(None, "key", "last"),
)

points = Table(
    "run_metric_points",
    metadata,
    Column("series_id", Integer, ForeignKey("run_metrics.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", BigInteger, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("value", Float),
    Column("nan", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "run_artifacts",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)
