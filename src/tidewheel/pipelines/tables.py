"""Tables of pipelines: the calls of steps by run, sweeps and the points that they tried."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, LargeBinary, Table, Text

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
    Column("silent_since", BigInteger),
    Column("note", Text, nullable=False, server_default=""),  # what an open call waits for, or what is seen of its process
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("minimize", Boolean, nullable=False),
    Column("sampler", Text, nullable=False),
    Column("width", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),  # JSON of the process that is at it; empty when nobody is
    Column("complete", BigInteger, nullable=False),  # the number of trials that the last complete call asked for
    Index(None, "name", "started_at"),
)

trials = Table(
    "sweep_trials",
    metadata,
    Column("sweep", Text, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("drawn", LargeBinary, nullable=False),  # packed values by name
    Column("shown", Text, nullable=False),  # JSON of the same values as text
    Column("run", Text, nullable=False),
    Column("objective", Float),
    Column("output", LargeBinary),  # packed
    Column("reads", Text, nullable=False),  # JSON
    Column("error", Text, nullable=False),
)
