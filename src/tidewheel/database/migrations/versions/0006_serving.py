"""Tables of serving/."""

from __future__ import annotations

revision = "0006_serving"
down_revision = "0005_models"


def upgrade() -> None:
    """Create the tables."""
