"""The metadata that every noun's ``tables.py`` adds its tables to.

Portable types only: ``BigInteger`` for microseconds and counts, ``Text``, ``LargeBinary``, ``Boolean``,
``Float``; JSON is ``Text``.
"""

from __future__ import annotations

from sqlalchemy import MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Tables of all nouns that were imported so far; constraints are named by convention, so that migrations can name them."""
