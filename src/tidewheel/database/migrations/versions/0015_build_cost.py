"""Builds say what they used and what they cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_build_cost"
down_revision = "0014_triggers"


def upgrade() -> None:
    """Add the columns; of earlier builds it is not known."""
    op.add_column("builds", sa.Column("cpu_seconds", sa.Float))
    op.add_column("builds", sa.Column("cost", sa.Float))
