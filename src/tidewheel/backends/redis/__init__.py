"""Redis, or Valkey: an online store that several machines share, and streams of events."""

from tidewheel.backends.redis.event_stream import RedisEventStream, open_event_stream
from tidewheel.backends.redis.online_store import RedisOnlineStore, open_online_store

__all__ = ["RedisEventStream", "RedisOnlineStore", "open_event_stream", "open_online_store"]
