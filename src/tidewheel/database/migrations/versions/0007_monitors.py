"""Tables of monitors/."""

from __future__ import annotations

revision = "0007_monitors"
down_revision = "0006_serving"


def upgrade() -> None:
    """Create the tables."""
