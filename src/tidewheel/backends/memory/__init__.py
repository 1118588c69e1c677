"""Everything in this process's memory: for tests, doctests and notebooks; gone when the process ends."""

from tidewheel.backends.memory.online_store import MemoryOnlineStore, open_online_store

__all__ = ["MemoryOnlineStore", "open_online_store"]
