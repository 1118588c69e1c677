"""Tables of releases: what gates found, and every change of who answers."""

from __future__ import annotations

import sqlalchemy as sa

from tidewheel.database.tables import metadata

gate_reports = sa.Table(
    "gate_reports",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("gate", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.Index(None, "gate", "at"),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("deployment", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("previous", sa.BigInteger),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index(None, "deployment", "revision", unique=True),
)
