"""Tables of ledger/."""

from __future__ import annotations

revision = "0001_ledger"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
