"""NATS JetStream: streams of events."""

from tidewheel.backends.nats.event_stream import NatsEventStream, open_event_stream

__all__ = ["NatsEventStream", "open_event_stream"]
