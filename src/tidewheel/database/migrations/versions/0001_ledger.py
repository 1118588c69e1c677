"""Tables of ledger/."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Text, UniqueConstraint

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    _recipes_and_builds()
    _environments()


def _recipes_and_builds() -> None:
    op.create_table(
        "builds",
        Column("number", Integer, primary_key=True),
        Column("id", Text, nullable=False),
        Column("recipe", Text, nullable=False),
        Column("live", Text),
        Column("node", Text, nullable=False),
        Column("content", Text, nullable=False),
        Column("output", LargeBinary, nullable=False),
        Column("trace", Text, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("ended_at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("retired", Text),
        UniqueConstraint("id"),
        UniqueConstraint("live"),
    )
    op.create_index("ix_builds_content", "builds", ["content"])
    op.create_index("ix_builds_node_number", "builds", ["node", "number"])
    op.create_table(
        "nodes",
        Column("id", Text, primary_key=True),
        Column("text", Text, nullable=False),
        Column("seen_at", BigInteger, nullable=False),
    )
    op.create_table(
        "recipes",
        Column("digest", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("components", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
    )
    op.create_table(
        "recipe_nodes",
        Column("recipe", Text, ForeignKey("recipes.digest"), primary_key=True),
        Column("node", Text, ForeignKey("nodes.id"), primary_key=True),
    )
    op.create_index("ix_recipe_nodes_node", "recipe_nodes", ["node"])
    op.create_table(
        "recipe_upstreams",
        Column("recipe", Text, ForeignKey("recipes.digest"), primary_key=True),
        Column("node", Text, primary_key=True),
        Column("content", Text, nullable=False),
    )
    op.create_index("ix_recipe_upstreams_content_node", "recipe_upstreams", ["content", "node"])


def _environments() -> None:
    op.create_table(
        "environments",
        Column("name", Text, primary_key=True),
        Column("version", BigInteger, nullable=False),
    )
    op.create_table(
        "ledger_memory",
        Column("key", Text, primary_key=True),
        Column("value", LargeBinary, nullable=False),
        Column("remembered_at", BigInteger, nullable=False),
    )
    op.create_table(
        "moves",
        Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("changes", Text, nullable=False),
    )
    op.create_table(
        "pointers",
        Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
        Column("node", Text, primary_key=True),
        Column("recipe", Text, nullable=False),
    )
    op.create_index("ix_pointers_recipe", "pointers", ["recipe"])
