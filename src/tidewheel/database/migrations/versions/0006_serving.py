"""Tables of serving/."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_serving"
down_revision = "0005_models"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "routes",
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("arms", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
