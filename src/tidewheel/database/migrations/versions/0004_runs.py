"""Tables of runs/."""

from __future__ import annotations

revision = "0004_runs"
down_revision = "0003_features"


def upgrade() -> None:
    """Create the tables."""
