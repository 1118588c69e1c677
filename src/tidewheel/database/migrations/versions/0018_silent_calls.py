"""What is seen of calls of steps that are at work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_silent_calls"
down_revision = "0017_sweeps"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("run_calls", sa.Column("silent_since", sa.BigInteger))
    op.add_column("run_calls", sa.Column("note", sa.Text, nullable=False, server_default=""))
