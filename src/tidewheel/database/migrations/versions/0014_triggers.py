"""Triggers: tasks, the tries at them, and how far each trigger has looked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_triggers"
down_revision = "0013_trails"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("environment", "trigger", "key", "target", "lane", "state")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("due_at", "created_at")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("reason", "actor", "parameters")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("retries", "failures", "deaths", "token")),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("outcome", "run", "error")),
        sa.UniqueConstraint("environment", "trigger", "key"),
    )
    op.create_index(None, "tasks", ["state", "due_at"])
    op.create_index(None, "tasks", ["trigger", "created_at"])
    op.create_table(
        "task_attempts",
        sa.Column("task", sa.Text, sa.ForeignKey("tasks.id"), primary_key=True),
        sa.Column("token", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ending", sa.Text),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "trigger_cursors",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("trigger", sa.Text, primary_key=True),
        sa.Column("seen", sa.Text, nullable=False),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
    )
