from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.streams import Topic, redis_topic

from tidewheel.backends.redis.event_stream import RedisEventStream, open_event_stream
from tidewheel.errors import Invalid, Unavailable
from tidewheel.testing.event_stream import EventStreamContract, OpenStream, Publish, drain


@pytest.fixture
def topic() -> Iterator[Topic]:
    with redis_topic() as made:
        yield made


class TestRedis(EventStreamContract):
    @pytest.fixture
    def publish(self, topic: Topic) -> Publish:
        return topic.publish

    @pytest.fixture
    def open_stream(self, topic: Topic) -> Iterator[OpenStream]:
        opened: list[RedisEventStream] = []

        def open_(group: str = "one") -> RedisEventStream:
            opened.append(open_event_stream(topic.consumer_url(group)))
            return opened[-1]

        yield open_
        for stream in opened:
            stream.close()


def test_a_living_consumer_keeps_what_it_holds(topic: Topic) -> None:
    topic.publish([b"1"])
    one, two = (open_event_stream(topic.consumer_url(claim_seconds=60)) for _ in range(2))
    assert [event.body for event in drain(one, 1)] == [b"1"]
    assert two.poll(limit=1, seconds=0.05) == []
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"data": '{"a": 1}', "trace": "x"}, b'{"a": 1}'),
        ({"payload": '{"a": 1}'}, b'{"a": 1}'),
        ({"a": "1", "b": "x"}, b'{"a": "1", "b": "x"}'),
    ],
)
def test_the_body_is_a_field_or_all_of_them(topic: Topic, fields: dict[str, str], body: bytes) -> None:
    from redis import Redis

    server, _, name = topic.url.rpartition("/")
    client = Redis.from_url(server)
    client.xadd(name, fields)  # type: ignore[arg-type]  # its type is invariant
    stream = open_event_stream(topic.consumer_url())
    assert [event.body for event in drain(stream, 1)] == [body]
    stream.close()
    client.close()


def test_lag_is_known_when_entries_were_deleted(topic: Topic) -> None:
    from redis import Redis

    server, _, name = topic.url.rpartition("/")
    topic.publish([b"%d" % n for n in range(5)])
    client = Redis.from_url(server)
    client.execute_command("XDEL", name, client.execute_command("XRANGE", name, "-", "+")[2][0])  # type: ignore[no-untyped-call]
    stream = open_event_stream(topic.consumer_url())
    assert stream.lag() == 4
    stream.close()
    client.close()


@pytest.mark.parametrize(
    "url", ["redis://host", "redis://host/0", "redis://host/a/b", "redis://host/0/a?claim_seconds=0", "http://h/0/a"]
)
def test_a_url_that_names_no_stream_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        open_event_stream(url)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    stream = open_event_stream("redis://127.0.0.1:1/0/trips")
    with pytest.raises(Unavailable):
        stream.poll(limit=1, seconds=0)
