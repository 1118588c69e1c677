"""Sweeps: what was searched, and the points that were tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_sweeps"
down_revision = "0016_run_calls"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "metric")),
        sa.Column("minimize", sa.Boolean, nullable=False),
        sa.Column("sampler", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("width", "started_at")),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("complete", sa.BigInteger, nullable=False),
    )
    op.create_index(None, "sweeps", ["name", "started_at"])
    op.create_table(
        "sweep_trials",
        sa.Column("sweep", sa.Text, sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("drawn", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("shown", "run")),
        sa.Column("objective", sa.Float),
        sa.Column("output", sa.LargeBinary),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("reads", "error")),
    )
