"""Table of the calls of steps, by run."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text

from tidewheel.database.tables import metadata

calls = Table(
    "run_calls",
    metadata,
    Column("run_id", Text, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("step", Text, nullable=False),
    Column("caller", BigInteger),  # the call in which it was made; empty when the run's own code made it
    Column("inputs", Text, nullable=False),  # JSON: calls whose answers are among the arguments
    Column("state", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("error", Text, nullable=False),
)
