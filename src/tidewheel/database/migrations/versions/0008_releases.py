"""Tables of releases/."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_releases"
down_revision = "0007_monitors"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "gate_reports",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("gate", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
    )
    op.create_index(None, "gate_reports", ["gate", "at"])
    op.create_table(
        "releases",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("previous", sa.BigInteger),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index(None, "releases", ["deployment", "revision"], unique=True)
