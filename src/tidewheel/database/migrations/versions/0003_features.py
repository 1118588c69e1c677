"""Tables of features/."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_features"
down_revision = "0002_access"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "online_views",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_online_views"),
        sa.UniqueConstraint("version", name="uq_online_views_version"),
    )
    op.create_table(
        "online_bookmarks",
        sa.Column("view", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.BigInteger, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("view", name="pk_online_bookmarks"),
        sa.ForeignKeyConstraint(["view"], ["online_views.id"], name="fk_online_bookmarks_view_online_views"),
    )
