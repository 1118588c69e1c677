"""Kafka: one topic, one consumer group.

Offsets are committed by us alone, after the events were handled. A partition belongs to one consumer of the group at a time;
when it is silent for ``claim_seconds``, its partitions go to others, from the last committed offset on.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from tidewheel.errors import Invalid, NotFound, Unavailable
from tidewheel.ports.event_stream import StreamEvent, StreamOptions, take_options
from tidewheel.url import without_password

_TIMEOUT_SECONDS = 10.0
_LEAST_SESSION = 6_000  # milliseconds; brokers refuse less unless told otherwise
_UNCHANGEABLE = {"bootstrap.servers", "group.id", "enable.auto.commit", "enable.auto.offset.store"}
_PASSING = {
    KafkaError._PARTITION_EOF,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
}
"""Errors after which the library goes on by itself."""


class KafkaEventStream:
    """One consumer of a topic's group.

    Parameters
    ----------
    servers
        ``host:port``, several with commas.
    settings
        Settings of librdkafka, such as ``security.protocol``.

    Examples
    --------
    >>> stream = KafkaEventStream("localhost:9092", "trips", StreamOptions())  # doctest: +SKIP
    >>> stream.poll(limit=100, seconds=1)  # doctest: +SKIP
    [StreamEvent(position='0:17', body=b'{"zone": 7}')]
    """

    def __init__(self, servers: str, topic: str, options: StreamOptions, *, settings: dict[str, str] | None = None) -> None:
        self._servers, self._topic = servers, topic
        session = max(int(options.claim_seconds * 1000), _LEAST_SESSION)
        own = {
            "bootstrap.servers": servers,
            "group.id": options.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": session,
            "heartbeat.interval.ms": session // 10,
            "client.id": "tidewheel",
            "log_level": 2,  # what matters is told by our errors
        }
        try:
            self._consumer = Consumer({**own, **(settings or {})})
        except (KafkaException, ValueError) as error:
            fix = "see librdkafka's CONFIGURATION.md"
            raise Invalid(f"a setting of Kafka is wrong: {error}", where=topic, fix=fix) from error
        self._consumer.subscribe([topic])
        self._closed = False

    def poll(self, *, limit: int, seconds: float) -> list[StreamEvent]:
        """Messages of the partitions that are ours."""
        self._open()
        try:
            messages = self._consumer.consume(limit, timeout=max(seconds, 0.0))
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error
        events = []
        for message in messages:
            failure = message.error()
            if failure is None:
                events.append(StreamEvent(f"{message.partition()}:{message.offset()}", message.value() or b""))
            elif failure.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotFound(f"Kafka {self._servers} has no topic {self._topic}", where=self._topic, fix="create the topic")
            elif failure.code() not in _PASSING and not events:
                raise self._unavailable(failure)
        if not messages and seconds:
            self._probe()
        return events

    def commit(self, positions: Sequence[str]) -> None:
        """Commit the offsets behind the last event of each partition."""
        self._open()
        last: dict[int, int] = {}
        for position in positions:
            partition, _, offset = position.partition(":")
            last[int(partition)] = max(last.get(int(partition), 0), int(offset) + 1)
        if not last:
            return
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in last.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING:  # else the partition is another's now, who handles the events again
                raise self._unavailable(error.args[0]) from error

    def lag(self) -> int:
        """Messages behind the committed offsets, over all partitions of the topic."""
        self._open()
        try:
            known = self._consumer.list_topics(self._topic, timeout=_TIMEOUT_SECONDS).topics[self._topic].partitions
            asked = [TopicPartition(self._topic, number) for number in known]
            lag = 0
            for one in self._consumer.committed(asked, timeout=_TIMEOUT_SECONDS):
                low, high = self._consumer.get_watermark_offsets(one, timeout=_TIMEOUT_SECONDS)
                lag += high - (low if one.offset == OFFSET_INVALID else max(low, one.offset))
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error
        return lag

    def close(self) -> None:
        """Leave the group; idempotent."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _open(self) -> None:
        if self._closed:
            raise Invalid(f"the stream {self._topic} is closed", fix="open it again")

    def _probe(self) -> None:
        """The library waits for ever for servers that are not there, and says nothing."""
        try:
            self._consumer.list_topics(self._topic, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error

    def _unavailable(self, error: KafkaError) -> Unavailable:
        fix = "start it, or correct the stream's URL; the next call connects again"
        return Unavailable(f"Kafka {self._servers} cannot be reached: {error.str()}", where=self._topic, fix=fix)


def open_event_stream(url: str) -> KafkaEventStream:
    """The topic at ``kafka://host:port,host:port/trips?group=taxi``; other options are settings of librdkafka.

    Raises
    ------
    Invalid
        When the URL names no topic, or a setting is wrong.

    Examples
    --------
    >>> open_event_stream("kafka://localhost:9092")
    Traceback (most recent call last):
        ...
    tidewheel.errors.Invalid: 'kafka://localhost:9092' names no topic. Fix: write kafka://host:port/topic?group=name
    """
    parts = urlsplit(url)
    topic = parts.path.strip("/")
    fix = "write kafka://host:port/topic?group=name"
    try:
        options, settings = take_options(dict(parse_qsl(parts.query)))
    except ValueError as error:
        raise Invalid(f"{without_password(url)!r}: {error}", fix=fix) from error
    if parts.scheme != "kafka" or not parts.netloc or not topic or "/" in topic:
        raise Invalid(f"{without_password(url)!r} names no topic", fix=fix)
    taken = sorted(_UNCHANGEABLE & set(settings))
    if taken:
        raise Invalid(f"{without_password(url)!r} sets {', '.join(taken)}, which is ours to set", fix=f"leave it out; {fix}")
    return KafkaEventStream(parts.netloc, topic, options, settings=settings)
