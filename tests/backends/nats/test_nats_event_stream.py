from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers import NATS, server_url
from tests.streams import nats_topic

from tidewheel.backends.nats.event_stream import NatsEventStream, open_event_stream
from tidewheel.errors import Invalid, NotFound, Unavailable
from tidewheel.testing.event_stream import EventStreamContract, OpenStream, Publish


@pytest.mark.slow
class TestNats(EventStreamContract):
    @pytest.fixture
    def topic_url(self) -> Iterator[tuple[str, Publish]]:
        with nats_topic() as topic:
            yield topic.url, topic.publish

    @pytest.fixture
    def publish(self, topic_url: tuple[str, Publish]) -> Publish:
        return topic_url[1]

    @pytest.fixture
    def open_stream(self, topic_url: tuple[str, Publish]) -> Iterator[OpenStream]:
        opened: list[NatsEventStream] = []

        def open_(group: str = "one") -> NatsEventStream:
            opened.append(open_event_stream(f"{topic_url[0]}?group={group}&claim_seconds=1"))
            return opened[-1]

        yield open_
        for stream in opened:
            stream.close()


def test_a_stream_that_there_is_not_is_not_found() -> None:
    stream = open_event_stream(f"{server_url(NATS)}/NONE")
    with pytest.raises(NotFound, match="NONE"):
        stream.poll(limit=1, seconds=0.1)
    stream.close()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    stream = open_event_stream("nats://127.0.0.1:1/TRIPS")
    with pytest.raises(Unavailable):
        stream.poll(limit=1, seconds=0.1)
    stream.close()


@pytest.mark.parametrize("url", ["nats://host", "nats://host/A.B", "nats://host/A?colour=red", "nats://host/A?group=a.b"])
def test_a_url_that_names_no_stream_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_event_stream(url)
