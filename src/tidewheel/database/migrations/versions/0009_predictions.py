"""Tables of predictions/."""

from __future__ import annotations

revision = "0009_predictions"
down_revision = "0008_releases"


def upgrade() -> None:
    """Create the tables."""
