"""Tables of access."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tidewheel.database.tables import metadata

audit_trail = Table(
    "audit_trail",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("before", Text),  # JSON
    Column("after", Text),  # JSON
    Index(None, "object", "number"),
    Index(None, "actor", "number"),
)
