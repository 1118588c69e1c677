"""Tables of models/."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_models"
down_revision = "0004_runs"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("files", sa.Text, nullable=False),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index(None, "model_versions", ["model", "recipe"], unique=True)
    op.create_index(None, "model_versions", ["content"])
    op.create_table(
        "model_aliases",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("alias", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["model_versions.model", "model_versions.version"]),
    )
    op.create_table(
        "model_alias_moves",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("old", sa.Integer),
        sa.Column("new", sa.Integer),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index(None, "model_alias_moves", ["model", "alias", "id"])
