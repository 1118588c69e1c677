"""Tables of models/."""

from __future__ import annotations

revision = "0005_models"
down_revision = "0004_runs"


def upgrade() -> None:
    """Create the tables."""
