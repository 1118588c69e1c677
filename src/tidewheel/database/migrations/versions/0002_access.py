"""Tables of access/."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0002_access"
down_revision = "0001_ledger"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "audit_trail",
        Column("number", Integer, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("verb", Text, nullable=False),
        Column("object", Text, nullable=False),
        Column("before", Text),
        Column("after", Text),
    )
    op.create_index("ix_audit_trail_actor_number", "audit_trail", ["actor", "number"])
    op.create_index("ix_audit_trail_object_number", "audit_trail", ["object", "number"])
