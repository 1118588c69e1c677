"""Everything in this process's memory: for tests, doctests and notebooks; gone when the process ends."""

from tidewheel.backends.memory.event_stream import MemoryEventStream, MemoryTopic
from tidewheel.backends.memory.online_store import MemoryOnlineStore, open_online_store
from tidewheel.backends.memory.vector_index import MemoryVectorIndex, open_vector_index

__all__ = [
    "MemoryEventStream",
    "MemoryOnlineStore",
    "MemoryTopic",
    "MemoryVectorIndex",
    "open_online_store",
    "open_vector_index",
]
