"""Statistics of views, by day and column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_statistics"
down_revision = "0010_pipelines"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "view_statistics",
        sa.Column("view", sa.Text, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("column", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("statistics", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
