"""Calls of steps, by run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_run_calls"
down_revision = "0015_build_cost"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "run_calls",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("ordinal", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("caller", sa.BigInteger),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("inputs", "state", "recipe")),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
    )
