"""Tables of pipelines/."""

from __future__ import annotations

revision = "0010_pipelines"
down_revision = "0009_predictions"


def upgrade() -> None:
    """Create the tables."""
