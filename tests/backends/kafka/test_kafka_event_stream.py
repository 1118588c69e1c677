from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.streams import Topic, kafka_topic

from tidewheel.backends.kafka.event_stream import KafkaEventStream, open_event_stream
from tidewheel.errors import Invalid, Unavailable
from tidewheel.testing.event_stream import EventStreamContract, OpenStream, Publish


@pytest.mark.slow
class TestKafka(EventStreamContract):
    @pytest.fixture
    def topic(self) -> Iterator[Topic]:
        with kafka_topic() as made:
            yield made

    @pytest.fixture
    def publish(self, topic: Topic) -> Publish:
        return topic.publish

    @pytest.fixture
    def open_stream(self, topic: Topic) -> Iterator[OpenStream]:
        opened: list[KafkaEventStream] = []

        def open_(group: str = "one") -> KafkaEventStream:
            opened.append(open_event_stream(topic.consumer_url(group)))
            return opened[-1]

        yield open_
        for stream in opened:
            stream.close()


@pytest.mark.slow
def test_a_server_that_is_not_there_is_unavailable() -> None:
    stream = open_event_stream("kafka://127.0.0.1:1/trips?socket.timeout.ms=300")
    with pytest.raises(Unavailable):
        stream.lag()
    stream.close()


@pytest.mark.parametrize(
    "url", ["kafka://host", "kafka://host/a/b", "kafka://host/a?colour=red", "kafka://host/a?enable.auto.commit=true"]
)
def test_a_url_that_names_no_topic_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_event_stream(url)
