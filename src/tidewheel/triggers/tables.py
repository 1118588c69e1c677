"""Tables of triggers: tasks, the tries at them, and how far each trigger has looked."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from tidewheel.database.tables import metadata

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON
    Column("retries", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Column("deaths", BigInteger, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("outcome", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("error", Text, nullable=False),
    UniqueConstraint("environment", "trigger", "key"),
    Index(None, "state", "due_at"),
    Index(None, "trigger", "created_at"),
)

attempts = Table(
    "task_attempts",
    metadata,
    Column("task", Text, ForeignKey("tasks.id"), primary_key=True),
    Column("token", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("ending", Text),
    Column("error", Text, nullable=False),
)

cursors = Table(
    "trigger_cursors",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("trigger", Text, primary_key=True),
    Column("seen", Text, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
)
