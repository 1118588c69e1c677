"""Tables of runs/."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_runs"
down_revision = "0003_features"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("heartbeat_at", sa.BigInteger, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_started", sa.BigInteger, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index(None, "runs", ["started_at", "id"])
    op.create_index(None, "runs", ["experiment", "started_at"])
    op.create_index(None, "runs", ["status"])
    op.create_index(None, "runs", ["recipe"])
    for name in ("run_parameters", "run_tags"):
        number = [sa.Column("number", sa.Float)] if name == "run_parameters" else []
        op.create_table(
            name,
            sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
            sa.Column("key", sa.Text, primary_key=True),
            sa.Column("value", sa.Text, nullable=False),
            *number,
        )
    op.create_index(None, "run_parameters", ["key", "number"])
    op.create_index(None, "run_tags", ["key", "value"])
    _create_metrics()
    op.create_table(
        "run_artifacts",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )


def _create_metrics() -> None:
    op.create_table(
        "run_metrics",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("last", sa.Float),
        sa.Column("last_nan", sa.Boolean, nullable=False),
    )
    op.create_index(None, "run_metrics", ["run_id", "key"], unique=True)
    op.create_index(None, "run_metrics", ["key", "last"])
    op.create_table(
        "run_metric_points",
        sa.Column("series_id", sa.Integer, sa.ForeignKey("run_metrics.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("ordinal", sa.BigInteger, primary_key=True),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("nan", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
