"""Runs of materialisation that are at work, by view, and which of their parts are done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_online_runs"
down_revision = "0011_statistics"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "online_runs",
        sa.Column("view", sa.Integer, sa.ForeignKey("online_views.id"), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("full", sa.Boolean, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("schema", sa.BigInteger, nullable=False),
        sa.Column("bounds", sa.LargeBinary, nullable=False),
        sa.Column("done", sa.LargeBinary, nullable=False),
    )
