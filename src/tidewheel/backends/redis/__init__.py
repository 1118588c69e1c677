"""Redis, or Valkey: an online store that several machines share, and streams of events."""

from tidewheel.backends.redis.online_store import RedisOnlineStore, open_online_store

__all__ = ["RedisOnlineStore", "open_online_store"]
