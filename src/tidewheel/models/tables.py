"""Tables of models: versions, aliases, and the history of aliases."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, Table, Text

from tidewheel.database.tables import metadata

versions = Table(
    "model_versions",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("recipe", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "model", "recipe", unique=True),
    Index(None, "content"),
)

aliases = Table(
    "model_aliases",
    metadata,
    Column("model", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
)

alias_moves = Table(
    "model_alias_moves",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("old", Integer),
    Column("new", Integer),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "model", "alias", "id"),
)
