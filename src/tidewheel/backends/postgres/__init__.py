"""PostgreSQL: an online store for teams that run one already. (The database of facts is SQLAlchemy's business.)"""

from tidewheel.backends.postgres.online_store import PostgresOnlineStore, open_online_store

__all__ = ["PostgresOnlineStore", "open_online_store"]
