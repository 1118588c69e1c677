"""Tables of the online side: numbers of views' versions in the store, how far they are materialised, runs that are at work."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Integer, LargeBinary, Table, Text

from tidewheel.database.tables import metadata

online_views = Table(
    "online_views",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

online_bookmarks = Table(
    "online_bookmarks",
    metadata,
    Column("view", Integer, ForeignKey("online_views.id"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

online_runs = Table(
    "online_runs",
    metadata,
    Column("view", Integer, ForeignKey("online_views.id"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("full", Boolean, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("schema", BigInteger, nullable=False),
    Column("bounds", LargeBinary, nullable=False),
    Column("done", LargeBinary, nullable=False),
)

view_statistics = Table(
    "view_statistics",
    metadata,
    Column("view", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # of a day, in microseconds UTC
    Column("column", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("statistics", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
