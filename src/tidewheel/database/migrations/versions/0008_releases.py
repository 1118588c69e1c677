"""Tables of releases/."""

from __future__ import annotations

revision = "0008_releases"
down_revision = "0007_monitors"


def upgrade() -> None:
    """Create the tables."""
