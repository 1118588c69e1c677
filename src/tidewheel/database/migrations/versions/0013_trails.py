"""Trails: the calls of a pipeline in their order, by the first of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_trails"
down_revision = "0012_online_runs"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "trails",
        sa.Column("first", sa.Text, primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("recipe", sa.Text, nullable=False),
    )
