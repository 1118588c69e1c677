"""Tables of features/."""

from __future__ import annotations

revision = "0003_features"
down_revision = "0002_access"


def upgrade() -> None:
    """Create the tables."""
