"""Tables of access/."""

from __future__ import annotations

revision = "0002_access"
down_revision = "0001_ledger"


def upgrade() -> None:
    """Create the tables."""
