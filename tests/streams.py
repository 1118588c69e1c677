"""Streams of events on real servers: a new stream, a way to publish to it, and its URL."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import nats
from confluent_kafka import Producer
from nats.js.api import StreamConfig
from redis import Redis
from tests.servers import NATS, REDIS, server_url

from tidewheel.testing.event_stream import CLAIM_SECONDS, Publish


@dataclass(frozen=True)
class Topic:
    """A stream of the test's own."""

    url: str
    """Without options."""
    publish: Publish

    def consumer_url(self, group: str = "one", *, claim_seconds: float = CLAIM_SECONDS) -> str:
        return f"{self.url}?group={group}&claim_seconds={claim_seconds}"


def fresh() -> str:
    """A name that no other test uses."""
    return f"trips_{uuid.uuid4().hex[:12]}"


@contextmanager
def redis_topic() -> Iterator[Topic]:
    server, name = server_url(REDIS), fresh()
    client = Redis.from_url(server)

    def publish(bodies: Sequence[bytes]) -> None:
        with client.pipeline(transaction=False) as pipeline:
            for body in bodies:
                pipeline.xadd(name, {"data": body})
            pipeline.execute()

    parts = urlsplit(server)
    yield Topic(urlunsplit(parts._replace(path=f"{parts.path or '/0'}/{name}")), publish)
    client.delete(name)
    client.close()


@contextmanager
def nats_topic() -> Iterator[Topic]:
    server, name = server_url(NATS), fresh()

    async def make(bodies: Sequence[bytes], create: bool) -> None:
        client = await nats.connect(server)
        jetstream = client.jetstream()
        if create:
            await jetstream.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"]))
        for body in bodies:
            await jetstream.publish(f"{name}.x", body)
        await client.close()

    asyncio.run(make([], True))
    yield Topic(f"{server}/{name}", lambda bodies: asyncio.run(make(bodies, False)))


@contextmanager
def kafka_topic(partitions: int = 1) -> Iterator[Topic]:
    """On the cluster of one broker that librdkafka can play: it lives in the producer. Events go to partitions in turn."""
    name, turn = fresh(), itertools.count()
    settings = {"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 2}
    producer = Producer(settings)
    broker = next(iter(producer.list_topics(timeout=10).brokers.values()))

    def publish(bodies: Sequence[bytes]) -> None:
        for body in bodies:
            producer.produce(name, body, partition=next(turn) % partitions)
        producer.flush(10)

    made = producer.list_topics(name, timeout=10).topics[name].partitions  # asking makes it
    assert len(made) >= partitions
    yield Topic(f"kafka://{broker.host}:{broker.port}/{name}", publish)
