"""The table of routes: one row per revision, never changed."""

from __future__ import annotations

import sqlalchemy as sa

from tidewheel.database.tables import metadata

routes = sa.Table(
    "routes",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("arms", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
