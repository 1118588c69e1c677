"""Apache Kafka, and what speaks its protocol: streams of events."""

from tidewheel.backends.kafka.event_stream import KafkaEventStream, open_event_stream

__all__ = ["KafkaEventStream", "open_event_stream"]
