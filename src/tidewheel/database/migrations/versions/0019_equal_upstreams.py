"""A recipe can have several contents of one upstream node: those that are equal in the columns that it uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019_equal_upstreams"
down_revision = "0018_silent_calls"


def upgrade() -> None:
    """Make the content a part of the key; the databases do not agree on how to change one in place, so the rows move."""
    op.execute("CREATE TABLE recipe_upstreams_before AS SELECT recipe, node, content FROM recipe_upstreams")
    op.drop_table("recipe_upstreams")
    op.create_table(
        "recipe_upstreams",
        sa.Column("recipe", sa.Text, sa.ForeignKey("recipes.digest"), primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, primary_key=True),
    )
    op.execute("INSERT INTO recipe_upstreams (recipe, node, content) SELECT recipe, node, content FROM recipe_upstreams_before")
    op.drop_table("recipe_upstreams_before")
    op.create_index("ix_recipe_upstreams_content_node", "recipe_upstreams", ["content", "node"])
