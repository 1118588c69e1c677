from __future__ import annotations

import pytest

from tidewheel.backends.memory.event_stream import MemoryTopic
from tidewheel.testing.event_stream import EventStreamContract, OpenStream, Publish


class TestMemory(EventStreamContract):
    @pytest.fixture
    def topic(self) -> MemoryTopic:
        return MemoryTopic()

    @pytest.fixture
    def publish(self, topic: MemoryTopic) -> Publish:
        return topic.publish

    @pytest.fixture
    def open_stream(self, topic: MemoryTopic) -> OpenStream:
        return lambda group="one": topic.open(group)
